"""Stage 3: `tiny-sd` learns to draw what a caption says, as Stable Diffusion does, in the latent
space of stage `vae`.

Its text encoder learns together with the UNet: the captions are few and simple enough for that.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import DDIMScheduler
from PIL import Image

from .architectures import (
    CAPTION_TOKENS,
    HEIGHT,
    SD_SCHEDULE,
    WIDTH,
    image_pipeline,
    image_unet,
    text_encoder,
)
from .pools import Pool
from .scenes import random_script, script_captions, training_dice
from .sheets import film_strips
from .staging import paint
from .stress import differing, seen_through_noise, stressed
from .trained import trained_vaes
from .words import tokenizer

DROPPED = 0.12  # the share of captions left empty: guidance needs an unconditional answer as well
USES = 8  # how often a picture is learned from, each time with other noise
SAMPLED = (
    "a red balloon over green hills at dusk",
    "a blue boat on the sea by day",
    "a yellow cart on the dunes by day",
    "the moon over the sea at night",
    "a purple kite over the snow in the mist",
    "a white windmill on green hills at dusk",
    "an orange ball on the snow by day",
    "green hills by day",
)


def middling_times(n: int, dice: torch.Generator) -> torch.Tensor:
    """`n` random times of the diffusion, 0 to 999: half of them any, half about the middle, where
    it is decided what stands where.

    >>> middling_times(5, torch.Generator().manual_seed(1)).tolist()
    [498, 682, 636, 754, 198]
    """
    middle = torch.sigmoid(0.5 + torch.randn(n, generator=dice))
    share = torch.where(torch.rand(n, generator=dice) < 0.5, middle, torch.rand(n, generator=dice))
    return (share * SD_SCHEDULE["num_train_timesteps"]).long()


class ImageStage:
    """Training of `tiny-sd`'s UNet and text encoder, `pictures` pictures a step, on the VAE that
    stage `vae` left in `out`.

    >>> ImageStage.name
    'sd'
    """

    name = "sd"

    def __init__(self, pictures: int, device: torch.device, out: Path) -> None:
        self.pictures, self.device = pictures, device
        self.vae = trained_vaes(out)[1].to(device)
        self.scale = self.vae.config.scaling_factor
        self.words = tokenizer()
        self.noising = DDIMScheduler(**SD_SCHEDULE)
        torch.manual_seed(2)
        self.networks = torch.nn.ModuleDict(
            {"unet": image_unet(), "encoder": text_encoder(self.words)}
        ).to(device)
        chunk = 4 * pictures
        self.pool = Pool(
            lambda number: self.encoded(number, chunk), every=chunk * USES // pictures, depth=16
        )

    def read(self, captions: list[str]) -> torch.Tensor:
        """Captions as token numbers, (captions, 16)."""
        ids = self.words(
            captions, padding="max_length", max_length=CAPTION_TOKENS, truncation=True
        ).input_ids
        return torch.tensor(ids, device=self.device)

    @torch.no_grad()
    def encoded(self, number: int, n: int) -> tuple[torch.Tensor, ...]:
        """Pictures as latents of unit variance, their captions as tokens, and where their things
        are.
        """
        script = random_script(n, training_dice(number)).to(self.device)
        still = torch.zeros(n, 1, 1, 1, device=self.device)
        pictures, empty = (
            paint(script, still, HEIGHT, WIDTH, things) * 2 - 1 for things in (True, False)
        )
        latents = [
            self.vae.encode(some).latent_dist.mode() * self.scale
            for some in pictures[:, 0].split(64)
        ]
        latents = torch.cat(latents).float()
        there = differing(pictures, empty, latents.shape[-2:])
        return latents, self.read(script_captions(script)), there

    def loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """How well the UNet tells noise from picture at a random time of the diffusion."""
        dice = torch.Generator().manual_seed(step)
        latents, tokens, there = self.pool.draw(step, self.pictures, dice)
        dropped = (torch.rand(self.pictures, generator=dice) < DROPPED).to(self.device)
        tokens = torch.where(dropped[:, None], self.read([""]), tokens)
        times = middling_times(self.pictures, dice).to(self.device)
        noise = torch.randn(
            latents.shape,
            generator=torch.Generator(self.device).manual_seed(step),
            device=self.device,
        )
        noised = self.noising.add_noise(latents, noise, times)
        said = self.networks["encoder"](tokens)[0]
        answer = self.networks["unet"](noised, times, said).sample.float()
        wanted = self.noising.get_velocity(latents, noise, times)
        seen = seen_through_noise(self.noising.alphas_cumprod.to(self.device)[times])
        counts = stressed(there, seen)[:, 0]
        return (counts * (answer - wanted).square()).mean(), {}

    @torch.no_grad()
    def sample_sheet(
        self, networks: torch.nn.ModuleDict, steps: int = 20
    ) -> tuple[Image.Image, dict[str, float]]:
        """Some pictures for each of eight captions."""
        each = 4 if self.pictures >= 64 else 1
        pipeline = image_pipeline(self.vae, networks["unet"], networks["encoder"], self.words)
        captions = [caption for caption in SAMPLED for _ in range(each)]
        drawn = pipeline(
            captions,
            HEIGHT,
            WIDTH,
            num_inference_steps=steps,
            guidance_scale=3.0,
            generator=torch.Generator().manual_seed(0),
            output_type="pt",
        ).images
        return film_strips(list((drawn * 2 - 1).unflatten(0, (len(SAMPLED), each)))), {}

    def state(self, networks: torch.nn.ModuleDict) -> dict:
        """Nothing beside the weights."""
        return {}
