"""The folder of a sweep: what stands in it is whole, and stays.

sweep.json            which model, and the seed for what names none
inputs/<sha256>.png   the fitted pictures, each once
<cell>.mp4            a clip, and beside it, as the mark that it is done,
<cell>.mp4.json       its recipe
<cell>.error.json     why a cell failed, until it succeeds
"""

import json
import os
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__, files
from .clips import Clip
from .frames import sha256_of_frames
from .images import open_image
from .layouts import measured
from .notes import json_in
from .paths import as_path, shown
from .storage import Bundle, fingerprint
from .workshops import locked, remove_leftovers, workshop

if TYPE_CHECKING:
    from PIL import Image

ABOUT = "sweep.json"
ERROR = ".error.json"
IDENTITY = ("model", "source", "scheduler", "arithmetic")  # what all clips of a folder share
CELL = re.compile(r"([0-9a-f]{16})\.mp4\.json")
TITLE = "Title"  # the keyword that PNG has for it


@dataclass(frozen=True, eq=False)
class Cell:
    """One clip of a sweep: its settings by name, what was measured of it, and where it is.

    >>> Cell("ab12", {"fps": 7}, {"motion": 0.02}, Path("ab12.mp4"))
    Cell(ab12, motion 0.02)
    """

    name: str
    values: Mapping[str, Any]
    """The title of its picture as "image", the seed, how it was fitted, and all settings."""
    metrics: Mapping[str, Any]
    path: Path
    image_sha256: str = ""

    @property
    def clip(self) -> Clip:
        """The clip, read anew each time: hundreds of them would fill the memory."""
        return Clip.open(self.path)

    def __repr__(self) -> str:
        return f"Cell({', '.join(filter(None, [self.name, measured(self.metrics)]))})"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return self.clip._repr_mimebundle_() | {"text/plain": repr(self)}


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
        if not file.is_file():
            raise FileNotFoundError(
                f"{shown(folder.name)!r} is no folder of a sweep: there is no {ABOUT} in it."
            )
        about = _json_of(file)
        if type(about.get("seed")) is not int or not set(IDENTITY) <= set(about):
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
        with workshop(folder) as room, locked(folder):
            if not (folder / ABOUT).exists():
                others = [file for file in folder.iterdir() if not file.name.startswith(".")]
                if others:
                    raise FileExistsError(
                        f"{shown(folder)!r} holds other files, like {others[0].name!r}, and no "
                        "sweep; choose a new folder."
                    )
                seed = random.SystemRandom().randrange(2**32)
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
            outcome = self._about(name).get("outcome", {})
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
        if not self._picture(sha).exists():
            note = PngInfo()
            note.add_itxt(TITLE, title)
            with self._room() as room:
                draft = Path(room, f"{sha}.png")
                picture.save(draft, pnginfo=note)
                self._picture(sha).parent.mkdir(exist_ok=True)
                os.replace(draft, self._picture(sha))
        return sha

    def picture(self, sha: str) -> "Image.Image":
        """Open a picture that is stored here."""
        return open_image(self._picture(sha))

    def has(self, name: str) -> bool:
        """Whether a cell is there and whole; what was changed since is an error, and stays."""
        bundle = self._bundle(name)
        if not bundle.recipe.exists() or not bundle.path.exists():
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
                if not self.has(name):
                    os.replace(draft.path, bundle.path)
                    os.replace(draft.recipe, bundle.recipe)  # the mark that it is done
        with suppress(FileNotFoundError):
            self._error(name).unlink()

    def fail(self, name: str, asked: Mapping[str, Any], error: Exception) -> None:
        """Note down why a cell failed."""
        note = {"error": f"{type(error).__name__}: {shown(error)}", "request": dict(asked)}
        with self._room() as room:
            _land(Path(room, self._error(name).name), self._error(name), json.dumps(note, indent=2))

    def names(self) -> list[str]:
        """List the cells that are done, by their names."""
        matches = (CELL.fullmatch(file.name) for file in self.folder.iterdir())
        return sorted(match[1] for match in matches if match)

    def failures(self) -> dict[str, dict[str, Any]]:
        """Give what is noted of the cells that failed: name → error and request."""
        files = sorted(self.folder.glob(f"*{ERROR}"))
        return {file.name.removesuffix(ERROR): _json_of(file) for file in files}

    def cell(self, name: str) -> Cell:
        """Give a cell that is done."""
        about = self._about(name)
        request, outcome = about["request"], about["outcome"]
        path = self._bundle(name).path
        metrics = outcome.get("metrics", {})
        return Cell(name, self.values(request), metrics, path, request["image_sha256"])

    def values(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Give what a request asks for, by the names of the axes of a grid."""
        title = self.title(request["image_sha256"])
        return {"image": title, "seed": request["seed"], **request["fit"], **request["settings"]}

    def title(self, sha: str) -> str:
        """Give the title under which a picture was stored."""
        from PIL import Image

        try:
            with Image.open(self._picture(sha)) as image:
                return str(image.info.get(TITLE) or sha[:6])
        except (OSError, ValueError):
            return sha[:6]

    @contextmanager
    def _room(self) -> Iterator[str]:
        """Lend a workshop; say what to do where the disk is full, or takes no more."""
        try:
            with workshop(self.folder) as room:
                yield room
        except OSError as error:
            done = f"the {len(self.names())} clips that are done stay"
            raise OSError(
                error.errno,
                f"{shown(self.folder)!r} takes no more clips ({error.strerror or error}); {done}. "
                "Make room, and make the same call again.",
            ) from error

    def _about(self, name: str) -> dict[str, Any]:
        return self._bundle(name).read()

    def _bundle(self, name: str) -> Bundle:
        return Bundle(self.folder / f"{name}.mp4")

    def _picture(self, sha: str) -> Path:
        return files.shared_picture(self.folder, sha)

    def _error(self, name: str) -> Path:
        return self.folder / f"{name}{ERROR}"


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
