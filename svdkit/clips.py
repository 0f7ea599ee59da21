"""Clip: frames, a playback rate, and the recipe that made them."""

import base64
import html
import math
import operator
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any, SupportsIndex, overload

import numpy as np
from PIL import Image

from . import files, video
from .frames import check_size, checked_frames, frozen, sha256_of_frames, size_of
from .images import open_image
from .limits import quoted
from .notes import plain_recipe, steps_of
from .paths import as_path
from .tweening import tweened

DISPLAY_SIDE = 448  # small clips are shown enlarged to about this many pixels


@dataclass(frozen=True, eq=False, repr=False)
class Clip:
    """A short film: uint8 RGB frames (n, height, width, 3), a playback fps, and its recipe.

    A clip is a value: its frames cannot be written to, and every method gives a new clip.

    >>> clip = Clip(np.zeros((6, 64, 112, 3), np.uint8), fps=12)
    >>> clip[2:]
    Clip(4 frames, 64×112, 12 fps, 0.3 s)
    """

    frames: np.ndarray
    """uint8, (n, height, width, 3); also made of a list of PIL pictures."""
    fps: float = 7
    """Frames a second in playback."""
    recipe: dict[str, Any] = field(default_factory=dict)
    """How it was made, as plain JSON."""
    inputs: tuple[Image.Image, ...] = ()
    """The fitted pictures that it was made from."""

    def __post_init__(self):
        object.__setattr__(self, "frames", checked_frames(self.frames))
        object.__setattr__(self, "fps", _checked_fps(self.fps))
        object.__setattr__(self, "recipe", plain_recipe(self.recipe))
        pictures = [self.inputs] if isinstance(self.inputs, Image.Image) else self.inputs
        object.__setattr__(self, "inputs", tuple(open_image(picture) for picture in pictures))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.frames.flags.writeable = False  # which pickle forgets

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Image.Image]:
        return (Image.fromarray(frame) for frame in self.frames)

    @overload
    def __getitem__(self, which: SupportsIndex) -> Image.Image: ...
    @overload
    def __getitem__(self, which: slice) -> "Clip": ...
    def __getitem__(self, which):
        """Give one frame as a picture, or some frames as a clip.

        >>> clip = Clip(np.zeros((6, 64, 112, 3), np.uint8))
        >>> clip[0].size, len(clip[::2])
        ((112, 64), 3)
        """
        if isinstance(which, slice):
            start, stop, step = which.indices(len(self))
            if not range(start, stop, step):
                raise ValueError(f"{which} picks none of the {len(self)} frames.")
            return self._edited(self.frames[which], "slice", start=start, stop=stop, step=step)
        return Image.fromarray(self.frames[operator.index(which)])

    def __add__(self, other: "Clip") -> "Clip":
        """Join two clips of one size; the playback rate is the first one's.

        >>> clip = Clip(np.zeros((6, 64, 112, 3), np.uint8))
        >>> len(clip + clip)
        12
        """
        if not isinstance(other, Clip):
            return NotImplemented
        if self.frames.shape[1:] != other.frames.shape[1:]:
            raise ValueError(
                f"Clips of {size_of(self.frames)} and {size_of(other.frames)} pixels cannot be "
                "joined; make both at one height and width."
            )
        frames = frozen(np.concatenate([self.frames, other.frames]))
        steps = [*steps_of(self.recipe), *steps_of(other.recipe)]
        both = Clip(frames, self.fps, {"steps": steps}, self.inputs + other.inputs)
        return both._edited(frames, "join", lengths=[len(self), len(other)])

    def __repr__(self) -> str:
        return f"Clip({self._description})"

    @property
    def duration(self) -> float:
        """Seconds that the clip plays.

        >>> Clip(np.zeros((6, 64, 112, 3), np.uint8), fps=12).duration
        0.5
        """
        return len(self) / self.fps

    @property
    def last_frame(self) -> Image.Image:
        """The last frame as a picture, to go on from.

        >>> Clip(np.zeros((6, 64, 112, 3), np.uint8)).last_frame.size
        (112, 64)
        """
        return self[-1]

    def at(self, fps: float) -> "Clip":
        """Play the same frames at another rate, in frames a second.

        >>> Clip(np.zeros((6, 64, 112, 3), np.uint8)).at(fps=3).duration
        2.0
        """
        return Clip(self.frames, fps, self.recipe, self.inputs)

    def boomerang(self) -> "Clip":
        """Play forth and back, so that the end meets the beginning.

        >>> len(Clip(np.zeros((6, 64, 112, 3), np.uint8)).boomerang())
        10
        """
        frames = np.concatenate([self.frames, self.frames[-2:0:-1]])
        return self._edited(frozen(frames), "boomerang")

    def repeat(self, times: int) -> "Clip":
        """Play several times over.

        >>> len(Clip(np.zeros((6, 64, 112, 3), np.uint8)).repeat(3))
        18
        """
        if isinstance(times, bool) or not isinstance(times, (int, np.integer)) or times < 1:
            raise ValueError(
                f"times is {quoted(times)}; a whole number from 1 is needed, 2 plays twice."
            )
        check_size(min(times, 10**9) * len(self), *self.frames.shape[1:3])
        frames = np.tile(self.frames, (times, 1, 1, 1))
        return self._edited(frozen(frames), "repeat", times=int(times))

    def smooth(self, fps: float = 24) -> "Clip":
        """Fill in frames between the frames, for a smoother play of the same length.

        `fps` is in frames a second. They are interpolated along the motion that ffmpeg finds, not
        by a model.

        >>> len(Clip(np.zeros((6, 64, 112, 3), np.uint8), fps=7).smooth(fps=14))
        11
        """
        fps = _checked_fps(fps)
        if fps <= self.fps:
            raise ValueError(
                f"fps is {fps:g}, and the clip plays at {self.fps:g} already; smoothing takes a "
                f"higher rate, like {2 * self.fps:g}. at(fps=…) changes the playback alone."
            )
        check_size(len(self) * fps / self.fps, *self.frames.shape[1:3])
        frames = tweened(self.frames, self.fps, fps)
        return self._edited(frozen(frames), "smooth", fps=fps, from_fps=self.fps).at(fps)

    def save(self, path: str | os.PathLike, *, overwrite: bool = False) -> Path:
        """Save as .mp4, .webm, .gif or .webp, or without a suffix as a folder of PNG frames.

        The recipe goes into it, and beside it as `kite.mp4.json`; the picture that it was made from
        goes beside it as `kite.mp4.input.png`. A file that svdkit saved before is replaced; one
        from elsewhere only with `overwrite=True`. A file is whole or not there at all.

        >>> from tempfile import mkdtemp
        >>> clip = Clip(np.zeros((6, 64, 112, 3), np.uint8))
        >>> clip.save(Path(mkdtemp(), "dark.gif")).name
        'dark.gif'
        """
        return files.write(
            as_path(path), self.frames, self.fps, self.recipe, self.inputs, overwrite=overwrite
        )

    @classmethod
    def open(cls, path: str | os.PathLike) -> "Clip":
        """Open a clip that was saved, with its recipe; any other video opens without one.

        >>> from tempfile import mkdtemp
        >>> saved = Clip(np.zeros((6, 64, 112, 3), np.uint8)).save(Path(mkdtemp(), "dark"))
        >>> Clip.open(saved)
        Clip(6 frames, 64×112, 7 fps, 0.9 s)
        """
        return cls(*files.read(as_path(path)))

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        poster = base64.b64encode(video.still(self.frames[0])).decode()
        return {"text/plain": repr(self), "text/html": self._repr_html_(), "image/jpeg": poster}

    def _repr_html_(self) -> str:
        return self.player()

    def player(self, title: str = "", width: int | None = None) -> str:
        """Give the HTML of a player: one <video> tag that needs no file, script or server.

        A clip too large for a notebook is shown reduced, and says so.

        >>> Clip(np.zeros((6, 64, 112, 3), np.uint8)).player("dark").count("<video src=")
        1
        """
        mp4, poster, remark = self._preview
        caption = " · ".join(filter(None, [title, self._description, remark]))
        width = width or self._display_width
        player = video.video_tag(mp4, poster, width=width, label=caption)
        return (
            f'<figure style="display:inline-block;margin:4px">{player}'
            '<figcaption style="font-size:90%;line-height:normal;text-align:left">'
            f"{html.escape(caption)}</figcaption></figure>"
        )

    @cached_property
    def _preview(self) -> tuple[bytes, bytes, str]:
        return video.preview(self.frames, self.fps)

    @property
    def _display_width(self) -> int:
        height, width = self.frames.shape[1:3]
        return width * max(1, round(DISPLAY_SIDE / max(height, width)))

    def _edited(self, frames: np.ndarray, edit: str, **how) -> "Clip":
        step = {
            "request": {"edit": edit, **how},
            "outcome": {"frames_sha256": sha256_of_frames(frames)},
        }
        return Clip(frames, self.fps, {"steps": [*steps_of(self.recipe), step]}, self.inputs)

    @property
    def _description(self) -> str:
        frames = f"{len(self)} frame{'s' if len(self) != 1 else ''}"
        return f"{frames}, {size_of(self.frames)}, {self.fps:g} fps, {self.duration:.1f} s"


def check_clip(clip: Any) -> None:
    """Make sure that it is a clip.

    >>> check_clip("kite.mp4")
    Traceback (most recent call last):
    TypeError: clip is 'kite.mp4'; it is a Clip, as animate makes one and Clip.open(path) opens one.
    """
    if not isinstance(clip, Clip):
        raise TypeError(
            f"clip is {clip!r:.60}; it is a Clip, as animate makes one and Clip.open(path) opens "
            "one."
        )


def _checked_fps(fps: Any) -> float:
    try:
        number = float(fps) if isinstance(fps, Real) else math.nan
    except (TypeError, OverflowError):  # a time of numpy's, which claims to be a number
        number = math.nan
    if not 0 < number <= 1000:
        raise ValueError(
            f"fps is {quoted(fps)}; playback needs a number above 0, up to 1000. Try 7."
        )
    return int(number) if number == int(number) else number
