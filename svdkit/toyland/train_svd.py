"""A model learns to animate a picture, as Stable Video Diffusion does: in stage 4 `tiny` itself,
and in a lesson any such model, from clips of your own.

The UNet sees noisy latents of 14 frames beside the latents of the picture, and is told the fps, the
motion bucket, how much noise was added to the picture, and what CLIP makes of it. It learns to tell
the noise from the clip ("Elucidating the Design Space of Diffusion-Based Generative Models", Karras
et al., 2022, in the v-prediction form of diffusers' EulerDiscreteScheduler).
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import StableVideoDiffusionPipeline
from PIL import Image

from .architectures import (
    HEIGHT,
    SVD_SCHEDULE,
    begin_from_image_unet,
    image_unet,
    video_pipeline,
    video_unet,
)
from .conditions import clip_pixels, denoised, sides_divide_by
from .pools import Pool
from .scenes import TrainingBatch, training_batch
from .sheets import decibels, film_strips
from .stress import differing, stressed
from .trained import part, read_checkpoint, trained_eye, trained_vaes

ANY_NOISE = (
    0.2  # the share of clips with a noise level σ from the sampler's whole range, 700 to 0.002
)
DROPPED = 0.12  # the share of clips without their picture: guidance needs an unconditional answer
SHORTER = 0.15  # the share of steps on fewer than 14 frames
USES = 4  # how often a clip is learned from, each time with other noise
PHOTOS = 0.2  # the share of photo-like clips, to which the camera comes nearer


def checked(frames: torch.Tensor, n: int, grid: int) -> torch.Tensor:
    """The frames that `draw(n, number)` gave, or an error that says what a lesson wants instead.

    >>> checked(torch.zeros(2, 14, 64, 112, 3), n=2, grid=8)
    Traceback (most recent call last):
    ValueError: draw gave frames of shape (2, 14, 64, 112, 3); a lesson wants (2, frames, 3, ...
    """
    shape, low, high = tuple(frames.shape), float(frames.min()), float(frames.max())
    side = grid * (HEIGHT // grid or 1)
    if frames.ndim != 5 or shape[0] != n or shape[2] != 3 or shape[3] % grid or shape[4] % grid:
        raise ValueError(
            f"draw gave frames of shape {shape}; a lesson wants ({n}, frames, 3, height, width), "
            f"height and width multiples of {grid}, such as ({n}, 14, 3, {side}, {2 * side})."
        )
    if not -1.001 <= low <= high <= 1.001:
        raise ValueError(
            f"draw gave frames from {low:.3g} to {high:.3g}; they go from -1, black, to 1, white. "
            "Of colours c in 0…1 make 2 * c - 1."
        )
    return frames


class VideoLesson:
    """Training of a Stable Video Diffusion pipeline on the clips that `draw(n, number)` makes, the
    number-th `n` of an endless series, `clips` of them a step.

    Copies of its UNet and image encoder learn; its VAE stays as it is. Give it a pipeline of
    `video_pipeline`, or of `load(…, arithmetic="stock", dtype="float32")`. Each clip is learned
    from `uses` times, each time with other noise; samples are drawn at `guidance`.

    >>> from .architectures import image_encoder, video_pipeline, video_unet, video_vae
    >>> pipeline = video_pipeline(video_vae(), video_unet(), image_encoder())
    >>> VideoLesson(pipeline, training_batch, clips=4).name
    'lesson'
    """

    name = "lesson"
    noise = (0.5, 1.4)  # mean and spread of the logarithm of the noise level σ of most clips

    def __init__(
        self,
        pipeline: StableVideoDiffusionPipeline,
        draw: Callable[[int, int], TrainingBatch],
        clips: int,
        device: torch.device | str = "cpu",
        uses: int = USES,
        guidance: float = 2.0,
    ) -> None:
        self.draw, self.clips, self.device = draw, clips, torch.device(device)
        self.guidance = guidance
        self.vae = copy.deepcopy(pipeline.vae).to(device).requires_grad_(False)
        self.scale = self.vae.config.scaling_factor
        self.grid = sides_divide_by(pipeline)
        learners = {"unet": pipeline.unet, "encoder": pipeline.image_encoder}
        self.networks = torch.nn.ModuleDict(copy.deepcopy(learners))
        self.networks.to(device).requires_grad_(True)
        chunk = 4 * clips
        self.pool = Pool(
            lambda number: self.encoded(number, chunk), every=chunk * uses // clips, depth=16
        )

    def eye(self, networks: torch.nn.ModuleDict) -> torch.nn.Module:
        """The image encoder that these networks see with: here one of them."""
        return networks["encoder"]

    @torch.no_grad()
    def encoded(self, number: int, n: int) -> tuple[torch.Tensor, ...]:
        """Clips as latents of unit variance, their first frames as pixels, their conditions (fps −
        1, motion bucket), and how much moves where.
        """
        batch = self.draw(n, number)
        frames = checked(batch.frames, n, self.grid).to(self.device)
        latents = [
            self.vae.encode(clips.flatten(0, 1)).latent_dist.mode()
            for clips in frames.split(self.clips)
        ]
        latents = torch.cat(latents).float().unflatten(0, (n, -1)) * self.scale
        conditions = torch.stack([batch.fps - 1, batch.motion_bucket_id], 1).to(self.device)
        moves = differing(frames, frames[:, :1], latents.shape[-2:])
        return latents, frames[:, 0], conditions, moves

    def loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """How well the UNet tells noise from clip at random noise levels."""
        unet, encoder, n = self.networks["unet"], self.eye(self.networks), self.clips
        dice = torch.Generator().manual_seed(step)
        latents, pictures, conditions, moves = self.pool.draw(step, n, dice)
        if float(torch.rand((), generator=dice)) < SHORTER:
            frames = max(2, latents.shape[1])
            latents = latents[:, : int(torch.randint(1, frames, (), generator=dice))]

        noise = torch.Generator(self.device).manual_seed(step)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=noise, device=self.device)

        def uniform(*shape: int) -> torch.Tensor:
            return torch.rand(*shape, generator=noise, device=self.device)

        # The picture as the pipeline gives it: with a little noise, encoded, not scaled.
        added = torch.exp(0.8 * normal(n) - 3.5)
        noisy = pictures + added[:, None, None, None] * normal(*pictures.shape)
        kept = (uniform(n) >= DROPPED).float()
        with torch.no_grad():
            beside = self.vae.encode(noisy).latent_dist.mode().float() * kept[:, None, None, None]
        seen = encoder(clip_pixels(pictures)).image_embeds[:, None] * kept[:, None, None]
        told = torch.cat([conditions, added[:, None]], 1)

        log_sigma = self.noise_levels(n, uniform(1))
        sigma = log_sigma.exp()
        noised = latents + sigma[:, None, None, None, None] * normal(*latents.shape)
        beside = beside[:, None].expand(-1, latents.shape[1], -1, -1, -1)
        found = denoised(unet, noised, sigma, beside, seen, told)
        # Picture, fps and bucket tell where it moves wherever the law does: stressing that changes
        # what is learned first, and not what is right. Without its picture, nothing tells.
        counts = stressed(moves, kept[:, None, None, None, None])
        # So weighed, what the UNet is asked for is as large at one noise level as at another.
        error = (counts * (found - latents).square()).mean((1, 2, 3, 4)) * (1 + sigma**-2)
        middle = (log_sigma > 0) & (log_sigma < 2)  # where it is decided what moves where
        return error.mean(), {"loss_middle": (error.detach() * middle).sum() / middle.sum()}

    def noise_levels(self, n: int, start: torch.Tensor) -> torch.Tensor:
        """The logarithms of `n` noise levels σ, spread evenly over those that are wanted from a
        random `start` in 0…1: steps that all see high and low levels differ less in their loss.

        >>> VideoLesson.noise_levels(VideoLesson, 5, torch.tensor([0.5])).exp().round(decimals=2)
        tensor([1.1800, 0.3300, 1.0600, 2.5800, 8.2500])
        """
        mean, spread = self.noise
        low, high = math.log(SVD_SCHEDULE["sigma_min"]), math.log(SVD_SCHEDULE["sigma_max"])
        even = (torch.arange(n, device=start.device) + start) / n
        usual = (even - ANY_NOISE) / (1 - ANY_NOISE)
        return torch.where(
            even < ANY_NOISE,
            low + (high - low) * even / ANY_NOISE,
            mean + spread * torch.special.ndtri(usual.clamp(1e-3, 1 - 1e-3)),
        )

    @torch.no_grad()
    def sample_sheet(
        self, networks: torch.nn.ModuleDict, steps: int = 10
    ) -> tuple[Image.Image, dict[str, float]]:
        """What really happens and what the model makes of the first frame, one above the other."""
        few = min(8, self.clips)
        truth = self.draw(few, 2**30 + 2)
        pipeline = video_pipeline(self.vae, networks["unet"], self.eye(networks))
        rows, starts, errors, frozen = [], [], [], []
        for i, clip in enumerate(truth.frames.to(self.device)):
            made = pipeline(
                film_strips([clip[:1]]),
                *clip.shape[-2:],
                len(clip),
                steps,
                fps=round(float(truth.fps[i])),
                motion_bucket_id=round(float(truth.motion_bucket_id[i])),
                max_guidance_scale=self.guidance,
                generator=torch.Generator().manual_seed(0),
                output_type="pt",
            ).frames[0]
            made = made.to(clip) * 2 - 1
            rows += [clip, made]
            starts.append(float(decibels(made[0], clip[0])))
            errors.append(float((made - clip).square().mean()))
            frozen.append(float((clip[:1] - clip).square().mean()))
        figures = {"sheet_first_frame_psnr": sum(starts) / few, "sheet_error": sum(errors) / few}
        return film_strips(rows, every=2), figures | {"sheet_error_if_frozen": sum(frozen) / few}

    def state(self, networks: torch.nn.ModuleDict) -> dict:
        """Nothing beside the weights."""
        return {}

    def taught(self, out: Path) -> StableVideoDiffusionPipeline:
        """A pipeline with what was learned into the folder `out` so far, averaged and frozen.

        >>> VideoLesson.taught(VideoStage, Path("nowhere"))
        Traceback (most recent call last):
        FileNotFoundError: nowhere/svd/checkpoint.pt is missing: train(lesson, plan, out, ...
        """
        path = Path(out) / self.name / "checkpoint.pt"
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is missing: train(lesson, plan, out, device=…) writes it. Train it first."
            )
        learned = read_checkpoint(out, self.name)["average"]
        networks = copy.deepcopy(self.networks).eval().requires_grad_(False)
        networks.load_state_dict(learned)
        return video_pipeline(self.vae, networks["unet"], copy.deepcopy(self.eye(networks)))


class VideoStage(VideoLesson):
    """The training of `tiny`'s UNet, on the VAE that stage `vae` left in `out` and with the image
    encoder of stage `sight`; it begins with the spatial layers of stage `sd` if that was trained.

    The encoder stays as it is: one that learned on with the UNet forgot what it had been taught. By
    what that one made of unseen pictures, a linear layer told the thing in 61 % and which way it
    faces in 53 %; after 16 minutes more of `sight`, in 91 % and 90 %.

    >>> VideoStage.name
    'svd'
    """

    name = "svd"
    # Above σ = 5, in six of a sampler's ten steps, noise hides what moves where. What was taught at
    # 0.5 and 1.4 was right about the law of 16 things in 16 at σ = 1, of 9 at σ = 30. Yet 690 steps
    # at 2.5 and 1.7 unlearned what rests: its squared error in latents went from 0.0144 to 0.0201,
    # in 226 at 1.2 and 1.9 to 0.0142. These lie between the two.
    noise = (1.8, 1.9)

    def __init__(self, clips: int, device: torch.device, out: Path) -> None:
        vae = trained_vaes(out)[0]
        self.encoder = trained_eye(out).to(device)
        self.sight = read_checkpoint(out, "sight")["step"]
        torch.manual_seed(3)
        unet = video_unet()
        if (Path(out) / "sd" / "checkpoint.pt").exists():
            image = image_unet()
            image.load_state_dict(part(read_checkpoint(out, "sd")["average"], "unet"))
            begin_from_image_unet(unet, image)
        draw = functools.partial(training_batch, device=device, photos=PHOTOS)
        # on 2 cores, 16 clips took 5.3 s to paint and encode, a step on 4 of them 2.8 s
        super().__init__(video_pipeline(vae, unet, self.encoder), draw, clips, device, uses=8)
        del self.networks["encoder"]

    def eye(self, networks: torch.nn.ModuleDict) -> torch.nn.Module:
        """The image encoder of stage `sight`."""
        return self.encoder

    def state(self, networks: torch.nn.ModuleDict) -> dict:
        """How many steps the image encoder had learned for that the UNet learned beside."""
        return {"sight": self.sight}
