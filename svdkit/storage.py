"""A clip on disk: the video, its recipe and its pictures, side by side, each landing whole.

Beside `kite.mp4` stand `kite.mp4.json` and `kite.mp4.input.png`; a folder of frames holds
`recipe.json` and `input.png` inside it.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from .notes import check_about, json_in
from .paths import is_file, nameless, shown
from .workshops import NEW, alone, remove_leftovers, take_places, workshop

FRAME = re.compile(r"frame_(\d{4,})\.png")
# What a clip's files are called, after the name of a video, or inside a folder of frames
VIDEO_PARTS = re.compile(r"(\.input(-\d+)?\.png)?")
FOLDER_PARTS = re.compile(r"frame_\d{4,}\.png|input(-\d+)?\.png")


class Bundle:
    """The files of one clip.

    >>> Bundle(Path("kite.mp4")).recipe.name
    'kite.mp4.json'
    """

    def __init__(self, path: Path):
        self.path = path.resolve() if path.name in ("", "..") else path
        self.is_folder = path.is_dir() or not (path.suffix or path.is_file())

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

    def frame(self, number: int) -> Path:
        """Give the file of the frame with this number, in a folder of them.

        >>> Bundle(Path("kite")).frame(3).name
        'frame_0003.png'
        """
        return self.path / f"frame_{number:04d}.png"

    def frames(self) -> list[Path]:
        """List the frames that are in a folder, in their order."""
        matches = ((FRAME.fullmatch(file.name), file) for file in self.path.iterdir())
        return [file for _, file in sorted((int(m[1]), file) for m, file in matches if m)]

    def read(self) -> dict[str, Any]:
        """Read what is written beside the clip; {} where nothing is.

        >>> Bundle(Path("nowhere.mp4")).read()
        {}
        """
        away = "; move it away to open the clip without its recipe."
        if self.recipe.exists() and not is_file(self.recipe):  # a pipe, at which one would wait
            raise ValueError(f"{shown(self.recipe)!r} is no file{away}")
        try:
            text = self.recipe.read_text(encoding="utf-8-sig")
            about = json_in(text)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (ValueError, OSError, RecursionError) as error:
            raise ValueError(
                f"{shown(self.recipe)!r} is no valid JSON ({shown(error)}){away}"
            ) from nameless(error)
        try:
            check_about(about)
        except ValueError as error:
            raise ValueError(f"{shown(self.recipe)!r} is no recipe. {error}{away}") from error
        return about

    def check_free(self, *, frames: int = 0, pictures: int = 1, overwrite: bool = False) -> None:
        """Make sure that saving here, so many frames and pictures, replaces nothing of others.

        While another process moves its files here, there is no telling whose they are: it waits.

        >>> Bundle(Path("kite.mp4")).check_free()
        """
        with ExitStack() as lock:
            with suppress(OSError):  # it may not be there yet, or be no folder
                lock.enter_context(alone(self.path.parent))
            self._check_free(frames, pictures, overwrite)

    def _check_free(self, frames: int, pictures: int, overwrite: bool) -> None:
        for folder in self.path.parents:
            if folder.exists() and not folder.is_dir():
                raise NotADirectoryError(f"{shown(folder)!r} is a file; a folder is needed there.")
        if self.path.suffix and self.path.is_dir():
            raise IsADirectoryError(f"{shown(self.path)!r} is a folder; choose another name.")
        if not self.path.suffix and self.path.is_file():
            raise FileExistsError(
                f"{shown(self.path)!r} is a file, and frames need a folder; choose another name, "
                "or "
                "end it in .mp4 for a video."
            )
        files = [self.recipe, *map(self.picture, range(pictures))]
        files += map(self.frame, range(frames)) if self.is_folder else [self.path]
        for file in files:
            if file.is_dir():
                raise IsADirectoryError(f"{shown(file)!r} is a folder; choose another name.")
        for file in (self.path, *files):
            if file.is_symlink() and not file.exists():
                raise FileExistsError(
                    f"{shown(file)!r} is a link that leads nowhere; move it away."
                )
        ours = set() if overwrite else self._ours()
        taken = [file for file in files if file.exists() and not overwrite and file not in ours]
        if self.is_folder and self.path.exists() and not overwrite and not ours:
            taken += sorted(self.path.iterdir())[:1]
        if taken:
            raise FileExistsError(
                f"{shown(taken[0])!r} is there already and is not what svdkit saved there; choose "
                "another name, or pass overwrite=True to replace it."
            )

    @contextmanager
    def draft(
        self, *, frames: int = 0, pictures: int = 0, overwrite: bool = False
    ) -> Iterator["Bundle"]:
        """Lend a bundle to write to; when all is written, its files take their places.

        An error, or an interrupt, leaves everything as it was; where the process is killed the next
        look at the clip does, or the next save in its folder.
        """
        home = self.path.parent
        remove_leftovers(home)
        self.check_free(frames=frames, pictures=pictures, overwrite=overwrite)
        with workshop(home) as folder:
            draft = Bundle(Path(folder, NEW, self.path.name))
            draft.path.parent.mkdir()
            yield draft
            with alone(home):
                self._check_free(frames, pictures, overwrite)  # others may have come meanwhile
                if self.is_folder and not self.path.exists():
                    os.replace(draft.path, self.path)
                    return
                entering = [file.relative_to(draft.path.parent) for file in draft._files()]
                leaving = self._ours() | {
                    home / name for name in entering if (home / name).exists()
                }
                # first of all the recipe: while it is not there, a reader knows of the move
                leaving = sorted(leaving, key=lambda file: (file != self.recipe, file))
                names = [file.relative_to(home) for file in leaving]
                take_places(Path(folder), entering, names)

    def is_ours(self) -> bool:
        """Whether svdkit saved a clip here.

        >>> Bundle(Path("nowhere.mp4")).is_ours()
        False
        """
        try:
            return "svdkit" in self.read()
        except ValueError:
            return False

    def fingerprints(self) -> dict[str, str]:
        """Give the fingerprint of each file but the recipe, by what it is in the bundle.

        The name of the clip is left out, so that a bundle may be copied or renamed, and a copy
        never takes the files of the first for its own.
        """
        return {self._part(file): fingerprint(file) for file in self._files()[:-1]}

    def _ours(self) -> set[Path]:
        """List the files here that are still as svdkit saved them, so that saving may replace them.

        What was edited since is its user's, and so is what is merely named like ours.
        """
        if not self.is_ours():
            return set()
        names = FOLDER_PARTS if self.is_folder else VIDEO_PARTS
        told = self.read().get("file", {}).get("sha256", {})
        places = {self._place(part): sha for part, sha in told.items() if names.fullmatch(part)}
        return {self.recipe, *(p for p, sha in places.items() if fingerprint(p) == sha)}

    def _files(self) -> list[Path]:
        """List what a draft holds, the recipe last."""
        files = set(self.path.iterdir() if self.is_folder else self.path.parent.iterdir())
        return [*sorted(files - {self.recipe}), self.recipe]

    def _part(self, file: Path) -> str:
        return file.name if self.is_folder else file.name.removeprefix(self.path.name)

    def _place(self, part: str) -> Path:
        return self.path / part if self.is_folder else self.path.with_name(self.path.name + part)

    def _beside(self, name: str) -> Path:
        return self._place(name if self.is_folder else f".{name}")


def fingerprint(file: Path) -> str | None:
    """Give the sha256 of a file; None where there is none.

    >>> fingerprint(Path("nowhere.mp4")) is None
    True
    """
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None
