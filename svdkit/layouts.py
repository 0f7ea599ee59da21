"""What varies among the cells of a sweep, how it is said, and where in a grid each cell stands."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .models import did_you_mean

FIRST = ("motion_bucket_id", "fps", "noise_aug_strength")  # what people look for comes first
LEAST = ("decode_chunk_size", "how", "focus", "height", "width")  # mostly follow from the rest
LAST = ("seed", "image")
MOST_COLUMNS = 6  # of one table; more stand in another below it
LONGEST = 60  # letters of a value

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Headings of the columns, and for each row its heading and the numbers in each place."""

    columns: list[str]
    rows: list[tuple[str, list[list[int]]]]


class Layout:
    """Where things stand in a grid, by what varies among their values.

    `columns` and `rows` name the axes that run across and down; by what else varies they are
    grouped. Things are known by their numbers, from 0.

    >>> layout = Layout([{"fps": 6, "seed": 1}, {"fps": 12, "seed": 1}, {"fps": 6, "seed": 2}])
    >>> layout.groups()[0][1][0].rows
    [('1', [[0], [1]]), ('2', [[2], []])]
    """

    def __init__(
        self, values: Sequence[Values], *, rows: str | None = None, columns: str | None = None
    ):
        self.values = list(values)
        self.axes = varying(self.values)
        for name, axis in {"rows": rows, "columns": columns}.items():
            if axis is not None:
                self.axes.setdefault(axis, self._chosen(name, axis))
        if rows is not None and rows == columns:
            raise ValueError(f"rows and columns are both {rows!r}; choose two, or leave one out.")
        free = [axis for axis in self.axes if axis not in (rows, columns)]
        self.columns = columns or (free.pop(0) if free else None)
        self.rows = rows or (free.pop(0) if free else None)
        self.grouped_by = free

    def groups(self) -> list[tuple[str, list[Table]]]:
        """Give the title and the tables of each group, in the order of their values."""
        groups: dict[tuple[int, ...], dict[tuple[int, int], list[int]]] = {}
        for number, values in enumerate(self.values):
            at = {axis: known.index(plain(values.get(axis))) for axis, known in self.axes.items()}
            group = groups.setdefault(tuple(at[axis] for axis in self.grouped_by), {})
            group.setdefault((at.get(self.rows, 0), at.get(self.columns, 0)), []).append(number)
        return [(self._title(key), self._tables(groups[key])) for key in sorted(groups)]

    def label(self, number: int) -> str:
        """Say what sets one thing apart from the others.

        >>> Layout([{"fps": 6}, {"fps": 12}]).label(1)
        'fps 12'
        """
        return " · ".join(named(axis, self.values[number].get(axis)) for axis in self.axes)

    def _title(self, positions: Iterable[int]) -> str:
        told = zip(self.grouped_by, positions, strict=True)
        return " · ".join(named(axis, self.axes[axis][position]) for axis, position in told)

    def _tables(self, places: Mapping[tuple[int, int], list[int]]) -> list[Table]:
        rows, columns = (sorted({place[side] for place in places}) for side in (0, 1))
        size = -(-len(columns) // -(-len(columns) // MOST_COLUMNS))  # all about equally wide
        return [
            Table(
                [self._heading(self.columns, c) for c in part],
                [
                    (self._heading(self.rows, r), [places.get((r, c), []) for c in part])
                    for r in rows
                ],
            )
            for part in (columns[i : i + size] for i in range(0, len(columns), size))
        ]

    def _heading(self, axis: str | None, position: int) -> str:
        return word(self.axes[axis][position]) if axis else ""

    def _chosen(self, name: str, axis: Any) -> list[Any]:
        known = {axis for values in self.values for axis in values}
        every = varying(self.values, needed=False)
        says = f"What varies: {', '.join(every) or 'nothing'}."
        if not isinstance(axis, str) or axis not in known:
            near = did_you_mean(axis, known)
            raise TypeError(f"{name} is {axis!r}, and no cell has that.{near} {says}")
        if axis not in every:
            raise ValueError(f"{name} is {axis!r}, which is the same in all cells. {says}")
        return every[axis]


def varying(cells: Sequence[Values], *, needed: bool = True) -> dict[str, list[Any]]:
    """Find the axes along which values differ, the foremost first, and the values in their order.

    What follows from the other axes, as a height may from the picture, is `needed` by nobody.

    >>> varying([{"seed": 7, "fps": 12, "how": "pad"}, {"seed": 8, "fps": 6, "how": "pad"}])
    {'fps': [6, 12], 'seed': [7, 8]}
    """
    names = dict.fromkeys(name for values in cells for name in values)
    found = {
        name: _in_order([plain(values.get(name)) for values in cells])
        for name in sorted(names, key=_rank)
    }
    axes = {name: known for name, known in found.items() if len(known) > 1}
    for name in LEAST if needed else ():
        others = [axis for axis in axes if axis != name]
        if name in axes and _told_apart(cells, others) == _told_apart(cells, axes):
            del axes[name]
    return axes


def word(value: Any) -> str:
    """Say a value briefly.

    >>> word(0.02), word([1.0, 2.5]), word(None)
    ('0.02', '1, 2.5', 'none')
    """
    if isinstance(value, float):
        text = f"{value:g}"
    elif isinstance(value, (list, tuple)):
        text = ", ".join(map(word, value))
    else:
        text = "none" if value is None else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def named(axis: str, value: Any) -> str:
    """Say a value and what it is of; the title of a picture stands for itself.

    >>> named("seed", 7), named("image", "kite")
    ('seed 7', 'kite')
    """
    return word(value) if axis == "image" else f"{axis} {word(value)}"


def plain(value: Any) -> Any:
    """Give a value as one that can be compared and looked up: of JSON a curve comes as a list.

    >>> plain([1.0, 2.0])
    (1.0, 2.0)
    """
    return tuple(value) if isinstance(value, list) else value


def in_words(metrics: Mapping[str, Any]) -> str:
    """Say what was measured, in small.

    >>> in_words({"motion": 0.021347, "flicker": None})
    'motion 0.0213 · flicker –'
    """
    return " · ".join(f"{name} {_number(value)}" for name, value in metrics.items())


def _number(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_number, value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "–" if value is None else word(value)
    return f"{value:.0f}" if 1000 <= abs(value) < math.inf else f"{value:.3g}"


def _rank(name: str) -> tuple[int, int]:
    for place, names in ((0, FIRST), (2, LEAST), (3, LAST)):
        if name in names:
            return place, names.index(name)
    return 1, 0  # sorting keeps these in their own order


def _in_order(values: Iterable[Any]) -> list[Any]:
    known = list(dict.fromkeys(values))
    return sorted(known) if all(isinstance(value, (int, float)) for value in known) else known


def _told_apart(cells: Iterable[Values], axes: Iterable[str]) -> int:
    axes = list(axes)
    return len({tuple(plain(values.get(axis)) for axis in axes) for values in cells})
