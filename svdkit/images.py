"""Any picture a user has → the exact frame that a model wants."""

import io
import math
import numbers
import os
import struct
import warnings
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

ImageLike = Any  # a path, bytes, a PIL image, a numpy array or a torch tensor
FIT_WAYS = ("crop", "pad", "stretch")
WHAT_OPENS = "a path, bytes, a PIL image, a numpy array or a torch tensor"


def sample_image() -> "Image.Image":
    """Open the picture that comes with svdkit, to try things on.

    >>> sample_image().size
    (1024, 576)
    """
    return open_image(files("svdkit") / "toyland" / "sample.png")


def open_image(source: ImageLike, *, background: str = "white") -> "Image.Image":
    """Open any picture as an upright RGB image; what is transparent shows the background colour.

    >>> import numpy as np
    >>> open_image(np.zeros((64, 112), dtype=np.uint8)).size
    (112, 64)
    """
    from PIL import Image, ImageOps

    if isinstance(source, Image.Image):
        image = _loaded(source)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        image = _decoded(io.BytesIO(source), f"{len(source)} bytes")
    elif isinstance(source, (str, os.PathLike)) or hasattr(source, "read_bytes"):
        image = _decoded(*_opened(source))
    elif hasattr(source, "__array__") or hasattr(source, "detach"):
        image = _from_array(source)
    else:
        raise TypeError(f"A picture is {WHAT_OPENS}; this is a {type(source).__name__}.")
    return _to_rgb(ImageOps.exif_transpose(image), background)


def fit(
    image: ImageLike,
    height: int,
    width: int,
    how: str = "crop",
    focus: tuple[float, float] = (0.5, 0.5),
) -> "Image.Image":
    """Fit a picture to height × width pixels: crop it, pad it with black, or stretch it.

    `focus` is the point (x, y), in fractions of the picture, that a crop keeps in view, and that
    says where padding puts the picture.

    >>> fit(sample_image(), 64, 112).size
    (112, 64)
    """
    from PIL import Image

    check_fit(how, focus)
    image = open_image(image)
    size = (_checked_side("width", width), _checked_side("height", height))
    if how == "stretch":
        return image.resize(size, Image.Resampling.LANCZOS)
    if how == "crop":
        scale = min(image.width / size[0], image.height / size[1])
        kept = (scale * size[0], scale * size[1])
        left = _clamped(focus[0] * image.width - kept[0] / 2, image.width - kept[0])
        top = _clamped(focus[1] * image.height - kept[1] / 2, image.height - kept[1])
        # a box in fractions of pixels: one resampling, no rounding of the crop
        box = (left, top, min(left + kept[0], image.width), min(top + kept[1], image.height))
        return image.resize(size, Image.Resampling.LANCZOS, box=box)
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    canvas = Image.new("RGB", size)
    room = (size[0] - inner[0], size[1] - inner[1])
    place = (round(room[0] * focus[0]), round(room[1] * focus[1]))
    canvas.paste(image.resize(inner, Image.Resampling.LANCZOS), place)
    return canvas


def check_fit(how: str, focus: tuple[float, float]) -> None:
    """Make sure that a picture can be fitted in this way.

    >>> check_fit("pad", (0.5, 2))
    Traceback (most recent call last):
    ValueError: focus is (0.5, 2); it is (x, y) in fractions 0–1, like (0.5, 0.3).
    """
    if how not in FIT_WAYS:
        raise ValueError(f"how is {how!r}; it is one of {', '.join(FIT_WAYS)}.")
    try:
        x, y = (float(f) for f in focus)
    except (TypeError, ValueError):
        x = y = math.nan
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(f"focus is {focus!r}; it is (x, y) in fractions 0–1, like (0.5, 0.3).")


def natural_frame(
    size: tuple[int, int], height: int = 576, width: int = 1024, multiple: int = 64
) -> tuple[int, int]:
    """Choose (height, width) for a picture of size (width, height): landscape, portrait or square.

    All three have about as many pixels as the native frame, so they cost the same.

    >>> natural_frame((3000, 4000))
    (1024, 576)
    >>> natural_frame((800, 800))
    (768, 768)
    """
    side = max(multiple, round(math.sqrt(height * width) / multiple) * multiple)
    frames = ((height, width), (width, height), (side, side))
    aspect = size[0] / size[1]
    # rounded, so that 4:3, which lies half-way between 16:9 and 1:1, takes the native frame
    return min(frames, key=lambda frame: round(abs(math.log(aspect * frame[0] / frame[1])), 6))


