"""What earlier stages learned, read back from their checkpoints."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderKLTemporalDecoder, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from .architectures import (
    image_encoder,
    image_unet,
    image_vae,
    share_encoder,
    text_encoder,
    video_vae,
)


def read_checkpoint(out: Path, stage: str) -> dict:
    """The checkpoint of a stage below the folder `out`, on the CPU.

    >>> read_checkpoint(Path("nowhere"), "vae")
    Traceback (most recent call last):
    FileNotFoundError: nowhere/vae/checkpoint.pt is missing; train it first: ...
    """
    path = Path(out) / stage / "checkpoint.pt"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing; train it first: python -m svdkit.toyland.train {stage} --out {out}"
        )
    return torch.load(path, map_location="cpu", weights_only=True)


def part(weights: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """The weights of one network out of those of several.

    >>> part({"unet.w": 1, "encoder.w": 2}, "unet")
    {'w': 1}
    """
    return {
        key.removeprefix(name + "."): value
        for key, value in weights.items()
        if key.startswith(name + ".")
    }


def built_on_the_vae(out: Path) -> list[Path]:
    """The stages below `out` that have learned on latents of stage `vae`, whose encoder has to rest
    from then on.

    >>> built_on_the_vae(Path("nowhere"))
    []
    """
    stages = [Path(out) / stage for stage in ("sd", "svd", "motion", "decoders")]
    return [stage for stage in stages if (stage / "checkpoint.pt").exists()]


def trained_vaes(out: Path) -> tuple[AutoencoderKLTemporalDecoder, AutoencoderKL]:
    """The video VAE and the image VAE as stage `vae`, or after it `decoders`, left them, scaled so
    that latents have unit variance, and frozen.

    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp())
    >>> (out / "vae").mkdir()
    >>> networks = torch.nn.ModuleDict({"video": video_vae(), "image": image_vae()})
    >>> checkpoint = {"average": networks.state_dict(), "state": {"latent_std": 2.0}}
    >>> torch.save(checkpoint, out / "vae" / "checkpoint.pt")
    >>> trained_vaes(out)[0].config.scaling_factor
    0.5
    """
    refined = (Path(out) / "decoders" / "checkpoint.pt").exists()
    saved = read_checkpoint(out, "decoders" if refined else "vae")
    video, image = video_vae(), image_vae()
    share_encoder(image, video)
    video.load_state_dict(part(saved["average"], "video"))
    image.load_state_dict(part(saved["average"], "image"))
    for vae in (video, image):
        vae.register_to_config(scaling_factor=1 / saved["state"]["latent_std"])
        vae.eval().requires_grad_(False)
    return video, image


def trained_eye(out: Path) -> CLIPVisionModelWithProjection:
    """`tiny`'s image encoder as stage `sight` left it, averaged and frozen.

    >>> trained_eye(Path("nowhere"))
    Traceback (most recent call last):
    FileNotFoundError: nowhere/sight/checkpoint.pt is missing; train it first: ...
    """
    encoder = image_encoder()
    encoder.load_state_dict(part(read_checkpoint(out, "sight")["average"], "encoder"))
    return encoder.eval().requires_grad_(False)


def trained_image_parts(
    out: Path, tokenizer: CLIPTokenizer
) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """`tiny-sd`'s UNet and text encoder as stage `sd` left them, averaged and frozen.

    >>> from svdkit.toyland.words import tokenizer
    >>> trained_image_parts(Path("nowhere"), tokenizer())
    Traceback (most recent call last):
    FileNotFoundError: nowhere/sd/checkpoint.pt is missing; train it first: ...
    """
    learned = read_checkpoint(out, "sd")["average"]
    unet, encoder = image_unet(), text_encoder(tokenizer)
    unet.load_state_dict(part(learned, "unet"))
    encoder.load_state_dict(part(learned, "encoder"))
    for network in (unet, encoder):
        network.eval().requires_grad_(False)
    return unet, encoder
