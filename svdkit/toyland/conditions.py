"""What the networks of Stable Video Diffusion are given, and what their answer means, just as the
pipeline has it.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from diffusers import StableVideoDiffusionPipeline
from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import (
    _resize_with_antialiasing,
)

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def clip_pixels(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures in −1…1 as CLIP's image encoder wants them: 224 × 224, larger ones smoothed first,
    normalised by CLIP's own mean and spread.

    >>> clip_pixels(torch.zeros(1, 3, 64, 112)).shape
    torch.Size([1, 3, 224, 224])
    """
    kind = pictures.device.type
    # Where a step is in mixed precision, its blur would round all pixels.
    mixed = kind in ("cpu", "cuda") and torch.is_autocast_enabled(kind)
    with torch.autocast(kind, enabled=False) if mixed else nullcontext():
        resized = _resize_with_antialiasing(pictures, (224, 224))
    mean, std = (
        torch.tensor(values, device=pictures.device)[:, None, None]
        for values in (CLIP_MEAN, CLIP_STD)
    )
    return ((resized + 1) / 2 - mean) / std


def denoised(
    unet: torch.nn.Module, noised: torch.Tensor, sigma: torch.Tensor, beside: torch.Tensor, *told
) -> torch.Tensor:
    """The clips that the UNet sees in latents of unit variance, (n, frames, 4, height, width), with
    noise of the levels `sigma`, (n,), beside those of their pictures; `told` are what CLIP makes of
    these, and fps − 1, bucket and noise augmentation.

    >>> from .architectures import CONTEXT, video_unet
    >>> noised, told = torch.zeros(1, 2, 4, 8, 8), (torch.zeros(1, 1, CONTEXT), torch.zeros(1, 3))
    >>> denoised(video_unet(), noised, torch.ones(1), noised, *told).shape
    torch.Size([1, 2, 4, 8, 8])
    """
    level = sigma[:, None, None, None, None]
    whole = (level**2 + 1).sqrt()
    answer = unet(torch.cat([noised / whole, beside], 2), 0.25 * sigma.log(), *told).sample.float()
    return noised / whole**2 - level / whole * answer


def sides_divide_by(pipeline: StableVideoDiffusionPipeline) -> int:
    """What the height and width of a picture divide by, in pixels: each level of the VAE and of the
    UNet but the first halves them.

    >>> from .architectures import image_encoder, video_pipeline, video_unet, video_vae
    >>> sides_divide_by(video_pipeline(video_vae(), video_unet(), image_encoder()))
    8
    """
    levels = pipeline.vae.config.block_out_channels, pipeline.unet.config.down_block_types
    return 2 ** (sum(map(len, levels)) - 2)
