"""What makes `tiny-sd` draw clips: the motion adapter `tiny-animatediff`, and how it is put into
the image model.
"""

from __future__ import annotations

import torch
from diffusers import (
    AnimateDiffPipeline,
    AutoencoderKL,
    DDIMScheduler,
    MotionAdapter,
    UNet2DConditionModel,
    UNetMotionModel,
)
from transformers import CLIPTextModel, CLIPTokenizer

from .architectures import CHANNELS, SD_SCHEDULE

MOTION = {
    "block_out_channels": CHANNELS,
    "motion_layers_per_block": 1,
    "motion_num_attention_heads": 2,
    "motion_max_seq_length": 32,  # AnimateDiffPipeline's own default asks for 16 frames
}


def motion_adapter() -> MotionAdapter:
    """`tiny-animatediff`: motion modules for `tiny-sd`'s UNet, which change nothing before they
    have learned.

    >>> float(motion_adapter().mid_block.motion_modules[0].proj_out.weight.detach().abs().max())
    0.0
    """
    adapter = MotionAdapter(**MOTION)
    # diffusers leaves the last layers random, as it expects trained ones; AnimateDiff's training
    # begins with zeros.
    for name, weight in adapter.named_parameters():
        if ".proj_out." in name:
            torch.nn.init.zeros_(weight)
    return adapter


def motion_unet(image: UNet2DConditionModel, adapter: MotionAdapter) -> UNetMotionModel:
    """A copy of `tiny-sd`'s UNet with motion modules in it: not copies of the adapter's, but these
    themselves, so that who trains the one trains the other.

    >>> from svdkit.toyland.architectures import image_unet
    >>> adapter = motion_adapter()
    >>> unet = motion_unet(image_unet(), adapter)
    >>> unet.mid_block.motion_modules is adapter.mid_block.motion_modules
    True
    """
    unet = UNetMotionModel.from_unet2d(image, adapter)
    for theirs, mine in (
        *zip(unet.down_blocks, adapter.down_blocks, strict=True),
        (unet.mid_block, adapter.mid_block),
        *zip(unet.up_blocks, adapter.up_blocks, strict=True),
    ):
        theirs.motion_modules = mine.motion_modules
    return unet


def motion_pipeline(
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    adapter: MotionAdapter,
) -> AnimateDiffPipeline:
    """`tiny-sd`'s parts put together with `tiny-animatediff`: a caption becomes a clip.

    >>> from svdkit.toyland.architectures import image_unet, image_vae, text_encoder
    >>> from svdkit.toyland.words import tokenizer
    >>> words, adapter = tokenizer(), motion_adapter()
    >>> parts = image_vae(), image_unet(), text_encoder(words), words
    >>> motion_pipeline(*parts, adapter).unet.config.motion_max_seq_length
    32
    """
    pipeline = AnimateDiffPipeline(
        vae, encoder, tokenizer, unet, adapter, DDIMScheduler(**SD_SCHEDULE)
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
