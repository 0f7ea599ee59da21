"""A clip on disk: the video, its recipe and its pictures, side by side, each landing whole.

Beside `kite.mp4` stand `kite.mp4.json` and `kite.mp4.input.png`; a folder of frames holds
`recipe.json` and `input.png` inside it.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FRAME = re.compile(r"frame_(\d{4,})\.png")
ABOUT_THE_FILE = ("svdkit", "file")  # what a recipe's file says besides the recipe
# What it must say of the file, if it says it at all: it may have come from anywhere.
SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "fps": (lambda fps: type(fps) in (int, float) and 0 < fps <= 1000, "a number, 0–1000"),
    "frames": (
        lambda size: (
            isinstance(size, list) and [type(side) for side in size] == [int] * 3 and min(size) > 0
        ),
        "[frames, height, width]",
    ),
    "pictures": (lambda count: type(count) is int and 0 <= count < 1000, "a small number"),
}


def as_path(path: str | os.PathLike) -> Path:
    """Take a path as people write it, with ~ for their home.

    >>> as_path("~nobody-of-that-name/kite.mp4").name
    'kite.mp4'
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{path!r} is no path; give a str or a pathlib.Path, like 'kite.mp4'.")
    return Path(os.path.expanduser(path))  # Path.expanduser raises where there is no such home


class Bundle:
    """The files of one clip.

    >>> Bundle(Path("kite.mp4")).recipe.name
    'kite.mp4.json'
    """

    def __init__(self, path: Path):
        self.path = path
        self.is_folder = not path.suffix or path.is_dir()

    @property
    def recipe(self) -> Path:
        """The file of the recipe."""
        return self._beside("recipe.json" if self.is_folder else "json")

    def picture(self, number: int) -> Path:
        """Give the file of the picture with this number, from 0.

        >>> Bundle(Path("kite.mp4")).picture(1).name
        'kite.mp4.input-2.png'
        """
        return self._beside("input.png" if number == 0 else f"input-{number + 1}.png")

    def frames(self) -> list[Path]:
        """List the frames in a folder, in their order."""
        matches = ((FRAME.fullmatch(file.name), file) for file in self.path.iterdir())
        return [file for _, file in sorted((int(m[1]), file) for m, file in matches if m)]

    def read(self) -> dict[str, Any]:
        """Read what is written beside the clip; {} where nothing is.

        >>> Bundle(Path("nowhere.mp4")).read()
        {}
        """
        away = "; move it away to open the clip without its recipe."
        try:
            about = json.loads(self.recipe.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (ValueError, OSError) as error:
            raise ValueError(f"{str(self.recipe)!r} is no valid JSON ({error}){away}") from error
        file = about.get("file", {}) if isinstance(about, dict) else None
        steps = about.get("steps", []) if isinstance(about, dict) else None
        if not isinstance(file, dict) or not isinstance(steps, list):
            raise ValueError(f"{str(self.recipe)!r} is no recipe of svdkit{away}")
        if not all(isinstance(step, dict) for step in steps):
            raise ValueError(f"{str(self.recipe)!r} has steps that are no steps{away}")
        for key, (is_right, wanted) in SHAPES.items():
            if key in file and not is_right(file[key]):
                raise ValueError(
                    f"{str(self.recipe)!r} says {key} {file[key]!r:.40}, which should be {wanted}"
                    f"{away}"
                )
        return about

    def check_free(self, *, pictures: int = 1, overwrite: bool = False) -> None:
        """Make sure that saving here, with so many pictures beside, replaces nothing of others.

        >>> Bundle(Path("kite.mp4")).check_free()
        """
        for folder in self.path.parents:
            if folder.exists() and not folder.is_dir():
                raise NotADirectoryError(f"{str(folder)!r} is a file; a folder is needed there.")
        if self.path.suffix and self.path.is_dir():
            raise IsADirectoryError(f"{str(self.path)!r} is a folder; choose another name.")
        if not self.path.suffix and self.path.is_file():
            raise FileExistsError(
                f"{str(self.path)!r} is a file, and frames need a folder; choose another name, or "
                "end it in .mp4 for a video."
            )
        if overwrite or self._is_ours():
            return
        files = [self.path, self.recipe, *map(self.picture, range(pictures))]
        taken = [file for file in files if file.exists()]
        if self.is_folder and taken == [self.path] and not any(self.path.iterdir()):
            return  # an empty folder
        if taken:
            raise FileExistsError(
                f"{str(taken[0])!r} is there already and is not what svdkit saved there; choose "
                "another name, or pass overwrite=True to replace it."
            )

    @contextmanager
    def draft(self, *, pictures: int, overwrite: bool = False) -> Iterator["Bundle"]:
        """Lend a bundle to write to; when all is written, its files take their places.

        An error while writing leaves everything as it was.
        """
        self.check_free(pictures=pictures, overwrite=overwrite)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        before = self._own_extras()
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=self.path.parent) as folder:
            draft = Bundle(Path(folder, self.path.name))
            yield draft
            if self.is_folder and not self.path.exists():
                os.replace(draft.path, self.path)
                return
            # file by file, so that what else the user keeps in a folder never moves; the recipe
            # comes last, as the mark that all of it is there
            for file in draft._files():
                os.replace(file, self._place_of(file))
                before.discard(self._place_of(file))
            for file in before:
                file.unlink(missing_ok=True)

    def fingerprint(self) -> str | None:
        """Give the sha256 of the video file; None for a folder of frames."""
        if self.is_folder:
            return None
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def _is_ours(self) -> bool:
        """Whether what is here is still as svdkit saved it, so that saving may replace it."""
        try:
            about = self.read()
        except ValueError:
            return False
        if "svdkit" not in about:
            return False
        unchanged = about.get("file", {}).get("sha256")
        return self.is_folder or not self.path.exists() or unchanged == self.fingerprint()

    def _own_extras(self) -> set[Path]:
        """List the files that the clip before may leave behind: pictures, and frames."""
        if not self._is_ours():
            return set()
        count = self.read().get("file", {}).get("pictures", 0)
        extras = {self.picture(number) for number in range(count)}
        return extras | set(self.frames()) if self.is_folder else extras

    def _files(self) -> list[Path]:
        """List what a draft holds, the recipe last."""
        files = set(self.path.iterdir() if self.is_folder else self.path.parent.iterdir())
        return [*sorted(files - {self.recipe}), self.recipe]

    def _place_of(self, drafted: Path) -> Path:
        folder = self.path if self.is_folder else self.path.parent
        return folder / drafted.name

    def _beside(self, name: str) -> Path:
        if self.is_folder:
            return self.path / name
        return self.path.with_name(f"{self.path.name}.{name}")
