"""Toyland: a small painted world in which every thing moves by its own law, as pictures, captions,
clips and training batches.
"""

from __future__ import annotations

import difflib
import functools
import math
import operator
import random
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from .grounds import GROUNDS
from .laws import progress_of
from .photos import photo_clips
from .scripts import Script
from .skies import SKIES
from .staging import paint
from .things import COLOURS, THINGS

Row = tuple[int, int, int, int]  # of SKIES, GROUNDS, THINGS (−1: none) and COLOURS
# Scenes take the seeds below this, training those above: torch's CPU generator keeps 32 bits.
SEEDS = 2**31
LANDSCAPES = 0.10  # the share of scenes without a thing, where the camera moves instead


def _caption(row: Row) -> str:
    sky, ground, kind, colour = row
    place = f"{GROUNDS[ground].name} {SKIES[sky].name}"
    if kind < 0:
        return place
    thing = list(THINGS.values())[kind]
    if thing.behind:  # there is only one sun
        return f"the {thing.name} {thing.preposition} {place}"
    named = thing.name if thing.hue else f"{list(COLOURS)[colour]} {thing.name}"
    return f"{'an' if named[0] in 'aeiou' else 'a'} {named} {thing.preposition} {place}"


@functools.cache
def _rows() -> dict[str, Row]:
    """Every caption, and the table rows it names."""
    rows = [(sky, ground, -1, 0) for sky in range(len(SKIES)) for ground in range(len(GROUNDS))]
    for kind, thing in enumerate(THINGS.values()):
        rows += [
            (sky, ground, kind, colour)
            for sky in range(len(SKIES))
            for ground in range(len(GROUNDS))
            for colour in range(1 if thing.hue else len(COLOURS))
            if SKIES[sky].name in thing.skies and GROUNDS[ground].name in thing.grounds
        ]
    return {_caption(row): row for row in rows}


def captions() -> list[str]:
    """Every caption that Toyland can draw.

    >>> "a red balloon over green hills at dusk" in captions()
    True
    """
    return list(_rows())


def parse_caption(caption: str) -> Row:
    """The rows of the tables of skies, grounds, things and colours that a caption names.

    >>> parse_caption("a red balloon over the sea at dusk")
    (1, 1, 0, 0)
    """
    row = _rows().get(" ".join(caption.lower().split()).rstrip("."))
    if row is not None:
        return row
    things = ", ".join(
        f"{thing.name} ({thing.preposition} {' / '.join(thing.grounds)})"
        for thing in THINGS.values()
    )
    nearest = difflib.get_close_matches(caption.lower(), captions(), n=1, cutoff=0.0)[0]
    raise ValueError(
        f"caption is {caption!r}; Toyland draws 'a <colour> <thing> <over or on> <ground> <sky>'. "
        f"Colours: {', '.join(COLOURS)}; cloud, sun (not at night) and moon (at night) have none. "
        f"Things: {things}. Skies: {', '.join(sky.name for sky in SKIES)}. Try {nearest!r}."
    )


@functools.cache
def _rows_by_thing() -> list[torch.Tensor]:
    """The table rows of the landscapes, and then of each thing."""
    rows = torch.tensor(list(_rows().values()))
    return [rows[rows[:, 2] == kind] for kind in range(-1, len(THINGS))]


def _choose_rows(n: int, generator: torch.Generator) -> torch.Tensor:
    """`n` random rows: every thing equally often, and the share LANDSCAPES without one."""
    which, kind, row = torch.rand(3, n, generator=generator)
    tables = _rows_by_thing()
    kinds = torch.where(which < LANDSCAPES, 0, 1 + (kind * len(THINGS)).long()).tolist()
    chosen = [tables[k][int(r * len(tables[k]))] for k, r in zip(kinds, row.tolist(), strict=True)]
    return torch.stack(chosen)


def training_dice(seed: int) -> torch.Generator:
    """The dice of a training seed: they never fall as those of `scene(seed)`.

    >>> training_dice(0).initial_seed() == SEEDS
    True
    """
    return torch.Generator().manual_seed(SEEDS + seed % SEEDS)


def random_script(n: int, dice: torch.Generator) -> Script:
    """A script of `n` random scenes: every thing equally often, some landscapes without one.

    >>> len(random_script(3, training_dice(0)))
    3
    """
    return Script.roll_all(_choose_rows(n, dice), dice)


