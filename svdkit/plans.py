"""Plan: what was found out about a model on a card, as a table and as a chart."""

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .gpus import Gpu
from .prediction import BANDWIDTH_EFFICIENCY, PCIE_GB_S
from .reach import Reach
from .tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLAB_GIB = 12.7e9 / 2**30  # the RAM of Colab's free machine
NEARLY = 0.9  # of it: Python, its libraries and the system need some too
COLOURS = {True: "tab:green", False: "tab:red"}
HEADINGS = ("preset", "GPU peak", "needs", "fits", "time", "RAM", "source")


@dataclass(frozen=True)
class PlannedRow:
    """What a clip takes with one preset.

    >>> PlannedRow("all_on_gpu", 10.9, 12.5, True, 134.0, 4.5, "predicted").time
    '≥ 2.2 min'
    """

    preset: str
    peak_gib: float
    """The peak of GPU memory that tensors take."""
    needs_gib: float
    """With the CUDA context and what fragments take: what has to be free."""
    fits: bool
    seconds: float | None
    """None where the card's speed is not known."""
    ram_gib: float
    """Beside Python and its libraries."""
    source: str
    """Where the figures are from: predicted, or measured on which card and when."""

    @property
    def time(self) -> str:
        """The seconds in words, the least if predicted; – where it does not fit, or nobody knows.

        >>> PlannedRow("all_on_gpu", 32.3, 36.0, False, 134.0, 4.5, "predicted").time
        '–'
        """
        if self.seconds is None or not self.fits:
            return "–"
        if self.seconds < 1:
            return "< 1 s"
        least = "≥ " if "predicted" in self.source else ""
        for limit, unit, name in ((90, 1, "s"), (5400, 60, "min")):
            if self.seconds < limit:
                return f"{least}{self.seconds / unit:.{unit // 60}f} {name}"
        return f"{least}{self.seconds / 3600:.1f} h"

    def words(self) -> dict[str, str]:
        """Say it in the words of a table.

        >>> PlannedRow("all_on_gpu", 10.9, 12.5, True, 134.0, 4.5, "predicted").words()["needs"]
        '12.5 GiB'
        """
        sizes = (f"{gib:.1f} GiB" for gib in (self.peak_gib, self.needs_gib, self.ram_gib))
        peak, needs, ram = sizes
        fits = "yes" if self.fits else "no"
        cells = (self.preset, peak, needs, fits, self.time, ram, self.source)
        return dict(zip(HEADINGS, cells, strict=True))


