"""grid, and what each of its cells asks for: all of it told, checked and named before a run."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice, product
from math import prod
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .albums import pictures_in
from .animation import check_request, resolved_for
from .arrays import is_array
from .cards import name_of
from .images import FITTING, ImageLike, fit, open_image
from .limits import quoted
from .models import did_you_mean
from .paths import as_path
from .settings import Settings, held
from .shelves import Shelf
from .web import is_address

if TYPE_CHECKING:
    import os

    from diffusers import StableVideoDiffusionPipeline

SETTINGS = tuple(field.name for field in fields(Settings))
AXES = (*SETTINGS, "seed", "image", *FITTING)
MOST_CELLS = 100_000


def grid(**axes: Any) -> list[dict[str, Any]]:
    """Give every combination of these values, as the cells of a sweep.

    An axis is any setting of `animate`, `seed`, `image`, `how` or `focus`. A list, a range or an
    array holds its values; anything else is one value, the same everywhere. An `image` that is a
    folder stands for the pictures in it. Two grids are added with +.

    >>> grid(motion_bucket_id=[60, 180], fps=6)
    [{'motion_bucket_id': 60, 'fps': 6}, {'motion_bucket_id': 180, 'fps': 6}]
    """
    _check_names(axes)
    values = {name: _values_of(name, axis) for name, axis in axes.items()}
    if (count := prod(map(len, values.values()))) > MOST_CELLS:
        raise ValueError(
            f"{', '.join(values)} make a grid of {count} cells or more; {MOST_CELLS} are the most."
        )
    cells = [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]
    for cell in cells:
        _check(cell)
    return cells


@dataclass(frozen=True)
class Order:
    """One cell as it is ordered: plain data, the same on whatever machine it is made."""

    name: str
    """The hash of what the clip depends on, and the name of the cell's files."""
    image_sha256: str
    seed: int
    settings: Mapping[str, Any]
    """All of them, but decode_chunk_size, which may be left to the machine."""
    fit: Mapping[str, Any]


def orders_for(
    image: ImageLike | Sequence[ImageLike] | None,
    cells: Iterable[Mapping[str, Any]],
    model: "str | os.PathLike | StableVideoDiffusionPipeline",
    shelf: Shelf,
) -> list[Order]:
    """Tell what each cell is with all defaults filled in, and store the pictures: each order once.

    The cells come for each picture in turn, in their own order.
    """
    pictures = _Pictures(shelf)
    orders: dict[str, Order] = {}
    for cell in _with_images(image, cells):
        fitting = {name: cell.get(name, default) for name, default in FITTING.items()}
        asked = {name: value for name, value in cell.items() if name in SETTINGS}
        settings = resolved_for(asked, model, pictures.size(cell["image"]))
        frame = (settings.height, settings.width)
        seed = cell.get("seed")
        order = {
            "image_sha256": pictures.fitted(cell["image"], *frame, **fitting),
            "seed": shelf.about["seed"] if seed is None else int(seed),
            "settings": json.loads(json.dumps(asdict(settings))),
        }
        name = name_of(shelf.about, **order)
        orders.setdefault(name, Order(name, fit=_plain_fit(**fitting), **order))
    return list(orders.values())


def check_cells(image: Any, cells: Any) -> list[dict[str, Any]]:
    """Make sure that cells can be asked for, before anything is loaded; gives them as a list.

    >>> check_cells("kite.jpg", [{"fps": 0}])
    Traceback (most recent call last):
    ValueError: fps is 0; 1–240 is allowed. Try 7; clip.at(fps=…) changes the playback alone.
    """
    if isinstance(cells, (str, bytes, Mapping)) or not isinstance(cells, Iterable):
        raise TypeError(
            f"The cells are {quoted(cells)}; they are a list of dicts, as grid(motion_bucket_id="
            "[60, 127, 180]) makes one."
        )
    cells = list(cells)
    if not cells:
        raise ValueError("There are no cells; grid(motion_bucket_id=[60, 127, 180]) makes three.")
    for cell in cells:
        if not isinstance(cell, Mapping):
            raise TypeError(f"A cell is a dict like {{'fps': 6}}; this is {quoted(cell)}.")
        _check(cell)
        if image is None and "image" not in cell:
            raise ValueError(
                f"The cell {quoted(cell)} has no image, and the sweep has none either."
            )
    return [dict(cell) for cell in cells]


