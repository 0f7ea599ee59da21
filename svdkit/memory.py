"""The memory presets: a table, and applying a row to a pipeline."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from . import lean
from .checkpoints import is_for
from .lean import Knobs
from .models import did_you_mean
from .room import free_gpu_gib, needed_gib

if TYPE_CHECKING:
    from diffusers import StableVideoDiffusionPipeline


@dataclass(frozen=True)
class Stock:
    """How a preset saves memory where the arithmetic is diffusers' own.

    >>> PRESETS["offload_models"].stock.decode_chunk_size
    8
    """

    peak_gib: float = 0.0
    """As a preset's `peak_gib`."""
    decode_chunk_size: int | None = None
    """Frames decoded at a time where the settings leave it open; None: all of them. Fewer are
    another clip, which flickers."""
    slices_wide_layers: bool = False


@dataclass(frozen=True)
class Preset:
    """One way to share the work between GPU memory and RAM; the clip is the same with each.

    >>> PRESETS["offload_models"].keeps
    'part'
    """

    name: str
    summary: str
    apply: Callable[["StableVideoDiffusionPipeline", str], object]
    keeps: str
    """Whose weights are on the GPU: those of "all" parts, of the "part" at work, of the "layer" at
    work, or of "none"."""
    peak_gib: float = 0.0
    """GPU memory of a clip of svd-xt at its native size in fp16, in GiB: predicted by counting
    live tensors of the real modules without a GPU, and without the CUDA context."""
    knobs: Knobs = field(default_factory=Knobs)
    """How lean arithmetic trades time for memory."""
    stock: Stock | None = field(default_factory=Stock)
    """What there is instead without lean arithmetic; None: nothing."""

    @property
    def needs_gib(self) -> float:
        """Free GPU memory that svd-xt at its native size needs, in GiB.

        >>> PRESETS["cpu"].needs_gib
        0.0
        """
        return needed_gib(self.peak_gib)

    def needs(self, arithmetic: str) -> float:
        """Free GPU memory that svd-xt at its native size needs with an arithmetic, in GiB.

        >>> PRESETS["all_on_gpu"].needs("stock") > PRESETS["all_on_gpu"].needs("lean")
        True
        """
        if arithmetic == "lean":
            return self.needs_gib
        return needed_gib(self.stock.peak_gib) if self.stock else math.inf


def _all_on_device(pipeline: "StableVideoDiffusionPipeline", device: str) -> None:
    pipeline.to(device)


def _offload_models(pipeline: "StableVideoDiffusionPipeline", device: str) -> None:
    pipeline.enable_model_cpu_offload(device=device)


def _offload_layers(pipeline: "StableVideoDiffusionPipeline", device: str) -> None:
    import torch
    from diffusers.hooks import apply_group_offloading

    for part in pipeline.components.values():
        if part is pipeline.vae or not isinstance(part, torch.nn.Module):
            continue
        apply_group_offloading(
            part,
            onload_device=torch.device(device),
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",  # without streams: they expect the same layers at each step
        )
    # the VAE is small, and turns to fp32 and back while it encodes: hooks would lose its weights
    pipeline.vae.to(device)


# In order of speed: the first that fits is the one to take.
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset(
                "all_on_gpu",
                "Everything stays on the GPU: the fastest.",
                _all_on_device,
                keeps="all",
                peak_gib=10.9,
                stock=Stock(32.3),
            ),
            Preset(
                "offload_models",
                "Image encoder, UNet and VAE take turns on the GPU.",
                _offload_models,
                keeps="part",
                peak_gib=9.3,
                stock=Stock(10.8, decode_chunk_size=8),
            ),
            Preset(
                "offload_and_stream",
                "As offload_models, and the work in slices.",
                _offload_models,
                keeps="part",
                peak_gib=5.4,
                knobs=Knobs(slice_mib=256, decode="recompute"),
                stock=Stock(7.5, decode_chunk_size=4, slices_wide_layers=True),
            ),
            Preset(
                "offload_in_turn",
                "As offload_and_stream, and with and without guidance in turn.",
                _offload_models,
                keeps="part",
                peak_gib=4.5,
                knobs=Knobs(slice_mib=64, guidance="in_turn", decode="recompute"),
                stock=None,
            ),
            Preset(
                "offload_layers",
                "Each layer visits the GPU as it is needed, frames wait in RAM: slow.",
                _offload_layers,
                keeps="layer",
                peak_gib=1.8,
                knobs=Knobs(slice_mib=64, guidance="in_turn", decode="spill"),
                stock=Stock(4.7, decode_chunk_size=2, slices_wide_layers=True),
            ),
            Preset(
                "cpu",
                "Everything on the CPU: for tiny, or the patient.",
                _all_on_device,
                keeps="none",
            ),
            Preset(
                "cpu_in_slices",
                "As cpu, and the work in slices, with and without guidance in turn: less RAM.",
                _all_on_device,
                keeps="none",
                knobs=Knobs(slice_mib=64, guidance="in_turn", decode="recompute"),
                stock=None,
            ),
        )
    }
)
"""The memory presets by name, the fastest first.

>>> PRESETS["offload_models"].peak_gib
9.3
"""
ARITHMETICS = ("lean", "stock")


