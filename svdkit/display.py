"""Looking at clips: contact sheets, grids of players, comparisons, a frame scrubber.

Everything is returned and nothing shown: a notebook displays what its last line gives.
"""

import base64
import io
import math
import os
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from .clips import Clip, check_clip
from .drawing import INK, PAPER, font
from .frames import psnr, size_of
from .paths import as_path
from .replacing import is_our_picture, replaceable, save_picture

GAP = 4  # pixels between pictures


def show_frames(clip: Clip, *, columns: int | None = None, width: int = 160) -> Image.Image:
    """Lay the frames of a clip out as one picture, each with its number.

    `width` is that of one frame in pixels. The picture displays itself, and saves as PNG.

    >>> from svdkit import Clip
    >>> show_frames(Clip(np.zeros((6, 64, 112, 3), np.uint8)), columns=3).size
    (492, 226)
    """
    check_clip(clip)
    columns = _checked_columns(columns, len(clip), default=min(7, len(clip)))
    if not 16 <= width <= 4096:
        raise ValueError(f"width is {width}; a frame takes 16–4096 pixels on the sheet.")
    return _sheet([(str(number), frame) for number, frame in enumerate(clip)], columns, width)


def show_clips(clips: Mapping[str, Clip] | Iterable[Clip], *, columns: int | None = None) -> "Grid":
    """Show clips side by side as a grid of players, each under its title.

    >>> from svdkit import Clip
    >>> dark = Clip(np.zeros((6, 64, 112, 3), np.uint8))
    >>> show_clips({"one": dark, "two": dark})
    Grid(one, two)
    """
    if isinstance(clips, Clip):
        raise TypeError(
            "show_clips takes several clips, {title: clip} or a list; one shows itself."
        )
    titled = dict(clips) if isinstance(clips, Mapping) else {}
    if not isinstance(clips, Mapping):
        titled = {str(number): clip for number, clip in enumerate(clips)}
    if not titled:
        raise ValueError("There are no clips to show.")
    for clip in titled.values():
        check_clip(clip)
    return Grid(titled, _checked_columns(columns, len(titled), default=min(3, len(titled))))


def compare_clips(a: Clip, b: Clip, *, titles: tuple[str, str] = ("a", "b")) -> "Grid":
    """Show two clips side by side, and their difference, amplified to be seen.

    >>> from svdkit import Clip
    >>> dark = Clip(np.zeros((6, 64, 112, 3), np.uint8))
    >>> compare_clips(dark, dark)
    Grid(a, b, no difference)
    """
    check_clip(a)
    check_clip(b)
    if len(set(titles)) != 2:
        raise ValueError(f"titles is {titles!r}; two different ones are needed.")
    if a.frames.shape[1:] != b.frames.shape[1:]:
        raise ValueError(
            f"Frames of {size_of(a.frames)} and {size_of(b.frames)} pixels cannot be compared; "
            "make both at one height and width."
        )
    length = min(len(a), len(b))
    difference = np.abs(a.frames[:length].astype(np.int16) - b.frames[:length])
    largest = int(difference.max())
    gain = 255 // largest if largest else 1
    label = "no difference"
    if largest:
        near = psnr(a.frames[:length], b.frames[:length])
        label = f"difference ×{gain}: at most {largest} of 255, PSNR {near:.1f} dB"
    if len(a) != len(b):
        label += f" (first {length} frames)"
    shown = Clip((difference * gain).astype(np.uint8), a.fps)
    return Grid({titles[0]: a, titles[1]: b, label: shown}, 3)


def scrub(clip: Clip) -> Any:
    """Step through a clip frame by frame: an ipywidget with a slider and a play button.

    >>> from svdkit import Clip
    >>> scrub(Clip(np.zeros((6, 64, 112, 3), np.uint8))).children[1].max
    5
    """
    import ipywidgets

    from .video import still

    check_clip(clip)
    last = len(clip) - 1
    picture = ipywidgets.Image(value=still(clip.frames[0], "PNG"), format="png", width=448)
    slider = ipywidgets.IntSlider(0, 0, last, description="frame", continuous_update=True)
    play = ipywidgets.Play(value=0, min=0, max=last, interval=round(1000 / clip.fps))
    ipywidgets.jslink((play, "value"), (slider, "value"))

    def turn_to(change):
        picture.value = still(clip.frames[change["new"]], "PNG")

    slider.observe(turn_to, names="value")
    return ipywidgets.VBox([picture, slider, play])


