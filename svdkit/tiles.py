"""The tiles of a frame, followed from frame to frame, and found again in others.

Motion is found by phase correlation ("The Phase Correlation Image Alignment Method", Kuglin and
Hines, 1975): what shifts shows as a peak, whatever its brightness; what merely changes, as noise
does, shows none.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from .clips import Clip, check_clip
from .frames import size_of

MOST_WIDTH = 256  # pixels to which wider frames are reduced: finer motion is not looked for
MOST_TILE, LEAST_TILE = 64, 8
SOFTNESS = 1.0  # pixels by which peaks are blurred, so that their tops can be told in fractions
LEAST_PEAK = 0.4  # of a perfect one; in 500 pairs of tiles noise reached 0.33, what moved had 0.5
LEAST_CONTRAST = 0.5  # of 255: what is plainer shows no motion
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
NEARNESS = 0.02  # of a perfect match, a tile's side away: what is plain would match anywhere


@dataclass(frozen=True)
class Tracks:
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


_known: "WeakKeyDictionary[Clip, Tracks]" = WeakKeyDictionary()


def tracks_of(clip: Clip) -> Tracks:
    """Follow the tiles of a clip, once for as long as it lives: clips are values.

    >>> tracks_of(Clip(np.zeros((6, 64, 112, 3), np.uint8))).shifts.shape
    (5, 18, 2)
    """
    check_clip(clip)
    if clip not in _known:  # two threads may both come here: they find the same
        _known[clip] = _followed(clip)
    return _known[clip]


def found_again(picture: np.ndarray, clip: Clip) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give the tiles of a picture of the clip's size, and what matches them best in each frame.

    >>> clip = Clip(np.zeros((6, 64, 112, 3), np.uint8))
    >>> len(list(found_again(clip.frames[0], clip)))
    6
    """
    planes = _colours(picture)
    corners, side = _layout(clip, planes)
    tiles = _tiles(planes, corners, side)
    for there in _found(tiles, corners, clip):
        yield tiles, there


def _followed(clip: Clip) -> Tracks:
    if len(clip) < 2:
        raise ValueError("The clip has one frame; motion shows in two or more.")
    frames = _reduced(clip.frames.astype(np.float32) @ LUMA)
    corners, side = _layout(clip, frames)
    window = np.hanning(side + 2)[1:-1]
    window = np.outer(window, window).astype(np.float32)
    shifts, seen, inside, changes = [], [], [], []
    laid = ((f, tiles := _tiles(f, corners, side), _spectra(tiles, window)) for f in frames)
    for (_, start, from_here), (after, stay, to_here) in itertools.pairwise(laid):
        rough, _ = _correlated(from_here, to_here)
        # once more from there: the window, which rests, draws large shifts towards zero
        whole = np.rint(rough).astype(int)
        there = np.clip(corners + whole, 0, np.array(after.shape) - side)
        inside.append(np.abs(corners + whole - there).max(1) <= side / 16)
        end = _tiles(after, there, side)
        rest, peaks = _correlated(from_here, _spectra(end, window))
        contrast = ((start - start.mean((1, 2), keepdims=True)) * window).std((1, 2))
        here = inside[-1] & (peaks > LEAST_PEAK) & (contrast > LEAST_CONTRAST)
        shifts.append(np.where(here[:, None], there - corners + rest, 0)[:, ::-1])
        end = np.where(here[:, None, None], end, stay)
        seen.append(here)
        changes.append(((end - start) * window).sum((1, 2)) / window.sum())
    return Tracks(*map(np.stack, (shifts, seen, inside, changes)), frames.shape[2])


def _reduced(planes: np.ndarray) -> np.ndarray:
    height, width = planes.shape[1:]
    if width <= MOST_WIDTH:
        return planes
    size = (MOST_WIDTH, max(1, round(height * MOST_WIDTH / width)))
    small = (Image.fromarray(plane).resize(size, Image.Resampling.BOX) for plane in planes)
    return np.stack([np.asarray(plane) for plane in small])


def _colours(frame: np.ndarray) -> np.ndarray:
    """Give the reduced channels of a frame: (3, height, width)."""
    return _reduced(np.moveaxis(frame, -1, 0).astype(np.float32, order="C"))


def _layout(clip: Clip, planes: np.ndarray) -> tuple[np.ndarray, int]:
    """Spread tiles over the reduced frame: their corners (down, right), and their side."""
    height, width = planes.shape[1:]
    if min(height, width) < LEAST_TILE:
        raise ValueError(
            f"The frames are {size_of(clip.frames)}; {LEAST_TILE} pixels a side are the least that "
            "can be followed."
        )
    side = max(LEAST_TILE, min(MOST_TILE, 2 ** int(np.log2(min(height, width) / 2))))
    grids = np.meshgrid(_places(height, side), _places(width, side))
    return np.stack([grid.ravel() for grid in grids], -1), side


def _places(length: int, side: int) -> np.ndarray:
    """Spread tiles over a length, each half over the next."""
    count = round((length - side) / (side / 2)) + 1
    return np.linspace(0, length - side, count).round().astype(int)


def _tiles(frame: np.ndarray, corners: np.ndarray, side: int) -> np.ndarray:
    return np.stack([frame[..., y : y + side, x : x + side] for y, x in corners])


def _found(tiles: np.ndarray, corners: np.ndarray, clip: Clip) -> Iterator[np.ndarray]:
    """Give what matches the tiles best in each frame, by the correlation of greys."""
    size, side = _colours(clip.frames[0]).shape[1:], tiles.shape[-1]
    room = tuple(np.minimum(size, 3 * side))
    starts = np.clip(corners - side, 0, np.array(size) - room)
    ys, xs = np.ogrid[: room[0] - side + 1, : room[1] - side + 1]
    down, right = (starts - corners).T[..., None, None]
    handicap = NEARNESS * np.hypot(ys + down, xs + right) / side
    least = side**2 * LEAST_CONTRAST**2
    sought = np.tensordot(tiles, LUMA, (1, 0))
    sought -= sought.mean((1, 2), keepdims=True)
    sought /= np.sqrt((sought**2).sum((1, 2), keepdims=True).clip(least))
    spectra = np.fft.rfft2(sought, s=room).conj()
    for frame in map(_colours, clip.frames):
        grey = np.tensordot(LUMA, frame, 1)
        spread = _sums(grey**2, side) - _sums(grey, side) ** 2 / side**2
        rooms = sliding_window_view(grey, room)[*starts.T]
        spreads = sliding_window_view(np.sqrt(spread.clip(least)), handicap.shape[1:])[*starts.T]
        matches = np.fft.irfft2(np.fft.rfft2(rooms) * spectra, s=room)[:, : len(ys), : xs.size]
        best = (matches / spreads - handicap).reshape(len(tiles), -1).argmax(1)
        there = starts + np.stack(np.unravel_index(best, spreads.shape[1:]), -1)
        yield _tiles(frame, there, side)


def _sums(plane: np.ndarray, side: int) -> np.ndarray:
    """Sum up every square of a plane."""
    sums = np.pad(plane.cumsum(0, dtype=float).cumsum(1), ((1, 0), (1, 0)))
    return sums[side:, side:] - sums[side:, :-side] - sums[:-side, side:] + sums[:-side, :-side]


def _spectra(tiles: np.ndarray, window: np.ndarray) -> np.ndarray:
    level = (tiles * window).sum((1, 2), keepdims=True) / window.sum()
    return np.fft.rfft2((tiles - level) * window)


def _correlated(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give each tile's shift (down, right) from its spectrum in a to b, and how sure it is, 0–1."""
    side = a.shape[1]
    cross = b * a.conj()
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
