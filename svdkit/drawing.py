"""Words and pictures put together as one picture."""

import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

PAPER, INK, SIZE = "white", "#222", 12


@cache
def font(size: int) -> Any:
    """Give a font that knows more letters than Pillow's own, which has no × and no Cyrillic.

    >>> font(12).size
    12
    """
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path(), "fonts/ttf/DejaVuSans.ttf")), size)


def words(
    text: str,
    width: int,
    ink: str = INK,
    *,
    size: int = SIZE,
    paper: str = PAPER,
    most_lines: int = 3,
) -> Image.Image:
    """Draw a text as a picture so wide, in several lines if need be.

    >>> words("motion 0.02", 112).size
    (112, 16)
    """
    letter = font(size)
    text = re.sub("[ \t\n\r\v\f]+", " ", text)[:500]  # a space that keeps words together stays
    lines, letters = [text], len(text)
    while max(map(letter.getlength, lines), default=0) > width - 4 and letters > 1:
        letters = min(letters - 1, width)
        lines = textwrap.wrap(text, letters, max_lines=most_lines, placeholder="…")
    picture = Image.new("RGB", (width, round(1.35 * size) * max(1, len(lines))), paper)
    ImageDraw.Draw(picture).text((2, 0), "\n".join(lines), ink, letter, spacing=round(0.2 * size))
    return picture


def together(
    pictures: list[Image.Image], *, down: bool = False, gap: int = 0, edge: int = 0
) -> Image.Image:
    """Put pictures side by side, or below one another, as one.

    >>> together([words("a", 10), words("b", 10)], gap=4).size
    (24, 16)
    """
    widths, heights = zip(*(picture.size for picture in pictures), strict=True)
    gaps = gap * (len(pictures) - 1)
    width, height = (
        (max(widths), sum(heights) + gaps) if down else (sum(widths) + gaps, max(heights))
    )
    whole = Image.new("RGB", (width + 2 * edge, height + 2 * edge), PAPER)
    x = y = edge
    for picture in pictures:
        whole.paste(picture, (x, y))
        x, y = (x, y + picture.height + gap) if down else (x + picture.width + gap, y)
    return whole