@dataclass(frozen=True, repr=False)
class Plan:
    """What fits a card, and how long it takes.

    >>> from svdkit.gpus import GPUS
    >>> row = PlannedRow("all_on_gpu", 10.9, 12.5, True, 134.0, 4.5, "predicted")
    >>> Plan("svd-xt", GPUS["T4"], 25, (576, 1024), 25, "lean", "float16", (row,), "all_on_gpu")
    svd-xt on T4 (14.7 GiB): 25 frames of 576×1024, 25 steps, lean arithmetic in float16
    ...
    """

    model: str
    gpu: Gpu
    num_frames: int
    size: tuple[int, int]
    """Height and width, in pixels."""
    num_inference_steps: int
    arithmetic: str
    dtype: str
    rows: tuple[PlannedRow, ...]
    """The presets that use a GPU, fastest first."""
    auto: str
    """The preset that memory="auto" takes on this card."""
    reaches: tuple[Reach, ...] = ()
    """The longest clips and the largest frames that fit."""
    download_gib: float = 0.0
    """What has to be downloaded for it, in GiB."""
    remark: str = ""

    @property
    def best(self) -> PlannedRow | None:
        """The fastest preset that fits; None where none does.

        >>> from svdkit.planning import plan
        >>> plan("tiny", gpu="T4").best.preset
        'all_on_gpu'
        """
        return next((row for row in self.rows if row.fits), None)

    def __str__(self) -> str:
        cells = [row.words() for row in self.rows]
        lines = [HEADINGS, *(tuple(row.values()) for row in cells)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = (
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )
        return "\n".join([self._title(), "", *table, "", *self._notes()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = Table((row.words() for row in self.rows), HEADINGS)._repr_html_()
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self._notes())
        return f"<div><b>{html.escape(self._title())}</b>{table}<ul>{notes}</ul></div>"

    def chart(self) -> "Figure":
        """Draw what each preset needs against the card's memory.

        >>> from svdkit.planning import plan
        >>> len(plan("tiny", gpu="T4").chart().axes)
        1
        """
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(
            figsize=(7, 1.2 + 0.45 * len(self.rows)), layout="constrained"
        )
        names = [f"{row.preset} ({row.time})" for row in self.rows]
        peaks = [row.peak_gib for row in self.rows]
        colours = [COLOURS[row.fits] for row in self.rows]
        axes.barh(names, peaks, color=colours)
        rests = [row.needs_gib - row.peak_gib for row in self.rows]
        axes.barh(names, rests, left=peaks, color=colours, alpha=0.4)
        usable = self.gpu.usable_gib
        axes.axvline(usable, color="black", linestyle="--")
        axes.annotate(
            f" {self.gpu.name}: {usable:.1f} GiB",
            (usable, -0.6),
            annotation_clip=False,
            va="bottom",
        )
        axes.invert_yaxis()  # the fastest on top, as in the table
        axes.set_xlim(0, 1.25 * max(usable, *(row.needs_gib for row in self.rows)))
        measured = {row.source for row in self.rows} != {"predicted"}
        told = "predicted, some measured" if measured else "predicted"
        axes.set_xlabel(f"GiB of GPU memory, {told}\npale: the CUDA context and fragments")
        pyplot.close(figure)  # the notebook shows what is returned, and not once more
        return figure

    def _title(self) -> str:
        height, width = self.size
        return (
            f"{self.model} on {self.gpu.name} ({self.gpu.usable_gib:.1f} GiB): {self.num_frames} "
            f"frames of {height}×{width}, {self.num_inference_steps} steps, {self.arithmetic} "
            f"arithmetic in {self.dtype}"
        )

    def _notes(self) -> list[str]:
        best, notes = self.best, [self.remark] if self.remark else []
        if best is None:
            notes.append(
                "Nothing fits: make the clip shorter or smaller, or take memory='cpu' and wait."
            )
        elif next(row.fits for row in self.rows if row.preset == self.auto):
            notes.append(f"memory='auto' takes {self.auto}.")
        else:
            notes.append(f"memory='auto' takes {self.auto}; load with memory={best.preset!r}.")
        notes += [self._told(reach) for reach in self.reaches]
        short = [row for row in self.rows if row.fits and row.ram_gib > NEARLY * COLAB_GIB]
        notes += [
            f"{row.preset} takes {row.ram_gib:.1f} GiB of RAM beside Python's own; the "
            f"{COLAB_GIB:.1f} GiB (12.7 GB) of Colab's free machine are not enough."
            for row in short
        ]
        if self.download_gib:
            notes.append(f"To download once, and to keep on the disk: {self.download_gib:.1f} GiB.")
        if any(row.seconds is not None and "predicted" in row.source for row in self.rows):
            notes.append(
                "Predicted times are the least to expect: they assume "
                f"{self.gpu.efficiency:.0%} of the card's TFLOP/s, {BANDWIDTH_EFFICIENCY:.0%} of "
                f"its memory's speed and {PCIE_GB_S} GB/s to RAM, and leave out loading."
            )
        return notes

    def _told(self, reach: Reach) -> str:
        height, width = self.size
        if not reach.num_frames and not math.prod(reach.size):
            return f"With {reach.preset} no clip fits."
        parts = []
        if reach.num_frames:
            parts.append(
                f"{reach.num_frames} frames of {height}×{width} "
                f"({reach.frames_ram_gib:.0f} GiB of RAM)"
            )
        if math.prod(reach.size):
            parts.append(
                f"{self.num_frames} frames of {reach.size[0]}×{reach.size[1]} "
                f"({reach.size_ram_gib:.0f} GiB of RAM)"
            )
        return f"With {reach.preset} at most, predicted: {', or '.join(parts)}."
