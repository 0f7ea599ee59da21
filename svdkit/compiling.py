"""Compiling a pipeline's UNet with torch.compile."""

from types import MethodType
from typing import Any

from .checkpoints import is_for
from .lean import is_lean
from .memory import PRESETS, Preset


def compile_unet(pipeline: Any, preset: Preset) -> None:
    """Let torch compile the UNet when it is first called; the whole of it, as one graph.

    Do it before offloading is switched on, whose hooks move weights around the compiled graph.

    >>> from svdkit.architectures import build
    >>> from svdkit.models import MODELS
    >>> compile_unet(build(MODELS["tiny"]), PRESETS["offload_layers"])
    Traceback (most recent call last):
    ValueError: compile=True and memory='offload_layers' exclude each other: slices and layers ...
    """
    import torch

    if not is_for("animate", pipeline):
        raise ValueError(
            f"compile=True is for Stable Video Diffusion; this is a {type(pipeline).__name__}."
        )
    whole = [name for name, other in PRESETS.items() if _in_one_graph(other)]
    if not _in_one_graph(preset):
        raise ValueError(
            f"compile=True and memory={preset.name!r} exclude each other: slices and layers that "
            f"come and go are many graphs. It goes with {', '.join(whole)}."
        )
    unet = pipeline.unet
    if is_lean(pipeline):  # what happens once a picture stays outside the graph
        stock = type(unet).__mro__[1]
        unet.compiled = torch.compile(MethodType(stock.forward, unet))
    else:
        unet.forward = torch.compile(unet.forward)
    print("compile: the first step of each size takes minutes; those after it are faster.")


def _in_one_graph(preset: Preset) -> bool:
    return preset.knobs.slice_mib is None and preset.keeps != "layer"
