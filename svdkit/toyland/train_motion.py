"""Stage 5: `tiny-animatediff` learns what moves how, as AnimateDiff does: motion modules between
the layers of `tiny-sd`'s UNet, which itself stays as stage `sd` left it.

AnimateDiff is told neither fps nor motion bucket, so all clips here are painted at one of each.
Only the motion modules are learned, averaged and saved ("AnimateDiff: Animate Your Personalized
Text-to-Image Diffusion Models without Specific Tuning", Guo et al., 2024).
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import DDIMScheduler
from diffusers.models.attention_processor import AttnProcessor
from PIL import Image

from .architectures import (
    CAPTION_TOKENS,
    HEIGHT,
    NUM_FRAMES,
    SD_SCHEDULE,
    WIDTH,
)
from .motion_parts import motion_adapter, motion_pipeline, motion_unet
from .pools import Pool
from .scenes import scene, training_batch
from .sheets import film_strips
from .stress import differing, seen_through_noise, stressed
from .train_sd import DROPPED, SAMPLED
from .trained import trained_image_parts, trained_vaes
from .words import tokenizer

MOTION_BUCKET, FPS = 127.0, 7.0  # what travels crosses about a fifth of the frame in 14 frames
SHORTER = 0.15  # the share of steps on fewer than 14 frames
USES = 6  # how often a clip is learned from, each time with other noise


def noisy_times(n: int, dice: torch.Generator) -> torch.Tensor:
    """`n` random times of the diffusion, 0 to 999, spread evenly over those that are wanted: the
    later ones more often, as it is there decided what moves where, and through the same noise
    fourteen frames tell more than one.

    >>> noisy_times(5, torch.Generator().manual_seed(1)).tolist()
    [977, 876, 695, 435, 94]
    """
    times = SD_SCHEDULE["num_train_timesteps"]
    even = (torch.arange(n) + torch.rand(1, generator=dice)) / n
    return (times - 1 - (even.square() * times).long()).clamp_min(0)


class MotionStage:
    """Training of `tiny-animatediff`, `clips` clips a step, on the `tiny-sd` that the stages `vae`
    and `sd` left in `out`.

    >>> MotionStage.name
    'motion'
    """

    name = "motion"

    def __init__(self, clips: int, device: torch.device, out: Path) -> None:
        self.clips, self.device = clips, device
        self.vae = trained_vaes(out)[1].to(device)
        self.scale = self.vae.config.scaling_factor
        self.words = tokenizer()
        self.image_unet, self.encoder = (
            network.to(device) for network in trained_image_parts(out, self.words)
        )
        self.noising = DDIMScheduler(**SD_SCHEDULE)
        torch.manual_seed(5)
        adapter = motion_adapter().to(device)
        self.unet = motion_unet(self.image_unet, adapter).requires_grad_(False)
        if device.type == "cpu":  # twice as fast to learn as torch's fused attention in bfloat16
            self.unet.set_attn_processor(AttnProcessor())
        self.networks = torch.nn.ModuleDict({"adapter": adapter.requires_grad_(True)})
        self.nothing_said = self.read([""])[0]
        chunk = 4 * clips
        self.pool = Pool(
            lambda number: self.encoded(number, chunk), every=chunk * USES // clips, depth=16
        )

    @torch.no_grad()
    def read(self, captions: list[str]) -> torch.Tensor:
        """What the text encoder makes of captions, (captions, 16, 64)."""
        ids = self.words(
            captions, padding="max_length", max_length=CAPTION_TOKENS, truncation=True
        ).input_ids
        return self.encoder(torch.tensor(ids, device=self.device))[0].float()

    @torch.no_grad()
    def encoded(self, number: int, n: int) -> tuple[torch.Tensor, ...]:
        """Clips as latents of unit variance, what the text encoder makes of their captions, and
        where they move.
        """
        batch = training_batch(
            n, number, device=self.device, photos=0.0, motion_bucket_id=MOTION_BUCKET, fps=FPS
        )
        latents = [
            self.vae.encode(clips.flatten(0, 1)).latent_dist.mode() * self.scale
            for clips in batch.frames.split(self.clips)
        ]
        latents = torch.cat(latents).float().unflatten(0, (n, -1))
        moves = differing(batch.frames, batch.frames[:, :1], latents.shape[-2:])
        return latents, self.read(batch.captions), moves

    def loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """How well the UNet tells noise from clip at random times of the diffusion."""
        n, dice = self.clips, torch.Generator().manual_seed(step)
        latents, said, moves = self.pool.draw(step, n, dice)
        if float(torch.rand((), generator=dice)) < SHORTER:
            latents = latents[:, : int(torch.randint(1, NUM_FRAMES, (), generator=dice))]
        dropped = (torch.rand(n, generator=dice) < DROPPED).to(self.device)
        said = torch.where(dropped[:, None, None], self.nothing_said, said)
        times = noisy_times(n, dice).to(self.device)
        noise = torch.randn(
            latents.shape,
            generator=torch.Generator(self.device).manual_seed(step),
            device=self.device,
        )
        noised = self.noising.add_noise(latents, noise, times)
        answer = self.unet(
            noised.transpose(1, 2), times, said.repeat_interleave(latents.shape[1], 0)
        ).sample
        wanted = self.noising.get_velocity(latents, noise, times)
        signal = self.noising.alphas_cumprod.to(self.device)[times]
        counts = stressed(moves, seen_through_noise(signal, latents.shape[1]))
        error = (counts * (answer.transpose(1, 2).float() - wanted).square()).mean((1, 2, 3, 4))
        noisy = times >= 800
        return error.mean(), {"loss_noisy": (error.detach() * noisy).sum() / noisy.sum()}

    @torch.no_grad()
    def sample_sheet(
        self, networks: torch.nn.ModuleDict, steps: int = 10
    ) -> tuple[Image.Image, dict[str, float]]:
        """A painted clip and a made one for each of some captions, one above the other."""
        pipeline = motion_pipeline(
            self.vae, self.image_unet, self.encoder, self.words, networks["adapter"]
        )
        rows, changes = [], {"sheet_change": [], "sheet_change_painted": []}
        for seed, caption in enumerate(SAMPLED[: min(8, self.clips)]):
            made = pipeline(
                caption,
                NUM_FRAMES,
                HEIGHT,
                WIDTH,
                num_inference_steps=steps,
                guidance_scale=3.0,
                generator=torch.Generator().manual_seed(seed),
                output_type="pt",
            ).frames[0]
            painted = torch.tensor(scene(seed, caption).clip(MOTION_BUCKET, FPS))
            rows += [painted.movedim(-1, 1) / 127.5 - 1, made.cpu() * 2 - 1]
            for clip, name in zip(rows[-2:], reversed(changes), strict=True):
                changes[name].append(float(clip.diff(dim=0).abs().mean()))
        figures = {name: sum(values) / len(values) for name, values in changes.items()}
        return film_strips(rows, every=2), figures

    def state(self, networks: torch.nn.ModuleDict) -> dict:
        """Nothing beside the weights."""
        return {}
