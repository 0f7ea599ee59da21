"""loop: a clip whose end meets its beginning."""

import os
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from .animation import animate, check_request, foreseen
from .clips import Clip
from .frames import frozen, sha256_of_frames
from .images import ImageLike
from .metrics import motion, seam
from .models import did_you_mean
from .notes import steps_of
from .settings import holding

if TYPE_CHECKING:
    from diffusers import StableVideoDiffusionPipeline

# None of them asks the model: of tiny's clips of ten pictures all loop once they are blended, and
# one to seven of ten where the loop is closed in the latents (tests/benchmarks/looping.py).
WAYS = ("auto", "blend", "boomerang")
LEAST_FRAMES = 3  # of a loop: a seam shows in so many
GOOD = 1.2  # mean steps: what jumps no further does not show
KEPT = 0.7  # of its motion is what a clip should keep
MOST_TRIED = 12  # overlaps of a long clip, until one is good; then those before it, one by one


def loop(
    clip: Clip | ImageLike,
    pipeline: "str | os.PathLike | StableVideoDiffusionPipeline" = "auto",
    how: str = "auto",
    *,
    overlap: int | None = None,
    seed: int | None = None,
    progress: bool = True,
    **settings: Any,
) -> Clip:
    """Loop a clip, so that its end meets its beginning; a picture is animated first.

    "auto" and "blend" fade the last `overlap` frames into the first ones: the clip becomes so many
    frames shorter, and what travels is seen twice meanwhile. An overlap not given is the shortest
    after which neither the seam nor the fade jumps, and 0.7 of the motion is kept; by "auto", a
    clip that loops already stays as it is. "boomerang" plays forth and back. All else is as in
    `animate`, and for a picture alone; fit it first where it shall not be cropped.

    >>> from svdkit.toyland.scenes import scene
    >>> loop(Clip(scene(4).clip()), progress=False)
    Clip(12 frames, 64×112, 7 fps, 1.7 s)
    """
    if how not in WAYS:
        near = did_you_mean(how, WAYS)
        raise ValueError(f"how is {how!r:.60}; it is one of {', '.join(WAYS)}.{near}")
    if isinstance(pipeline, str) and pipeline in WAYS[1:]:
        raise TypeError(f"{pipeline!r} is no model; say it by name: loop(…, how={pipeline!r}).")
    if how == "boomerang" and overlap is not None:
        raise TypeError(f"overlap is {overlap!r:.60}; a boomerang has none. Leave it out.")
    if overlap is not None:
        _check_whole(overlap)
    if not isinstance(clip, Clip):
        settings = holding(settings)
        _check_picture(pipeline, how, overlap, seed, settings)
        clip = animate(clip, pipeline, seed=seed, progress=progress, **settings)
    elif seed is not None or settings:
        names = ", ".join([*settings, *(["seed"] if seed is not None else [])])
        raise TypeError(
            f"The clip is made already, and {names} would change nothing of it. Leave that out, or "
            "give the picture instead, to be animated and looped."
        )
    if how == "boomerang":
        return clip.boomerang()
    frames_blended(len(clip), 1 if overlap is None else overlap)  # which tells what cannot be
    if how == "auto" and overlap is None and seam(clip) <= GOOD:
        if progress:
            print(f"The clip loops as it is: seam {seam(clip):.1f}. how='blend' fades it still.")
        return clip
    best = _best(clip) if overlap is None else _Candidate(clip, int(overlap))
    if progress:
        print(best)
    return best.loop


def blended(clip: Clip, overlap: int) -> Clip:
    """Fade the last frames of a clip into its first ones: it becomes as many frames shorter.

    >>> blended(Clip(np.zeros((6, 64, 112, 3), np.uint8)), 2)
    Clip(4 frames, 64×112, 7 fps, 0.6 s)
    """
    count = frames_blended(len(clip), overlap)
    frames = clip.frames[:count].copy()
    for number in range(overlap):  # from a little of the beginning to nearly all of it
        weight = np.float32((number + 1) / (overlap + 1))
        old, new = (clip.frames[at].astype(np.float32) for at in (count + number, number))
        frames[number] = (old + weight * (new - old)).round()
    step = {
        "request": {"edit": "loop", "how": "blend", "overlap": int(overlap)},
        "outcome": {"frames_sha256": sha256_of_frames(frames)},
    }
    return Clip(frozen(frames), clip.fps, {"steps": [*steps_of(clip.recipe), step]}, clip.inputs)


