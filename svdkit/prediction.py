"""What a clip will take of memory and time, predicted by running the real modules on no numbers.

Memory is counted tensor by tensor. Time is the least to expect: the sum of what each kernel needs
at a good share of the card's speed. For svd-xt on an A100 80GB in stock arithmetic it says 27 s;
50.9 s were published for diffusers there (onediff, pull request 514).
"""

from dataclasses import dataclass
from threading import RLock

from .blueprints import GIB, Blueprint, blueprint_of
from .counting import Count
from .gpus import Gpu
from .memory import Preset, checked_arithmetic
from .models import Model

# Assumed, like `Gpu.efficiency`: all predictions of time rest on them
BANDWIDTH_EFFICIENCY = 0.8  # the share of its memory's bandwidth that a kernel reaches
PCIE_GB_S = 8  # between RAM and GPU: half of what PCIe 3.0 ×16, which a T4 has, carries at best

DTYPES = ("float16", "bfloat16", "float32")

_counting = RLock()  # the blueprints are set up for one preset at a time


@dataclass(frozen=True)
class Stage:
    """One stage of making a clip: what it takes of a GPU, and how often it comes.

    >>> from svdkit.counting import Kernel
    >>> from svdkit.gpus import GPUS
    >>> stage = Stage("step", 2.8, 10.6, Count(0, 0, {Kernel(10**12, 10**9): 40}), "float16", 25)
    >>> f"{stage.seconds_on(GPUS['T4']):.1f}"
    '22.0'
    """

    name: str
    weights_gib: float
    """Weights on the GPU meanwhile."""
    peak_gib: float
    """The peak of the GPU's memory, weights included."""
    count: Count
    """What the GPU does each time."""
    dtype: str
    times: int = 1
    carried_gib: float = 0.0
    """Weights that cross from RAM to the GPU, or back, in all."""

    def seconds_on(self, gpu: Gpu) -> float | None:
        """Predict its seconds on a card, all times together; None where its speed is not known.

        Each kernel takes as long as its arithmetic or its memory needs, whichever is longer. What
        Python takes, and the start of each kernel, is left out: small models are slower than this.
        """
        tflops, bandwidth = gpu.tflops(self.dtype), gpu.bandwidth_gb_s
        if not tflops or not bandwidth:
            return None
        per_flop = 1 / (tflops * 1e12 * gpu.efficiency)
        per_byte = 1 / (bandwidth * 1e9 * BANDWIDTH_EFFICIENCY)
        crossing = 1 / (PCIE_GB_S * 1e9)
        working = self.times * sum(
            often * (max(flops * per_flop, moved * per_byte) + crossed * crossing)
            for (flops, moved, crossed), often in self.count.kernels.items()
        )
        return working + self.carried_gib * GIB * crossing  # for which the GPU waits


@dataclass(frozen=True)
class Prediction:
    """What a clip will take with one preset.

    >>> Prediction("cpu", "stock", (), 4.0, 4.0, (0.5, 2.0)).ram_gib
    6.0
    """

    preset: str
    arithmetic: str
    stages: tuple[Stage, ...]
    download_gib: float
    """Weights to download, and to keep on the disk."""
    loaded_gib: float
    """Weights in RAM."""
    beside_gib: tuple[float, ...]
    """What else is in RAM, at one time or another."""

    @property
    def ram_gib(self) -> float:
        """The peak of RAM, without Python and its libraries."""
        return self.loaded_gib + max(self.beside_gib)

    @property
    def peak_gib(self) -> float:
        """The peak of GPU memory, without the CUDA context."""
        return max(stage.peak_gib for stage in self.stages)

    def seconds_on(self, gpu: Gpu) -> float | None:
        """Predict the seconds that a clip takes on a card; None where its speed is not known."""
        seconds = [stage.seconds_on(gpu) for stage in self.stages]
        return None if None in seconds or not self.peak_gib else sum(seconds)


