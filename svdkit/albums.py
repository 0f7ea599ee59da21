"""The pictures of a folder, without what svdkit put there."""

import re
from pathlib import Path

from .paths import shown
from .storage import Bundle

INPUT = re.compile(r"\.input(-\d+)?\.png$")  # what a saved clip keeps of its picture
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")
PICTURES += (".heic", ".heif", ".avif")


def pictures_in(folder: Path) -> list[Path]:
    """List the pictures of a folder by name; clips that svdkit saved there are none of them.

    >>> [picture.name for picture in pictures_in(Path(__file__).parent / "toyland")]
    ['sample.png']
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES)
    files = [file for file in files if file.is_file() and not file.name.startswith(".")]
    found = [file for file in files if not _is_by_product(file)]
    if not found:
        raise ValueError(f"The folder {shown(folder)!r} holds no picture ({', '.join(PICTURES)}).")
    return found


def _is_by_product(file: Path) -> bool:
    """Whether a file is a clip that svdkit saved, or the picture that it keeps beside one."""
    return Bundle(file.with_name(INPUT.sub("", file.name))).is_ours()
