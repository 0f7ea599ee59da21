"""The clips that a panel made, one after another: in memory, in a folder, and in the notebook."""

import html
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from .calls import call_of
from .clips import Clip
from .images import fitting_in
from .limits import checked_seed
from .notes import steps_of
from .paths import as_path, is_file, nameless, shown
from .settings import settings_in
from .video import scaled
from .workshops import locked, remove_leftovers, workshop

POSTER_WIDTH = 128  # pixels
MOST_OPEN = 4  # clips of a folder that are held in memory
KEPT_SIDE = 448  # pixels of the clips that the notebook keeps
KEPT_WIDTH = 256  # at which they are shown
KEPT_BYTES = 8_000_000  # of HTML; the newest first
MOST_KEPT = 8
LONGEST_STEM = 80  # letters of a picture's title in the name of a file
CODE_STYLE = "padding:6px;border:1px solid #999;line-height:1.4;white-space:pre-wrap"
VERBS = ("animate", "cinemagraph")
LOADED = ("bundled", "hub")  # the sources of what its name alone loads again
NAME = re.compile(r"(\d{3,})-(.+)")


class Take:
    """One clip of a panel, and the call that makes it again.

    `picture` and `mask` are code. A clip that is in a file is read when it is asked for.

    >>> import svdkit as sk
    >>> clip = sk.animate(sk.sample_image(), "tiny", seed=7, num_inference_steps=1, progress=False)
    >>> take = Take(1, "sample picture", clip, picture="sk.sample_image()")
    >>> print(take.code)
    sk.animate(sk.sample_image(), "tiny", num_inference_steps=1, seed=7)
    """

    def __init__(
        self,
        number: int,
        title: str,
        clip: Clip | Path,
        *,
        picture: str = "picture",
        mask: str | None = None,
    ):
        self.number, self.title = number, title
        self._held = clip if isinstance(clip, Clip) else None
        self.path = clip if isinstance(clip, Path) else None
        clip = self.clip
        request = steps_of(clip.recipe)[-1]["request"]
        settings = vars(settings_in(request))
        seed = checked_seed(request["seed"])  # of a file that may be a stranger's
        self.values: dict[str, Any] = {**settings, **fitting_in(request), "seed": seed}
        if request["verb"] not in VERBS:
            raise ValueError(f"The clip was made by {request['verb']!r:.40}, and by no panel.")
        if request["verb"] == "cinemagraph":
            mask = mask or "mask"
        self.is_masked = mask is not None
        as_loaded = request.get("source") in LOADED and request.get("arithmetic") in (None, "lean")
        pipeline = "" if as_loaded else "pipeline"
        picture = "picture" if mask == "mask" else picture  # the mask fits the fitted one alone
        code = {"picture": picture, "mask": mask, "pipeline": pipeline}
        self.code = call_of(self.values, request["model"], **code)
        if mask == "mask":
            self.code = f"picture, mask = clip.inputs\n{self.code}"
        elif picture == "picture":
            self.code = f"picture = clip.inputs[0]\n{self.code}"
        self.poster = _poster(clip)
        self._kept: str | None = None

    @property
    def clip(self) -> Clip:
        """The clip itself."""
        return self._held or _opened(self.path, _stamp_of(self.path))

    @property
    def is_there(self) -> bool:
        """Whether it can be shown: its file may have been thrown away since."""
        return self._held is not None or is_file(self.path)

    @property
    def name(self) -> str:
        """What it is called in the panel."""
        return f"{self.number} · {self.title}"

    def moved_to(self, path: Path) -> None:
        """Let go of the frames: the clip is in a file now, whole but for the codec's loss."""
        self.path, self._held = path, None

    def kept(self) -> str:
        """Give what the notebook keeps of it: a small player, and the code, as HTML."""
        if self._kept is None:
            clip = self.clip
            height, width = clip.frames.shape[1:3]
            factor = KEPT_SIDE / max(height, width)
            small = Clip(scaled(clip.frames, factor), clip.fps) if factor < 1 else clip
            player = small.player(self.name, width=round(KEPT_WIDTH * min(1, width / height)))
            code = f'<pre style="{CODE_STYLE}">{html.escape(self.code)}</pre>'
            fold = f"<details><summary>its code</summary>{code}</details>"
            self._kept = f'<div style="width:{KEPT_WIDTH + 16}px">{player}{fold}</div>'
        return self._kept


