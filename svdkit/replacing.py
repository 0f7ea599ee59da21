"""What a save may replace: what svdkit saved there itself, and nothing else unless told to."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .paths import as_path, shown
from .workshops import landing

if TYPE_CHECKING:
    from PIL import Image

SOFTWARE = "made by svdkit"


def replaceable(
    path: str | os.PathLike, is_ours: Callable[[Path], bool], *, overwrite: bool = False
) -> Path:
    """Give the path where nothing is lost by saving there; else an error tells the ways out.

    >>> replaceable("/tmp", lambda path: True)
    Traceback (most recent call last):
    IsADirectoryError: '/tmp' is a folder; choose another name.
    """
    path = as_path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{shown(path)!r} is a folder; choose another name.")
    if path.exists() and not overwrite and not is_ours(path):
        raise FileExistsError(
            f"{shown(path)!r} is there already and is not what svdkit saved there; choose another "
            "name, or pass overwrite=True to replace it."
        )
    return path


def save_picture(image: "Image.Image", path: Path) -> None:
    """Save a picture as a PNG that says who made it, whole or not at all.

    >>> from tempfile import mkdtemp
    >>> from PIL import Image
    >>> path = Path(mkdtemp(), "grid.png")
    >>> save_picture(Image.new("RGB", (8, 8)), path)
    >>> is_our_picture(path)
    True
    """
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    note.add_text("Software", f"{SOFTWARE} {__version__}")
    with landing(path) as draft:
        image.save(draft, "PNG", pnginfo=note)


def is_our_picture(path: Path) -> bool:
    """Say whether `save_picture` saved this file.

    >>> is_our_picture(Path("nowhere.png"))
    False
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return str(image.info.get("Software", "")).startswith(SOFTWARE)
    except (OSError, ValueError):
        return False
