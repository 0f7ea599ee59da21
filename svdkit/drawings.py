"""A picture that was drawn from a prompt, and the recipe that goes with it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from . import __version__
from .frames import sha256_of_frames
from .images import ImageLike, open_image
from .metadata import MADE_BY_AI, metadata_in, png_metadata, read_metadata, xmp
from .notes import check_steps, plain_recipe, steps_of
from .paths import as_path
from .prompting import MOST_CHARACTERS, PromptSettings, checked_prompt
from .replacing import replaceable
from .web import is_address
from .workshops import landing

MOST_IN_A_JPEG = 60_000  # bytes: its segments hold no more
MOST_NOTED = (
    10 * MOST_CHARACTERS
)  # of the step that drew a picture: a prompt, and what goes with it
REQUEST = {"verb", "model", "source", "scheduler", "revision", "prompt", "settings", "seed"}


class Drawing(Image.Image):
    """A PIL picture with the recipe that draws it again; PNG and lossless WebP carry it along.

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

    def save(
        self, fp: Any, format: str | None = None, *, overwrite: bool = False, **how: Any
    ) -> None:
        """Save it as Pillow does, whole or not at all, with its recipe where it has a place.

        What is at `fp` already is replaced if svdkit drew it, or with `overwrite=True`.

        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp(), "balloon.png")
        >>> Drawing.of(np.zeros((64, 112, 3), np.uint8), {"request": {"seed": 7}}).save(path)
        >>> read_metadata(path)["request"]
        {'seed': 7}
        """
        if isinstance(fp, (str, bytes, os.PathLike)):
            fp = as_path(os.fsdecode(fp))
        name = fp if isinstance(fp, Path) else getattr(fp, "name", "")
        suffix = Path(os.fsdecode(name)).suffix if isinstance(name, (str, bytes, Path)) else ""
        kind = (format or Image.registered_extensions().get(suffix.lower(), "")).upper()
        about = self.recipe | {"svdkit": __version__, "digital_source_type": MADE_BY_AI}
        packet = xmp(about).encode()
        if kind == "PNG":
            how = {"pnginfo": png_metadata(about)} | how
        elif kind == "WEBP":
            how = {"xmp": packet} | how
        elif kind == "JPEG" and len(packet) < MOST_IN_A_JPEG:
            how = {"xmp": packet, "comment": json.dumps(about)} | how  # older Pillows know one
        place = Path(os.path.realpath(name)) if name is fp else None
        if place is None or how.get("append") or (place.exists() and not place.is_file()):
            super().save(fp, format, **how)  # an open file, a device, or a picture to add to
            return
        replaceable(fp, _is_ours, overwrite=overwrite)
        with landing(place) as draft:  # an older one is lost to no full disk
            super().save(draft, format, **how)


def opened(image: ImageLike) -> Image.Image:
    """Open a picture as `open_image` does, but a drawing stays one: its clips know what drew it.

    >>> opened(np.zeros((64, 112, 3), np.uint8)).size
    (112, 64)
    """
    picture = open_image(image)
    steps = steps_behind(image, picture)
    return Drawing.of(np.asarray(picture), steps[0]) if steps else picture


def steps_behind(image: Any, picture: Image.Image) -> list[dict[str, Any]]:
    """List the steps that drew a picture, [] where it is no drawing, or one that was changed.

    `image` is what was given, and `picture` what was opened of it.

    >>> plain = Image.new("RGB", (112, 64))
    >>> steps_behind(plain, plain)
    []
    """
    try:
        if isinstance(image, Drawing):
            recipe = image.recipe
        elif isinstance(image, Image.Image):
            recipe = metadata_in(image)
        elif isinstance(image, (str, os.PathLike)) and not is_address(image):
            recipe = read_metadata(as_path(image))
        else:
            return []
        return [_checked_step(recipe, picture)]
    except Exception:  # whatever a stranger wrote into the file, it is no note of ours
        return []


def _is_ours(path: Path) -> bool:
    """Say whether a picture was drawn by svdkit, and, where its format can tell, is as it was."""
    try:
        with Image.open(path) as picture:
            ours = metadata_in(picture)
            told = ours.get("outcome", {}).get("frames_sha256")
            if told and picture.format == "PNG":
                return told == sha256_of_frames(np.asarray(picture))
            return bool(ours)
    except Exception:  # a stranger's notes may have any shape, and a broken picture is no drawing
        return False


def _checked_step(recipe: Mapping[str, Any], picture: Image.Image) -> dict[str, Any]:
    """Give the one step of a recipe if it is sound, and drew just this picture."""
    check_steps(recipe)
    (step,) = steps_of(recipe)
    request, outcome = step["request"], step["outcome"]
    if set(request) != REQUEST or request["verb"] != "draw":
        raise ValueError("It was not drawn by svdkit.")
    checked_prompt(request["prompt"])
    PromptSettings.of(request["settings"], "draw")
    if outcome["frames_sha256"] != sha256_of_frames(np.asarray(picture)):
        raise ValueError("It was changed.")
    if len(json.dumps([request, outcome], ensure_ascii=False)) > MOST_NOTED:
        raise ValueError("Nobody has so much to say.")
    return {"request": request, "outcome": outcome}