def predict(
    model: Model,
    preset: Preset,
    *,
    arithmetic: str = "lean",
    num_frames: int | None = None,
    height: int | None = None,
    width: int | None = None,
    num_inference_steps: int = 25,
    guided: bool = True,
    dtype: str = "float16",
    decode_chunk_size: int | None = None,
) -> Prediction:
    """Predict what a clip will take, within a moment and without weights.

    The model's real modules run on torch's meta device, where tensors have shapes and no numbers;
    every tensor's life and every kernel is counted, once for each size.

    >>> from svdkit.memory import PRESETS
    >>> from svdkit.models import MODELS
    >>> prediction = predict(MODELS["tiny"], PRESETS["all_on_gpu"], num_frames=4)
    >>> [stage.name for stage in prediction.stages], prediction.download_gib
    (['CLIP', 'encode', 'step', 'decode'], 0.0)
    """
    checked_arithmetic(arithmetic)
    if arithmetic == "stock" and preset.stock is None:
        raise ValueError(f"memory={preset.name!r} needs arithmetic='lean'.")
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; it is one of {', '.join(DTYPES)}.")
    frames = num_frames or model.num_frames
    size = (height or model.height, width or model.width)
    with _counting:
        drawn = blueprint_of(model, dtype, arithmetic)
        drawn.set_up(preset)
        stock = preset.stock if arithmetic == "stock" else None
        chunk = decode_chunk_size or (stock and stock.decode_chunk_size)
        work = {
            "CLIP": drawn.see(),
            "encode": drawn.encode(*size),
            "step": drawn.step(frames, *size, guided),
            "decode": drawn.decode(frames, *size, chunk or frames),
        }
    keeps, steps = preset.keeps, num_inference_steps
    # in turn, each of the two passes brings the layers anew
    in_turn = arithmetic == "lean" and preset.knobs.guidance == "in_turn"
    passes = steps * (1 + (guided and in_turn))
    stayed, carried = _stayed(drawn, keeps), _carried(drawn, keeps, passes)
    stages = tuple(
        Stage(
            name,
            weights_gib=stayed[name],
            peak_gib=0.0 if keeps == "none" else stayed[name] + counted.peak_bytes / GIB,
            count=counted,
            dtype=str(drawn.encoder.dtype)[6:] if name == "encode" else dtype,
            times=steps if name == "step" else 1,
            carried_gib=carried[name],
        )
        for name, counted in work.items()
    )
    counts = work.values()
    pictures = 2 * 4 * 3 * frames * size[0] * size[1]  # in fp32, and once more as they are changed
    return Prediction(
        preset=preset.name,
        arithmetic=arithmetic,
        stages=stages,
        download_gib=0.0 if model.bundled else drawn.whole_gib,
        loaded_gib=drawn.whole_gib,
        beside_gib=(
            pictures / GIB,
            max(counted.ram_bytes for counted in counts) / GIB,
            max(counted.peak_bytes for counted in counts) / GIB if keeps == "none" else 0.0,
        ),
    )


def _stayed(drawn: Blueprint, keeps: str) -> dict[str, float]:
    """Give the weights on the GPU at each stage."""
    clip, vae, encoder, unet = (drawn.gib[part] for part in ("clip", "vae", "encoder", "unet"))
    layers = drawn.layer_gib
    rows = {
        "all": (clip + vae + unet, clip + encoder + unet, clip + vae + unet, clip + vae + unet),
        # a part leaves when the next in the row of CLIP, UNet and VAE comes: CLIP stays while the
        # VAE encodes, and the VAE while the UNet works
        "part": (clip, clip + encoder, unet + vae, vae),
        # the VAE stays
        "layer": (layers["clip"] + vae, encoder, layers["unet"] + vae, vae),
        "none": (0.0, 0.0, 0.0, 0.0),
    }
    return dict(zip(("CLIP", "encode", "step", "decode"), rows[keeps], strict=True))


def _carried(drawn: Blueprint, keeps: str, passes: int) -> dict[str, float]:
    """Give the weights that cross between RAM and GPU at each stage of a clip."""
    clip, vae, unet = (drawn.gib[part] for part in ("clip", "vae", "unet"))
    rows = {
        "part": (2 * clip, 2 * vae, 2 * unet, 0.0),  # there and back
        "layer": (2 * clip, 0.0, 2 * passes * unet, 0.0),  # each time anew
    }
    row = rows.get(keeps, (0.0, 0.0, 0.0, 0.0))
    return dict(zip(("CLIP", "encode", "step", "decode"), row, strict=True))
