"""The real architectures at full size, built without a download and filled with random weights."""

import math
from typing import TYPE_CHECKING

from .models import Model
from .upstream import feature_extractor, import_diffusers

if TYPE_CHECKING:
    import torch
    from diffusers import StableVideoDiffusionPipeline


def build(
    model: Model, *, dtype: "torch.dtype | None" = None, device: str = "cpu", seed: int = 0
) -> "StableVideoDiffusionPipeline":
    """Build a model's pipeline from its bundled configurations, with the same weights for a seed.

    The frames that random weights draw mean nothing, but time and memory are the true ones.

    >>> from svdkit.models import MODELS
    >>> build(MODELS["tiny"]).unet.config.num_frames
    14
    """
    import torch
    from accelerate import init_empty_weights
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    diffusers = import_diffusers()
    dtype = dtype or torch.float32
    generator = torch.Generator(device).manual_seed(seed)
    # shapes first, then numbers straight where they belong: no fp32 copy, no slow initialisation
    with init_empty_weights(include_buffers=False):
        parts = {
            "unet": diffusers.UNetSpatioTemporalConditionModel.from_config(model.config_of("unet")),
            "vae": diffusers.AutoencoderKLTemporalDecoder.from_config(model.config_of("vae")),
            "image_encoder": CLIPVisionModelWithProjection(
                CLIPVisionConfig.from_dict(model.config_of("image_encoder"))
            ),
        }
    for part in parts.values():
        _fill(part, dtype, device, generator)
    return diffusers.StableVideoDiffusionPipeline(
        **parts,
        scheduler=diffusers.EulerDiscreteScheduler.from_config(model.config_of("scheduler")),
        feature_extractor=feature_extractor(model.config_of("feature_extractor")),
    )


def _fill(
    module: "torch.nn.Module", dtype: "torch.dtype", device: str, generator: "torch.Generator"
) -> None:
    """Give all parameters numbers that keep the signal's size: norms 1, biases 0, others fan-in."""
    import torch

    norms = (torch.nn.GroupNorm, torch.nn.LayerNorm)
    for child in module.modules():
        for name, meta in child.named_parameters(recurse=False):
            if isinstance(child, norms) or name == "bias":
                value = torch.full(meta.shape, 1.0 if name == "weight" else 0.0, device=device)
            else:
                fan_in = meta[0].numel() if meta.ndim > 1 else meta.numel()
                # drawn in fp32: other dtypes draw other numbers from the same seed
                value = torch.randn(meta.shape, generator=generator, device=device)
                value /= math.sqrt(fan_in)
            setattr(child, name, torch.nn.Parameter(value.to(dtype), requires_grad=False))
    module.to(device=device).eval()
