"""Giving modules their lean classes, and their stock ones back."""

from typing import Any

import torch
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.attention import BasicTransformerBlock, TemporalBasicTransformerBlock
from diffusers.models.attention_processor import Attention
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import TemporalDecoder
from diffusers.models.embeddings import TimestepEmbedding
from diffusers.models.resnet import AlphaBlender, SpatioTemporalResBlock
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import nn

from .attention import SpatialBlock, TemporalBlock, Transformer
from .decoder import Decoder
from .knobs import Knobs
from .parked import OneTokenAttention, Parked, ParkedEmbedding
from .residual import ResBlock
from .temporal import Mixer, NormOverFrames, TemporalConv
from .unet import UNet

# What each lean class is made from, and the attributes that it has besides
LEAN: dict[type, tuple[type, dict[str, Any]]] = {
    UNet: (
        UNetSpatioTemporalConditionModel,
        {
            "knobs": Knobs(),
            "last_look": None,
            "compiled": None,
            "run": None,  # one with shortcuts
            # where a pipeline that is made of the parts of another says to find the class
            "__module__": UNetSpatioTemporalConditionModel.__module__,
        },
    ),
    Transformer: (TransformerSpatioTemporalModel, {"knobs": Knobs()}),
    SpatialBlock: (BasicTransformerBlock, {}),
    TemporalBlock: (TemporalBasicTransformerBlock, {}),
    OneTokenAttention: (Attention, {}),
    ParkedEmbedding: (TimestepEmbedding, {}),
    ResBlock: (SpatioTemporalResBlock, {"knobs": Knobs()}),
    NormOverFrames: (nn.GroupNorm, {}),
    TemporalConv: (nn.Conv3d, {}),
    Mixer: (AlphaBlender, {}),
    Decoder: (TemporalDecoder, {"knobs": Knobs()}),
}


def make_lean(part: nn.Module) -> None:
    """Give a UNet, or a VAE with a temporal decoder, the lean classes."""
    swaps = [
        (target, lean)
        for module in part.modules()
        for target, lean in _wanted(module)
        if type(target) is LEAN[lean][0]
    ]
    _check_unhooked([target for target, _ in swaps])
    for target, lean in swaps:
        target.__class__ = lean
        vars(target).update(LEAN[lean][1])
        if isinstance(target, Parked):
            nn.Module._apply(target, _to_ram)


def make_stock(part: nn.Module) -> None:
    """Give a UNet or a VAE its stock classes back, and all its weights to its device."""
    device = next(part.parameters()).device
    swapped = [module for module in part.modules() if type(module) in LEAN]
    _check_unhooked(swapped)
    for module in swapped:
        stock, extras = LEAN[type(module)]
        module.__class__ = stock
        for name in extras:
            vars(module).pop(name, None)
        module.to(device)


def _wanted(module: nn.Module) -> list[tuple[nn.Module, type]]:
    """List what is to be lean in a module, itself included."""
    kind = type(module)
    if kind is UNetSpatioTemporalConditionModel:
        return [(module, UNet)]
    if kind is TemporalDecoder:
        return [(module, Decoder), (module.time_conv_out, TemporalConv)]
    if kind is TransformerSpatioTemporalModel:
        blocks = [(block, SpatialBlock) for block in module.transformer_blocks]
        along = [(block, TemporalBlock) for block in module.temporal_transformer_blocks]
        crossing = [(block.attn2, OneTokenAttention) for block, _ in blocks + along]
        own = [(module.time_pos_embed, ParkedEmbedding), (module.time_mixer, Mixer)]
        return [(module, Transformer), *blocks, *along, *crossing, *own]
    if kind is SpatioTemporalResBlock:
        half = module.temporal_res_block
        norms = [(half.norm1, NormOverFrames), (half.norm2, NormOverFrames)]
        convs = [(half.conv1, TemporalConv), (half.conv2, TemporalConv)]
        return [(module, ResBlock), *norms, *convs, (module.time_mixer, Mixer)]
    return []


def _check_unhooked(modules: list[nn.Module]) -> None:
    """Hooks of offloading, casting and caching go on with the method that they found."""
    held = [module for module in modules if "forward" in vars(module)]
    for module in held:
        if getattr(module.forward, "__func__", None) is not type(module).forward:
            raise ValueError(
                f"A hook holds the forward method of a {type(module).__name__}: arithmetic is "
                "chosen before offloading, casting or caching is switched on. Load the model anew."
            )
    for module in held:
        del module.forward  # what accelerate leaves behind when it is switched off


def _to_ram(weight: torch.Tensor) -> torch.Tensor:
    return weight if weight.is_meta else weight.to("cpu")
