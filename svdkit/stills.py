"""One picture out of a file, whatever is in it: a still, a page, or a frame of what moves."""

import io
import math
import re
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .ffmpeg import find_ffmpeg
from .kinds import READERS, kind_of
from .paths import nameless, shown, visible
from .video import reading

if TYPE_CHECKING:
    from PIL import Image

TIMED = ("GIF", "WEBP", "PNG", "AVIF", "FLI")  # Pillow's formats whose frames have durations
PAGED = ("TIFF", "DCX")  # what other formats count are previews, layers and other sizes
UNTIMED_MS = 100  # how long browsers show a frame that says nothing
FFMPEG_SECONDS = 60
STILL = ("-map", "0:V:0", "-f", "image2", "-c:v", "ppm", "-pix_fmt", "rgb24", "-update", "1")


def picture_in(file: Any, name: str, word: str, at: float | None = None) -> "Image.Image":
    """Take one upright picture out of a file or bytes, and say so where there are more.

    `name` is what messages call it, and `word` what a call of `open_image` does.

    >>> import numpy as np
    >>> from .video import still
    >>> picture_in(still(np.zeros((16, 32, 3), np.uint8)), "32 bytes", "data").size
    (32, 16)
    """
    with _stream(file, name) as stream:
        start = stream.read(4096)
        kind = kind_of(start)
        if kind == "HEIF":
            _learn_heif(name)
        if kind in ("", "HEIF", "AVIF"):
            stream.seek(0)
            return _by_pillow(stream, kind, name, word, at)
    if kind not in READERS:
        raise ValueError(f"{name} is {kind}; save the picture itself, as PNG or JPEG, and give it.")
    if isinstance(file, Path):
        return _by_ffmpeg(file, kind, name, word, at)
    with tempfile.TemporaryDirectory() as folder:  # a pipe would not do: the index may come last
        path = Path(folder, "video")
        path.write_bytes(file.read_bytes() if hasattr(file, "read_bytes") else file)
        return _by_ffmpeg(path, kind, name, word, at)


def upright(image: "Image.Image") -> "Image.Image":
    """Copy a picture, turned as its camera was held.

    >>> from PIL import Image
    >>> photo = Image.new("RGB", (40, 30))
    >>> photo.getexif()[0x0112] = 6
    >>> upright(photo).size
    (30, 40)
    """
    from PIL import Image

    ways = Image.Transpose
    turns = {2: ways.FLIP_LEFT_RIGHT, 3: ways.ROTATE_180, 4: ways.FLIP_TOP_BOTTOM}
    turns |= {5: ways.TRANSPOSE, 6: ways.ROTATE_270, 7: ways.TRANSVERSE, 8: ways.ROTATE_90}
    try:
        turn = turns.get(image.getexif().get(0x0112))
    except Exception:  # a picture with broken notes is a picture; Pillow raises whatever it meets
        turn = None
    return image.copy() if turn is None else image.transpose(turn)


@contextmanager
def pillow_errors_told(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises on odd data into a ValueError, and its warnings into nothing.

    >>> with pillow_errors_told("'kite.png'"):
    ...     {}["IHDR"]
    Traceback (most recent call last):
    ValueError: 'kite.png' is damaged: KeyError: 'IHDR'. Save it anew.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # one comes from 89 million pixels on, as phones take them; an error from twice that
            warnings.simplefilter("ignore")
            yield
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name} is too large to open ({error}); scale it down first.") from error
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{name} is no picture that Pillow can read; PNG, JPEG, WebP, TIFF, GIF and BMP work."
        ) from nameless(error)
    except Exception as error:  # IndexError, struct.error, zlib.error …: there is no end to them
        known = isinstance(error, (OSError, SyntaxError, ValueError, EOFError)) and str(error)
        why = visible(shown(error if known else f"{type(error).__name__}: {error}"))
        raise ValueError(f"{name} is damaged: {why}. Save it anew.") from nameless(error)


@contextmanager
def _stream(file: Any, name: str) -> Iterator[Any]:
    if isinstance(file, (bytes, bytearray, memoryview)):
        yield io.BytesIO(file)
        return
    try:
        stream = file.open("rb")
    except OSError as error:
        why = f"{name} cannot be read: {error.strerror}. May you read it?"
        raise OSError(why) from nameless(error)
    with stream:
        yield stream


def _learn_heif(name: str) -> None:
    try:
        import pillow_heif
    except ImportError as error:
        raise ValueError(
            f"{name} is a HEIC picture, as iPhones take them; pip install pillow-heif to open it."
        ) from error
    pillow_heif.register_heif_opener()