class Takes(Sequence):
    """All clips of a panel, oldest first; with a folder also those that it holds already.

    >>> takes = Takes()
    >>> len(takes), "No clip" in takes.kept()
    (0, True)
    """

    def __init__(self, folder: str | os.PathLike | None = None):
        self.folder = None if folder is None else as_path(folder).absolute()
        self._all: list[Take] = []
        if self.folder:
            with workshop(self.folder):  # tells of what cannot be written to before a clip is made
                remove_leftovers(self.folder)
                self._all = list(_found_in(self.folder))

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, which: Any) -> Any:
        return self._all[which]

    def add(self, title: str, clip: Clip, *, picture: str, mask: str | None = None) -> Take:
        """Add a clip that was just made; `keep` writes it into the folder."""
        numbers = [take.number for take in self._all] + _numbers_in(self.folder)
        number = max(numbers, default=0) + 1
        take = Take(number, title, clip, picture=picture, mask=mask)
        self._all.append(take)
        return take

    def keep(self, take: Take) -> Path | None:
        """Write a clip into the folder, if there is one, and give its path."""
        if self.folder is None:
            return None
        stem = re.sub(r"[^\w-]+", "-", Path(take.title).stem).strip("-") or "clip"
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder):  # against another panel
            while take.number in _numbers_in(self.folder):
                take.number += 1
            name = f"{take.number:03d}-{stem[:LONGEST_STEM]}.mp4"
            take.moved_to(take.clip.save(self.folder / name))
        return take.path

    def kept(self) -> str:
        """Give what the notebook keeps of all, newest first, as HTML that needs no kernel."""
        if not self._all:
            return "<p>No clip has been made in this panel yet.</p>"
        told, size = [], 0
        for take in reversed(self._all):
            try:
                kept = take.kept()
            except (OSError, ValueError) as error:  # a file that was removed or changed since
                kept = f"<p>{html.escape(shown(error))}</p>"
            size += len(kept)
            if told and (size > KEPT_BYTES or len(told) == MOST_KEPT):
                told.append(f"<p>and {len(self._all) - len(told)} before them</p>")
                break
            told.append(kept)
        count = f"{len(self._all)} clip{'s' if len(self._all) > 1 else ''}"
        where = f", also in {html.escape(shown(self.folder))}" if self.folder else ""
        style = 'style="cursor:pointer"'
        return (
            f"<details open><summary {style}>{count} of this panel, kept in the notebook{where}; "
            "to make more, run the cell again"
            f'</summary><div style="display:flex;flex-wrap:wrap;gap:12px">{"".join(told)}</div>'
            "</details>"
        )


def _numbers_in(folder: Path | None) -> list[int]:
    """Give the numbers of the clips in a folder, whoever put them there."""
    names = (NAME.fullmatch(path.stem) for path in folder.glob("*.mp4")) if folder else ()
    return [int(match[1]) for match in names if match]


def _found_in(folder: Path) -> Iterator[Take]:
    """Read the clips of a folder that a panel made; what else is there is left alone."""
    for path in sorted(folder.glob("*.mp4")):
        match = NAME.fullmatch(path.stem)
        if match:
            # damaged, changed, of other verbs, or from elsewhere
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
                take = Take(int(match[1]), match[2], path)
                yield take


@lru_cache(MOST_OPEN)
def _opened(path: Path, stamp: tuple[int, int]) -> Clip:
    """Open a clip, anew where the file is another one now."""
    return Clip.open(path)


def _stamp_of(path: Path) -> tuple[int, int]:
    try:
        about = path.stat()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{shown(path)!r} is not there any more.") from nameless(error)
    return about.st_mtime_ns, about.st_size


def _poster(clip: Clip) -> bytes:
    height, width = clip.frames.shape[1:3]
    size = (POSTER_WIDTH, max(1, round(POSTER_WIDTH * height / width)))
    stream = io.BytesIO()
    Image.fromarray(clip.frames[0]).resize(size).save(stream, "JPEG", quality=85)
    return stream.getvalue()
