"""Stock and lean clips side by side: a table to read, and rows of JSON to keep."""

import json
import math
import os
import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import __version__
from .figures import Figures, rounded
from .frames import psnr
from .measured import bench_folder
from .paths import as_path
from .replacing import replaceable
from .stopwatch import STAGES
from .workshops import landing


@dataclass(frozen=True, repr=False)
class Comparison:
    """Stock and lean clips, measured side by side.

    >>> from svdkit.settings import Settings
    >>> from svdkit.stopwatch import Lap, TimedRun
    >>> run = TimedRun((Lap("encode", 1.0), Lap("step", 2.0)), 14, None)
    >>> about = {"model": "tiny", "weights": "bundled", "dtype": "float32", "preset": "cpu"}
    >>> both = [Figures(name, Settings(64, 112, 14), (run, run)) for name in ("stock", "lean")]
    >>> print(Comparison(about | {"card": "a CPU", "in_turn": True}, tuple(both)))
    tiny, float32, 14 frames of 64×112, cpu, on a CPU
    ...
    """

    about: Mapping[str, Any]
    """The circumstances, which every row has."""
    figures: tuple[Figures, ...]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row of JSON for each arithmetic that could be measured, whole in itself."""
        both = {}
        if self.ratios:
            both = {"stock_over_lean": {name: rounded(r) for name, r in self.ratios.items()}}
        if self.psnr is not None:
            equal = math.isinf(self.psnr)  # JSON has no infinity
            both |= {"equal": True} if equal else {"psnr": rounded(self.psnr)}
        return [
            {"svdkit": __version__, **self.about, **one.row(), **both}
            for one in self.figures
            if one.runs
        ]

    @property
    def ratios(self) -> dict[str, float]:
        """How many times longer stock takes, by stage and for a clip; {} where one is missing.

        Each is the median over pairs of runs. Of those that go by turns one comes right after the
        other: whatever else the machine did meanwhile, it did to both.
        """
        measured = self._measured()
        if len(measured) < 2:
            return {}
        pairs = list(zip(*(one.runs[1:] for one in measured), strict=True))

        def ratio(stage: str | None) -> float:
            seconds = [map(Figures.seconds_of, measured, pair, (stage, stage)) for pair in pairs]
            return statistics.median(stock / lean for stock, lean in seconds)

        ratios = {stage: ratio(stage) for stage in STAGES if stage in measured[0].laps}
        return ratios | {"clip": ratio(None)}

    @property
    def on_gpu(self) -> bool:
        """Whether GPU memory was measured, and with it what `plan` wants to know."""
        return any(row["peak_gib"] for row in self.rows)

    @property
    def psnr(self) -> float | None:
        """How near the last two clips are to each other, in dB; None where one is missing."""
        clips = [one.runs[-1].frames for one in self.figures if one.runs]
        comparable = len(clips) == 2 and all(clip is not None for clip in clips)
        return psnr(*clips) if comparable else None

    def __str__(self) -> str:
        about, settings = self.about, self.figures[-1].settings
        random = ["random weights"] if about["weights"] == "random" else []
        what = [about["model"], *random, about["dtype"]]
        size = f"{settings.num_frames} frames of {settings.height}×{settings.width}"
        title = f"{', '.join([*what, size, about['preset']])}, on {about['card']}"
        return "\n".join([title, "", *_table(self._measured(), self.ratios), "", *self._remarks()])

    __repr__ = __str__

    def save(self, path: str | os.PathLike, *, overwrite: bool = False) -> Path:
        """Save the rows as JSON; a file from elsewhere is replaced only with `overwrite=True`.

        >>> from tempfile import mkdtemp
        >>> Comparison({}, ()).save(Path(mkdtemp(), "mine.json")).name
        'mine.json'
        """
        path = check_free(path, overwrite=overwrite)
        with landing(path) as draft:
            draft.write_text(json.dumps(self.rows, indent=2, ensure_ascii=False) + "\n", "utf-8")
        return path

    def keep(self) -> Path:
        """Save the rows where `plan` finds them; older ones of the same clip go.

        What decoded fewer frames at a time than it was to is left out: it fits nothing planned.
        """
        as_asked = [
            one
            for one in self._measured()
            if one.runs[-1].decode_chunk_size == one.settings.decode_chunk_size
        ]
        row = self.rows[-1]
        size = f"{row['num_frames']}x{row['height']}x{row['width']}"
        words = (row["card"], row["model"], row["preset"], row["dtype"], size, row["steps"])
        name = re.sub(r"[^\w.-]+", "-", "_".join(map(str, words)))
        kept = Comparison(self.about, tuple(as_asked))
        return kept.save(bench_folder() / f"{name}.json", overwrite=True)

    def _measured(self) -> list[Figures]:
        return [one for one in self.figures if one.runs]

    def _remarks(self) -> list[str]:
        measured = self._measured()
        remarks = [f"{one.arithmetic} does not fit: {one.why}" for one in self.figures if one.why]
        remarks += [
            f"{one.arithmetic} decoded {one.runs[-1].decode_chunk_size} frames at a time: its clip "
            "is another one, and flickers."
            for one in measured
            if one.runs[-1].decode_chunk_size < one.settings.num_frames
        ]
        if measured:
            turns = len(measured[0].runs) - 1
            order = "by turns" if self.about["in_turn"] else "one after the other"
            runs = "one run" if turns == 1 else f"{turns} runs"
            remarks += [f"Medians of {runs} each, {order}, after one that is not timed."]
        if self.psnr is not None:
            near = (
                "are equal" if math.isinf(self.psnr) else f"differ by a PSNR of {self.psnr:.1f} dB"
            )
            remarks += [f"The two clips {near}."]
        return remarks


def _table(figures: list[Figures], ratios: Mapping[str, float]) -> list[str]:
    """Lay the figures of one arithmetic, or of two and their ratios, out in columns."""
    names, counted = [one.arithmetic for one in figures], any(one.peak_gib for one in figures)
    compared = ["stock/lean"] if ratios else []
    head = ["", *(f"{name} s" for name in names), *compared]
    head += [*(f"{name} GiB" for name in names), *compared] if counted else []
    steps = max((one.settings.num_inference_steps for one in figures), default=0)
    lines = [head]
    for stage in (*STAGES, "clip"):
        whole = stage == "clip"
        seconds = [one.seconds if whole else one.medians.get(stage) for one in figures]
        peaks = [one.peak_gib if whole else one.peaks_of(stage)[0] for one in figures]
        if not any(seconds):
            continue
        line = [f"clip, {steps} steps" if whole else stage.replace("_", " ")]
        line += [*_cells(seconds, 3), *_cells([ratios[stage]] if ratios else [], 2)]
        if counted:
            ratio = [peaks[0] / peaks[1] if all(peaks) else None] if ratios else []
            line += [*_cells(peaks, 2), *_cells(ratio, 2)]
        lines.append(line)
    first, *widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join([line[0].ljust(first), *map(str.rjust, line[1:], widths)]).rstrip()
        for line in lines
    ]


def _cells(numbers: list[float | None], digits: int) -> list[str]:
    return ["–" if number is None else f"{number:.{digits}f}" for number in numbers]


def check_free(path: str | os.PathLike, *, overwrite: bool = False) -> Path:
    """Make sure that saving here replaces nothing of others.

    >>> check_free("mine.txt")
    Traceback (most recent call last):
    ValueError: 'mine.txt' should end in .json.
    """
    path = as_path(path)
    if path.suffix.lower() != ".json":
        raise ValueError(f"{path.name!r} should end in .json.")
    return replaceable(path, _is_ours, overwrite=overwrite)


def _is_ours(path: Path) -> bool:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    rows = rows if isinstance(rows, list) else []
    return bool(rows) and all(isinstance(row, dict) and "svdkit" in row for row in rows)
