"""aim: the motion bucket whose clip moves as much as one wishes, by measuring."""

import html
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from .animation import animate, check_request
from .clips import Clip
from .drawings import opened
from .images import FITTING, ImageLike
from .metrics import motion as motion_of
from .pipelines import load_for
from .progress import Bar
from .settings import LIMITS

if TYPE_CHECKING:
    from diffusers import StableVideoDiffusionPipeline

LOWEST = int(LIMITS["motion_bucket_id"].low)
HIGHEST = int(LIMITS["motion_bucket_id"].high)
NEAR = 0.05  # of the wish: nearer than that nobody sees
MOST_WISH = 0.5  # frame widths per frame, beyond which motion is not measured


@dataclass(frozen=True)
class Aim:
    """What aiming at a motion came to.

    >>> import numpy as np
    >>> Aim(Clip(np.zeros((3, 64, 112, 3), np.uint8)), 255, 0.01, 0.02, {255: 0.01})
    Aim(motion 0.01 at motion_bucket_id 255, 50 % below the 0.02 wished for)
    """

    clip: Clip
    """The clip that comes nearest."""
    motion_bucket_id: int
    """The bucket of that clip, 0–255."""
    motion: float
    """What was measured of it, in frame widths per frame."""
    wish: float
    """What was wished for, in the same."""
    tried: dict[int, float] = field(default_factory=dict)
    """The motion of every bucket that was tried, in the same."""

    @property
    def verdict(self) -> str:
        """How near it came, in a sentence."""
        percent = round(100 * (self.motion / self.wish - 1))
        side = f"{abs(percent)} % {'above' if percent > 0 else 'below'}" if percent else "just"
        return (
            f"motion {self.motion:.3g} at motion_bucket_id {self.motion_bucket_id}, {side} the "
            f"{self.wish:.3g} wished for"
        )

    def __repr__(self) -> str:
        return f"Aim({self.verdict})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.verdict)}</p>{self.clip.player()}"


def aim(
    image: ImageLike,
    pipeline: "str | os.PathLike | StableVideoDiffusionPipeline" = "auto",
    motion: float = 0.02,
    *,
    seed: int | None = None,
    most_clips: int = 8,
    progress: bool = True,
    **settings: Any,
) -> Aim:
    """Find the motion bucket whose clip moves as much as wished, by bisection.

    `motion` is in frame widths per frame, as `sk.motion` measures it: 0.02 of 1024 pixels are 20.
    The same seed and settings are tried at bucket after bucket, until one is within a twentieth
    of the wish, or `most_clips` are made; the nearest is given, with how near it is.

    >>> from svdkit import sample_image
    >>> few = {"num_inference_steps": 1, "num_frames": 3, "progress": False}
    >>> aimed = aim(sample_image(), "tiny", 0.01, seed=7, most_clips=2, **few)
    >>> len(aimed.tried)
    2
    """
    is_number = isinstance(motion, Real) and not isinstance(motion, bool)
    if not is_number or not 0 < motion <= MOST_WISH:
        raise ValueError(
            f"motion is {motion!r}; it is the wish in frame widths per frame, 0–{MOST_WISH}, "
            "like 0.02."
        )
    if isinstance(most_clips, bool) or not isinstance(most_clips, Integral) or most_clips < 1:
        raise ValueError(f"most_clips is {most_clips!r}; a whole number from 1 is needed.")
    if "motion_bucket_id" in settings:
        raise TypeError("motion_bucket_id is what aim looks for; leave it out, or use animate.")
    others = {name: settings[name] for name in (*FITTING, "on_step") if name in settings}
    check_request({n: v for n, v in settings.items() if n not in others}, seed=seed, **others)
    picture = opened(image)
    if isinstance(pipeline, (str, os.PathLike)):
        pipeline = load_for("animate", pipeline, progress=progress)
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    tried: dict[int, float] = {}
    best: Aim | None = None
    with Bar(total=most_clips, desc="aiming", unit="clip", disable=not progress) as bar:
        for bucket in _buckets(motion, tried):
            clip = animate(
                picture, pipeline, seed=seed, progress=progress, motion_bucket_id=bucket, **settings
            )
            tried[bucket] = motion_of(clip)
            bar.update()
            if progress:
                bar.write(f"motion_bucket_id {bucket}: motion {tried[bucket]:.3g}")
            if best is None or abs(tried[bucket] - motion) < abs(best.motion - motion):
                best = Aim(clip, bucket, tried[bucket], float(motion), tried)
            if abs(best.motion - motion) <= NEAR * motion or len(tried) == most_clips:
                break
    return best


def _buckets(wish: float, tried: dict[int, float]) -> Iterator[int]:
    """Give the bucket to try next, while its caller adds to what was tried.

    First the middle and the end on the side of the wish, which tells whether it can be had at all;
    then between the two that enclose it, in proportion, and never quite at the one or the other.
    """
    middle = (LOWEST + HIGHEST) // 2
    yield middle
    end = HIGHEST if tried[middle] < wish else LOWEST
    yield end
    low, high = sorted((middle, end))
    if not tried[low] < wish <= tried[high]:
        return
    while high - low > 1:
        share = (wish - tried[low]) / (tried[high] - tried[low])
        bucket = round(low + min(max(share, 0.1), 0.9) * (high - low))
        bucket = min(max(bucket, low + 1), high - 1)
        yield bucket
        if tried[bucket] < wish:
            low = bucket
        else:
            high = bucket