def _by_pillow(stream: Any, kind: str, name: str, word: str, at: float | None) -> "Image.Image":
    from PIL import Image, features

    if kind == "AVIF" and "avif" not in features.modules:
        raise ValueError(f"{name} is an AVIF picture; pip install -U pillow to open it.")
    with pillow_errors_told(name):
        image = Image.open(stream)
        count = getattr(image, "n_frames", 1)
        timed = image.format in TIMED and count > 1
        seconds = _seek(image, count, at) if timed and at is not None else 0
        image.load()
        picture = upright(image)
    if at is not None and not timed:
        turn = " Of its pages, image.seek(n) in PIL takes another." if count > 1 else ""
        raise ValueError(f"at is {at:g}, and {name} is a still picture; leave at out.{turn}")
    if at is not None and at > seconds:
        raise ValueError(f"at is {at:g}; {name} lasts {seconds:g} seconds.")
    if timed and at is None:
        middle = (image.info.get("duration", 0) or UNTIMED_MS) * count / 2000
        _say(f"{name} is animated ({count} frames): its first", word, middle)
    elif count > 1 and image.format in PAGED:
        print(f"{name} has {count} pages: the first is taken; image.seek(1) in PIL takes another.")
    return picture


def _seek(image: "Image.Image", count: int, at: float) -> float:
    """Go to the frame that is shown at a time; give the time until which all frames last."""
    milliseconds = 0.0
    for number in range(count):
        image.seek(number)
        image.load()
        milliseconds += image.info.get("duration", 0) or UNTIMED_MS
        if 1000 * at < milliseconds:
            break
    return milliseconds / 1000


def _by_ffmpeg(path: Path, kind: str, name: str, word: str, at: float | None) -> "Image.Image":
    from PIL import Image

    told = _ffmpeg(path, kind, name)
    stream = re.search(r"^\s*Stream #.*Video:.*", told, re.MULTILINE)
    if not stream:
        raise _no_video(name, "it has sound alone" if "Stream #" in told else told)
    rate = re.search(r"([\d.]+) fps", stream[0])
    lasts = re.search(r"Duration: (\d+):(\d+):([\d.]+)", told)
    seconds = (
        sum(float(n) * s for n, s in zip(lasts.groups(), (3600, 60, 1), strict=True))
        if lasts
        else 0
    )
    if lasts and at is not None and at > seconds + 0.01:
        raise ValueError(f"at is {at:g}; {name} lasts {seconds:g} seconds.")
    # The frame shown at a time is the last that began before it, and seeking gives the first that
    # begins after: so start a frame earlier, and much earlier where frames come unevenly.
    frame = 1.5 / max(float(rate[1]), 0.1) if rate else 1.0
    with tempfile.TemporaryDirectory() as folder:
        still = Path(folder, "still.ppm")
        for earlier in (frame, 10, math.inf) if at else (0,):
            start = max(0.0, (at or 0) - earlier)
            until = ("-t", f"{at - start + 0.001:.6f}") if at else ("-frames:v", "1")
            told = _ffmpeg(path, kind, name, f"{start:.6f}", (*until, *STILL, still))
            if still.exists():
                break
        else:
            raise _no_video(name, told)
        with pillow_errors_told(name), Image.open(still) as image:
            picture = image.copy()
    if at is None:
        length = f" of {seconds:g} seconds" if lasts else ""
        _say(f"{name} is a video{length}: its first frame", word, seconds / 2)
    return picture


def _ffmpeg(path: Path, kind: str, name: str, start: str = "0", write: tuple = ()) -> str:
    """Run ffmpeg on one local file, which may lead to no other, and give what it tells."""
    try:
        program = find_ffmpeg()
    except RuntimeError as error:
        raise ValueError(
            f"{name} is a video, and there is no ffmpeg; pip install imageio-ffmpeg."
        ) from error
    file = f"file:{path.resolve()}"
    for every_frame in (("-fps_mode", "passthrough"), ("-vsync", "0")):  # new ffmpegs, and old
        command = [program, "-nostdin", "-hide_banner", "-ss", start, *reading(path, kind)]
        command += [*every_frame, *write] if write else []
        try:
            run = subprocess.run(command, capture_output=True, check=False, timeout=FFMPEG_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise _no_video(name, f"ffmpeg took over {FFMPEG_SECONDS:g} seconds") from error
        except OSError as error:
            raise _no_video(name, f"ffmpeg cannot be run ({error.strerror})") from error
        if b"Unrecognized option" not in run.stderr:
            break
    return run.stderr.decode(errors="replace").replace(file, "it")


def _no_video(name: str, told: str) -> ValueError:
    why = shown(
        next(
            reversed(told.strip().splitlines()),
            "ffmpeg crashed; pip install -U imageio-ffmpeg brings another",
        )
    )
    why = visible(why)  # which may quote the file
    return ValueError(f"{name} is no video that can be read: {why}. Save it anew, as .mp4.")


def _say(what: str, word: str, seconds: float) -> None:
    print(f"{what} is taken; open_image({word}, at={seconds:.2g}) takes another.")
