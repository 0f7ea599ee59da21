"""extend: a longer clip, chained on from near its end, and kept from drifting away."""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .animation import check_request, ready
from .checkpoints import check_kind
from .clips import Clip, check_clip
from .extensions import (
    SETTINGS,
    checked_overlap,
    plain_request,
    request_for,
    settings_for,
    size_after_extend,
    starts_in,
)
from .frames import check_size, frozen
from .links import Links, name_of
from .matching import joined, restored
from .notes import steps_of
from .progress import Bar
from .records import fingerprint_of_weights, outcome_of
from .running import run
from .seams import in_one_line, measured_join
from .settings import Settings, held

if TYPE_CHECKING:
    from diffusers import StableVideoDiffusionPipeline
    from PIL import Image

# Strongest in the middle, so that no extension starts from the frames that were guided most. Tried
# on two scenes with one seed each, four extensions by tiny, before sharpness was matched: the last
# frames had 1.00 and 1.03 times the detail of the first (variance of the Laplacian); with "linear"
# 1.25 and 1.14; with at most 1.3 of it 0.54, in the one scene that was tried.
GUIDANCE = "triangle"
MAX_SEAM = 1.5
TRIES = 3  # of a join, each as long as a clip takes
LIMITS = {"max_drift": "a share of white, like 0.05", "max_seam": "mean steps, like 1.5"}


def extend(
    clip: Clip,
    pipeline: "str | os.PathLike | StableVideoDiffusionPipeline" = "auto",
    *,
    times: int = 1,
    seed: int | None = None,
    overlap: int | None = None,
    max_drift: float | None = None,
    max_seam: float | None = MAX_SEAM,
    folder: str | os.PathLike | None = None,
    progress: bool = True,
    guidance: str | Iterable[float] = GUIDANCE,
    **settings: Any,
) -> Clip:
    """Make a clip longer: animate on from near its end, several times over, without drifting away.

    Each extension starts from the sharpest of the last frames, so that at most `overlap` of them (5
    or fewer, if not given) and at least half of that fade into what comes next. It takes on the
    colour, contrast and sharpness of the first frame. `settings` are those of `Settings`; what is
    not given is as the clip was made. With a `folder`, each extension is stored as soon as it is
    made, and the same call makes only what is not there yet.

    Where the seam of a join is above `max_seam`, in mean steps as in `joins`, up to two more of the
    last frames are started from, the next sharpest first, and the smoothest is kept; None takes the
    first as it is. An extension that drifts beyond `max_drift`, a share of white as in `drift`, is
    left out and ends the chain, which is said. `joins(clip)` tells the drift and the seam of each.

    >>> from svdkit import animate, sample_image
    >>> quick = {"num_inference_steps": 1, "progress": False}
    >>> clip = animate(sample_image(), "tiny", seed=7, num_frames=6, **quick)
    >>> extend(clip, "tiny", times=2, overlap=0, seed=7, **quick)
    Clip(16 frames, 64×112, 7 fps, 2.3 s)
    """
    _check_call(clip, times, {"max_drift": max_drift, "max_seam": max_seam})
    if progress and any(_is_cinemagraph(step) for step in steps_of(clip.recipe)):
        print("Remark: an extension moves the whole picture; loop(clip) goes on with its still.")
    guidance = GUIDANCE if guidance is None else held(guidance)
    check_request(settings | {"guidance": guidance}, seed=seed, verb=extend)
    values = settings_for(clip, settings) | {"guidance": guidance}
    check_request(values)
    if not isinstance(pipeline, (str, os.PathLike)):
        check_kind("animate", pipeline)
    size = (values["width"], values["height"])
    checked_overlap(overlap, clip, values.get("num_frames"))  # loading may mean a download
    pipeline, wanted, drawn = ready(pipeline, values, size, seed, progress)
    overlap = checked_overlap(overlap, clip, wanted.num_frames)
    check_size(len(clip) + min(times, 10**9) * wanted.num_frames, *clip.frames.shape[1:3])
    links = None if folder is None else Links(folder)
    seed = links.seed() if links and seed is None else drawn
    make = partial(_linked, pipeline=pipeline, links=links, progress=progress)
    with Bar(total=times, desc="extending", unit="extension", disable=not progress) as bar:
        for number in range(1, times + 1):
            # a list: an interrupt that strikes as a generator is left is lost
            requests = [
                request_for(clip, pipeline, wanted, seed=seed, start=start, overlap=overlap)
                for start in starts_in(clip, overlap)[:TRIES]
            ]
            longer, join, tries = _smoothest(clip, requests, make, max_drift, max_seam)
            if _above(join["drift"], max_drift):
                bar.write(
                    f"Extension {number} of {times} is left out: its drift is {join['drift']:.3f}, "
                    f"and max_drift is {max_drift:g}. The clip has {len(clip)} frames."
                )
                break
            clip = longer
            bar.update()
            if progress:
                others = f" (the smoothest of {tries})" if tries > 1 else ""
                bar.write(f"Extension {number} of {times}: {in_one_line(join)}{others}.")
    return clip