def place(
    pipeline: "StableVideoDiffusionPipeline", preset: Preset, device: str, arithmetic: str = "lean"
) -> None:
    """Put a pipeline where a preset wants it, and set how it calculates.

    AnimateDiff and Stable Diffusion calculate as diffusers does.

    >>> from svdkit import load
    >>> place(load("tiny", device="cpu"), PRESETS["cpu"], "cpu")
    """
    if is_for("animate", pipeline):
        if arithmetic == "lean":
            lean.apply(pipeline)
            lean.set_knobs(pipeline, preset.knobs)
        elif preset.stock is None:
            others = [name for name, other in PRESETS.items() if other.stock]
            raise ValueError(
                f"memory={preset.name!r} needs arithmetic='lean': with arithmetic='stock' there "
                f"are {', '.join(others)}."
            )
        elif preset.stock.slices_wide_layers:
            pipeline.unet.enable_forward_chunking()
    preset.apply(pipeline, device)


def checked_arithmetic(arithmetic: str) -> str:
    """Check the name of an arithmetic.

    >>> checked_arithmetic("fast")
    Traceback (most recent call last):
    ValueError: arithmetic is 'fast'; it is one of lean, stock.
    """
    if arithmetic not in ARITHMETICS:
        raise ValueError(f"arithmetic is {arithmetic!r}; it is one of {', '.join(ARITHMETICS)}.")
    return arithmetic


def checked_memory(memory: str, device: str) -> str:
    """Check the name of a preset against a device; on a CPU "auto" is "cpu".

    >>> checked_memory("offload_models", "cpu")
    Traceback (most recent call last):
    ValueError: memory='offload_models' and device='cpu' exclude each other: ...
    """
    if not isinstance(memory, str) or memory not in ("auto", *PRESETS):
        raise ValueError(
            f"memory is {memory!r}; it is auto or one of {', '.join(PRESETS)}."
            f"{did_you_mean(memory, PRESETS)}"
        )
    on_cpu = device == "cpu"
    if memory != "auto" and on_cpu != (PRESETS[memory].keeps == "none"):
        why = "there is no GPU to share with" if on_cpu else "that preset leaves the GPU idle"
        raise ValueError(
            f"memory={memory!r} and device={device!r} exclude each other: {why}. Use memory='auto'."
        )
    return "cpu" if on_cpu and memory == "auto" else memory


def preset_for(
    memory: str,
    device: str,
    *,
    small: bool = False,
    weights_gib: float | None = None,
    arithmetic: str = "lean",
) -> Preset:
    """Choose the preset that a checked name means; "auto" takes the fastest that fits.

    `small` says that the model fits anywhere; `weights_gib` is the size of a model other than SVD,
    which stays on the GPU where twice that is free.

    >>> preset_for("auto", "mps").name
    'all_on_gpu'
    """
    if memory != "auto":
        return PRESETS[memory]
    if small or not device.startswith("cuda"):
        return PRESETS["all_on_gpu"]
    if weights_gib is not None:
        roomy = free_gpu_gib(device) >= 2 * weights_gib
        return PRESETS["all_on_gpu" if roomy else "offload_models"]
    return fastest_preset(free_gpu_gib(device), arithmetic)


def fastest_preset(free_gib: float, arithmetic: str = "lean") -> Preset:
    """Choose the fastest preset whose needs fit into free GPU memory, or the smallest.

    >>> fastest_preset(15).name, fastest_preset(15, "stock").name
    ('all_on_gpu', 'offload_models')
    """
    on_gpu = [preset for preset in PRESETS.values() if preset.peak_gib]
    return next((preset for preset in on_gpu if preset.needs(arithmetic) <= free_gib), on_gpu[-1])


def smaller_than(preset: Preset | None) -> list[str]:
    """List the presets that need less memory than one, of those that use the GPU as it does.

    >>> smaller_than(PRESETS["offload_and_stream"])
    ['offload_in_turn', 'offload_layers']
    """
    if preset is None:
        return []
    on_gpu = preset.keeps != "none"
    names = [name for name, other in PRESETS.items() if (other.keeps != "none") == on_gpu]
    return names[names.index(preset.name) + 1 :]
