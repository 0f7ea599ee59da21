"""explore: the clips of a sweep, chosen, sorted and compared two at a time."""

import html
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .calls import call_of
from .cards import Cell
from .clips import Clip
from .display import compare_clips
from .layouts import Layout, in_words, named, plain, varying, word
from .paths import shown

if TYPE_CHECKING:
    import ipywidgets

ALL, AS_MADE = "all", "in order"
MOST, LEAST = "most", "least"
WIDTH = 360  # pixels of a player
MOST_OPEN = 4  # clips held in memory


def explore(
    cells: Iterable[Cell],
    model: str | os.PathLike,
    failures: Iterable[Mapping[str, Any]] = (),
) -> "ipywidgets.VBox":
    """Choose among the clips of a sweep, and look at two of them side by side, with their code.

    An ipywidget: a list for each thing that varies, the order, two clips, and on demand their
    difference. `failures` are told below.

    >>> from pathlib import Path
    >>> cells = [Cell(f"{fps}", {"fps": fps}, {}, Path(f"{fps}.mp4")) for fps in (6, 12)]
    >>> [choice.description for choice in explore(cells, "tiny").children[0].children]
    ['fps', 'sort by']
    """
    return _Explorer(list(cells), model, list(failures)).box


def as_code(cell: Cell, model: str | os.PathLike) -> str:
    """Write down the call that makes a cell's clip again of its picture.

    Only what departs from the model's own settings is told, and always the seed.

    >>> from pathlib import Path
    >>> values = {"image": "kite", "seed": 7, "fps": 7, "motion_bucket_id": 180}
    >>> print(as_code(Cell("ab12", values, {}, Path("ab12.mp4")), "tiny"))
    sk.animate(picture, "tiny", motion_bucket_id=180, seed=7)  # picture: 'kite'
    """
    call = call_of(cell.values, model)
    # its repr is one line, whatever stands in the name of a file
    image = cell.values.get("image")
    return f"{call}  # picture: {plain(image)!r}" if image else call