def redo_extend(
    request: Mapping[str, Any],
    pipeline: "StableVideoDiffusionPipeline",
    pictures: Sequence["Image.Image"],
    clips: Sequence[Clip],
    progress: bool = True,
) -> Clip:
    """Make an extension again as its request has it, from the clip that was there before it.

    >>> from svdkit import load, sample_image, animate
    >>> svd, quick = load("tiny", device="cpu"), {"num_inference_steps": 1, "progress": False}
    >>> clip = animate(sample_image(), svd, seed=7, num_frames=6, **quick)
    >>> longer = extend(clip, svd, seed=7, **quick)
    >>> again = redo_extend(longer.recipe["steps"][-1]["request"], svd, [], [clip], False)
    >>> bool((again.frames == longer.frames).all())
    True
    """
    size_after_extend(request, *(clip.frames.shape[:3] for clip in clips))
    values = {name: request["settings"].get(name) for name in SETTINGS}
    size = (values["width"], values["height"])
    pipeline, settings, seed = ready(pipeline, values, size, request["seed"])
    how = {name: request[name] for name in ("start", "overlap")}
    return _made(clips[0], plain_request(pipeline, settings, seed=seed, **how), pipeline, progress)


def _smoothest(
    clip: Clip,
    requests: Iterable[dict[str, Any]],
    make: Callable[[Clip, dict[str, Any]], Clip],
    max_drift: float | None,
    max_seam: float | None,
) -> tuple[Clip, dict[str, Any], int]:
    """Make extensions until one joins smoothly; give the best, its join, and how many were made."""
    best, tries = None, 0
    for request in requests:
        longer = make(clip, request)
        # measured anew: what a folder holds may have been changed, but for its frames
        join = {"start": request["start"], "frames": len(longer)}
        join |= measured_join(longer, request["start"], len(clip))
        tries += 1
        rank = (_above(join["drift"], max_drift), join["seam"])
        if best is None or rank < best[0]:
            best = (rank, longer, join)
        if not _above(join["seam"], max_seam):
            break
    return *best[1:], tries


def _above(value: float, most: float | None) -> bool:
    return most is not None and value > most


def _linked(
    clip: Clip, request: dict[str, Any], pipeline: Any, links: Links | None, progress: bool
) -> Clip:
    """Take an extension from its folder, or make it and put it there."""
    if links is None:
        return _made(clip, request, pipeline, progress)
    dtype = str(pipeline.unet.dtype).removeprefix("torch.")
    name = name_of(request | {"dtype": dtype}, clip)  # fingerprints of one dtype compare
    found = links.find(name, fingerprint_of_weights(pipeline))
    if found:
        return _with_step(clip, *found)
    longer = _made(clip, request, pipeline, progress)
    links.keep(name, longer)
    return longer


def _made(clip: Clip, request: dict[str, Any], pipeline: Any, progress: bool) -> Clip:
    """Make one extension: the clip up to its start, the fade, and what is new."""
    from PIL import Image

    start, settings = request["start"], Settings.of(request["settings"])
    picture = restored(clip.frames[start], clip.frames[0]).round().astype(np.uint8)
    new = run(pipeline, Image.fromarray(picture), settings, request["seed"], progress)
    frames = frozen(joined(clip.frames, start, new))
    outcome = outcome_of(pipeline, frames) | measured_join(Clip(frames), start, len(clip))
    return _with_step(clip, frames, {"request": request, "outcome": outcome})


def _is_cinemagraph(step: Mapping[str, Any]) -> bool:
    return step.get("request", {}).get("verb") == "cinemagraph"


def _with_step(clip: Clip, frames: np.ndarray, step: dict[str, Any]) -> Clip:
    return Clip(frames, clip.fps, {"steps": [*steps_of(clip.recipe), step]}, clip.inputs)


def _check_call(clip: Any, times: Any, limits: Mapping[str, Any]) -> None:
    check_clip(clip)
    if len(clip) < 2:
        raise ValueError("The clip has one frame; extend goes on from two or more. Use animate.")
    if isinstance(times, bool) or not isinstance(times, (int, np.integer)) or times < 1:
        raise ValueError(f"times is {times!r:.60}; it is a whole number from 1.")
    for name, value in limits.items():
        is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 <= value < math.inf):
            raise ValueError(f"{name} is {value!r:.60}; it is {LIMITS[name]}, or None.")
