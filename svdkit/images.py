"""Any picture a user has → the exact frame that a model wants."""

import io
import math
import numbers
import os
from collections.abc import Iterator, Mapping, Set
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arrays import as_bytes, is_array, picture_of
from .limits import quoted
from .paths import shown
from .stills import picture_in, pillow_errors_told, upright
from .web import fetch, is_address, shown_address

if TYPE_CHECKING:
    from PIL import Image

ImageLike = Any  # a path, a web address, bytes, a PIL image, a numpy array or a torch tensor
FIT_WAYS = ("crop", "pad", "stretch")
FITTING = {"how": "crop", "focus": (0.5, 0.5)}  # what `fit` does unless one says
WHAT_OPENS = "a path, a web address, bytes, a PIL image, a numpy array or a torch tensor"
COLOURS_OF = {"RGB": "RGB", "CMYK": "CMYK", "L": "GRAY"}  # what a profile of each mode is for


def sample_image() -> "Image.Image":
    """Open the picture that comes with svdkit, to try things on.

    >>> sample_image().size
    (1024, 576)
    """
    return open_image(files("svdkit") / "toyland" / "sample.png")


def open_image(
    source: ImageLike,
    *,
    background: str = "white",
    at: float | None = None,
    private: bool = False,
) -> "Image.Image":
    """Open any picture as an upright sRGB image; what is transparent shows the background colour.

    Of a video or an animated picture it takes the first frame, or the one `at` so many seconds. A
    web address may lead into a private network only with `private=True`.

    >>> import numpy as np
    >>> open_image(np.zeros((64, 112), dtype=np.uint8)).size
    (112, 64)
    """
    from PIL import Image

    at = _checked_time(at)
    if is_address(source):
        data = fetch(source, private=private)
        image = picture_in(data, shown_address(source), "address", at)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        image = picture_in(data, f"{len(data)} bytes", "data", at)
    elif isinstance(source, (str, os.PathLike)) or hasattr(source, "read_bytes"):
        image = _of_path(source, at)
    elif not isinstance(source, Image.Image) and not is_array(source):
        raise TypeError(f"A picture is {WHAT_OPENS}; this is a {type(source).__name__}.")
    elif at is not None:
        raise ValueError(
            f"at is {at:g}, and this {type(source).__name__} has no time; leave at out, or choose "
            "its frame before."
        )
    else:
        image = _loaded(source) if isinstance(source, Image.Image) else picture_of(source)
    return _to_rgb(image, background)


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
        # a box in fractions of pixels: one resampling, no rounding of the crop
        box = crop_box(image.size, height, width, focus)
        return image.resize(size, Image.Resampling.LANCZOS, box=box)
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    canvas = Image.new("RGB", size)
    room = (size[0] - inner[0], size[1] - inner[1])
    place = (round(room[0] * focus[0]), round(room[1] * focus[1]))
    canvas.paste(image.resize(inner, Image.Resampling.LANCZOS), place)
    return canvas


def crop_box(
    size: tuple[int, int], height: int, width: int, focus: tuple[float, float] = (0.5, 0.5)
) -> tuple[float, float, float, float]:
    """Give the box (left, top, right, bottom) that a crop to the shape of height × width keeps.

    >>> crop_box((300, 100), 50, 50, focus=(0, 0.5))
    (0.0, 0.0, 100.0, 100.0)
    """
    scale = min(size[0] / width, size[1] / height)
    kept = (scale * width, scale * height)
    left = _clamped(focus[0] * size[0] - kept[0] / 2, size[0] - kept[0])
    top = _clamped(focus[1] * size[1] - kept[1] / 2, size[1] - kept[1])
    return (left, top, min(left + kept[0], size[0]), min(top + kept[1], size[1]))


def fitting_in(request: Mapping[str, Any]) -> dict[str, Any]:
    """Read from a recipe's request, perhaps a stranger's, how its picture was fitted.

    >>> fitting_in({"fit": {"how": "pad"}})
    {'how': 'pad', 'focus': (0.5, 0.5)}
    """
    way = request.get("fit", {})
    if not isinstance(way, dict):
        raise ValueError(f"The recipe's fit is {way!r:.60}; a dict is needed.")
    fitting = {name: way.get(name, usual) for name, usual in FITTING.items()}
    check_fit(**fitting)
    return fitting


def check_fit(how: str, focus: tuple[float, float]) -> None:
    """Make sure that a picture can be fitted in this way.

    >>> check_fit("pad", (0.5, 2))
    Traceback (most recent call last):
    ValueError: focus is (0.5, 2); it is (x, y) in fractions 0–1, like (0.5, 0.3).
    """
    if not (isinstance(how, str) and how in FIT_WAYS):
        raise ValueError(f"how is {quoted(how)}; it is one of {', '.join(FIT_WAYS)}.")
    try:
        lasts = not isinstance(focus, (Iterator, Mapping, Set))  # it is looked at more than once
        x, y = (float(f) if isinstance(f, numbers.Real) and lasts else math.nan for f in focus)
    except (TypeError, ValueError, OverflowError):
        x = y = math.nan
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(
            f"focus is {quoted(focus)}; it is (x, y) in fractions 0–1, like (0.5, 0.3)."
        )


