"""A clip on disk: the video, its recipe and its pictures, side by side, landing whole.

Beside `kite.mp4` stand `kite.mp4.json` and `kite.mp4.input.png`; a folder of frames holds
`recipe.json` and `input.png` inside it.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from pathlib import Path
from typing import Any

OURS = re.compile(r"frame_\d{4,}\.png|recipe\.json|input(-\d+)?\.png")

# What a recipe's file must hold, if it holds it at all: it may have come from anywhere.
SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "fps": (lambda fps: type(fps) in (int, float) and 0 < fps <= 1000, "a number, 0–1000"),
    "frames": (
        lambda size: isinstance(size, list) and [type(side) for side in size] == [int] * 3,
        "[frames, height, width]",
    ),
    "steps": (
        lambda steps: isinstance(steps, list) and all(isinstance(step, dict) for step in steps),
        "a list of steps",
    ),
}


class Bundle:
    """The files of one clip.

    >>> Bundle(Path("kite.mp4")).recipe.name
    'kite.mp4.json'
    """

    def __init__(self, path: Path):
        self.path = path
        self.in_folder = path.is_dir() or not path.suffix

    @property
    def recipe(self) -> Path:
        """The file of the recipe."""
        return self._beside("recipe.json" if self.in_folder else "json")

    def input(self, number: int) -> Path:
        """Give the file of the picture with this number, from 0.

        >>> Bundle(Path("kite.mp4")).input(1).name
        'kite.mp4.input-2.png'
        """
        return self._beside("input.png" if number == 0 else f"input-{number + 1}.png")

    def inputs(self) -> list[Path]:
        """List the pictures that are there."""
        return list(takewhile(Path.exists, (self.input(number) for number in count())))

    def read_recipe(self) -> dict[str, Any]:
        """Read what is written beside the clip; {} where nothing is.

        >>> Bundle(Path("nowhere.mp4")).read_recipe()
        {}
        """
        try:
            recipe = json.loads(self.recipe.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except ValueError as error:
            raise ValueError(
                f"{str(self.recipe)!r} is no valid JSON ({error}); move it away to open the clip "
                "without its recipe."
            ) from error
        if not isinstance(recipe, dict):
            raise ValueError(f"{str(self.recipe)!r} is no recipe: it holds {recipe!r:.40}.")
        for key, (is_right, wanted) in SHAPES.items():
            if key in recipe and not is_right(recipe[key]):
                raise ValueError(
                    f"{str(self.recipe)!r} says {key} {recipe[key]!r:.40}, which should be "
                    f"{wanted}; mend it, or move it away to open the clip without its recipe."
                )
        return recipe

    def is_ours(self) -> bool:
        """Whether svdkit saved this clip, so that saving may replace it."""
        try:
            return "svdkit" in self.read_recipe()
        except ValueError:
            return False

    @contextmanager
    def draft(self, *, overwrite: bool = False) -> Iterator["Bundle"]:
        """Lend a bundle to write to; when all is written, it takes this one's place.

        An error while writing leaves everything as it was.
        """
        if self.path.exists() and not overwrite and not self.is_ours():
            raise FileExistsError(
                f"{str(self.path)!r} is there already and is no clip that svdkit saved; choose "
                "another name, or pass overwrite=True to replace it."
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=self.path.parent) as folder:
            draft = Bundle(Path(folder, self.path.name))
            yield draft
            pictures = len(draft.inputs())
            replaced = Path(folder, "replaced")
            if self.path.is_dir() or (self.path.exists() and draft.in_folder):
                os.replace(self.path, replaced)  # goes with the temporary folder
            target = Bundle(self.path)
            for file in draft._files():
                os.replace(file, self.path.with_name(file.name))
            if not draft.in_folder:
                for file in target.inputs()[pictures:]:
                    file.unlink()
            elif replaced.is_dir():  # what else the user keeps in the folder stays in it
                for file in replaced.iterdir():
                    if not OURS.fullmatch(file.name):
                        os.replace(file, self.path / file.name)

    def _files(self) -> list[Path]:
        """What to move, the recipe last: it is the commit mark. A folder moves in one go."""
        return [self.path] if self.in_folder else [self.path, *self.inputs(), self.recipe]

    def _beside(self, name: str) -> Path:
        if self.in_folder:
            return self.path / name
        return self.path.with_name(f"{self.path.name}.{name}")
