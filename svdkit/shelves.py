"""The folder of a sweep: what stands in it is whole, and stays.

sweep.json            which model, and the seed for what names none
inputs/<sha256>.png   the fitted pictures, each once
<cell>.mp4            a clip, and beside it, as the mark that it is done,
<cell>.mp4.json       its recipe
<cell>.error.json     why a cell failed, until it succeeds
"""

import errno
import json
import os
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__, files
from .cards import IDENTITY, Cell, asked_in, is_called, measured_in
from .clips import Clip
from .frames import sha256_of_frames
from .images import open_image
from .notes import json_in
from .paths import as_path, is_file, shown, without_folders
from .storage import Bundle, fingerprint
from .workshops import locked, remove_leftovers, workshop

if TYPE_CHECKING:
    from PIL import Image

ABOUT = "sweep.json"
ERROR = ".error.json"
CELL = re.compile(r"([0-9a-f]{16})\.mp4\.json")
TITLE = "Title"  # the keyword that PNG has for it
MOST_LETTERS = 2000  # of a text that may be a stranger's
IN_THE_WAY = (errno.EEXIST, errno.EISDIR, errno.ENOTDIR)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)


class Shelf:
    """The folder of a sweep.

    >>> from tempfile import mkdtemp
    >>> tiny = {"model": "tiny", "source": "bundled", "scheduler": {}, "arithmetic": "stock"}
    >>> Shelf.start(mkdtemp(), tiny).names()
    []
    """

    def __init__(self, folder: Path, about: dict[str, Any]):
        self.folder = folder
        self.about = about

    @classmethod
    def open(cls, folder: str | os.PathLike) -> "Shelf":
        """Open a folder that a sweep made.

        >>> Shelf.open("nowhere")
        Traceback (most recent call last):
        FileNotFoundError: 'nowhere' is no folder of a sweep: there is no sweep.json in it.
        """
        folder = as_path(folder).absolute()
        file = folder / ABOUT
        if not is_file(file):
            raise FileNotFoundError(
                f"{shown(folder.name)!r:.100} is no folder of a sweep: there is no {ABOUT} in it."
            )
        about = _json_of(file)
        if not _is_about(about):
            raise ValueError(
                f"{shown(file)!r} does not say the {', '.join(IDENTITY)} and seed of a sweep. "
                "Put back what was there, or choose another folder."
            )
        return cls(folder, about)

    @classmethod
    def start(cls, folder: str | os.PathLike, identity: Mapping[str, Any]) -> "Shelf":
        """Open a folder for a sweep, and make it if it is not there.

        One that holds clips of another model, or other files, is an error.
        """
        folder = as_path(folder).absolute()
        _check_others(folder)
        with workshop(folder) as room, locked(folder):
            if (folder / ABOUT).exists():
                shelf = cls.open(folder)
                seed, is_new = shelf.about["seed"], not shelf._picture("").parent.exists()
            else:
                seed, is_new = random.SystemRandom().randrange(2**32), True
            if is_new:  # a call that came to no picture yet claims nothing for its model
                about = {"svdkit": __version__, **identity, "seed": seed}
                _land(Path(room, ABOUT), folder / ABOUT, json.dumps(about, indent=2))
        shelf = cls.open(folder)
        shelf.check_identity(identity)
        remove_leftovers(folder)
        return shelf

    def check_identity(self, identity: Mapping[str, Any]) -> None:
        """Make sure that a model is the one whose clips stand here."""
        for name in IDENTITY:
            if identity[name] != self.about[name]:
                raise ValueError(
                    f"{shown(self.folder)!r} holds clips of {name} {self.about[name]!r}, and this "
                    f"is {identity[name]!r}; choose another folder."
                )

    def check_weights(self, dtype: str, weights: str | None) -> None:
        """Make sure that weights are those that made the clips here, as far as that can be told."""
        for name in self.names():
            outcome = self._bundle(name).read().get("outcome", {})
            if outcome.get("dtype") == dtype and outcome.get("weights") and weights:
                if outcome["weights"] != weights:
                    raise ValueError(
                        f"{shown(self.folder)!r} holds clips of other weights of "
                        f"{self.about['model']!r}; choose another folder."
                    )
                return

    def keep_picture(self, picture: "Image.Image", title: str) -> str:
        """Store a fitted picture, once, and give its sha256."""
        from PIL.PngImagePlugin import PngInfo

        sha = sha256_of_frames(np.asarray(picture))
        place = self._picture(sha)
        if place.exists():
            self.picture(sha)  # which tells if it is another one now
            return sha
        if place.parent.is_symlink():  # a sweep writes nothing elsewhere
            raise ValueError(f"{shown(place.parent)!r} is a link; put a folder in its place.")
        note = PngInfo()
        note.add_itxt(TITLE, title.encode("utf-8", "replace").decode())
        with self._room() as room:
            draft = Path(room, f"{sha}.png")
            picture.save(draft, pnginfo=note)
            place.parent.mkdir(exist_ok=True)
            os.replace(draft, place)
        return sha

    def picture(self, sha: str) -> "Image.Image":
        """Open a picture that is stored here; one that was changed since is an error, and stays."""
        file = self._picture(sha)
        why = "it is lost"
        if is_file(file):
            try:
                picture = open_image(file)
                why = "it is another picture now"
                if sha256_of_frames(np.asarray(picture)) == sha:
                    return picture
            except (OSError, ValueError):
                why = "it cannot be read any more"
        raise ValueError(
            f"{shown(file)!r} is what clips here were made from, and {why}. Move it away, if it is "
            "there, and make the same call again."
        )

    def has(self, name: str) -> bool:
        """Whether a cell is there and whole; what was changed since is an error, and stays."""
        bundle = self._bundle(name)
        if not is_file(bundle.recipe) or not is_file(bundle.path):
            return False
        told = bundle.read().get("file", {}).get("sha256", {}).get("")
        if told != fingerprint(bundle.path):
            raise ValueError(
                f"{shown(bundle.path)!r} is not what {bundle.recipe.name!r} tells of: one of them "
                "was changed since. Move both away to have the clip made again."
            )
        return True

    def keep(self, name: str, clip: Clip, metrics: Mapping[str, Any]) -> None:
        """Store a clip: whole or not at all, and never over one that is there."""
        recipe = clip.recipe | {"outcome": clip.recipe["outcome"] | {"metrics": dict(metrics)}}
        bundle = self._bundle(name)
        with self._room() as room:
            draft = Bundle(Path(room, bundle.path.name))
            files.write(draft.path, clip.frames, clip.fps, recipe, [])
            with locked(self.folder):
                self.open(self.folder).check_identity(self.about)
                if not self.has(name):
                    os.replace(draft.path, bundle.path)
                    os.replace(draft.recipe, bundle.recipe)  # the mark that it is done
        with suppress(FileNotFoundError):
            self._error(name).unlink()

    def fail(self, name: str, asked: Mapping[str, Any], error: Exception) -> None:
        """Note down why a cell failed, if no other process has made it meanwhile."""
        why = f"{type(error).__name__}: {without_folders(error)}"
        note = json.dumps({"error": why, "request": dict(asked)}, indent=2)
        with self._room() as room, locked(self.folder):
            if not self.has(name):
                _land(Path(room, self._error(name).name), self._error(name), note)

    def names(self) -> list[str]:
        """List the cells that are done, by their names."""
        found = ((CELL.fullmatch(file.name), file) for file in self.folder.iterdir())
        return sorted(match[1] for match, file in found if match and is_file(file))

    def failed(self) -> list[str]:
        """List the cells that failed, and are not done since, by their names."""
        notes = (file.name for file in sorted(self.folder.glob(f"*{ERROR}")) if is_file(file))
        done = set(self.names())
        return [name for name in (note.removesuffix(ERROR) for note in notes) if name not in done]

    def failure(self, name: str) -> dict[str, Any]:
        """Give the values of a cell that failed, by axis, and its error; only that if need be."""
        try:
            note = _json_of(self._error(name))
            sha, values = asked_in(note)
        except (ValueError, TypeError) as error:
            return {"error": f"{self._error(name).name} is no note of an error: {error}."}
        return {"image": self.title(sha), **values, "error": str(note.get("error"))[:MOST_LETTERS]}

    def cell(self, name: str) -> Cell:
        """Give a cell that is done."""
        bundle = self._bundle(name)
        about = bundle.read()
        try:
            (sha, values), metrics = asked_in(about), measured_in(about)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{bundle.recipe.name} is no recipe of a cell: {error}.") from error
        if not is_called(name, self.about, sha, values):
            raise ValueError(
                f"{bundle.recipe.name} tells of another clip than that of its name: one of them "
                "was changed since. Move it and its video away to have the clip made again."
            )
        return Cell(name, {"image": self.title(sha), **values}, metrics, bundle.path, sha)

    def title(self, sha: str) -> str:
        """Give the title under which a picture was stored."""
        from PIL import Image

        place = self._picture(sha)
        if is_file(place):
            with suppress(OSError, ValueError, SyntaxError), Image.open(place) as image:
                return str(image.info.get(TITLE) or sha[:6])[:MOST_LETTERS]
        return sha[:6]

    @contextmanager
    def _room(self) -> Iterator[str]:
        """Lend a workshop; say what to do where the disk is full, or takes no more."""
        try:
            with workshop(self.folder) as room:
                yield room
        except OSError as error:
            if error.errno in IN_THE_WAY and error.filename:
                place = shown(error.filename2 or error.filename)
                why = f"{place!r} is in the way ({error.strerror}); move it away, and call again."
                raise type(error)(error.errno, why) from error
            if error.errno not in NO_ROOM:
                raise
            done = f"the {len(self.names())} clips that are done stay"
            raise OSError(
                error.errno,
                f"{shown(self.folder)!r} takes no more clips ({error.strerror or error}); {done}. "
                "Make room, and make the same call again.",
            ) from error

    def _bundle(self, name: str) -> Bundle:
        return Bundle(self.folder / f"{name}.mp4")

    def _picture(self, sha: str) -> Path:
        return files.shared_picture(self.folder, sha)

    def _error(self, name: str) -> Path:
        return self.folder / f"{name}{ERROR}"


def _is_about(about: dict[str, Any]) -> bool:
    kinds = {"model": str, "source": str, "scheduler": dict, "arithmetic": str, "seed": int}
    return all(type(about.get(name)) is kind for name, kind in kinds.items())


def _check_others(folder: Path) -> None:
    """Make sure that a folder is a sweep's, or empty, before anything is written there."""
    if not folder.is_dir() or (folder / ABOUT).exists():
        return
    others = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    if others:
        raise FileExistsError(
            f"{shown(folder)!r} holds other files, like {others[0]!r}, and no sweep; choose a new "
            "folder."
        )


def _land(draft: Path, place: Path, text: str) -> None:
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, place)


def _json_of(file: Path) -> dict[str, Any]:
    try:
        about = json_in(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{shown(file)!r} is no valid JSON ({error}). Put back what was there, or choose "
            "another folder."
        ) from error
    return about if isinstance(about, dict) else {}
