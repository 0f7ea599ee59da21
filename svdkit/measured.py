"""What was measured, in rows of JSON: some come with svdkit, others are this machine's own."""

import json
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from .gpus import Gpu, find_gpu
from .paths import shown

OWN = "configs/measured.json"  # in the package


@dataclass(frozen=True)
class Measurement:
    """A clip that was made and measured.

    >>> Measurement("NVIDIA T4", "svd-xt", "cpu", "lean", 25, 576, 1024, 25, 9.3, 300, "2026-11-20")
    Measurement(card='NVIDIA T4', ...)
    """

    card: str
    model: str
    preset: str
    arithmetic: str
    num_frames: int
    height: int
    width: int
    steps: int
    peak_gib: float
    """The peak of the GPU memory that torch gave out."""
    seconds: float
    """The whole clip took, without loading the model."""
    date: str
    dtype: str = "float16"
    guided: bool = True

    @property
    def source(self) -> str:
        """Where the figures are from.

        >>> Measurement("NVIDIA T4", "", "", "", 1, 8, 8, 1, 1.0, 1.0, "2026-11-20").source
        'measured on NVIDIA T4 (2026-11-20)'
        """
        return f"measured on {self.card} ({self.date})"

    def is_on(self, gpu: Gpu) -> bool:
        """Whether it was measured on such a card.

        >>> from svdkit.gpus import GPUS
        >>> Measurement("Tesla T4", "", "", "", 1, 8, 8, 1, 1.0, 1.0, "").is_on(GPUS["T4"])
        True
        """
        try:
            return find_gpu(self.card).name == gpu.name
        except ValueError:
            return self.card == gpu.name


def bench_folder() -> Path:
    """Give the folder in which the benches of this machine are kept.

    >>> bench_folder().parts[-2:]
    ('svdkit', 'bench')
    """
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # the standard has a relative one ignored
    home = Path(cache) if os.path.isabs(cache) else Path(os.path.expanduser("~"), ".cache")
    return home / "svdkit" / "bench"


def measurements() -> list[Measurement]:
    """Read what was measured, newest first; a broken file is left out with a warning.

    >>> isinstance(measurements(), list)
    True
    """
    found = [Path(str(files("svdkit"))) / OWN]
    found += sorted(bench_folder().glob("*.json"))
    rows = [row for file in found if file.is_file() for row in _read(file)]
    return sorted(rows, key=lambda row: row.date, reverse=True)


def _read(file: Path) -> list[Measurement]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return [_checked(row) for row in (told if isinstance(told, list) else [told])]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        warnings.warn(f"{shown(file)!r} is left out: {error}.", stacklevel=4)
        return []


def _checked(row: Any) -> Measurement:
    """Make a measurement of a row, which may hold more than is needed here."""
    if not isinstance(row, dict):
        raise TypeError(f"{row!r:.40} is no measurement")
    values = {}
    for field in fields(Measurement):
        if field.name not in row and field.default is not MISSING:
            continue
        value = row.get(field.name)
        kinds = (int, float) if field.type is float else (field.type,)
        good = type(value) in kinds
        if good and field.type in (int, float):
            good = math.isfinite(value) and value > 0
        if not good:
            raise ValueError(f"its {field.name} is {value!r:.40}")
        values[field.name] = value
    return Measurement(**values)


def newest(rows: list[Measurement], gpu: Gpu, **wanted: Any) -> Measurement | None:
    """Find the newest measurement on a card whose fields are as wanted; None where there is none.

    >>> from svdkit.gpus import GPUS
    >>> newest([], GPUS["T4"], model="svd-xt") is None
    True
    """
    return next(_fitting(rows, gpu, wanted), None)


def _fitting(rows: list[Measurement], gpu: Gpu, wanted: dict[str, Any]) -> Iterator[Measurement]:
    for row in rows:
        if all(getattr(row, name) == value for name, value in wanted.items()) and row.is_on(gpu):
            yield row
