"""joins: where the extensions of a clip join it, and how well."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .clips import Clip, check_clip
from .metrics import drift
from .notes import steps_of
from .tables import Table

AROUND = 14  # frames on each side of a join, whose steps it is compared with
MEASURED = ("drift", "sharpness", "seam")


def joins(clip: Clip) -> Table:
    """Tell of each extension of a clip, as its recipe has it, where it joins and how well.

    `start` is the number of the frame that it went on from, and `frames` how many there were then.
    `drift` is that of colour from the first frame to the last, as a share of white; `sharpness` the
    change of the mean slope between pixels, as a share of the first frame's; `seam` the largest
    step between neighbours while the old frames fade into the new ones, in mean steps around it.

    >>> joins(Clip(np.zeros((6, 64, 112, 3), np.uint8)))
    []
    """
    check_clip(clip)
    steps = [step for step in steps_of(clip.recipe) if _is_extension(step)]
    rows = [_row(number, step) for number, step in enumerate(steps, 1)]
    return Table(rows, ["join", "start", "frames", *MEASURED])


def measured_join(film: Clip, start: int, end: int) -> dict[str, float]:
    """Measure what an extension made of a clip that had `end` frames, and went on from `start`.

    >>> measured_join(Clip(np.zeros((9, 64, 112, 3), np.uint8)), 4, 6)
    {'drift': 0.0, 'sharpness': 0.0, 'seam': 0.0}
    """
    seam = seam_at(film, start, end)
    return {"drift": drift(film), "sharpness": drift(film, "sharpness"), "seam": seam}


def seam_at(film: Clip, start: int, end: int) -> float:
    """Measure the largest step from frame `start` to frame `end`, in mean steps around it.

    A step is the mean difference of pixels, and around are 14 frames on each side. About 1 means
    that the join does not show.

    >>> seam_at(Clip(np.zeros((9, 64, 112, 3), np.uint8)), 4, 6)
    0.0
    """
    low, high = max(0, start - AROUND), min(len(film), end + AROUND + 1)
    steps = [
        float(np.abs(np.subtract(after, before, dtype=np.int16)).mean())
        for before, after in itertools.pairwise(film.frames[low:high])
    ]
    mean = float(np.mean(steps))
    return max(steps[start - low : end - low]) / mean if mean else 0.0


def in_one_line(join: Mapping[str, Any]) -> str:
    """Tell of a join in words.

    >>> row = {"start": 10, "frames": 24, "drift": 0.012, "sharpness": -0.05, "seam": 0.9}
    >>> in_one_line(row)
    '24 frames, joined at frame 10; drift 0.012, sharpness -5%, seam 0.90'
    """
    return (
        f"{join['frames']} frames, joined at frame {join['start']}; drift {join['drift']:.3f}, "
        f"sharpness {join['sharpness']:+.0%}, seam {join['seam']:.2f}"
    )


def _is_extension(step: Mapping[str, Any]) -> bool:
    return step.get("request", {}).get("verb") == "extend"


def _row(number: int, step: Mapping[str, Any]) -> dict[str, Any]:
    """Tell of one extension; what a stranger's recipe has in the place of a number is left out."""
    request, outcome = step["request"], step.get("outcome", {})
    settings = request.get("settings")
    start = _number(request.get("start"))
    new = _number(settings.get("num_frames")) if isinstance(settings, dict) else None
    frames = None if start is None or new is None else start + new
    told = {name: _number(outcome.get(name)) for name in MEASURED}
    return {"join": number, "start": start, "frames": frames, **told}


def _number(value: Any) -> Any:
    is_number = type(value) in (int, float) and abs(value) < 1e12
    return value if is_number and math.isfinite(value) else None
