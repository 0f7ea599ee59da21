"""A cell of a sweep, and what is written about one: data, perhaps a stranger's, and so checked."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, overload

from .clips import Clip
from .images import check_fit
from .layouts import in_words
from .settings import LIMITS, Settings

IDENTITY = ("model", "source", "scheduler", "arithmetic")  # what all clips of a folder share
MOST_CHUNK = LIMITS["decode_chunk_size"].high
SHA256 = re.compile("[0-9a-f]{64}")
METRIC = re.compile("[a-z][a-z_]{0,39}")


@dataclass(frozen=True, eq=False)
class Cell:
    """One clip of a sweep: its settings by name, what was measured of it, and where it is.

    >>> Cell("ab12", {"fps": 7}, {"motion": 0.02}, Path("ab12.mp4"))
    Cell(ab12, motion 0.02)
    """

    name: str
    values: Mapping[str, Any]
    """The title of its picture as "image", the seed, how it was fitted, and all settings."""
    metrics: Mapping[str, float | None]
    path: Path
    image_sha256: str = ""

    @property
    def clip(self) -> Clip:
        """The clip, read anew each time: hundreds of them would fill the memory."""
        return Clip.open(self.path)

    def __repr__(self) -> str:
        return f"Cell({', '.join(filter(None, [self.name, in_words(self.metrics)]))})"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return self.clip._repr_mimebundle_() | {"text/plain": repr(self)}


class Clips(Sequence):
    """The clips of cells, each read from its file when it is asked for.

    >>> len(Clips([]))
    0
    """

    def __init__(self, cells: Sequence[Cell]):
        self._cells = cells

    def __len__(self) -> int:
        return len(self._cells)

    @overload
    def __getitem__(self, which: int) -> Clip: ...
    @overload
    def __getitem__(self, which: slice) -> "Clips": ...
    def __getitem__(self, which):
        """Read one clip, or choose some."""
        return Clips(self._cells[which]) if isinstance(which, slice) else self._cells[which].clip

    def __repr__(self) -> str:
        return f"Clips({len(self)})"


def asked_in(about: Any) -> tuple[str, dict[str, Any]]:
    """Read what a note says was asked for: the picture's sha256, and the values by axis.

    >>> asked_in({"request": {"image_sha256": "../../secret"}})
    Traceback (most recent call last):
    ValueError: its image_sha256 is '../../secret', which should be 64 letters 0–9 and a–f
    """
    request = _dict(about, "request")
    sha, seed = request.get("image_sha256"), request.get("seed")
    if not isinstance(sha, str) or not SHA256.fullmatch(sha):
        raise ValueError(f"its image_sha256 is {sha!r:.40}, which should be 64 letters 0–9 and a–f")
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise ValueError(f"its seed is {seed!r:.40}, which should be a whole number from 0")
    fit = _dict(request, "fit")
    check_fit(fit.get("how"), fit.get("focus"))
    settings = asdict(Settings.of(_dict(request, "settings")))
    return sha, {"seed": seed, "how": fit["how"], "focus": tuple(fit["focus"]), **settings}


def name_of(about: Mapping[str, Any], **order: Any) -> str:
    """Give the hash by which an order's files are called.

    Settings at diffusers' defaults are left out: the name outlives new settings.
    """
    usual = asdict(Settings())
    settings = {name: value for name, value in order["settings"].items() if value != usual[name]}
    model = {name: about[name] for name in IDENTITY}
    told = json.dumps(model | order | {"settings": settings}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def is_called(name: str, about: Mapping[str, Any], sha: str, values: Mapping[str, Any]) -> bool:
    """Whether a cell of these values, as `asked_in` reads them, goes by this name in a sweep.

    >>> about = dict.fromkeys(IDENTITY, "tiny")
    >>> values = {"seed": 7, **asdict(Settings(decode_chunk_size=4))}
    >>> name = name_of(about, image_sha256="ab", seed=7, settings=asdict(Settings()))
    >>> is_called(name, about, "ab", values), is_called(name, about, "cd", values)
    (True, False)
    """
    settings = {field.name: values[field.name] for field in fields(Settings)}
    order = {"image_sha256": sha, "seed": values["seed"]}
    frames, chunk = settings["num_frames"], settings["decode_chunk_size"]
    # the machine may have chosen it, and of more frames than there are it takes all
    chunks = [None, chunk, *(range(frames, MOST_CHUNK + 1) if frames and chunk == frames else ())]
    asked = (settings | {"decode_chunk_size": chunk} for chunk in chunks)
    return any(name_of(about, **order, settings=one) == name for one in asked)


def measured_in(about: Any) -> dict[str, float | None]:
    """Read what a note says was measured.

    >>> measured_in({"outcome": {"metrics": {"motion": 0.02, "flicker": None}}})
    {'motion': 0.02, 'flicker': None}
    """
    metrics = _dict(about, "outcome").get("metrics", {})
    if not isinstance(metrics, dict):
        raise ValueError(f"its metrics are {metrics!r:.40}, which should be numbers by name")
    for name, value in metrics.items():
        if not METRIC.fullmatch(name):
            raise ValueError(f"its metrics have {name!r:.40}, which should be a name like 'motion'")
        is_number = type(value) in (int, float) and abs(value) < 1e12
        if value is not None and not (is_number and math.isfinite(value)):
            raise ValueError(f"its {name:.40} is {value!r:.40}, which should be a number")
    return metrics


def _dict(about: Any, name: str) -> dict[str, Any]:
    part = about.get(name) if isinstance(about, dict) else None
    if not isinstance(part, dict):
        raise ValueError(f"its {name} is {part!r:.40}, which should be a dict")
    return part
