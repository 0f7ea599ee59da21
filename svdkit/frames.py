"""The array behind every clip: uint8 RGB frames (n, height, width, 3)."""

import hashlib
import math
from collections.abc import Iterable

import numpy as np
from PIL import Image

from .limits import quoted

MOST_BYTES = 4e9  # of frames: what an edit may make of a clip


def checked_frames(frames: "np.ndarray | Iterable[Image.Image]") -> np.ndarray:
    """Take an array of frames, or a list of pictures, as an array that cannot be written to.

    >>> checked_frames([Image.new("RGB", (112, 64))] * 3).shape
    (3, 64, 112, 3)
    """
    if not isinstance(frames, np.ndarray):
        if not isinstance(frames, Iterable) or isinstance(frames, (str, bytes)):
            raise TypeError(
                f"The frames are {quoted(frames, 40)}; give an array or a list of pictures."
            )
        pictures = [np.asarray(f.convert("RGB") if hasattr(f, "convert") else f) for f in frames]
        sizes = sorted({picture.shape for picture in pictures})
        if not pictures:
            raise ValueError("There are no frames; a clip has one at least.")
        if len(sizes) != 1:
            raise ValueError(f"The frames have sizes {sizes}; one size is needed.")
        frames = frozen(np.stack(pictures))
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise ValueError(
            f"The frames are {frames.dtype} of shape {frames.shape}; uint8 of shape (frames, "
            "height, width, 3), none of them 0, is needed. Floats 0–1: (255 * x).astype('uint8')."
        )
    # a clip is a value: what the caller does with the array later is not ours
    return frames if _is_frozen(frames) else frozen(frames.copy())


def check_size(count: float, height: int, width: int) -> None:
    """Make sure that so many frames of this size can be made without filling the memory.

    >>> check_size(100_000, 576, 1024)
    Traceback (most recent call last):
    ValueError: 100000 frames of 576×1024 take 177 GB; a clip takes 4 GB at most.
    """
    size = count * height * width * 3
    if not size <= MOST_BYTES:
        raise ValueError(
            f"{count:.0f} frames of {height}×{width} take {size / 1e9:.3g} GB; a clip takes "
            f"{MOST_BYTES / 1e9:g} GB at most."
        )


def frozen(frames: np.ndarray) -> np.ndarray:
    """Make sure that an array is never written to again.

    >>> frozen(np.zeros(3)).flags.writeable
    False
    """
    frames.flags.writeable = False
    return frames


def _is_frozen(frames: np.ndarray) -> bool:
    """Whether neither the array nor what it is a view of can be written to."""
    while isinstance(frames.base, np.ndarray):
        if frames.flags.writeable:
            return False
        frames = frames.base
    return not frames.flags.writeable and (frames.base is None or isinstance(frames.base, bytes))


def sha256_of_frames(frames: np.ndarray) -> str:
    """Give the fingerprint of frames: their shape and every byte.

    >>> sha256_of_frames(np.zeros((1, 2, 2, 3), np.uint8))[:8]
    '80e12d46'
    """
    digest = hashlib.sha256(str(frames.shape).encode())
    digest.update(np.ascontiguousarray(frames))
    return digest.hexdigest()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Measure in dB how near frames are to each other; inf where they are equal.

    >>> psnr(np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 255, np.uint8))
    0.0
    """
    error = float(np.mean((a.astype(np.float32) - b) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def size_of(frames: np.ndarray) -> str:
    """Say the height × width of frames in pixels.

    >>> size_of(np.zeros((6, 64, 112, 3), np.uint8))
    '64×112'
    """
    return f"{frames.shape[1]}×{frames.shape[2]}"
