"""A picture that was drawn from a prompt, and the recipe that goes with it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from . import __version__
from .frames import sha256_of_frames
from .metadata import MADE_BY_AI, png_metadata, read_metadata, xmp
from .notes import check_steps, plain_recipe, steps_of

MOST_IN_A_JPEG = 60_000  # bytes: its segments hold no more


class Drawing(Image.Image):
    """A PIL picture with the recipe that draws it again; PNG and WebP files carry it along.

    What is cut or changed of it is a plain picture, which that recipe does not make.

    >>> Drawing.of(np.zeros((64, 112, 3), np.uint8), {"request": {"seed": 7}}).recipe
    {'request': {'seed': 7}}
    """

    recipe: dict[str, Any]
    """How it was made, as plain JSON."""

    @classmethod
    def of(cls, pixels: np.ndarray, recipe: Mapping[str, Any]) -> "Drawing":
        """Make a drawing of pixels, uint8 (height, width, 3).

        >>> Drawing.of(np.zeros((64, 112, 3), np.uint8), {}).size
        (112, 64)
        """
        drawing = cls()
        drawing.__dict__.update(Image.fromarray(pixels).__dict__)
        drawing.recipe = plain_recipe(recipe)
        return drawing

    def __getstate__(self) -> list[Any]:
        return [*super().__getstate__(), self.recipe]

    def __setstate__(self, state: list[Any]) -> None:
        *picture, recipe = state
        super().__setstate__(picture)
        self.recipe = recipe

    def save(self, fp: Any, format: str | None = None, **how: Any) -> None:
        """Save it as Pillow does, with its recipe where the format has a place for it.

        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp(), "balloon.png")
        >>> Drawing.of(np.zeros((64, 112, 3), np.uint8), {"request": {"seed": 7}}).save(path)
        >>> read_metadata(path)["request"]
        {'seed': 7}
        """
        suffix = Path(fp).suffix if isinstance(fp, (str, os.PathLike)) else ""
        kind = (format or Image.registered_extensions().get(suffix.lower(), "")).upper()
        about = self.recipe | {"svdkit": __version__, "digital_source_type": MADE_BY_AI}
        if kind == "PNG":
            how = {"pnginfo": png_metadata(about)} | how
        elif kind in ("WEBP", "JPEG") and len(packet := xmp(about).encode()) < MOST_IN_A_JPEG:
            how = {"xmp": packet} | how
        super().save(fp, format, **how)


def steps_behind(image: Any) -> list[dict[str, Any]]:
    """List the steps that drew a picture, [] where it is no drawing, or one that was changed.

    >>> steps_behind(Image.new("RGB", (112, 64)))
    []
    """
    if isinstance(image, Drawing):
        recipe, picture = image.recipe, image
    elif isinstance(image, (str, os.PathLike)) and os.path.isfile(image):
        recipe, picture = read_metadata(Path(image)), None
    else:
        return []
    try:
        check_steps(recipe)
        (step,) = steps_of(recipe)
        if step["request"].get("verb") != "draw":
            return []
        if picture is None:
            with Image.open(image) as picture:
                picture.load()
        pixels = np.asarray(picture)
    except Exception:  # whatever is in the file, it is no note of ours
        return []
    is_it = sha256_of_frames(pixels) == step["outcome"].get("frames_sha256")
    return [{part: step[part] for part in ("request", "outcome")}] if is_it else []