def natural_frame(
    size: tuple[int, int], height: int = 576, width: int = 1024, multiple: int = 64
) -> tuple[int, int]:
    """Choose (height, width) for a picture of size (width, height): landscape, portrait or square.

    Sizes are in pixels. All three have about as many as the native frame, so they cost the same.

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


def _of_path(source: Any, at: float | None) -> "Image.Image":
    name = str(source)
    if isinstance(source, str) and not name.strip():
        raise ValueError("The path is empty; give the path of a picture, for instance 'kite.jpg'.")
    if isinstance(source, str) and "://" in name[:16]:
        raise ValueError(
            f"{shown(shown_address(name))} is no address that svdkit opens; http and https are, or "
            "save the picture and give its path."
        )
    # a bundled file may be of another kind than Path, inside a zip
    path = Path(os.path.expanduser(source)) if isinstance(source, (str, os.PathLike)) else source
    if not _is_there(path):
        what = "is a folder" if _is_there(path, folder=True) else "is not there"
        raise FileNotFoundError(
            f"{shown(repr(name)):.200} {what}; give the path of a picture, for instance "
            "'kite.jpg'. Relative paths start at the current folder."
        )
    return picture_in(path, shown(repr(name)), shown(repr(name)), at)


def _to_rgb(image: "Image.Image", background: str) -> "Image.Image":
    import numpy as np
    from PIL import Image, ImageColor

    if image.width < 1 or image.height < 1:
        raise ValueError(f"The picture is {image.width}×{image.height} pixels: there is nothing.")
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16"):
        image = Image.fromarray(as_bytes(np.asarray(image)))
    elif image.mode in ("I", "F"):
        values = np.asarray(image)
        deep = image.mode == "I" and values.min() >= 0 and 255 < values.max() <= 65535
        image = Image.fromarray(as_bytes(values.astype("uint16") if deep else values))
    with pillow_errors_told(f"The {image.mode} picture"):
        if image.mode == "La":  # which Pillow turns into LA only
            image = image.convert("LA")
        clear = image.convert("RGBA") if image.has_transparency_data else None
        if image.mode == "LA":
            image = image.getchannel("L")
        elif image.mode not in COLOURS_OF:
            image = image.convert("RGB")
        rgb = (_in_srgb(image, profile) if profile else image).convert("RGB")
        alpha = clear and clear.getchannel("A")
    if alpha is not None:
        try:
            colour = ImageColor.getrgb(background)[:3]
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(
                f"background is {quoted(background)}; a colour is needed, like 'white' or '#fc0'."
            ) from error
        rgb.putalpha(alpha)
        rgb = Image.alpha_composite(Image.new("RGBA", rgb.size, (*colour, 255)), rgb).convert("RGB")
    rgb.info = {}  # a camera's notes tell where and when; none of it goes on
    return rgb


def _in_srgb(image: "Image.Image", profile: bytes) -> "Image.Image":
    """Convert a picture to sRGB; leave it where its profile is about that, broken or another's."""
    from PIL import Image, ImageChops, ImageCms

    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if embedded.profile.xcolor_space.strip() != COLOURS_OF[image.mode]:
            return image
        transform = ImageCms.buildTransform(
            embedded,
            ImageCms.createProfile("sRGB"),
            image.mode,
            "RGB",
            renderingIntent=1,  # relative colorimetric, with black point compensation (0x2000):
            flags=0x2000,  # white stays white and black black, as photographers are used to
        )
        if image.mode != "CMYK":  # it is sRGB, under whatever name, if it hardly moves a swatch
            grey = Image.linear_gradient("L").resize((16, 16))
            parts = (grey, grey.transpose(Image.Transpose.ROTATE_90), ImageChops.invert(grey))
            swatch = Image.merge("RGB", parts) if image.mode == "RGB" else grey
            moved = ImageChops.difference(
                swatch.convert("RGB"), ImageCms.applyTransform(swatch, transform)
            )
            if max(high for _, high in moved.getextrema()) <= 2:
                return image
        return ImageCms.applyTransform(image, transform)
    except Exception:  # a picture with a broken profile is a picture
        return image


def _checked_time(at: Any) -> float | None:
    if at is None:
        return None
    number = at if isinstance(at, numbers.Real) and not isinstance(at, bool) else math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"at is {quoted(at)}; it is a time in seconds from the start, like 1.5.")
    return float(number)


def _checked_side(name: str, side: Any) -> int:
    number = side if isinstance(side, numbers.Real) and not isinstance(side, bool) else math.nan
    if not 1 <= number <= 16384 or number != int(number):
        raise ValueError(f"{name} is {quoted(side)}; a whole number of pixels, 1–16384, is needed.")
    return int(number)


def _is_there(path: Any, *, folder: bool = False) -> bool:
    try:
        return path.is_dir() if folder else path.is_file()
    except (OSError, ValueError):  # a name that no file can have: too long, or with a NUL in it
        return False


def _loaded(image: "Image.Image") -> "Image.Image":
    with pillow_errors_told("The PIL picture"):
        image.load()
        return upright(image)


def _clamped(value: float, high: float) -> float:
    return min(max(value, 0.0), max(high, 0.0))
