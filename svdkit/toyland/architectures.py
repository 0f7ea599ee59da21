"""The small models: their configurations as data, in the real diffusers and transformers classes,
untrained.

`tiny` is Stable Video Diffusion with narrow layers, `tiny-sd` is Stable Diffusion with narrow
layers. As with their large models, the two share one latent space, and the video model's spatial
layers begin as those of the image model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNet2DConditionModel,
    UNetSpatioTemporalConditionModel,
)
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

HEIGHT, WIDTH, NUM_FRAMES = 64, 112, 14
SHRINK, LATENT_CHANNELS = 4, 4  # a latent pixel stands for 4 × 4 pixels
CHANNELS = (64, 96)  # of both UNets
CONTEXT = 64  # channels of what cross-attention looks at
CAPTION_TOKENS = 16

# 64 channels at the top and no fewer: SVD's blocks normalise in 32 groups, and groups of one
# channel would erase absolute colour.
ENCODER = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "block_out_channels": (64, 64, 128),
    "layers_per_block": 1,
    "latent_channels": LATENT_CHANNELS,
    "sample_size": WIDTH,
    "scaling_factor": 1.0,  # export writes the one that gives trained latents unit variance
}
UNET = {
    "sample_size": WIDTH // SHRINK,
    "block_out_channels": CHANNELS,
    "layers_per_block": 1,
    "cross_attention_dim": CONTEXT,
    "out_channels": LATENT_CHANNELS,
}
VIDEO_UNET = UNET | {
    "in_channels": 2 * LATENT_CHANNELS,  # the noisy frames, and the picture beside each
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal",) * 2,
    "up_block_types": ("CrossAttnUpBlockSpatioTemporal",) * 2,
    "num_attention_heads": tuple(channels // 32 for channels in CHANNELS),
    "addition_time_embed_dim": 32,
    "projection_class_embeddings_input_dim": 3 * 32,  # fps − 1, motion bucket, noise augmentation
    "num_frames": NUM_FRAMES,
}
IMAGE_UNET = UNET | {
    "in_channels": LATENT_CHANNELS,
    "down_block_types": ("CrossAttnDownBlock2D",) * 2,
    "up_block_types": ("CrossAttnUpBlock2D",) * 2,
    "attention_head_dim": tuple(
        channels // 32 for channels in CHANNELS
    ),  # diffusers reads this as the number of heads
    "use_linear_projection": True,
    "norm_eps": 1e-6,
}
VISION = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 224,
    "patch_size": 32,
    "projection_dim": CONTEXT,
}
TEXT = {
    "hidden_size": CONTEXT,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "max_position_embeddings": CAPTION_TOKENS,
    "projection_dim": CONTEXT,
}
SVD_SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "sigma_max": 700.0,
    "sigma_min": 0.002,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "timestep_type": "continuous",
    "use_karras_sigmas": True,
}
# Zero terminal SNR (Lin et al., 2024): without it a night would come out as bright as a day.
SD_SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "steps_offset": 1,  # without effect on trailing steps; the pipeline asks for it
}


def video_vae() -> AutoencoderKLTemporalDecoder:
    """`tiny`'s VAE: an image encoder and a decoder that sees all frames of a clip.

    >>> video_vae().config.latent_channels
    4
    """
    return AutoencoderKLTemporalDecoder(**ENCODER, force_upcast=True)


def image_vae() -> AutoencoderKL:
    """`tiny-sd`'s VAE: the same encoder, and a decoder for single pictures.

    >>> image_vae().encoder.state_dict().keys() == video_vae().encoder.state_dict().keys()
    True
    """
    return AutoencoderKL(
        **ENCODER, up_block_types=("UpDecoderBlock2D",) * 3, use_post_quant_conv=False
    )


def video_unet() -> UNetSpatioTemporalConditionModel:
    """`tiny`'s UNet.

    >>> video_unet().config.num_frames
    14
    """
    return UNetSpatioTemporalConditionModel(**VIDEO_UNET)


def image_unet() -> UNet2DConditionModel:
    """`tiny-sd`'s UNet.

    >>> image_unet().config.in_channels
    4
    """
    return UNet2DConditionModel(**IMAGE_UNET)


def image_encoder() -> CLIPVisionModelWithProjection:
    """`tiny`'s CLIP image encoder: a picture of 224 × 224 becomes one vector.

    >>> image_encoder().config.projection_dim
    64
    """
    return CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION))


def text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """`tiny-sd`'s CLIP text encoder, as large as the tokenizer's vocabulary.

    >>> from svdkit.toyland.words import tokenizer
    >>> text_encoder(tokenizer()).config.max_position_embeddings
    16
    """
    ids = {
        name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    return CLIPTextModel(CLIPTextConfig(**TEXT, vocab_size=len(tokenizer), **ids))


def video_pipeline(
    vae: AutoencoderKLTemporalDecoder,
    unet: UNetSpatioTemporalConditionModel,
    encoder: CLIPVisionModelWithProjection,
) -> StableVideoDiffusionPipeline:
    """`tiny`, put together from its trained parts.

    >>> video_pipeline(video_vae(), video_unet(), image_encoder()).scheduler.config.prediction_type
    'v_prediction'
    """
    pipeline = StableVideoDiffusionPipeline(
        vae,
        encoder,
        unet,
        EulerDiscreteScheduler(**SVD_SCHEDULE),
        CLIPImageProcessor(size=224, crop_size=224),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def image_pipeline(
    vae: AutoencoderKL, unet: UNet2DConditionModel, encoder: CLIPTextModel, tokenizer: CLIPTokenizer
) -> StableDiffusionPipeline:
    """`tiny-sd`, put together from its trained parts.

    >>> from svdkit.toyland.words import tokenizer
    >>> words = tokenizer()
    >>> image_pipeline(image_vae(), image_unet(), text_encoder(words), words).vae_scale_factor
    4
    """
    from diffusers import StableDiffusionPipeline  # it brings much that videos do not need

    pipeline = StableDiffusionPipeline(
        vae,
        encoder,
        tokenizer,
        unet,
        DDIMScheduler(**SD_SCHEDULE),
        None,
        None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def begin_from_image_unet(
    video: UNetSpatioTemporalConditionModel, image: UNet2DConditionModel
) -> int:
    """Copy the image UNet's weights into the video UNet's spatial layers, as SVD began from SD;
    returns how many tensors.

    The video model's picture channels, which the image model lacks, begin at zero.

    >>> begin_from_image_unet(video_unet(), image_unet()) > 100
    True
    """
    learned, wanted = image.state_dict(), video.state_dict()
    copied = 0
    for name, weight in wanted.items():
        source = learned.get(name.replace(".spatial_res_block.", "."))
        if source is None:
            continue
        if source.shape == weight.shape:
            weight.copy_(source)
        elif name == "conv_in.weight":
            weight.zero_()
            weight[:, : source.shape[1]] = source
        else:
            continue
        copied += 1
    return copied


def share_encoder(image: AutoencoderKL, video: AutoencoderKLTemporalDecoder) -> None:
    """Give the image VAE the video VAE's own encoder, so that both mean the same by a latent.

    >>> image, video = image_vae(), video_vae()
    >>> share_encoder(image, video)
    >>> image.encoder is video.encoder
    True
    """
    image.encoder, image.quant_conv = video.encoder, video.quant_conv


def millions(module: torch.nn.Module) -> float:
    """How many million parameters a model has.

    >>> millions(torch.nn.Linear(1000, 1000, bias=False))
    1.0
    """
    return sum(weight.numel() for weight in module.parameters()) / 1e6
