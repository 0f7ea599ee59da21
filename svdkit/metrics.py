"""Numbers about clips: what moves, flickers and drifts away, what stays of a picture, how it loops.

All is measured per frame, so the playback rate changes nothing.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .clips import Clip, check_clip
from .images import ImageLike, fit, fitting_in
from .notes import steps_of
from .tiles import found_again, tracks_of

DRIFTS = ("colour", "sharpness")
STEPS_TOGETHER = 3  # painted motion measures as without it, and grain half to a third of that
LEAST_LEVEL, LEAST_SPREAD = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # SSIM's C1 and C2


def motion(clip: Clip) -> float:
    """Measure how far things move: the mean displacement, in frame widths per frame.

    What rests, and what is too plain to be seen moving, counts as resting. So does what trembles on
    the spot, as grain does: three steps are taken together, and what comes back has gone nowhere.

    >>> motion(Clip(np.zeros((6, 64, 112, 3), np.uint8)))
    0.0
    """
    tracks = tracks_of(clip)
    together = min(STEPS_TOGETHER, len(tracks.shifts))

    def summed(steps: np.ndarray) -> np.ndarray:
        return sliding_window_view(steps, together, axis=0).sum(-1)

    ways = np.hypot(*np.moveaxis(summed(tracks.shifts * tracks.inside[..., None]), -1, 0))
    steps = summed(tracks.inside.astype(float)).sum()
    return float(ways.sum() / steps / tracks.width) if steps else 0.0


def camera(clip: Clip) -> tuple[float, float]:
    """Measure how the picture moves as a whole: (right, down), in frame widths per frame.

    A camera that pans to the right moves the picture to the left.

    >>> camera(Clip(np.zeros((6, 64, 112, 3), np.uint8)))
    (0.0, 0.0)
    """
    tracks = tracks_of(clip)
    medians = [
        np.median(shifts[seen], axis=0)
        for shifts, seen in zip(tracks.shifts, tracks.seen, strict=True)
        if seen.any()
    ]
    right, down = np.mean(medians, axis=0) / tracks.width if medians else (0.0, 0.0)
    return float(right), float(down)


def flicker(clip: Clip) -> float:
    """Measure what brightens and darkens again: the mean change per frame, as a share of white.

    A steady fade is none, and what moves is followed: only what is taken back counts.

    >>> flicker(Clip(np.zeros((6, 64, 112, 3), np.uint8)))
    0.0
    """
    check_clip(clip)
    if len(clip) < 3:
        raise ValueError(f"The clip has {len(clip)} frames; flicker shows in three or more.")
    return float(np.abs(np.diff(tracks_of(clip).changes, axis=0)).mean() / 2 / 255)


def drift(clip: Clip, of: str = "colour") -> float:
    """Measure what the last frame has lost of the first: its colour, or its sharpness.

    Colour is the largest change of a channel's mean, as a share of its range. Sharpness is the
    change of the mean slope between neighbouring pixels, as a share of the first frame's.

    >>> drift(Clip(np.zeros((6, 64, 112, 3), np.uint8)))
    0.0
    """
    check_clip(clip)
    if of not in DRIFTS:
        raise ValueError(f"of is {of!r}; it is one of {', '.join(DRIFTS)}.")
    first, last = (clip.frames[number].astype(np.float32) for number in (0, -1))
    if of == "colour":
        return float(np.abs(last.mean((0, 1)) - first.mean((0, 1))).max() / 255)
    slopes = [sum(np.abs(np.diff(f, axis=a)).mean() for a in (0, 1)) for f in (first, last)]
    return float((slopes[1] - slopes[0]) / slopes[0]) if slopes[0] else 0.0


def likeness(clip: Clip, image: ImageLike) -> float:
    """Measure how much of a picture the frames still show: 1 is all of it, about 0 is nothing.

    The picture is fitted to the frame as the clip's own was. Each of its tiles is looked for in the
    three by three tiles around its place, and compared in colour with what matches best there, by
    SSIM ("Image Quality Assessment: From Error Visibility to Structural Similarity", Wang et al.,
    2004). The mean over tiles and frames is taken; what a pan takes out of the frame is no longer
    shown.

    >>> clip = Clip(np.zeros((6, 64, 112, 3), np.uint8))
    >>> likeness(clip, clip[0])
    1.0
    """
    check_clip(clip)
    picture = np.asarray(fit(image, *clip.frames.shape[1:3], **_fitting_of(clip)))
    # the negative of a tile shows no less of it than nothing does: 0
    shown = [_ssim(*pair).mean(1).clip(0) for pair in found_again(picture, clip)]
    return float(np.mean(shown))


def _fitting_of(clip: Clip) -> dict[str, Any]:
    requests = [step.get("request", {}) for step in steps_of(clip.recipe)]
    return fitting_in(next((request for request in requests if "fit" in request), {}))


def seam(clip: Clip) -> float:
    """Measure the jump from the last frame back to the first, in mean steps between neighbours.

    A step is the mean difference of pixels. About 1 means that the loop does not show.

    >>> seam(Clip(np.zeros((6, 64, 112, 3), np.uint8)))
    0.0
    """
    check_clip(clip)
    if len(clip) < 3:
        raise ValueError(f"The clip has {len(clip)} frames; a seam shows in three or more.")
    jump, *steps = (
        np.abs(np.subtract(after, before, dtype=np.int16)).mean()
        for before, after in itertools.pairwise([clip.frames[-1], *clip.frames])
    )
    return float(jump / np.mean(steps)) if any(steps) else 0.0


def _likeness_to_input(clip: Clip) -> float:
    if not clip.inputs:
        raise ValueError("The clip has no picture that it was made from.")
    return likeness(clip, clip.inputs[0])


# What gives one number for a clip alone: a sweep may ask for it by its name here.
MEASURES: dict[str, Callable[[Clip], float]] = {
    "motion": motion,
    "flicker": flicker,
    "drift": drift,
    "seam": seam,
    "likeness": _likeness_to_input,
}


def _ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    both = np.stack([a, b])
    levels = both.mean((-2, -1))
    rests = both - levels[..., None, None]
    common, spread = rests.prod(0).mean((-2, -1)), (rests**2).mean((-2, -1)).sum(0)
    light = (2 * levels.prod(0) + LEAST_LEVEL) / ((levels**2).sum(0) + LEAST_LEVEL)
    return light * (2 * common + LEAST_SPREAD) / (spread + LEAST_SPREAD)
