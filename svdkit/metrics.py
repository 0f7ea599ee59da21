"""Numbers about clips: how much moves, how the camera moves, what flickers, what drifts away.

Motion is found by phase correlation of tiles ("The Phase Correlation Image Alignment Method",
Kuglin and Hines, 1975): what shifts shows as a peak, whatever its brightness; what merely changes,
as noise does, shows none. All is measured per frame, so the playback rate changes nothing.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .clips import Clip
from .frames import size_of

MOST_WIDTH = 256  # pixels to which wider frames are reduced: finer motion is not looked for
MOST_TILE, LEAST_TILE = 64, 8
SOFTNESS = 1.0  # pixels by which peaks are blurred, so that their tops can be told in fractions
LEAST_PEAK = 0.4  # of a perfect one; in 500 pairs of tiles noise reached 0.33, what moved had 0.5
LEAST_CONTRAST = 0.5  # of 255: what is plainer shows no motion
DRIFTS = ("colour", "sharpness")


def motion(clip: Clip) -> float:
    """Measure how far things move: the mean displacement, in frame widths per frame.

    What rests, and what is too plain to be seen moving, counts as resting.

    >>> motion(Clip(np.zeros((6, 64, 112, 3), np.uint8)))
    0.0
    """
    tracks = _tracks(clip)
    lengths = np.hypot(*np.moveaxis(tracks.shifts, -1, 0))[tracks.inside]
    return float(lengths.mean()) / tracks.width if lengths.size else 0.0


def camera(clip: Clip) -> tuple[float, float]:
    """Measure how the picture moves as a whole: (right, down), in frame widths per frame.

    A camera that pans to the right moves the picture to the left.

    >>> camera(Clip(np.zeros((6, 64, 112, 3), np.uint8)))
    (0.0, 0.0)
    """
    tracks = _tracks(clip)
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
    if len(clip) < 3:
        raise ValueError(f"The clip has {len(clip)} frames; flicker shows in three or more.")
    return float(np.abs(np.diff(_tracks(clip).changes, axis=0)).mean() / 2 / 255)


def drift(clip: Clip, of: str = "colour") -> float:
    """Measure what the last frame has lost of the first: its colour, or its sharpness.

    Colour is the largest change of a channel's mean, as a share of its range. Sharpness is the
    change of the mean slope between neighbouring pixels, as a share of the first frame's.

    >>> drift(Clip(np.zeros((6, 64, 112, 3), np.uint8)))
    0.0
    """
    if of not in DRIFTS:
        raise ValueError(f"of is {of!r}; it is one of {', '.join(DRIFTS)}.")
    first, last = (clip.frames[number].astype(np.float32) for number in (0, -1))
    if of == "colour":
        return float(np.abs(last.mean((0, 1)) - first.mean((0, 1))).max() / 255)
    slopes = [sum(np.abs(np.diff(f, axis=a)).mean() for a in (0, 1)) for f in (first, last)]
    return float((slopes[1] - slopes[0]) / slopes[0]) if slopes[0] else 0.0


@dataclass(frozen=True)
class _Tracks:
    """What became of each tile from a frame to the next: arrays (pairs, tiles)."""

    shifts: np.ndarray
    """Pixels (right, down) of the reduced frame; 0 where nothing was seen to move."""
    seen: np.ndarray
    """Whether there was something to follow."""
    inside: np.ndarray
    """Whether the frame still holds what is followed: what leaves it cannot be measured."""
    changes: np.ndarray
    """How much brighter, of 255, what was followed became."""
    width: int
    """Of the reduced frame."""


def _tracks(clip: Clip) -> _Tracks:
    frames = _grey(clip)
    if len(frames) < 2:
        raise ValueError("The clip has one frame; motion shows in two or more.")
    height, width = frames.shape[1:]
    if min(height, width) < LEAST_TILE:
        raise ValueError(
            f"The frames are {size_of(clip.frames)}; {LEAST_TILE} pixels a side are the least that "
            "shows motion."
        )
    side = max(LEAST_TILE, min(MOST_TILE, 2 ** int(np.log2(min(height, width) / 2))))
    corners = np.stack(
        [grid.ravel() for grid in np.meshgrid(_places(height, side), _places(width, side))], -1
    )
    window = np.hanning(side + 2)[1:-1]
    window = np.outer(window, window).astype(np.float32)
    shifts, seen, inside, changes = [], [], [], []
    for before, after in itertools.pairwise(frames):
        start = _tiles(before, corners, side)
        rough, _ = _correlated(start, _tiles(after, corners, side), window)
        # once more from there: the window, which rests, draws large shifts towards zero
        whole = np.rint(rough).astype(int)
        there = np.clip(corners + whole, 0, np.array([height, width]) - side)
        inside.append(np.abs(corners + whole - there).max(1) <= side / 16)
        end = _tiles(after, there, side)
        rest, peaks = _correlated(start, end, window)
        contrast = ((start - start.mean((1, 2), keepdims=True)) * window).std((1, 2))
        here = inside[-1] & (peaks > LEAST_PEAK) & (contrast > LEAST_CONTRAST)
        shift = np.where(here[:, None], there - corners + rest, 0)
        end = np.where(here[:, None, None], end, _tiles(after, corners, side))
        shifts.append(shift[:, ::-1])
        seen.append(here)
        changes.append(((end - start) * window).sum((1, 2)) / window.sum())
    return _Tracks(*map(np.stack, (shifts, seen, inside, changes)), width)


def _grey(clip: Clip) -> np.ndarray:
    grey = clip.frames.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    height, width = grey.shape[1:]
    if width <= MOST_WIDTH:
        return grey
    size = (MOST_WIDTH, max(1, round(height * MOST_WIDTH / width)))
    small = (Image.fromarray(frame).resize(size, Image.Resampling.BOX) for frame in grey)
    return np.stack([np.asarray(frame) for frame in small])


def _places(length: int, side: int) -> np.ndarray:
    """Spread tiles over a length, each half over the next."""
    count = round((length - side) / (side / 2)) + 1
    return np.linspace(0, length - side, count).round().astype(int)


def _tiles(frame: np.ndarray, corners: np.ndarray, side: int) -> np.ndarray:
    return np.stack([frame[y : y + side, x : x + side] for y, x in corners])


def _correlated(a: np.ndarray, b: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the shift (down, right) from each tile of a to that of b, and how sure it is, 0–1."""
    side = window.shape[0]
    spectra = []
    for tiles in (a, b):
        level = (tiles * window).sum((1, 2), keepdims=True) / window.sum()
        spectra.append(np.fft.rfft2((tiles - level) * window))
    cross = spectra[1] * spectra[0].conj()
    strength = np.abs(cross)
    # frequencies that hardly occur have a phase of chance: they count for less
    phases = cross / (strength + 0.05 * strength.mean((1, 2), keepdims=True) + 1e-9)
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    soft = np.exp(-2 * np.pi**2 * SOFTNESS**2 * (fy**2 + fx**2))
    surface = np.fft.irfft2(phases * soft, s=(side, side))
    best = surface.reshape(len(surface), -1).argmax(1)
    tops = np.stack(np.unravel_index(best, (side, side)), -1)
    every = np.arange(len(surface))

    def height_at(offset: tuple[int, int]) -> np.ndarray:
        y, x = ((tops + offset) % side).T
        return np.log(np.maximum(surface[every, y, x], 1e-6))

    centre = height_at((0, 0))
    shifts = np.where(tops > side / 2, tops - side, tops).astype(float)
    for axis, step in enumerate(((1, 0), (0, 1))):
        low, high = height_at((-step[0], -step[1])), height_at(step)
        bend = low - 2 * centre + high  # the logarithm of a Gaussian peak is a parabola
        offset = np.divide(low - high, 2 * bend, out=np.zeros_like(bend), where=bend < -1e-9)
        shifts[:, axis] += offset.clip(-0.5, 0.5)
    perfect = np.fft.irfft2(soft, s=(side, side))[0, 0]
    return shifts, surface.reshape(len(surface), -1).max(1) / perfect
