"""A small Stable Video Diffusion of random weights, stock and lean, and what to ask of it."""

import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

import svdkit as sk
from svdkit import lean
from svdkit.lean import Knobs
from svdkit.upstream import feature_extractor

UNET = {
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "num_attention_heads": (2, 4),
    "addition_time_embed_dim": 32,
    "projection_class_embeddings_input_dim": 96,
    "num_frames": 3,
}
VAE = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownEncoderBlock2D", "DownEncoderBlock2D"),
}
CLIP = {
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "patch_size": 32,
    "projection_dim": 32,
}
CALL = {
    "height": 32,
    "width": 32,
    "num_frames": 3,
    "num_inference_steps": 2,
    "output_type": "pt",
}
PLAIN = Knobs()
SAVING = Knobs(slice_mib=1, guidance="in_turn", decode="spill")
SAME = 1e-4  # of frames between 0 and 1, as diffusers' tests ask; of the UNet's noise, relatively


def perturbed(part):
    """Norms that are not 1 and biases that are not 0 hide no mistake."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in part.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
    return part.eval()


def stock_pipeline(**changes):
    torch.manual_seed(0)
    row = sk.MODELS["tiny"]
    pipeline = StableVideoDiffusionPipeline(
        unet=perturbed(UNetSpatioTemporalConditionModel(**UNET | changes)),
        vae=perturbed(AutoencoderKLTemporalDecoder(**VAE)),
        image_encoder=perturbed(CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP))),
        scheduler=EulerDiscreteScheduler.from_config(row.config_of("scheduler")),
        feature_extractor=feature_extractor(row.config_of("feature_extractor")),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def pair(knobs=PLAIN, **changes):
    """Make a stock pipeline and a lean one of the same weights."""
    stock, other = stock_pipeline(**changes), stock_pipeline(**changes)
    lean.apply(other)
    lean.set_knobs(other, knobs)
    return stock, other


def frames_of(pipeline, seed=0, **settings):
    image = sk.sample_image().resize((32, 32))
    generator = torch.Generator().manual_seed(seed)
    return pipeline(**{"image": image, "generator": generator} | CALL | settings).frames


def inputs_of(videos=2, frames=3, height=8, width=8, dtype=torch.float32):
    generator = torch.Generator().manual_seed(4)
    return {
        "sample": torch.randn(videos, frames, 8, height, width, generator=generator).to(dtype),
        "timestep": torch.tensor(1.3),
        "encoder_hidden_states": torch.randn(videos, 1, 32, generator=generator).to(dtype),
        "added_time_ids": torch.tensor([[6.0, 127, 0.02]] * videos).to(dtype),
    }


@torch.no_grad()
def noise_of(unet, inputs):
    return unet(**inputs).sample


@torch.no_grad()
def decoded(vae, latents, num_frames):
    return vae.decode(latents, num_frames=num_frames).sample


def apart(one, other):
    """Say how far one tensor is from another, relative to the other's largest number."""
    return ((one.double() - other.double()).abs().max() / other.double().abs().max()).item()
