"""Small models of random architecture and random weights, in diffusers' own classes."""

import torch

UNET = {
    "in_channels": 8,
    "out_channels": 4,
    "down_block_types": (
        "CrossAttnDownBlockSpatioTemporal",
        "CrossAttnDownBlockSpatioTemporal",
        "DownBlockSpatioTemporal",
    ),
    "up_block_types": (
        "UpBlockSpatioTemporal",
        "CrossAttnUpBlockSpatioTemporal",
        "CrossAttnUpBlockSpatioTemporal",
    ),
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 24,
}


def some_unet(draw, dtype=torch.float64):
    """Draw an architecture with a random.Random, and give it weights in which all terms count."""
    from diffusers import UNetSpatioTemporalConditionModel

    channels = tuple(32 * draw.choice((1, 2, 3)) for _ in range(3))
    torch.manual_seed(draw.randrange(2**31))
    unet = UNetSpatioTemporalConditionModel(
        **UNET,
        block_out_channels=channels,
        num_attention_heads=tuple(draw.choice((1, 2, 4)) for _ in range(3)),
        layers_per_block=draw.choice((1, 2)),
        transformer_layers_per_block=draw.choice((1, 2)),
        cross_attention_dim=draw.choice((16, 24)),
        num_frames=4,
    )
    return perturbed(unet, draw).to(dtype)


def some_vae(draw, dtype=torch.float64):
    """Draw a VAE with a temporal decoder."""
    from diffusers import AutoencoderKLTemporalDecoder

    levels = draw.choice((2, 3))
    torch.manual_seed(draw.randrange(2**31))
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=tuple(32 * draw.choice((1, 2)) for _ in range(levels)),
        down_block_types=("DownEncoderBlock2D",) * levels,
        layers_per_block=draw.choice((1, 2)),
        latent_channels=4,
        sample_size=16,
    )
    return perturbed(vae, draw).to(dtype)


def inputs_of(unet, draw):
    """Draw what a call of a UNet takes, in float64: 1–3 videos of 2–9 frames, of any size."""
    videos, frames = draw.choice((1, 2, 3)), draw.randrange(2, 10)
    size = (draw.randrange(5, 15), draw.randrange(5, 15))
    torch.manual_seed(draw.randrange(2**31))
    numbers = {"dtype": torch.float64}
    return {
        "sample": torch.randn(videos, frames, 8, *size, **numbers),
        "timestep": torch.tensor(draw.uniform(-1, 1.5), **numbers),
        "encoder_hidden_states": torch.randn(videos, 1, unet.config.cross_attention_dim, **numbers),
        "added_time_ids": torch.rand(videos, 3, **numbers),
    }


def perturbed(model, draw):
    """Move all weights off their first values: norms off 1, biases and mixers off 0."""
    generator = torch.Generator().manual_seed(draw.randrange(2**31))
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
    return model.eval().requires_grad_(False)
