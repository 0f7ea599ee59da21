"""sweep: many settings, each a clip in a folder that outlives the machine; and looking at them."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cards import Cell, Clips
from .cells import SETTINGS, check_cells, orders_for
from .clips import Clip
from .explorers import explore
from .galleries import Gallery
from .images import FITTING, ImageLike
from .metrics import MEASURES
from .models import MODELS
from .paths import shown, visible
from .pipelines import load_for
from .progress import Bar
from .records import identity_of
from .settings import changed
from .shelves import Shelf
from .tables import checked_measures, measure, measured, plotted, table_of, told_apart
from .workers import animated, check_executor, check_same, jobs_of, make, named_for_all, run_on

if TYPE_CHECKING:
    from diffusers import StableVideoDiffusionPipeline


def sweep(
    image: ImageLike | Sequence[ImageLike] | None,
    pipeline: "str | os.PathLike | StableVideoDiffusionPipeline",
    cells: Iterable[Mapping[str, Any]],
    folder: str | os.PathLike,
    *,
    executor: Any = None,
    progress: bool = True,
    metrics: Sequence[str] = ("motion", "flicker"),
) -> "Sweep":
    """Make a clip of each cell of a grid, in a folder, and only of those that are not there yet.

    `image` is a picture, several, or a folder of them. Each clip lands whole or not at all, so a
    sweep that was stopped or killed goes on where it was: make the same call again. A cell that
    fails is noted, and the others go on. What names no seed shares one, drawn for the folder.
    `executor` is anything with submit(function, job); the model then goes by its name, and the
    workers need to see the folder, too.

    >>> from tempfile import mkdtemp
    >>> from svdkit import grid, sample_image
    >>> cells = grid(motion_bucket_id=[20, 240], num_inference_steps=1, num_frames=3)
    >>> sweep(sample_image(), "tiny", cells, Path(mkdtemp(), "kite"), progress=False)
    Sweep(2 clips)
    """
    measures = checked_measures(metrics)
    cells = check_cells(image, cells)
    check_executor(executor)
    is_name = isinstance(pipeline, (str, os.PathLike))
    if executor is not None and not is_name:
        raise TypeError(
            f"A {type(pipeline).__name__} cannot travel to the workers of an executor; give the "
            "model's name, like 'svd-xt', and each of them loads it."
        )
    if is_name and executor is None:
        pipeline = load_for("animate", pipeline, progress=progress)
    elif is_name:
        pipeline = named_for_all(pipeline)
    shelf = Shelf.start(folder, identity_of(pipeline))
    orders = orders_for(image, cells, pipeline, shelf)
    missing = [order for order in orders if not shelf.has(order.name)]
    if executor is None:
        steps = _counted(make(missing, pipeline, shelf, measures))
    else:
        steps = run_on(executor, jobs_of(missing, shelf, pipeline, measures), shelf)
    with closing(steps):
        _watch(steps, len(orders), len(missing), shelf.folder.name, progress)
    swept = Sweep(shelf, [order.name for order in orders], pipeline)
    if swept.failures and progress:
        print(
            f"{len(swept.failures)} of {len(orders)} cells failed. They are in .failures; the same "
            f"call tries them again. The last one: {visible(swept.failures[-1]['error'])}"
        )
    return swept


class Sweep:
    """The clips of a sweep, in the order of its grid: a labelled grid of players in a notebook.

    >>> from tempfile import mkdtemp
    >>> from svdkit import grid, sample_image
    >>> cells = grid(fps=[5, 20], num_inference_steps=1, num_frames=3)
    >>> runs = sweep(sample_image(), "tiny", cells, Path(mkdtemp(), "kite"), progress=False)
    >>> runs[1].values["fps"], len(runs.clips[1])
    (20, 3)
    """

    def __init__(self, shelf: Shelf, names: Iterable[str], pipeline: Any = None):
        self._shelf = shelf
        self._pipeline = pipeline
        self._cells: list[Cell] = []
        self.failures: list[dict[str, Any]] = []
        """What failed: its values by axis, and its error."""
        done, failed = set(shelf.names()), set(shelf.failed())
        for name in names:
            if name in done:
                try:
                    self._cells.append(shelf.cell(name))
                except ValueError as error:  # a recipe that was changed since, or is a stranger's
                    self.failures.append({"error": shown(error)})
            elif name in failed:
                self.failures.append(shelf.failure(name))
        self._cells = told_apart(self._cells)

    @classmethod
    def open(cls, folder: str | os.PathLike) -> "Sweep":
        """Open all that stands in the folder of a sweep, without loading a model."""
        shelf = Shelf.open(folder)
        swept = cls(shelf, [*shelf.names(), *shelf.failed()])
        swept._cells.sort(key=_by_values)
        return swept

    @property
    def folder(self) -> Path:
        """Where the clips are."""
        return self._shelf.folder

    @property
    def clips(self) -> "Clips":
        """The clips, each read when it is asked for."""
        return Clips(self._cells)

    def __len__(self) -> int:
        return len(self._cells)

    def __iter__(self) -> Iterator[Cell]:
        return iter(self._cells)

    def __getitem__(self, number: int) -> Cell:
        return self._cells[number]

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"Sweep({len(self)} clip{'s' if len(self) != 1 else ''}{failed})"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return self._gallery._repr_mimebundle_() | {"text/plain": repr(self)}

    @cached_property
    def _gallery(self) -> Gallery:
        return self.show()

    def show(
        self, *, rows: str | None = None, columns: str | None = None, fps: float | None = None
    ) -> Gallery:
        """Give the grid of players, with the axes that are to be its rows and its columns.

        `fps` plays all at one rate, to compare clips that were conditioned on different ones.
        """
        return Gallery(self._cells, failures=self.failures, rows=rows, columns=columns, fps=fps)

    def explore(self) -> Any:
        """Give an ipywidget to filter the clips, compare two, and take their settings as code."""
        return explore(self._cells, self._shelf.about["model"], self.failures)

    def save(self, path: str | os.PathLike, *, overwrite: bool = False) -> Path:
        """Save the grid as a picture, .png, or with its players as a page, .html."""
        return self.show().save(path, overwrite=overwrite)

    def table(self) -> Any:
        """Give a row for each clip: its axes, what was measured, and all other settings.

        A list of dicts, in the order of `clips`; a DataFrame where pandas is installed.
        """
        rows = table_of(self._cells)
        try:
            import pandas
        except ImportError:
            return rows
        return pandas.DataFrame(rows)

    def plot(
        self, metric: str = "motion", x: str = "motion_bucket_id", by: str | None = None
    ) -> Any:
        """Draw a metric over an axis, a line for each value of another: a matplotlib figure."""
        return plotted(self._cells, metric, x, by)

    def best(self, metric: str = "motion", target: float | None = None) -> Cell:
        """Give the cell that measures most, or nearest to a target; 0 means the least."""
        is_number = isinstance(target, Real) and not isinstance(target, bool)
        if target is not None and not (is_number and math.isfinite(target)):
            raise ValueError(f"target is {target!r:.60}; it is a number, like 0.02, or None.")
        numbers = ((measure(cell, metric), cell) for cell in self._cells)
        known = [(number, cell) for number, cell in numbers if number is not None]
        if not known:
            raise ValueError(f"{metric} can be measured of none of the {len(self)} clips.")
        if target is None:
            return max(known, key=lambda pair: pair[0])[1]
        return min(known, key=lambda pair: abs(pair[0] - target))[1]

    def finalise(
        self,
        cell: Cell | int,
        *,
        image: ImageLike | None = None,
        pipeline: "str | os.PathLike | StableVideoDiffusionPipeline | None" = None,
        progress: bool = True,
        **settings: Any,
    ) -> Clip:
        """Make one of the clips again with other settings, like num_inference_steps=50.

        It lands in the folder, too. Another frame needs the whole picture as `image`, as only what
        was fitted to the old one is kept.
        """
        cell = self._own(cell)
        if image is None and {"height", "width", *FITTING} & set(settings):
            raise ValueError(
                "Another height, width, how or focus needs the whole picture, and only the frame "
                "of it is kept here; pass it as image=."
            )
        wanted = {name: cell.values[name] for name in (*SETTINGS, *FITTING, "seed")}
        if wanted["decode_chunk_size"] == wanted["num_frames"]:
            wanted["decode_chunk_size"] = None  # all at once, however many there will be
        wanted = changed(wanted, settings)
        picture = self._shelf.picture(cell.image_sha256) if image is None else image
        check_cells(picture, [wanted])
        pipeline = self._loaded(pipeline, progress)
        check_same(pipeline, self._shelf)
        (order,) = orders_for(picture, [wanted], pipeline, self._shelf)
        if self._shelf.has(order.name):
            return self._shelf.cell(order.name).clip
        fitted = self._shelf.picture(order.image_sha256)
        clip = animated(order, fitted, pipeline, progress=progress)
        measures = [name for name in cell.metrics if name in MEASURES]
        self._shelf.keep(order.name, clip, measured(clip, measures))
        return clip

    def _own(self, cell: Any) -> Cell:
        if isinstance(cell, Integral) and not isinstance(cell, bool):
            if not -len(self) <= cell < len(self):
                raise IndexError(f"cell is {cell}, and there are {len(self)} of them, from 0.")
            return self._cells[cell]
        if not isinstance(cell, Cell) or cell.path.parent != self.folder:
            raise ValueError(
                f"{cell!r:.60} is no cell of this sweep; runs[0] is one, and runs.best('motion')."
            )
        return cell

    def _loaded(self, pipeline: Any, progress: bool) -> Any:
        pipeline = self._pipeline if pipeline is None else pipeline
        about = self._shelf.about
        if pipeline is None:
            if about["model"] not in MODELS or about["source"] == "random":
                raise ValueError(
                    f"The clips are of {about['model']!r}, which is none of svdkit's models; pass "
                    "its pipeline as pipeline=."
                )
            pipeline = about["model"]
        if isinstance(pipeline, (str, os.PathLike)):
            return load_for("animate", pipeline, progress=progress)
        return pipeline


def _counted(made: Iterable[bool]) -> Iterator[int]:
    for number, _ in enumerate(made, 1):
        yield number


def _watch(steps: Iterator[int], total: int, missing: int, title: str, progress: bool) -> None:
    """Follow a sweep to its end, with a bar."""
    there = total - missing
    with Bar(total=total, initial=there, desc=title, unit="cell", disable=not progress) as bar:
        for settled in steps:
            bar.reach(there + settled)


def _by_values(cell: Cell) -> list[tuple]:
    order = [cell.values["image"], cell.values["seed"], *map(cell.values.get, SETTINGS)]
    return [(0, value) if isinstance(value, (int, float)) else (1, str(value)) for value in order]
