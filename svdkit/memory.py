"""The memory presets: a table, and applying a row to a pipeline."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from .checkpoints import is_for
from .models import did_you_mean

if TYPE_CHECKING:
    from diffusers import StableVideoDiffusionPipeline

OVERHEAD_GIB = 0.5  # the CUDA context
HEADROOM = 1.1  # the allocator's fragmentation

OUT_OF_MEMORY = (  # how torch, safetensors, the system and Python's threads say it
    "out of memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "not enough memory",
    "can't start new thread",
)


class NotEnoughMemory(RuntimeError):  # noqa: N818 - the public name says it without Error
    """The animation did not fit; the message names what to try.

    >>> raise NotEnoughMemory("try memory='offload_layers'")
    Traceback (most recent call last):
    svdkit.memory.NotEnoughMemory: try memory='offload_layers'
    """


@dataclass(frozen=True)
class Preset:
    """One way to share the work between GPU memory and RAM.

    >>> PRESETS["offload_models"].decode_chunk_size
    8
    """

    name: str
    summary: str
    apply: Callable[["StableVideoDiffusionPipeline", str], object]
    decode_chunk_size: int | None = None
    """Frames decoded at a time where the settings leave it open; None: all of them."""
    peak_gib: float = 0.0
    """GPU memory of a clip of svd-xt at its native size in fp16, in GiB: predicted by counting
    live tensors of the real modules without a GPU, and without the CUDA context."""

    @property
    def needs_gib(self) -> float:
        """Free GPU memory that svd-xt at its native size needs, in GiB.

        >>> PRESETS["cpu"].needs_gib
        0.0
        """
        return self.peak_gib and self.peak_gib * HEADROOM + OVERHEAD_GIB


def _all_on_device(pipeline: "StableVideoDiffusionPipeline", device: str) -> None:
    pipeline.to(device)


def _offload_models(pipeline: "StableVideoDiffusionPipeline", device: str) -> None:
    pipeline.enable_model_cpu_offload(device=device)


def _offload_and_stream(pipeline: "StableVideoDiffusionPipeline", device: str) -> None:
    _slice_wide_layers(pipeline)
    pipeline.enable_model_cpu_offload(device=device)


def _slice_wide_layers(pipeline: "StableVideoDiffusionPipeline") -> None:
    if is_for("animate", pipeline):  # AnimateDiff's UNet would go through its pixels one by one
        pipeline.unet.enable_forward_chunking()


def _offload_layers(pipeline: "StableVideoDiffusionPipeline", device: str) -> None:
    import torch
    from diffusers.hooks import apply_group_offloading

    _slice_wide_layers(pipeline)
    for part in pipeline.components.values():
        if part is pipeline.vae or not isinstance(part, torch.nn.Module):
            continue
        apply_group_offloading(
            part,
            onload_device=torch.device(device),
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",
            use_stream=device.startswith("cuda"),
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
                peak_gib=32.3,
            ),
            Preset(
                "offload_models",
                "Image encoder, UNet and VAE take turns on the GPU; 8 frames decoded at a time.",
                _offload_models,
                decode_chunk_size=8,
                peak_gib=10.6,
            ),
            Preset(
                "offload_and_stream",
                "As offload_models, the UNet's wide layers in slices; 4 frames decoded at a time.",
                _offload_and_stream,
                decode_chunk_size=4,
                peak_gib=7.3,
            ),
            Preset(
                "offload_layers",
                "Each layer visits the GPU as it is needed; 2 frames decoded at a time: slow.",
                _offload_layers,
                decode_chunk_size=2,
                peak_gib=4.7,
            ),
            Preset("cpu", "Everything on the CPU: for tiny, or the patient.", _all_on_device),
        )
    }
)


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
    if memory != "auto" and on_cpu != (memory == "cpu"):
        why = "there is no GPU to share with" if on_cpu else "that preset leaves the GPU idle"
        raise ValueError(
            f"memory={memory!r} and device={device!r} exclude each other: {why}. Use memory='auto'."
        )
    return "cpu" if on_cpu else memory


def preset_for(
    memory: str, device: str, *, small: bool = False, weights_gib: float | None = None
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
    return fastest_preset(free_gpu_gib(device))


def fastest_preset(free_gib: float) -> Preset:
    """Choose the fastest preset whose needs fit into free GPU memory, or the smallest.

    >>> fastest_preset(15).name
    'offload_models'
    """
    on_gpu = [preset for preset in PRESETS.values() if preset.peak_gib]
    return next((preset for preset in on_gpu if preset.needs_gib <= free_gib), on_gpu[-1])


def smaller_than(preset: Preset | None) -> list[str]:
    """List the presets that need less GPU memory than one; none where it uses no GPU.

    >>> smaller_than(PRESETS["offload_and_stream"])
    ['offload_layers']
    """
    names = list(PRESETS)
    return names[names.index(preset.name) + 1 : -1] if preset and preset.peak_gib else []


def free_gpu_gib(device: str = "cuda") -> float:
    """Give the GPU memory that is free now, in GiB; 0 where there is no CUDA GPU.

    >>> free_gpu_gib() >= 0
    True
    """
    import torch

    if not torch.cuda.is_available():
        return 0.0
    # what torch keeps for later is as good as free
    idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return (torch.cuda.mem_get_info(device)[0] + idle) / 2**30


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that GPU memory or RAM ran out.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    """
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, (RuntimeError, OSError))
        and any(words in str(error) for words in OUT_OF_MEMORY)
    ):
        return True
    # the libraries wrap it in errors of their own; one that was told already is another matter
    earlier = error.__cause__ or error.__context__
    if earlier is None or isinstance(earlier, NotEnoughMemory):
        return False
    return is_out_of_memory(earlier)
