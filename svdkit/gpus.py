"""GPUS: a row per graphics card, as the makers' data sheets have it. A new card is one new row."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from .models import did_you_mean

# What torch reports is less than what the box says. With these the rule meets, within 1 %, what it
# was read to report of a T4 (14.56–14.76 GiB), an L40S (44.53) and an H200 (about 139).
RESERVED_GIB, RESERVED_SHARE = 0.15, 0.01  # what the driver keeps
ERROR_CORRECTION = 1 / 16  # of a GDDR6 server card's memory; HBM corrects without taking any

# What torch adds to the name of a card, or people do
NOISE = re.compile(r"nvidia|geforce|tesla|rtx|graphics|card|gpu|sxm\d?|hbm\d?e?|[^a-z0-9]")
MEMORY = re.compile(r"(?<![a-z0-9.])(\d+)\s*gi?b(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Gpu:
    """A graphics card: how much it holds, and how fast it is at best.

    >>> GPUS["T4"].bandwidth_gb_s
    300
    """

    name: str
    memory_gib: float
    """In GiB, as the box says; torch reports less, see `usable_gib`."""
    bandwidth_gb_s: float | None = None
    """Of its memory, in GB/s."""
    fp16_tflops: float | None = None
    """TFLOP/s of matrix products that add up in fp32, as torch's do, and with no zeros left out."""
    fp32_tflops: float | None = None
    """The same in fp32."""
    bf16: bool = False
    """Whether it calculates in bfloat16 by itself, not by emulation."""
    error_correction: bool = False
    """Whether a sixteenth of the memory goes into correcting errors."""
    efficiency: float = 0.7
    """The share of its TFLOP/s that real layers are assumed to reach."""
    reported_gib: float | None = None
    """The memory in GiB that torch reports of the card that is here."""

    @property
    def usable_gib(self) -> float:
        """The GiB that torch reports, or will: less error correction and the driver's share.

        >>> round(GPUS["T4"].usable_gib, 1), round(GPUS["RTX 4090"].usable_gib, 1)
        (14.7, 23.6)
        """
        if self.reported_gib is not None:
            return self.reported_gib
        corrected = self.memory_gib * (1 - ERROR_CORRECTION * self.error_correction)
        return corrected * (1 - RESERVED_SHARE) - RESERVED_GIB

    def tflops(self, dtype: str) -> float | None:
        """Give its TFLOP/s at best in a dtype by name; None where they are not known.

        >>> GPUS["T4"].tflops("float16"), GPUS["T4"].tflops("bfloat16")
        (65, 8.1)
        """
        tensor = dtype == "float16" or (dtype == "bfloat16" and self.bf16)
        return self.fp16_tflops if tensor else self.fp32_tflops


def _server(name: str, gib: float, gb_s: float, fp16: float, fp32: float, **more: Any) -> Gpu:
    return Gpu(name, gib, gb_s, fp16, fp32, **more)


def _geforce(number: str, gib: float, gb_s: float, fp32: float) -> Gpu:
    """Fill a row of the RTX 20–50, whose tensor cores stand in a fixed ratio to the rest.

    From NVIDIA's white papers: products in fp16 that add up in fp32 run at four times the rate of
    fp32 in Turing (RTX 20), and at twice that rate in Ampere, Ada and Blackwell (RTX 30–50).
    """
    turing = number.startswith("20")
    return Gpu(f"RTX {number}", gib, gb_s, fp32 * (4 if turing else 2), fp32, bf16=not turing)


# Large matrix products reach 790 of Hopper's 989 TFLOP/s, and real layers 0.9 of that
HOPPER = {"bf16": True, "efficiency": 0.9 * 790 / 989}
AMPERE = {"bf16": True}
GDDR6 = {"error_correction": True}

