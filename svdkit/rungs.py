"""The ladder of presets, downwards: where memory ran out the next one needs less, to the last."""

import gc
from dataclasses import replace
from typing import Any

from . import lean
from .memory import PRESETS, Preset, place, smaller_than
from .models import Model
from .origins import origin_of, remember
from .reach import reach_of
from .room import NotEnoughMemory, free_gpu_gib
from .settings import LIMITS, Settings


def rung_below(preset: Preset | None, device: str, arithmetic: str = "lean") -> Preset | None:
    """Give the preset that needs a little less memory and makes the same clip; None: no more.

    >>> rung_below(PRESETS["offload_and_stream"], "cuda", "stock").name
    'offload_layers'
    """
    if not device.startswith(("cpu", "cuda")):
        return None
    below = [PRESETS[name] for name in smaller_than(preset)]
    return next((preset for preset in below if arithmetic == "lean" or preset.stock), None)


def next_rung(pipeline: Any) -> Preset | None:
    """Give the preset below that of a pipeline; what svdkit has not loaded it does not move.

    >>> from svdkit import load
    >>> next_rung(load("tiny", device="cpu", memory="cpu")).name
    'cpu_in_slices'
    """
    device = str(pipeline._execution_device)
    return rung_below(origin_of(pipeline).preset, device, _arithmetic_of(pipeline))


def step_down(pipeline: Any, preset: Preset) -> None:
    """Take a pipeline down to a preset, and remember where it was.

    >>> from svdkit.architectures import build
    >>> from svdkit.models import MODELS
    >>> from svdkit.origins import Origin
    >>> pipeline = build(MODELS["tiny"])
    >>> lean.apply(pipeline)
    >>> remember(pipeline, Origin("tiny", preset=PRESETS["cpu"]))
    >>> step_down(pipeline, PRESETS["cpu_in_slices"])
    >>> origin_of(pipeline).before
    ('cpu',)
    """
    before = (*origin_of(pipeline).before, origin_of(pipeline).preset.name)
    settle(pipeline, preset)
    remember(pipeline, replace(origin_of(pipeline), before=before))


def settle(pipeline: Any, preset: Preset) -> None:
    """Give a pipeline that svdkit loaded another preset.

    >>> from svdkit import load
    >>> pipeline = load("tiny", device="cpu", memory="cpu")
    >>> settle(pipeline, PRESETS["cpu_in_slices"])
    >>> origin_of(pipeline).preset.name
    'cpu_in_slices'
    >>> settle(pipeline, PRESETS["cpu"])
    """
    origin, device = origin_of(pipeline), pipeline._execution_device
    device = "cpu" if device.type == "cpu" else str(device)  # which offloading calls cpu:0
    if preset.apply is origin.preset.apply and lean.is_lean(pipeline):
        lean.set_knobs(pipeline, preset.knobs)
    else:
        take_off(pipeline)
        place(pipeline, preset, device, _arithmetic_of(pipeline))
    compiled = origin.compiled and preset.knobs.slice_mib is None
    if lean.is_lean(pipeline) and not compiled:
        pipeline.unet.compiled = None  # slices are many graphs
    remember(pipeline, replace(origin, preset=preset, compiled=compiled))


def free_memory() -> None:
    """Give back what nobody holds any more.

    >>> free_memory()
    """
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def shortage(pipeline: Any, settings: Settings) -> NotEnoughMemory:
    """Say that memory ran out, and what would fit.

    >>> from svdkit import load
    >>> settings = Settings(64, 112, 14, decode_chunk_size=14)
    >>> print(shortage(load("tiny", device="cpu"), settings))
    Memory ran out at 14 frames of 64×112 with memory='cpu'. Try fewer frames, or ...
    """
    preset = origin_of(pipeline).preset
    cures = [] if lean.is_lean(pipeline) else ["load it with arithmetic='lean'"]
    if settings.decode_chunk_size < settings.num_frames or not lean.is_lean(pipeline):
        cures.append(f"decode_chunk_size={max(1, settings.decode_chunk_size // 2)}")
    cures.append("fewer frames, or a smaller height and width")
    return NotEnoughMemory(
        f"Memory ran out at {settings.num_frames} frames of {settings.height}×{settings.width}"
        f"{f' with memory={preset.name!r}' if preset else ''}. Try {'; or '.join(cures)}."
        f"{_what_fits(pipeline, settings)}"
    )


def _what_fits(pipeline: Any, settings: Settings) -> str:
    """Say how long and how large a clip the GPU holds after all, where it can be told."""
    origin, device = origin_of(pipeline), pipeline._execution_device
    if device.type != "cuda" or not isinstance(origin.model, Model) or not origin.preset:
        return ""
    free_memory()
    reach = reach_of(
        origin.model,
        PRESETS[(smaller_than(origin.preset) or [origin.preset.name])[-1]],
        free_gpu_gib(str(device)),
        settings.num_frames,
        (settings.height, settings.width),
        frames=LIMITS["num_frames"],
        sides=LIMITS["width"],
    )
    height, width = reach.size
    return (
        f" With memory={reach.preset!r} the GPU should hold {reach.num_frames} frames of this size"
        f", or {settings.num_frames} of {height}×{width} (predicted)."
    )


def take_off(pipeline: Any) -> None:
    """Take a pipeline off its device, and off the hooks of offloading.

    >>> from svdkit.architectures import build
    >>> from svdkit.models import MODELS
    >>> take_off(build(MODELS["tiny"]))
    """
    from torch.nn import Module

    pipeline.remove_all_hooks()
    for part in pipeline.components.values():
        if isinstance(part, Module):
            for module in part.modules():  # accelerate leaves the methods that it had wrapped
                wrapped = vars(module).get("forward")
                if getattr(wrapped, "__func__", None) is type(module).forward:
                    del module.forward
    pipeline.to("cpu", silence_dtype_warnings=True)
    free_memory()


def _arithmetic_of(pipeline: Any) -> str:
    return "lean" if lean.is_lean(pipeline) else "stock"