@dataclass(frozen=True)
class Scene:
    """One scene: `.image` (PIL), `.caption`, and the clip that its laws of motion make of it.

    >>> scene(caption="a red balloon over green hills at dusk", seed=1)
    Scene('a red balloon over green hills at dusk', seed=1, 112x64)
    """

    caption: str
    seed: int
    height: int
    width: int
    script: Script = field(compare=False)  # which follows from the rest

    def __repr__(self) -> str:
        return f"Scene({self.caption!r}, seed={self.seed}, {self.width}x{self.height})"

    @functools.cached_property
    def image(self) -> Image.Image:
        """The scene at rest, as a PIL image.

        >>> scene(seed=1).image.size
        (112, 64)
        """
        return Image.fromarray(self._at_rest)

    @functools.cached_property
    def _at_rest(self) -> np.ndarray:
        return self._frames(torch.zeros(1, 1, 1, 1))[0]

    def clip(
        self, motion_bucket_id: float = 127, fps: float = 7, num_frames: int = 14
    ) -> np.ndarray:
        """What really happens next: uint8 (frames, height, width, 3), the first frame equal to
        `.image`.

        >>> scene(seed=1).clip(num_frames=2).shape
        (2, 64, 112, 3)
        """
        if not 0 <= motion_bucket_id <= 255:
            raise ValueError(
                f"motion_bucket_id is {motion_bucket_id}; it goes from 0 to 255. "
                "Try 180 for lively motion."
            )
        if not 0 < fps < math.inf:
            raise ValueError(f"fps is {fps}; it must be above 0 frames a second. Try 7.")
        num_frames = _whole("num_frames", num_frames, 14)
        if num_frames < 1:
            raise ValueError(f"num_frames is {num_frames}; a clip has at least 1 frame. Try 14.")
        frames = self._frames(
            progress_of(
                torch.tensor([float(motion_bucket_id)]), torch.tensor([float(fps)]), num_frames
            )
        )
        frames[0] = self._at_rest  # arithmetic on one frame may round otherwise than on many
        return frames

    def _frames(self, progress: torch.Tensor) -> np.ndarray:
        painted = [
            paint(self.script, at[None], self.height, self.width) for at in progress[0, :, None]
        ]
        return (torch.cat(painted, 1)[0] * 255).round().byte().permute(0, 2, 3, 1).numpy()


def scene(
    seed: int | None = None, caption: str | None = None, *, height: int = 64, width: int = 112
) -> Scene:
    """The scene of a seed, of a caption, or of both; what is left open is drawn at random. Height
    and width in pixels.

    >>> scene(caption="a red balloon over green hills at dusk").caption
    'a red balloon over green hills at dusk'
    """
    seed = random.randrange(SEEDS) if seed is None else _whole("seed", seed, 7)
    height, width = _whole("height", height, 64), _whole("width", width, 112)
    if not 0 <= seed < SEEDS:
        raise ValueError(
            f"seed is {seed}; scenes have seeds from 0 to {SEEDS - 1}. Try {seed % SEEDS}."
        )
    if height < 8 or width < 8:
        raise ValueError(
            f"height and width are {height} and {width}; a scene has 8 pixels or more each way. "
            "Try 64 and 112."
        )
    generator = torch.Generator().manual_seed(seed)
    rows = _choose_rows(1, generator)
    if caption is not None:
        rows = torch.tensor([parse_caption(caption)])
    script = Script.roll_all(rows, generator)
    return Scene(_caption(tuple(rows[0].tolist())), seed, height, width, script)


def _whole(name: str, value: int, example: int) -> int:
    try:
        return operator.index(value)
    except TypeError:
        cure = f"A caption goes by caption={value!r:.60}." if isinstance(value, str) else ""
        raise TypeError(
            f"{name} is {value!r:.60}; it is a whole number, such as {example}. {cure}".rstrip()
        ) from None


def script_captions(script: Script) -> list[str]:
    """The caption of each scene of a script.

    >>> script_captions(Script.roll_all([[0, 0, -1, 0]]))
    ['green hills by day']
    """
    rows = torch.stack([script.sky, script.ground, script.thing, script.colour], 1)
    return [_caption(tuple(row)) for row in rows.tolist()]


class TrainingBatch(NamedTuple):
    """Clips to learn from: frames in −1…1, (n, frames, 3, height, width), and the conditions (n,)
    and captions they were made by.

    >>> training_batch(1, seed=0, num_frames=2).frames.shape
    torch.Size([1, 2, 3, 64, 112])
    """

    frames: torch.Tensor
    motion_bucket_id: torch.Tensor
    fps: torch.Tensor
    captions: list[str]


def training_batch(
    n: int,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    num_frames: int = 14,
    height: int = 64,
    width: int = 112,
    photos: float = 0.25,
    motion_bucket_id: float | None = None,
    fps: float | None = None,
    things: bool = True,
) -> TrainingBatch:
    """`n` random clips for training, the share `photos` of them photo-like with an empty caption;
    painted on `device`. A `motion_bucket_id` or `fps` that is not given is random in each. Without
    `things`, a seed's scenes are the same but for these.

    No scene of `scene(seed)` is ever among them: training has seeds of its own.

    >>> batch = training_batch(2, seed=0, num_frames=1, photos=0.5)
    >>> batch.frames.shape, batch.captions[-1]
    (torch.Size([2, 1, 3, 64, 112]), '')
    """
    generator = training_dice(seed)
    wanted, device = device, "cpu" if torch.device(device).type == "mps" else device  # no bicubic
    n_photos = int(
        n * photos + float(torch.rand((), generator=generator))
    )  # right on average, also when n is small
    n_photos = min(n, n_photos)
    n_scenes = n - n_photos
    bucket = torch.randint(1, 256, (n,), generator=generator).float().to(device)
    # Rates from 4 to 30, the slow ones more often: there a clip shows more of its law.
    rate = (4 + 27 * torch.rand(n, generator=generator).square()).floor().to(device)
    if motion_bucket_id is not None:
        bucket = torch.full_like(bucket, motion_bucket_id)
    if fps is not None:
        rate = torch.full_like(rate, fps)
    progress = progress_of(bucket, rate, num_frames)
    clips, named = [], []
    if n_scenes:
        script = random_script(n_scenes, generator).to(device)
        clips.append(paint(script, progress[:n_scenes], height, width, things))
        named = script_captions(script)
    if n_photos:
        clips.append(photo_clips(n_photos, progress[n_scenes:], height, width, generator))
    told = (part.to(wanted) for part in (torch.cat(clips) * 2 - 1, bucket, rate))
    return TrainingBatch(*told, named + [""] * n_photos)