class Grid:
    """Clips under their titles; displays itself as players, saves as a PNG of first frames.

    >>> from svdkit import Clip
    >>> grid = Grid({"dark": Clip(np.zeros((6, 64, 112, 3), np.uint8))}, 1)
    >>> grid._repr_html_().count("<video")
    1
    """

    def __init__(self, clips: Mapping[str, Clip], columns: int):
        self.clips = {str(title): clip for title, clip in clips.items()}
        self.columns = columns

    def __repr__(self) -> str:
        return f"Grid({', '.join(self.clips)})"

    def _repr_html_(self) -> str:
        # a plain table: an untrusted notebook allows neither <style> nor <script>
        cells = [
            f'<td style="vertical-align:top">{clip.player(title)}</td>'  # captions may wrap
            for title, clip in self.clips.items()
        ]
        rows = [cells[i : i + self.columns] for i in range(0, len(cells), self.columns)]
        return f"<table>{''.join(f'<tr>{chr(10).join(row)}</tr>' for row in rows)}</table>"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        stream = io.BytesIO()
        self.image().save(stream, "PNG")
        return {
            "text/plain": repr(self),
            "text/html": self._repr_html_(),
            "image/png": base64.b64encode(stream.getvalue()).decode(),
        }

    def image(self, width: int = 320) -> Image.Image:
        """Draw the first frame of each clip under its title, as one picture."""
        pictures = [(title, clip[0]) for title, clip in self.clips.items()]
        return _sheet(pictures, self.columns, width)

    def save(self, path: str | os.PathLike, *, overwrite: bool = False) -> Path:
        """Save the picture of the grid as a PNG.

        A grid or gallery that was saved there before is replaced; a file from elsewhere only with
        `overwrite=True`.

        >>> import tempfile
        >>> from svdkit import Clip
        >>> grid = Grid({"dark": Clip(np.zeros((6, 64, 112, 3), np.uint8))}, 1)
        >>> grid.save(Path(tempfile.mkdtemp(), "grid.png")).name
        'grid.png'
        """
        path = as_path(path)
        if path.suffix.lower() != ".png":
            raise ValueError(f"{path.name!r} should end in .png; each clip saves its own video.")
        save_picture(self.image(), replaceable(path, is_our_picture, overwrite=overwrite))
        return path


def _sheet(pictures: list[tuple[str, Image.Image]], columns: int, width: int) -> Image.Image:
    letter = font(max(10, width // 12))
    line = round(letter.size * 1.4)
    heights = [max(1, round(picture.height * width / picture.width)) for _, picture in pictures]
    height = max(heights)
    rows = math.ceil(len(pictures) / columns)
    size = (columns * (width + GAP), rows * (height + line + GAP))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (title, picture) in enumerate(pictures):
        x = number % columns * (width + GAP)
        y = number // columns * (height + line + GAP)
        scaled = picture.resize((width, heights[number]))
        sheet.paste(scaled, (x, y + line))
        draw.text((x + GAP, y), _shortened(title, letter, width - GAP), INK, letter)
    return sheet


def _shortened(title: str, letter: Any, width: int) -> str:
    if letter.getlength(title) <= width:
        return title
    while title and letter.getlength(title + "…") > width:
        title = title[:-1]
    return title + "…"


def _checked_columns(columns: int | None, count: int, default: int) -> int:
    if columns is None:
        return default
    if isinstance(columns, bool) or not isinstance(columns, Integral) or columns < 1:
        raise ValueError(f"columns is {columns!r}; a whole number from 1 is needed.")
    return min(columns, count)