class _Pictures:
    """The pictures of a sweep, each opened and fitted once."""

    def __init__(self, shelf: Shelf):
        self.shelf = shelf
        self.sizes: dict[Any, tuple[int, int]] = {}
        self.shas: dict[tuple, str] = {}
        self.latest: tuple[Any, Any] = (None, None)  # of hundreds only one is held in memory

    def size(self, image: ImageLike) -> tuple[int, int]:
        key = _key(image)
        if key not in self.sizes:
            self.sizes[key] = self._opened(image).size
        return self.sizes[key]

    def fitted(self, image: ImageLike, height: int, width: int, how: str, focus: Any) -> str:
        key = (_key(image), height, width, how, tuple(focus))
        if key not in self.shas:
            picture = fit(self._opened(image), height, width, how, focus)
            self.shas[key] = self.shelf.keep_picture(picture, _title(image))
        return self.shas[key]

    def _opened(self, image: ImageLike) -> Any:
        if self.latest[0] != _key(image):
            self.latest = (_key(image), open_image(image))
        return self.latest[1]


def _check_names(axes: Iterable[str]) -> None:
    for name in axes:
        if name not in AXES:
            raise TypeError(
                f"{name!r} is no axis of a grid.{did_you_mean(name, AXES)} "
                f"There are: {', '.join(AXES)}."
            )


def _check(cell: Mapping[str, Any]) -> None:
    _check_names(cell)
    known = {name: value for name, value in cell.items() if name != "image"}
    fitting = {name: known.pop(name, default) for name, default in FITTING.items()}
    check_request(known, seed=known.pop("seed", None), **fitting)


def _values_of(name: str, axis: Any) -> list[Any]:
    if name == "image":
        return _images_of(axis)
    if isinstance(axis, Mapping):
        raise TypeError(f"{name} is {quoted(axis)}; give a list of values, or one.")
    several = axis if isinstance(axis, Iterator) else _plain(axis)
    is_one = isinstance(axis, (str, bytes, tuple)) or not isinstance(several, Iterable)
    values = [axis] if is_one else [_plain(value) for value in islice(several, MOST_CELLS + 1)]
    if not values:
        raise ValueError(f"{name} has no values; give one at least.")
    if name in ("guidance", "focus") and all(isinstance(value, Real) for value in values):
        return [tuple(values)]  # one curve or one point: a number alone is neither
    return list({quoted(value, None): value for value in reversed(values)}.values())[::-1]


def _plain(value: Any) -> Any:
    """Give the numbers of an array or a tensor, of a curve as a tuple; any other value as it is."""
    if not is_array(value):
        return held(value) if isinstance(value, Iterator) else value
    try:
        plain = value.tolist()
    except Exception as error:  # on no device, sparse …: each library has its own
        raise TypeError(f"{quoted(value)} is no value of a grid; give plain numbers.") from error
    return tuple(plain) if isinstance(plain, list) else plain


def _images_of(image: Any) -> list[ImageLike]:
    """List the pictures that are meant: several, those of a folder, or one."""
    if isinstance(image, (list, tuple, Iterator)):
        images = [one for part in image for one in _images_of(part)]
        if not images:
            raise ValueError("There are no pictures; give one at least.")
        return images
    if isinstance(image, (str, Path)) and not is_address(image) and str(image):
        path = as_path(image)
        return list(pictures_in(path)) if path.is_dir() else [image]
    return [image]


def _with_images(image: Any, cells: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    cells = list(cells)
    if all("image" in cell for cell in cells):
        yield from map(dict, cells)
        return
    for one in _images_of(image):
        for cell in cells:
            yield {"image": one, **cell}


def _key(image: ImageLike) -> Any:
    return str(image) if isinstance(image, (str, Path)) else id(image)


def _title(image: ImageLike) -> str:
    """Name a picture for people: by its file, without the path to it."""
    name = getattr(image, "filename", image)
    if isinstance(name, (str, Path)) and str(name) and not is_address(name):
        return Path(name).stem
    return ""


def _plain_fit(how: str, focus: Any) -> dict[str, Any]:
    return {"how": how, "focus": [float(part) for part in focus]}