def _opened(source: Any) -> tuple[io.BytesIO, str]:
    name = str(source)
    if name.startswith(("http://", "https://")):
        raise ValueError(f"{name} is a web address; save the picture and give its path.")
    # a bundled file may be of another kind than Path, inside a zip
    path = Path(os.path.expanduser(source)) if isinstance(source, (str, os.PathLike)) else source
    if not _is_there(path):
        what = "is a folder" if _is_there(path, folder=True) else "is not there"
        raise FileNotFoundError(
            f"{name!r:.200} {what}; give the path of a picture, for instance 'kite.jpg'. Relative "
            f"paths start at the current folder."
        )
    return io.BytesIO(path.read_bytes()), repr(name)


def _decoded(stream: io.BytesIO, name: str) -> "Image.Image":
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # a warning from 89 million pixels on, as phones take them, an error from twice that
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(stream)
            image.load()
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name} is too large to open ({error}); scale it down first.") from error
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{name} is no picture that Pillow can read; PNG, JPEG, WebP, TIFF, GIF and BMP work."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise ValueError(f"{name} is a damaged picture: {error}. Save it anew.") from error
    return image


def _to_rgb(image: "Image.Image", background: str) -> "Image.Image":
    from PIL import Image, ImageColor

    if image.width < 1 or image.height < 1:
        raise ValueError(f"The picture is {image.width}×{image.height} pixels: there is nothing.")
    if image.mode.startswith("I;16"):
        image = Image.fromarray(_as_bytes(_array(image)))
    elif image.mode in ("I", "F"):
        values = _array(image)
        deep = image.mode == "I" and values.min() >= 0 and 255 < values.max() <= 65535
        image = Image.fromarray(_as_bytes(values.astype("uint16") if deep else values))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        try:
            colour = ImageColor.getrgb(background)[:3]
        except ValueError as error:
            raise ValueError(
                f"background is {background!r}; a colour is needed, like 'white' or '#ffcc00'."
            ) from error
        canvas = Image.new("RGBA", image.size, (*colour, 255))
        return Image.alpha_composite(canvas, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_array(source: Any) -> "Image.Image":
    from PIL import Image

    values = _array(source)
    while values.ndim > 3 and values.shape[0] == 1:
        values = values[0]
    channels_first = values.ndim == 3 and values.shape[0] in (1, 3, 4)
    if channels_first and (hasattr(source, "detach") or values.shape[2] not in (1, 3, 4)):
        values = values.transpose(1, 2, 0)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    grey_or_colour = values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))
    if values.size == 0 or not grey_or_colour:
        raise ValueError(
            f"The array has shape {tuple(source.shape)}; a picture is (height, width), or "
            "(height, width, 3 or 4), or for tensors (3 or 4, height, width)."
        )
    return Image.fromarray(_as_bytes(values))


def _array(source: Any) -> "np.ndarray":
    import numpy as np

    if hasattr(source, "detach"):  # a torch tensor, perhaps on a GPU, perhaps in bfloat16
        source = source.detach().cpu()
        source = source.float() if source.is_floating_point() else source
    return np.ascontiguousarray(np.asarray(source))


def _as_bytes(values: "np.ndarray") -> "np.ndarray":
    """Map 0–1 floats, 0–65535 uint16, booleans and 0–255 whole numbers to uint8."""
    import numpy as np

    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * 255
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    whole = np.issubdtype(values.dtype, np.integer)
    if not whole and not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"The array holds {values.dtype}; numbers are needed.")
    if not np.isfinite(values).all():
        raise ValueError("The array holds NaN or infinite values; a picture is numbers 0–1.")
    low, high = float(values.min()), float(values.max())
    if whole and low >= 0 and high <= 255:
        return values.astype(np.uint8)
    if not whole and low >= -1e-3 and high <= 1 + 1e-3:
        return (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    cure = "divide by 255" if low >= 0 and high <= 255 else "use (x + 1) / 2" if low >= -1 else ""
    raise ValueError(
        f"The array's values run from {low:g} to {high:g}; a picture is uint8 0–255, uint16 "
        f"0–65535 or floats 0–1{'; ' + cure if cure else ''}."
    )


def _checked_side(name: str, side: Any) -> int:
    number = side if isinstance(side, numbers.Real) and not isinstance(side, bool) else math.nan
    if not 1 <= number <= 16384 or number != int(number):
        raise ValueError(f"{name} is {side!r}; a whole number of pixels, 1–16384, is needed.")
    return int(number)


def _is_there(path: Any, *, folder: bool = False) -> bool:
    try:
        return path.is_dir() if folder else path.is_file()
    except (OSError, ValueError):  # a name that no file can have: too long, or with a NUL in it
        return False


def _loaded(image: "Image.Image") -> "Image.Image":
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise ValueError(f"The PIL picture is damaged: {error}. Open it anew.") from error
    return image


def _clamped(value: float, high: float) -> float:
    return min(max(value, 0.0), max(high, 0.0))
