"""The cells of a sweep as numbers: a table, and a plot."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from .cards import Cell
from .clips import Clip
from .layouts import varying, word
from .metrics import MEASURES
from .models import did_you_mean

UNITS = {
    "likeness": "likeness to the picture, 0–1",
    "motion": "motion, frame widths per frame",
    "flicker": "flicker, share of white per frame",
    "drift": "drift of colour, share of white",
    "seam": "seam, mean steps",
}


def told_apart(cells: Sequence[Cell]) -> list[Cell]:
    """Give each picture a title of its own, where several in one frame have the same.

    >>> from pathlib import Path
    >>> both = [Cell("a", {"image": "kite"}, {}, Path(), sha) for sha in ("1" * 64, "2" * 64)]
    >>> [cell.values["image"] for cell in told_apart(both)]
    ['kite 111111', 'kite 222222']
    """
    pictures: dict[tuple, set[str]] = {}
    for cell in cells:
        pictures.setdefault(_view(cell), set()).add(cell.image_sha256)
    shared = {view[0] for view, shas in pictures.items() if len(shas) > 1}
    return [
        replace(cell, values=cell.values | {"image": f"{title} {cell.image_sha256[:6]}"})
        if (title := cell.values["image"]) in shared
        else cell
        for cell in cells
    ]


def _view(cell: Cell) -> tuple:
    return tuple(cell.values.get(name) for name in ("image", "height", "width", "how", "focus"))


class Table(list):
    """Rows as dicts; a notebook shows the columns that matter, and leaves the constant ones out.

    >>> Table([{"fps": 6, "seed": 7}], ["fps"])._repr_html_().count("<td")
    1
    """

    def __init__(self, rows: Iterable[dict[str, Any]], shown: Sequence[str]):
        super().__init__(rows)
        self.shown = list(shown)

    def _repr_html_(self) -> str:
        lines = [self.shown, *([word(row.get(name)) for name in self.shown] for row in self)]
        rows = (
            "".join(f'<{tag} style="text-align:left">{html.escape(text)}</{tag}>' for text in line)
            for tag, line in zip(["th"] + ["td"] * len(self), lines, strict=True)
        )
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def table_of(cells: Sequence[Cell]) -> Table:
    """Give a row for each cell: what differs, what was measured, then what is the same in all.

    >>> table_of([])
    []
    """
    first = varying([cell.values for cell in cells])
    rows, measures = [], {}
    for cell in cells:
        axes = {name: cell.values[name] for name in first}
        rows.append({"cell": cell.name} | axes | dict(cell.metrics) | dict(cell.values))
        measures |= dict.fromkeys(cell.metrics)
    return Table(rows, ["cell", *first, *measures])


def measure(cell: Cell, metric: str) -> float | None:
    """Give what was measured of a cell; what was not is measured now, on the clip as it was saved.

    >>> from pathlib import Path
    >>> measure(Cell("a", {}, {"motion": 0.02}, Path()), "motion")
    0.02
    """
    if metric in cell.metrics:
        return cell.metrics[metric]
    checked_measures([metric])
    return measured(cell.clip, [metric])[metric]


def measured(clip: Clip, names: Iterable[str]) -> dict[str, float | None]:
    """Measure a clip; None where it is too short or too small for that.

    >>> import numpy as np
    >>> measured(Clip(np.zeros((2, 64, 112, 3), np.uint8)), ["motion", "flicker"])
    {'motion': 0.0, 'flicker': None}
    """
    numbers: dict[str, float | None] = {}
    for name in names:
        try:
            numbers[name] = MEASURES[name](clip)
        except ValueError:
            numbers[name] = None
    return numbers


def checked_measures(names: Iterable[str] | None) -> tuple[str, ...]:
    """Make sure that there are such metrics.

    >>> checked_measures(["movement"])
    Traceback (most recent call last):
    ValueError: 'movement' is no metric of a sweep. There are: motion, flicker, ...
    """
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        if names is None:
            return ()
        raise TypeError(f"The metrics are {names!r:.60}; give a list of names, like ['motion'].")
    names = tuple(names)
    for name in names:
        if not isinstance(name, str) or name not in MEASURES:
            raise ValueError(
                f"{name!r} is no metric of a sweep.{did_you_mean(name, MEASURES)} There are: "
                f"{', '.join(MEASURES)}."
            )
    return names


def plotted(cells: Sequence[Cell], metric: str, x: str, by: str | None) -> Any:
    """Draw a metric over an axis, a dot for each cell and a line through their means."""
    from matplotlib import pyplot

    for axis in [x] if by is None else [x, by]:
        if cells and (not isinstance(axis, str) or axis not in cells[0].values):
            names = ", ".join(varying([cell.values for cell in cells])) or "nothing"
            raise ValueError(
                f"{axis!r} is no axis of this sweep.{did_you_mean(axis, cells[0].values)} What "
                f"differs among its cells is {names}."
            )
    lines: dict[Any, dict[Any, list[float]]] = {}
    for cell in cells:
        value = measure(cell, metric)
        if value is not None:
            line = lines.setdefault(_plain(cell.values[by]) if by else "", {})
            line.setdefault(_plain(cell.values[x]), []).append(value)
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for label, points in _sorted(lines):
        places = [place for place, _ in _sorted(points)]
        means = [sum(values) / len(values) for _, values in _sorted(points)]
        (drawn,) = axes.plot(places, means, marker="o", label=f"{by} {label}" if by else None)
        dots = [(place, value) for place, values in points.items() for value in values]
        axes.scatter(*zip(*dots, strict=True), s=8, alpha=0.5, color=drawn.get_color())
    axes.set_ylim(bottom=0)  # or a small difference looks like a large one
    axes.set_xlabel(x)
    axes.set_ylabel(UNITS.get(metric, metric))
    if by and lines:
        axes.legend()
    pyplot.close(figure)  # the notebook shows what is returned, and not once more
    return figure


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str)) else str(value)


def _sorted(groups: dict[Any, Any]) -> list[tuple[Any, Any]]:
    numbers = all(isinstance(key, (int, float)) for key in groups)
    return sorted(groups.items()) if numbers else list(groups.items())