class _Explorer:
    """The widgets, and what happens when they are touched."""

    def __init__(self, cells: list[Cell], model: Any, failures: list[Mapping[str, Any]]):
        import ipywidgets as widgets

        self.cells, self.model = cells, model
        self.layout = Layout([cell.values for cell in cells])
        self.opened = lru_cache(MOST_OPEN)(Clip.open)  # a cell never lets go of its clip
        self.settled = True
        free, flow = {"description_width": "initial"}, {"flex_flow": "row wrap"}
        self.filters = {
            axis: widgets.Dropdown(
                options=[(ALL, -1), *((word(value), i) for i, value in enumerate(values))],
                description=axis,
                style=free,
            )
            for axis, values in self.layout.axes.items()
        }
        metrics = sorted(
            {name for cell in cells for name in cell.metrics if _is_number(cell, name)}
        )
        orders = [
            (f"{way} {name}", (name, way == MOST)) for name in metrics for way in (MOST, LEAST)
        ]
        self.order = widgets.Dropdown(
            options=[(AS_MADE, (None, False)), *orders], description="sort by", style=free
        )
        self.count, self.difference, self.code = (widgets.HTML() for _ in range(3))
        wide, narrow = {"width": "98%"}, {"description_width": "24px"}
        self.lists = [
            widgets.Select(description=name, rows=6, layout=wide, style=narrow) for name in "AB"
        ]
        self.players = [widgets.HTML(), widgets.HTML()]
        self.compares = widgets.ToggleButton(description="difference", tooltip="B against A")
        self.find()
        for choice in (*self.filters.values(), self.order):
            choice.observe(self.find, names="value")
        for choice in self.lists:
            choice.observe(self.show, names="value")
        self.compares.observe(self.compare, names="value")
        half = {"width": "48%", "min_width": f"{WIDTH + 20}px"}
        sides = [
            widgets.VBox(list(side), layout=half)
            for side in zip(self.lists, self.players, strict=True)
        ]
        choices = widgets.HBox([*self.filters.values(), self.order], layout=flow)
        failed = widgets.HTML(_failed(failures))
        below = [self.compares, self.difference, self.code, failed]
        self.box = widgets.VBox([choices, self.count, widgets.HBox(sides, layout=flow), *below])

    def find(self, _change: Any = None) -> None:
        """List the clips that are asked for; those that are looked at stay, if they can."""
        found = _sorted(self._matching(), self.cells, *self.order.value)
        options = [(self._label(number), number) for number in found]
        self.count.value = f"{len(found)} of {len(self.cells)} clips"
        self.settled = False  # each of the changes below would show clips on the way
        for place, choice in enumerate(self.lists):
            kept = choice.value
            choice.options = options
            if found:
                choice.value = kept if kept in found else found[min(place, len(found) - 1)]
        self.settled = True
        self.show()

    def show(self, _change: Any = None) -> None:
        """Show what is chosen, and the code of A."""
        if not self.settled:
            return
        for choice, player in zip(self.lists, self.players, strict=True):
            player.value = _told(self._player, choice)
        number = self.lists[0].value
        self.code.value = "" if number is None else _told(_code, self.cells[number], self.model)
        self.compare()

    def compare(self, _change: Any = None) -> None:
        """Show the difference, which takes a moment, only where it is asked for."""
        chosen = [choice.value for choice in self.lists if choice.value is not None]
        asked = self.compares.value and len(chosen) == 2
        self.difference.value = _told(self._difference, *chosen) if asked else ""

    def _matching(self) -> list[int]:
        axes = self.layout.axes.items()
        chosen = {a: v[self.filters[a].value] for a, v in axes if self.filters[a].value >= 0}
        return [
            number
            for number, cell in enumerate(self.cells)
            if all(plain(cell.values.get(axis)) == value for axis, value in chosen.items())
        ]

    def _label(self, number: int) -> str:
        cell = self.cells[number]
        told = [self.layout.label(number) or cell.name, in_words(cell.metrics)]
        metric, _ = self.order.value
        if metric:  # lists are narrow: by what they are sorted comes first
            told.insert(0, in_words({metric: cell.metrics.get(metric)}))
            told[-1] = in_words({k: v for k, v in cell.metrics.items() if k != metric})
        return " · ".join(filter(None, told))

    def _player(self, choice: Any) -> str:
        if choice.value is None:
            return "No clip is left to choose from."
        clip = self.opened(self.cells[choice.value].path)
        return _sized(clip, f"{choice.description}: {choice.label}")

    def _difference(self, a: int, b: int) -> str:
        grid = compare_clips(*(self.opened(self.cells[number].path) for number in (a, b)))
        label = list(grid.clips)[2]
        return _sized(grid.clips[label], label)


def _sorted(
    found: list[int], cells: Sequence[Cell], metric: str | None, falling: bool
) -> list[int]:
    """Sort by a metric; what has no such number comes last."""
    if metric is None:
        return found
    told = [number for number in found if _is_number(cells[number], metric)]
    told.sort(key=lambda number: cells[number].metrics[metric], reverse=falling)
    return told + [number for number in found if number not in told]


def _is_number(cell: Cell, metric: str) -> bool:
    value = cell.metrics.get(metric)
    return isinstance(value, (int, float)) and value == value  # and no NaN, which sorts nowhere


def _sized(clip: Clip, title: str) -> str:
    height, width = clip.frames.shape[1:3]
    return clip.player(title, width=round(WIDTH * min(1, width / height)))


def _code(cell: Cell, model: str | os.PathLike) -> str:
    style = "padding:6px;border:1px solid #bbb;line-height:1.4;user-select:all"
    return f'<pre style="{style}">{html.escape(as_code(cell, model))}</pre>'


def _told(make: Callable[..., str], *about: Any) -> str:
    """Show an error in its place: what a widget raises is seen by nobody."""
    try:
        return make(*about)
    except Exception as error:
        return f"<em>{html.escape(f'{type(error).__name__}: {shown(error)}')}</em>"


def _failed(failures: list[Mapping[str, Any]]) -> str:
    if not failures:
        return ""
    values = [{k: v for k, v in failure.items() if k != "error"} for failure in failures]
    axes = varying([known for known in values if known]) or {name: [] for name in values[0]}
    lines = [
        ": ".join([" · ".join(named(axis, known[axis]) for axis in axes if axis in known), why])
        for known, why in zip(values, [shown(each["error"]) for each in failures], strict=True)
    ]
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<details><summary>{len(failures)} failed</summary><ul>{items}</ul></details>"
