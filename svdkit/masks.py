"""Which part of a picture is meant: a mask from a picture, an array, a box or a polygon."""

import math
import numbers
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .arrays import is_array
from .images import check_fit, crop_box, open_image
from .limits import quoted

if TYPE_CHECKING:
    from PIL import Image

MaskLike = Any  # a picture of any kind, a box (left, top, right, bottom), or points of a polygon
WHAT_MASKS = "a picture (white is meant), a box (left, top, right, bottom) or a list of 3 or more \
points (x, y)"
ALMOST = 8  # of 255: a JPEG's black and white are not quite black and white
FURTHEST = 1e6  # pixels: no picture is so large
ASPECT_SLACK = 0.02  # by which the shape of a mask may differ from its picture's: sides are rounded


def open_mask(mask: MaskLike, size: tuple[int, int]) -> "Image.Image":
    """Make a grey mask of a picture's size (width, height), white where something is meant.

    A box and a polygon are in fractions of the picture, 0–1, or in its pixels. A picture may have
    another size than the one that it masks, and has the same shape; what is transparent is black.

    >>> open_mask((0.5, 0, 1, 1), (112, 64)).getextrema()
    (0, 255)
    """
    points = _points_of(mask)
    if points is None:
        result = _of_picture(mask, size)
    elif len(points) == 2:
        result = _of_box(points, size, mask)
    else:
        result = _of_polygon(points, size, mask)
    if not result.getextrema()[1]:
        raise ValueError(
            f"The mask {_told(mask)}is black all over, or outside the picture: nothing would move. "
            "White, or what a box or a polygon holds, is what moves."
        )
    return result


def fit_mask(
    mask: "Image.Image",
    height: int,
    width: int,
    how: str = "crop",
    focus: tuple[float, float] = (0.5, 0.5),
) -> "Image.Image":
    """Fit a mask to height × width as `fit` does its picture: each point lands on the same spot.

    >>> fit_mask(open_mask((0.5, 0, 1, 1), (300, 100)), 64, 64, focus=(0, 0.5)).getextrema()
    (0, 0)
    """
    from PIL import Image

    check_fit(how, focus)
    # no Lanczos here: it rings, and what is black has to stay black
    way = Image.Resampling.BILINEAR
    if how != "pad":
        box = crop_box(mask.size, height, width, focus) if how == "crop" else None
        return mask.resize((width, height), way, box=box)
    scale = min(width / mask.width, height / mask.height)
    inner = (max(1, round(mask.width * scale)), max(1, round(mask.height * scale)))
    place = (round((width - inner[0]) * focus[0]), round((height - inner[1]) * focus[1]))
    canvas = Image.new("L", (width, height))
    canvas.paste(mask.resize(inner, way), place)
    return canvas


def feathered(mask: "Image.Image", feather: int) -> np.ndarray:
    """Soften the edge of a mask outwards: float32 (height, width), 0 beyond `feather` pixels.

    >>> feathered(open_mask((0, 0, 1, 5), (8, 5)), 4)[2].astype(float).round(1).tolist()
    [1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0, 0.0]
    """
    values = np.asarray(mask, np.float32) / 255
    grown = feather - feather // 2
    return _over(np.mean, _over(np.max, values, grown), feather // 2)


def _over(what: Any, values: np.ndarray, reach: int) -> np.ndarray:
    """Take the maximum or the mean over the square around each pixel."""
    for axis in (0, 1):
        padding = [(reach, reach) if axis == each else (0, 0) for each in (0, 1)]
        windows = sliding_window_view(np.pad(values, padding, "edge"), 2 * reach + 1, axis)
        values = what(windows, axis=-1)
    return values


def _of_picture(mask: Any, size: tuple[int, int]) -> "Image.Image":
    from PIL import Image

    grey = open_image(mask, background="black").convert("L")
    if abs(math.log(grey.width / grey.height * size[1] / size[0])) > ASPECT_SLACK:
        raise ValueError(
            f"The mask is {grey.width}×{grey.height} pixels and its picture {size[0]}×{size[1]}: "
            "that is another shape, so where it lies is not known. Make it of the whole picture."
        )
    if grey.getextrema()[1] == 1:  # of 0 and 1, as arrays and maps of labels are
        grey = grey.point(lambda value: 255 * value)
    grey = grey.point(lambda value: 0 if value < ALMOST else 255 if value > 255 - ALMOST else value)
    return grey if grey.size == size else grey.resize(size, Image.Resampling.BILINEAR)


def _points_of(mask: Any) -> list[tuple[float, float]] | None:
    """Read the points of a box or a polygon; None where it is a picture."""
    shape = tuple(getattr(mask, "shape", ()))
    if is_array(mask) and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 2)):
        with suppress(Exception):  # on no device, sparse …: as a picture it is told what it lacks
            mask = mask.tolist()
    if not isinstance(mask, (list, tuple)):
        return None
    if len(mask) == 4 and all(isinstance(value, numbers.Real) for value in mask):
        pairs: Sequence[Any] = (mask[:2], mask[2:])
    else:
        pairs = mask
    try:
        points = [(float(x), float(y)) for x, y in pairs]
    except (TypeError, ValueError, OverflowError):
        points = []
    if len(points) < 2 or (len(points) == 2 and pairs is mask):
        raise ValueError(f"The mask is {quoted(mask)}; it is {WHAT_MASKS}.")
    if not all(abs(value) <= FURTHEST for point in points for value in point):
        raise ValueError(f"The mask {_told(mask)}holds NaN or infinite values, or nearly so.")
    return points


def _in_pixels(
    points: list[tuple[float, float]], size: tuple[int, int], mask: Any
) -> list[tuple[float, float]]:
    values = [value for point in points for value in point]
    if all(0 <= value <= 1 for value in values):
        return [(x * size[0], y * size[1]) for x, y in points]
    if max(values) <= 2 and any(value != int(value) for value in values):
        raise ValueError(
            f"The mask {_told(mask)}is neither in fractions of the picture, which are 0–1, nor in "
            f"its {size[0]}×{size[1]} pixels."
        )
    return points


def _of_box(points: list, size: tuple[int, int], mask: Any) -> "Image.Image":
    from PIL import Image

    (left, top), (right, bottom) = _in_pixels(points, size, mask)
    if not (left < right and top < bottom):
        raise ValueError(
            f"The mask {_told(mask)}holds nothing; a box is (left, top, right, bottom), with left "
            "< right and top < bottom."
        )
    values = np.zeros((size[1], size[0]), np.uint8)
    values[_pixels_between(top, bottom), _pixels_between(left, right)] = 255
    return Image.fromarray(values)


def _pixels_between(start: float, stop: float) -> slice:
    """Give the pixels that a side of a box covers: at least the one that it lies in."""
    first = min(round(start), math.ceil(stop) - 1)
    last = max(round(stop), first + 1)
    return slice(max(0, first), max(0, last))


def _of_polygon(points: list, size: tuple[int, int], mask: Any) -> "Image.Image":
    from PIL import Image, ImageDraw

    corners = _in_pixels(points, size, mask)
    if np.linalg.matrix_rank(np.subtract(corners, corners[0]), tol=1e-6) < 2:
        raise ValueError(f"The mask {_told(mask)}is a line; its points must hold an area.")
    result = Image.new("L", size)
    ImageDraw.Draw(result).polygon(corners, fill=255)
    return result


def _told(mask: Any) -> str:
    """Name a mask where it can be written."""
    return f"{quoted(mask)} " if isinstance(mask, (list, tuple, str)) else ""
