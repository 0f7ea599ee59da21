"""Stage 1: the VAE that both models see the world through.

One encoder shrinks each frame fourfold a side; `tiny`'s decoder turns a whole clip of latents back
into frames, and `tiny-sd`'s decoder turns a single latent back into a picture. All three learn
together.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from . import together
from .architectures import HEIGHT, NUM_FRAMES, WIDTH, image_vae, share_encoder, video_vae
from .pools import Pool
from .scenes import training_batch
from .sheets import decibels, film_strips
from .stress import stressed

KL_WEIGHT = 1e-4  # just enough to keep the latents near zero
PHOTOS = 0.4  # photo-like clips are the harder part, so a VAE sees more of them than a UNet
OTHER_SIZES = (
    (WIDTH, HEIGHT),
    (HEIGHT, HEIGHT),
    (80, 80),
    (96, 64),
)  # portrait and square pictures have to work as well
# Colours are learned soonest on many small crops. But the statistics that normalisation sees on a
# crop are not those of a frame: only what is learned on whole frames, later, holds for them.
CROP_STEPS, CROP = 800, 32


class VaeStage:
    """Training of the two VAEs with `clips` clips a step. It needs nothing from earlier stages.

    >>> VaeStage(clips=1, device=torch.device("cpu")).name
    'vae'
    """

    name = "vae"
    crop_steps = CROP_STEPS
    singles = 0.2  # the share of chunks with single pictures instead of clips

    def __init__(self, clips: int, device: torch.device, out: Path | None = None) -> None:
        self.clips, self.device = clips, device
        torch.manual_seed(1)
        video, image = video_vae(), image_vae()
        share_encoder(image, video)
        self.networks = torch.nn.ModuleDict({"video": video, "image": image}).to(device)
        # A GPU paints many clips in the time that it paints few; a CPU gains nothing by it.
        self.ahead = 16 if device.type == "cuda" else 4  # steps
        self.painted = Pool(self.paint, every=self.ahead, depth=1)

    def paint(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The clips of some steps, and how much an error counts at each of their pixels: first
        crops of many scenes; then whole frames, in clips of 14, in shorter ones, which keep the
        decoder general, and alone, some of another shape.
        """
        dice = torch.Generator().manual_seed(number)
        kind, length, other, shape = torch.rand(4, generator=dice).tolist()
        cropped = number * self.ahead < self.crop_steps
        frames, (height, width) = NUM_FRAMES, (HEIGHT, WIDTH)
        if cropped:
            frames = 2
        elif kind < self.singles + 0.3:
            frames = 1 if kind < self.singles else 1 + int(length * NUM_FRAMES)
        if other < 0.15 and not cropped:
            height, width = OTHER_SIZES[int(shape * len(OTHER_SIZES))]
        clips = 16 * self.clips if cropped else max(1, self.clips * NUM_FRAMES // frames)
        painted, bare = (
            training_batch(
                clips * self.ahead,
                number,
                device=self.device,
                num_frames=frames,
                height=height,
                width=width,
                photos=PHOTOS,
                things=things,
            ).frames
            for things in (True, False)
        )
        counts = stressed((painted - bare).abs().amax(2, keepdim=True))
        if cropped:
            top, left = int(length * (HEIGHT - CROP + 1)), int(shape * (WIDTH - CROP + 1))
            window = (..., slice(top, top + CROP), slice(left, left + CROP))
            painted, counts = painted[window], counts[window]
        return tuple(
            field.unflatten(0, (clips, self.ahead)).transpose(0, 1).contiguous()
            for field in (painted, counts)
        )

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The clips of a step, (clips, frames, 3, height, width) in −1…1, and how much an error
        counts at their pixels.

        >>> clips, counts = VaeStage(clips=1, device=torch.device("cpu")).batch(step=0)
        >>> clips.shape, counts.shape
        (torch.Size([16, 2, 3, 32, 32]), torch.Size([16, 2, 1, 32, 32]))
        """
        painted, counts = self.painted.newest(step)
        own = step // together.count() % self.ahead
        return painted[own], counts[own]

    def loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Reconstruction of clips by one decoder and of some of their frames, or of single
        pictures, by the other, and a little of the KL divergence.

        >>> stage = VaeStage(clips=1, device=torch.device("cpu"))
        >>> float(stage.loss(0)[0].detach()) > 0
        True
        """
        video, image = self.networks["video"], self.networks["image"]
        clips, counts = self.batch(step)
        frames, counts = clips.flatten(0, 1), counts.flatten(0, 1)
        posterior = video.encode(frames).latent_dist
        latents = posterior.sample(torch.Generator(self.device).manual_seed(step))
        played = video.decode(latents, num_frames=clips.shape[1]).sample
        # the frames of a clip are much alike; single pictures are not
        number = len(frames) if clips.shape[1] == 1 else max(1, len(frames) // 4)
        some = torch.randperm(len(frames), generator=torch.Generator().manual_seed(step))[:number]
        some = some.to(frames.device)
        drawn = image.decode(latents[some]).sample
        kl = posterior.kl().float().mean() / latents[0].numel()
        loss = distance(played, frames, counts) + KL_WEIGHT * kl
        loss = loss + number / len(frames) * distance(drawn, frames[some], counts[some])
        figures = {
            "psnr": decibels(played, frames),
            "psnr_image": decibels(drawn, frames[some]),
            "kl": kl.detach(),
            "latent_std": latents.detach().float().std(),
        }
        return loss, figures

    @torch.no_grad()
    def sample_sheet(self, networks: torch.nn.ModuleDict) -> tuple[Image.Image, dict[str, float]]:
        """Clips and what both decoders make of them, one above the other."""
        clips = min(6, 2 * self.clips)
        truth = training_batch(clips, 2**30, device=self.device, photos=0.5).frames
        latents = networks["video"].encode(truth.flatten(0, 1)).latent_dist.mode()
        played = networks["video"].decode(latents, num_frames=NUM_FRAMES).sample.view_as(truth)
        drawn = networks["image"].decode(latents).sample.view_as(truth)
        half = clips // 2  # scenes come first, photo-like clips after them
        scores = {
            "sheet_psnr_scenes": float(decibels(played[:half], truth[:half])),
            "sheet_psnr_photos": float(decibels(played[half:], truth[half:])),
            "sheet_psnr_image": float(decibels(drawn, truth)),
        }
        rows = [row for trio in zip(truth, played, drawn, strict=True) for row in trio]
        return film_strips(rows, every=2), scores

    @torch.no_grad()
    def state(self, networks: torch.nn.ModuleDict) -> dict:
        """The spread of the latents, from which the scaling factor follows.

        >>> stage = VaeStage(clips=1, device=torch.device("cpu"))
        >>> stage.state(stage.networks)["latent_std"] > 0
        True
        """
        frames = training_batch(16, 2**30 + 1, device=self.device, num_frames=1).frames[:, 0]
        return {"latent_std": float(networks["video"].encode(frames).latent_dist.mode().std())}


def distance(made: torch.Tensor, wanted: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Squared and absolute error, and the error of the slopes, which keeps edges sharp.

    >>> still = torch.zeros(1, 3, 4, 4)
    >>> float(distance(still, still, torch.ones(1, 1, 4, 4)))
    0.0
    """
    error = made.float() - wanted
    loss = (counts * error.square()).mean() + 0.5 * (counts * error.abs()).mean()
    for along in (-1, -2):
        size = counts.shape[along] - 1
        before, after = counts.narrow(along, 0, size), counts.narrow(along, 1, size)
        slopes = torch.maximum(before, after) * error.diff(dim=along).abs()
        loss = loss + 0.5 * slopes.mean()
    return loss