def frames_blended(count: int, overlap: int) -> int:
    """Count the frames of a clip that a loop of it has, and refuse an overlap that it cannot have.

    >>> frames_blended(14, 4)
    10
    """
    _check_whole(overlap)
    most = min(count // 2, count - LEAST_FRAMES)
    if most < 1:
        raise ValueError(f"The clip has {count} frames; {LEAST_FRAMES + 1} are the least to loop.")
    if not 1 <= overlap <= most:
        raise ValueError(f"overlap is {overlap}; a clip of {count} frames allows 1–{most}.")
    return count - int(overlap)


def _check_picture(
    pipeline: "str | os.PathLike | StableVideoDiffusionPipeline",
    how: str,
    overlap: int | None,
    seed: int | None,
    settings: dict[str, Any],
) -> None:
    """Make sure that a picture's clip can be looped so, before it is made."""
    rest = {name: value for name, value in settings.items() if name not in ("focus", "on_step")}
    check_request(rest, seed=seed, verb=loop)
    expected = foreseen(rest, pipeline)
    if expected and how != "boomerang":
        frames_blended(expected.num_frames, 1 if overlap is None else overlap)


def _check_whole(overlap: Any) -> None:
    if isinstance(overlap, bool) or not isinstance(overlap, Integral):
        raise TypeError(f"overlap is {overlap!r:.60}; it is a whole number of frames, or None.")


@dataclass(frozen=True)
class _Candidate:
    """A clip, blended over so many frames, and how well it loops."""

    clip: Clip
    overlap: int

    @cached_property
    def loop(self) -> Clip:
        return blended(self.clip, self.overlap)

    @cached_property
    def seam(self) -> float:
        return seam(self.loop)

    @cached_property
    def fade(self) -> float:
        """The largest step of the fade, in mean steps: a seam may be spread and not be gone."""
        frames = self.loop.frames
        steps = np.array(
            [
                np.abs(np.subtract(frames[at], frames[at - 1], dtype=np.int16)).mean()
                for at in range(len(frames))
            ]
        )
        return float(steps[: self.overlap + 1].max() / steps.mean()) if steps.any() else 0.0

    @cached_property
    def kept(self) -> float:
        """The share of the motion that is kept."""
        before = motion(self.clip)
        return motion(self.loop) / before if before else 1.0

    @property
    def is_good(self) -> bool:
        return self.kept >= KEPT and max(self.seam, self.fade) <= GOOD

    @property
    def badness(self) -> tuple[float, ...]:
        """What to avoid, the worst first."""
        return (self.kept < KEPT, max(self.seam, GOOD), max(self.fade, GOOD), self.overlap)

    def __str__(self) -> str:
        told = (
            f"Looped: {len(self.loop)} of {len(self.clip)} frames, the last {self.overlap} faded "
            f"into the first; seam {seam(self.clip):.1f} → {self.seam:.1f}, {self.kept:.0%} of the "
            "motion kept."
        )
        if self.fade > max(GOOD, self.seam):
            told += f" Its fade jumps: {self.fade:.1f} mean steps."
        if self.kept < KEPT:
            told += " That is little; how='boomerang' keeps all of it."
        return told


def _best(clip: Clip) -> _Candidate:
    """Find the shortest overlap that is good, else the one that is nearest to it."""
    most = min(len(clip) // 2, len(clip) - LEAST_FRAMES)
    overlaps = np.unique(np.linspace(1, most, min(most, MOST_TRIED)).round().astype(int)).tolist()
    tried = [_Candidate(clip, overlap) for overlap in overlaps]
    for too_short, candidate in zip([0, *overlaps], tried, strict=False):
        if candidate.is_good:
            between = (_Candidate(clip, n) for n in range(too_short + 1, candidate.overlap))
            return next((shorter for shorter in between if shorter.is_good), candidate)
    return min(tried, key=lambda candidate: candidate.badness)
