"""How far a card reaches: the longest clip, and the largest frame, that fit."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .limits import Limit
from .memory import Preset, needed_gib
from .models import Model
from .prediction import Prediction, predict


@dataclass(frozen=True)
class Reach:
    """The longest clip of a size, and the largest frame of a length, that fit with a preset.

    >>> Reach("offload_layers", 100, 16.0, (1152, 2048), 19.0).num_frames
    100
    """

    preset: str
    num_frames: int
    """0 where not even the shortest fits."""
    frames_ram_gib: float
    """The RAM that so many frames take."""
    size: tuple[int, int]
    """Height and width; (0, 0) where not even the smallest fits."""
    size_ram_gib: float


class _Lines:
    """What clips take as they grow: straight lines through two predictions."""

    def __init__(self, *points: tuple[float, Prediction]):
        (self._low, less), (self._high, more) = points
        self._loaded_gib = more.loaded_gib
        self._peaks = [
            (small.peak_gib, large.peak_gib)
            for small, large in zip(less.stages, more.stages, strict=True)
        ]
        self._beside = list(zip(less.beside_gib, more.beside_gib, strict=True))

    def needs(self, amount: float) -> float:
        return needed_gib(self._most(self._peaks, amount))

    def ram_gib(self, amount: float) -> float:
        return self._loaded_gib + self._most(self._beside, amount)

    def _most(self, pairs: list[tuple[float, float]], amount: float) -> float:
        share = (amount - self._low) / (self._high - self._low)
        return max(low + (high - low) * share for low, high in pairs)


def reach_of(
    model: Model,
    preset: Preset,
    usable_gib: float,
    num_frames: int,
    size: tuple[int, int],
    *,
    step: int = 64,
    frames: Limit,
    sides: Limit,
    **more: Any,
) -> Reach:
    """Find the longest clip of a size, and the largest frame of a length, that fit into memory.

    All that a model keeps grows with the frames and with their area, on a straight line but for
    its slices. So two predictions say the rest: this one, and one of half as much. `step` is what
    sides divide by; `more` goes to `predict`.

    >>> from svdkit.memory import PRESETS
    >>> from svdkit.models import MODELS
    >>> from svdkit.settings import LIMITS
    >>> reach_of(MODELS["tiny"], PRESETS["all_on_gpu"], 1.0, 14, (64, 112), step=8,
    ...     frames=LIMITS["num_frames"], sides=LIMITS["width"]).num_frames > 14
    True
    """

    def predicted(count: int, frame: tuple[int, int]) -> Prediction:
        height, width = frame
        return predict(model, preset, num_frames=count, height=height, width=width, **more)

    whole = predicted(num_frames, size)
    few = num_frames // 2 if num_frames > 3 else 2 * num_frames
    longer = _Lines((few, predicted(few, size)), (num_frames, whole))
    longest = _last(
        range(frames.low, frames.high + 1), lambda count: longer.needs(count) <= usable_gib
    )

    def frame_of(width: int) -> tuple[int, int]:
        return max(step, round(width * size[0] / size[1] / step) * step), width

    small = frame_of(max(step, size[1] // 2 // step * step))
    if small == size:
        small = frame_of(2 * size[1])
    larger = _Lines((math.prod(small), predicted(num_frames, small)), (math.prod(size), whole))
    widths = range(step, sides.high + 1, step)
    widest = _last(
        (width for width in widths if frame_of(width)[0] <= sides.high),
        lambda width: larger.needs(math.prod(frame_of(width))) <= usable_gib,
    )
    largest = frame_of(widest) if widest else (0, 0)
    return Reach(
        preset.name, longest, longer.ram_gib(longest), largest, larger.ram_gib(math.prod(largest))
    )


def _last(values: Iterable[int], fits: Callable[[int], bool]) -> int:
    """Give the last of growing values before one does not fit, 0 if none does."""
    last = 0
    for value in values:
        if not fits(value):
            break
        last = value
    return last
