"""What is asked of an extension: its settings, and its request, checked before anything is made."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from .clips import Clip
from .frames import check_size, size_of
from .limits import MAX_SEED
from .matching import sharpness, toned
from .notes import steps_of
from .records import request_of
from .settings import Settings, changed, settings_in

if TYPE_CHECKING:
    from diffusers import StableVideoDiffusionPipeline

SETTINGS = tuple(field.name for field in fields(Settings))
OVERLAP = 5
MOST_SHOWN = 60  # characters of a value in a message
Size = tuple[int, int, int]  # frames, height, width


def settings_for(clip: Clip, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings of an extension: those given, else those that the clip was made with.

    Its guidance is left open: it has a curve of its own, which need not suit a chain.

    >>> recipe = {"request": {"verb": "animate", "settings": {"fps": 12, "motion_bucket_id": 30}}}
    >>> clip = Clip(np.zeros((6, 64, 112, 3), np.uint8), recipe=recipe)
    >>> settings_for(clip, {"fps": 6})
    {'fps': 6, 'motion_bucket_id': 30, 'height': 64, 'width': 112}
    """
    given = {name: value for name, value in settings.items() if value is not None}
    known = _settings_behind(clip)
    for name, side in zip(("height", "width"), clip.frames.shape[1:3], strict=True):
        if given.get(name, side) != side:
            raise ValueError(
                f"{name} is {given[name]!r:.{MOST_SHOWN}}, and an extension has the size of its "
                f"clip, {size_of(clip.frames)}; leave it out."
            )
        if side % 8 or not 16 <= side <= 4096:
            raise ValueError(
                f"The clip is {size_of(clip.frames)}; a model goes on from frames whose sides "
                "divide by 8 and are 16–4096 pixels."
            )
        known[name] = int(side)
    if known.get("decode_chunk_size") == known.get("num_frames"):
        known.pop("decode_chunk_size", None)  # all at once, however many there will be
    return changed(known, given)


def checked_overlap(overlap: Any, clip: Clip, num_frames: int | None) -> int:
    """Make sure that so many of the last frames can fade into so many new ones, and some remain.

    None asks for the usual number, or for fewer where few frames are made. How many new ones there
    will be need not be known yet.

    >>> checked_overlap(4, Clip(np.zeros((6, 64, 112, 3), np.uint8)), num_frames=5)
    Traceback (most recent call last):
    ValueError: overlap is 4; it is a whole number, 0–3, for a clip of 6 frames and 5 new ones.
    """
    most = min(len(clip) - 1, num_frames - 2 if num_frames else len(clip))
    if overlap is None:
        # of a short clip most should be new, too
        return min(OVERLAP, most, 1 + num_frames // 3 if num_frames else most)
    is_whole = isinstance(overlap, (int, np.integer)) and not isinstance(overlap, bool)
    if not is_whole or not 0 <= overlap <= most:
        raise ValueError(
            f"overlap is {overlap!r:.{MOST_SHOWN}}; it is a whole number, 0–{most}, for a clip of "
            f"{len(clip)} frames{f' and {num_frames} new ones' if num_frames else ''}."
        )
    return int(overlap)


def starts_in(clip: Clip, overlap: int) -> list[int]:
    """Give the last frames that an extension may go on from, the sharpest first.

    >>> starts_in(Clip(np.zeros((6, 64, 112, 3), np.uint8)), overlap=3)
    [2, 3]
    """
    last, first = len(clip) - 1, clip.frames[0]
    # where fewer than 3 frames faded, joins of tiny jumped distinctly more
    candidates = range(last - overlap, last - (overlap + 1) // 2 + 1)
    return sorted(candidates, key=lambda n: -sharpness(toned(clip.frames[n], first)))


def request_for(
    clip: Clip,
    pipeline: "StableVideoDiffusionPipeline",
    settings: Settings,
    *,
    seed: int,
    start: int,
    overlap: int,
) -> dict[str, Any]:
    """Write down what is asked of one extension: from the same clip it makes the same again.

    Its seed follows from `seed` and the extensions before it, so that extending twice by one is
    the same as once by two.

    >>> from svdkit import load
    >>> clip, svd = Clip(np.zeros((6, 64, 112, 3), np.uint8)), load("tiny", device="cpu")
    >>> request_for(clip, svd, Settings(num_frames=14), seed=7, start=2, overlap=3)["start"]
    2
    """
    before = sum(step.get("request", {}).get("verb") == "extend" for step in steps_of(clip.recipe))
    digest = hashlib.sha256(f"{seed} {before}".encode()).digest()
    own_seed = int.from_bytes(digest[:4], "big")
    return plain_request(pipeline, settings, seed=own_seed, start=start, overlap=overlap)


def plain_request(
    pipeline: "StableVideoDiffusionPipeline", settings: Settings, *, seed: int, **how: int
) -> dict[str, Any]:
    """Write down the request of an extension whose start and own seed are known.

    >>> from svdkit import load
    >>> plain_request(load("tiny", device="cpu"), Settings(), seed=7, start=10, overlap=4)["verb"]
    'extend'
    """
    from PIL import Image

    request = request_of(pipeline, Image.new("RGB", (8, 8)), settings, seed=seed)
    for name in ("image_sha256", "fit"):  # its picture follows from the clip
        del request[name]
    return request | {"verb": "extend", **how}


def size_after_extend(request: Mapping[str, Any], *sizes: Size) -> Size:
    """Give the size of what an extension makes of a clip of this size; what cannot be is an error.

    >>> settings = {"num_frames": 14, "height": 64, "width": 112}
    >>> request = {"settings": settings, "seed": 7, "start": 10, "overlap": 4}
    >>> size_after_extend(request, (14, 64, 112))
    (24, 64, 112)
    """
    if len(sizes) != 1:
        raise ValueError(f"The recipe extends {len(sizes)} clips; an extension goes on from one.")
    ((count, height, width),) = sizes
    settings = settings_in(request)
    if (settings.height, settings.width) != (height, width):
        raise ValueError(
            f"The recipe goes on from frames of {height}×{width} with frames of "
            f"{settings.height}×{settings.width}."
        )
    if settings.num_frames is None:
        raise ValueError("The recipe's settings leave num_frames open.")
    _whole(request, "seed", 0, MAX_SEED)
    start = _whole(request, "start", 0, count - 1)
    _whole(request, "overlap", count - 1 - start, count - 1)
    longer = start + settings.num_frames
    if longer <= count:
        raise ValueError(
            f"The recipe's num_frames is {settings.num_frames}; from frame {start} on that goes "
            f"not beyond the {count} frames that are there."
        )
    check_size(longer, height, width)
    return longer, height, width


def _settings_behind(clip: Clip) -> dict[str, Any]:
    """Read from the recipe with which settings a clip was made, or was last extended."""
    for step in reversed(steps_of(clip.recipe)):
        request = step.get("request", {})
        if request.get("verb") in ("animate", "cinemagraph", "extend"):
            settings, named = asdict(settings_in(request)), request["settings"]
            names = [name for name in SETTINGS if name in named and name != "guidance"]
            return {name: settings[name] for name in names if settings[name] is not None}
    return {}


def _whole(request: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = request.get(name)
    if type(value) is not int or not low <= value <= high:
        raise ValueError(
            f"The recipe's {name} is {value!r:.{MOST_SHOWN}}; it is a whole number, {low}–{high}."
        )
    return value