# From NVIDIA's data sheets and white papers; those of GeForce cards at the reference clocks.
GPUS: Mapping[str, Gpu] = MappingProxyType(
    {
        gpu.name: gpu
        for gpu in (
            #       name         GiB   GB/s  fp16   fp32
            _server("T4", 16, 300, 65, 8.1, **GDDR6),
            _server("P100", 16, 732, 18.7, 9.3),
            _server("V100 16GB", 16, 900, 112, 14),
            _server("V100 32GB", 32, 900, 112, 14),
            _server("L4", 24, 300, 121, 30.3, **AMPERE, **GDDR6),
            _server("A10", 24, 600, 125, 31.2, **AMPERE, **GDDR6),
            _server("A10G", 24, 600, 70, 35, **AMPERE, **GDDR6),
            _server("L40S", 48, 864, 362, 91.6, **AMPERE, **GDDR6),
            _server("A100 40GB", 40, 1555, 312, 19.5, **AMPERE),
            _server("A100 80GB", 80, 1935, 312, 19.5, **AMPERE),
            _server("H100", 80, 3350, 989, 67, **HOPPER),
            _server("H100 PCIe", 80, 2000, 756, 51, **AMPERE),
            _server("H200", 141, 4800, 989, 67, **HOPPER),
            #        number      GiB  GB/s  fp32
            _geforce("2060", 6, 336, 6.5),
            _geforce("2060 12GB", 12, 336, 7.2),
            _geforce("2070", 8, 448, 7.5),
            _geforce("2080", 8, 448, 10.1),
            _geforce("2080 Ti", 11, 616, 13.4),
            _geforce("3060 8GB", 8, 240, 12.7),
            _geforce("3060 12GB", 12, 360, 12.7),
            _geforce("3060 Ti", 8, 448, 16.2),
            _geforce("3070", 8, 448, 20.3),
            _geforce("3070 Ti", 8, 608, 21.7),
            _geforce("3080 10GB", 10, 760, 29.8),
            _geforce("3080 12GB", 12, 912, 30.6),
            _geforce("3080 Ti", 12, 912, 34.1),
            _geforce("3090", 24, 936, 35.6),
            _geforce("3090 Ti", 24, 1008, 40.0),
            _geforce("4060", 8, 272, 15.1),
            _geforce("4060 Ti 8GB", 8, 288, 22.1),
            _geforce("4060 Ti 16GB", 16, 288, 22.1),
            _geforce("4070", 12, 504, 29.1),
            _geforce("4070 Super", 12, 504, 35.5),
            _geforce("4070 Ti", 12, 504, 40.1),
            _geforce("4070 Ti Super", 16, 672, 44.1),
            _geforce("4080", 16, 717, 48.7),
            _geforce("4080 Super", 16, 736, 52.2),
            _geforce("4090", 24, 1008, 82.6),
            _geforce("5060", 8, 448, 19.2),
            _geforce("5060 Ti 8GB", 8, 448, 23.7),
            _geforce("5060 Ti 16GB", 16, 448, 23.7),
            _geforce("5070", 12, 672, 30.9),
            _geforce("5070 Ti", 16, 896, 43.9),
            _geforce("5080", 16, 960, 56.3),
            _geforce("5090", 32, 1792, 104.8),
        )
    }
)
"""The graphics cards that `plan` knows, by name.

>>> GPUS["T4"].memory_gib
16
"""


def find_gpu(name: str) -> Gpu:
    """Find a card by any of its usual names; the smallest where several go by it.

    A size alone, such as "8 GB", is a card of which only the memory is known.

    >>> [find_gpu(name).name for name in ("t4", "NVIDIA GeForce RTX 4090", "NVIDIA A100-SXM4-80GB")]
    ['T4', 'RTX 4090', 'A100 80GB']
    >>> find_gpu("RTX 4095")
    Traceback (most recent call last):
    ValueError: 'RTX 4095' is no GPU that svdkit knows. Did you mean RTX 4090 ...
    """
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is no name of a GPU; give one like 'T4', or a size like '8 GB'.")
    key, gib = _key(name)
    if gib and not key:
        return Gpu(f"{gib} GB", gib)
    same = _namesakes(key)
    found = [gpu for gpu in same if gib in (None, gpu.memory_gib)]
    if not found:
        sizes = " and ".join(f"{gpu.memory_gib:g}" for gpu in same)
        hint = f" It comes with {sizes} GB." if same else did_you_mean(name, GPUS)
        raise ValueError(
            f"{name!r} is no GPU that svdkit knows.{hint} There are: {', '.join(GPUS)}; or give "
            "its memory alone, like '8 GB'."
        )
    return found[0]


def present_gpu() -> Gpu | None:
    """Ask torch for the card that is here, the one in use; None where there is no CUDA GPU.

    >>> present_gpu() is None or present_gpu().usable_gib > 0
    True
    """
    import torch

    if not torch.cuda.is_available():
        return None
    about = torch.cuda.get_device_properties(torch.cuda.current_device())
    return as_reported(about.name, about.total_memory / 2**30, bf16=about.major >= 8)


def as_reported(name: str, reported_gib: float, *, bf16: bool = False) -> Gpu:
    """Describe a card by what torch reports of it; of one in no row only the memory is known.

    >>> as_reported("NVIDIA GeForce RTX 4060 Ti", 15.6).name
    'RTX 4060 Ti 16GB'
    """
    key, gib = _key(name)
    # one that reports far less than its namesakes is a part of a card, or another card
    same = [
        gpu
        for gpu in _namesakes(key)
        if gib in (None, gpu.memory_gib) and 0.88 * gpu.memory_gib < reported_gib < gpu.memory_gib
    ]
    known = same[0] if same else Gpu(name, reported_gib, bf16=bf16)
    return replace(known, reported_gib=reported_gib)


def _key(name: str) -> tuple[str, int | None]:
    """Take what tells a card from others out of its name, and the size if it is there."""
    size = MEMORY.search(name)
    rest = MEMORY.sub(" ", name, count=1)
    return NOISE.sub("", rest.lower()), int(size[1]) if size else None


def _namesakes(key: str) -> list[Gpu]:
    def called(wanted: str) -> list[Gpu]:
        return [gpu for gpu in GPUS.values() if wanted and _key(gpu.name)[0] == wanted]

    return called(key) or called(key.replace("pcie", ""))
