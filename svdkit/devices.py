"""Where to run, and in which numbers."""

import re
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DTYPES = {
    "float16": "float16",
    "fp16": "float16",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float32": "float32",
    "fp32": "float32",
}


def pick_device(device: "str | torch.device | None" = None, memory: str = "auto") -> str:
    """Choose where to run: what is asked for if it is there, else cuda, mps or cpu, the first.

    >>> pick_device("cpu")
    'cpu'
    """
    import torch

    if device is None:
        if str(memory).startswith("cpu"):  # the presets that leave a GPU idle
            return "cpu"
        if torch.cuda.is_available():
            return _numbered("cuda")
        return "mps" if torch.backends.mps.is_available() else "cpu"
    device = str(device)
    kind = device.partition(":")[0]
    if not re.fullmatch(r"cuda(:\d+)?|mps|cpu", device):
        raise ValueError(f"device is {device!r}; it is cuda, cuda:0, cuda:1 …, mps or cpu.")
    there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if kind in there and not there[kind]():
        raise ValueError(
            f"device is {device!r}, and torch {torch.__version__} sees no {kind} here. Use "
            "device='cpu'; in Colab, Runtime > Change runtime type gives a GPU."
        )
    return _numbered(device) if kind == "cuda" else device


def _numbered(device: str) -> str:
    """Give the one name of a CUDA device: "cuda" is the current one's other name."""
    import torch

    _, _, number = device.partition(":")
    count = torch.cuda.device_count()
    if number and int(number) >= count:
        raise ValueError(f"device is {device!r}, and there are {count}: cuda:0–cuda:{count - 1}.")
    return f"cuda:{number or torch.cuda.current_device()}"


def pick_dtype(dtype: "str | torch.dtype | None", device: str) -> "torch.dtype":
    """Choose the numbers to calculate with: fp32 on a CPU, fp16 elsewhere.

    >>> pick_dtype(None, "cpu")
    torch.float32
    """
    import torch

    if dtype is None:
        # not bf16: SVD is published in fp16, which keeps three bits more and runs on every card
        return torch.float32 if device == "cpu" else torch.float16
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; it is one of {', '.join(DTYPES)}.")
    if DTYPES[name] == "bfloat16" and device.startswith("cuda") and not _has_bf16():
        warnings.warn(
            f"{torch.cuda.get_device_name(device)} has no bfloat16 and emulates it slowly; "
            "dtype='float16' is native.",
            stacklevel=3,
        )
    return getattr(torch, DTYPES[name])


def _has_bf16() -> bool:
    import torch

    # without the argument a T4 says yes, by emulation
    return torch.cuda.is_bf16_supported(including_emulation=False)
