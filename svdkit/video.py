"""Frames ⇄ the bytes of mp4, webm, gif and webp files, and the <video> tag that shows them."""

import base64
import html
import io
import math
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .ffmpeg import run_ffmpeg, said_by
from .frames import MOST_BYTES, check_size
from .kinds import READERS, kind_of
from .paths import nameless, shown, visible

if TYPE_CHECKING:
    import numpy as np

INLINE_PIXELS = 40_000_000  # frames × height × width that a notebook holds at full size
INLINE_BYTES = 8_000_000
GIF_MAX_FPS = 50  # browsers play anything quicker at ten frames a second
SECONDS = 600  # after which an ffmpeg that hangs is ended; for long films there are more
BYTES_A_SECOND = 100_000  # that the slowest of machines gets done, of frames or of a file


def encode(frames: "np.ndarray", fps: float, suffix: str) -> bytes:
    """Encode uint8 frames (n, height, width, 3) as a video file of the kind that a suffix names.

    >>> import numpy as np
    >>> encode(np.zeros((2, 16, 16, 3), np.uint8), 7, ".mp4")[4:8]
    b'ftyp'
    """
    import mediapy
    import numpy as np

    check_format(suffix, fps)
    # what the user chose there goes first; its own writer would wait for ever for one that hangs
    chosen = getattr(mediapy, "_search_for_ffmpeg_path", lambda: None)()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"clip{suffix}")
        frames = np.ascontiguousarray(_even(frames))
        size = f"{frames.shape[2]}x{frames.shape[1]}"
        raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(fps), "-i", "-")
        run = run_ffmpeg(
            *("-v", "error", *raw, "-an", *ENCODERS[suffix], "-y", str(path)),
            seconds=SECONDS + frames.size / BYTES_A_SECOND,
            data=frames,
            program=chosen,
        )
        if run.returncode or not path.exists():
            told = said_by(run).replace(str(path), "the file")
            cure = ""
            if "encoder" in told:
                cure = " That of imageio-ffmpeg has all of them: "
                cure += "mediapy.set_ffmpeg(imageio_ffmpeg.get_ffmpeg_exe())"
            raise RuntimeError(f"ffmpeg cannot write this as {suffix}: {shown(told)}{cure}")
        return path.read_bytes()


def check_format(suffix: str, fps: float) -> None:
    """Make sure that there is such a format, and that it can play at this rate.

    >>> check_format(".gif", 60)
    Traceback (most recent call last):
    ValueError: A GIF plays at 50 fps at most, and this is 60; save clip.at(fps=50), or as .webp.
    """
    if suffix not in ENCODERS:
        raise ValueError(f"{suffix!r} is no video format; there are {', '.join(ENCODERS)}.")
    if suffix == ".gif" and fps > GIF_MAX_FPS:
        raise ValueError(
            f"A GIF plays at {GIF_MAX_FPS} fps at most, and this is {fps:g}; "
            f"save clip.at(fps={GIF_MAX_FPS}), or as .webp."
        )


def decode(path: Path) -> tuple["np.ndarray", float]:
    """Decode a video file to its frames and its playback rate.

    >>> import numpy as np, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp(), "dark.webp")
    >>> _ = file.write_bytes(encode(np.zeros((3, 16, 16, 3), np.uint8), 10, ".webp"))
    >>> [frames, fps] = decode(file)
    >>> len(frames), fps
    (3, 10.0)
    """
    try:
        with path.open("rb") as stream:
            kind = kind_of(stream.read(4096))
        if kind in READERS:
            return _decode_with_ffmpeg(path, kind)
        if kind:
            raise ValueError(f"it is {kind}")
        return _decode_with_pillow(path)
    except MemoryError:
        raise
    except Exception as error:  # of damaged files Pillow raises whatever it meets
        why = visible(shown(error))
        raise ValueError(f"{shown(path)!r} is no video that can be read: {why}") from nameless(
            error
        )


def coded(frames: "np.ndarray", fps: float, suffix: str) -> "np.ndarray":
    """Give frames as they come back from a file: what is lost on the way is lost.

    >>> import numpy as np
    >>> coded(np.zeros((2, 15, 15, 3), np.uint8), 7, ".mp4").shape
    (2, 15, 15, 3)
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"clip{suffix}")
        path.write_bytes(encode(frames, fps, suffix))
        return decode(path)[0][:, : frames.shape[1], : frames.shape[2]]


def video_tag(mp4: bytes, poster: bytes, *, width: int, label: str = "") -> str:
    """Give the HTML of a player that survives an untrusted notebook and static HTML.

    The data stand in `src=` and never in `<source>`, from which JupyterLab strips them.

    >>> video_tag(b"v", b"p", width=320).startswith('<video src="data:video/mp4;base64,')
    True
    """
    source, still = base64.b64encode(mp4).decode(), base64.b64encode(poster).decode()
    return (
        f'<video src="data:video/mp4;base64,{source}" poster="data:image/jpeg;base64,{still}" '
        f'width="{width}" controls loop muted autoplay playsinline '
        f'title="{html.escape(label, quote=True)}" style="max-width:100%"></video>'
    )


def still(frame: "np.ndarray", kind: str = "JPEG") -> bytes:
    """Encode one frame as a JPEG or PNG.

    >>> import numpy as np
    >>> still(np.zeros((16, 16, 3), np.uint8), "PNG")[1:4]
    b'PNG'
    """
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return stream.getvalue()


def preview(frames: "np.ndarray", fps: float) -> tuple[bytes, bytes, str]:
    """Give what a notebook gets to hold: an mp4, a poster, and a remark if it is less than all.

    >>> import numpy as np
    >>> preview(np.zeros((2, 16, 16, 3), np.uint8), 7)[2]
    ''
    """
    factor = math.sqrt(min(1.0, INLINE_PIXELS / frames[..., 0].size))
    while True:
        smaller = frames if factor == 1 else scaled(frames, factor)
        mp4 = encode(smaller, fps, ".mp4")
        if len(mp4) <= INLINE_BYTES or max(smaller.shape[1:3]) <= 16:
            break
        factor /= 2
    height, width = smaller.shape[1:3]
    remark = f"shown reduced to {height}×{width}; save() keeps all" if factor < 1 else ""
    return mp4, still(smaller[0]), remark


def scaled(frames: "np.ndarray", factor: float) -> "np.ndarray":
    """Make the sides of frames smaller by a factor below 1, to 16 pixels at least.

    >>> import numpy as np
    >>> scaled(np.zeros((2, 64, 112, 3), np.uint8), 0.5).shape
    (2, 32, 56, 3)
    """
    import numpy as np
    from PIL import Image

    height, width = (max(16, int(factor * length)) for length in frames.shape[1:3])
    pictures = (Image.fromarray(f).resize((width, height), Image.Resampling.BOX) for f in frames)
    return np.stack([np.asarray(picture) for picture in pictures])


def reading(path: Path, kind: str) -> tuple[str, ...]:
    """Give ffmpeg's options for reading one local file of a kind, which may lead to no other.

    >>> reading(Path("kite.mp4"), "MP4")[:2]
    ('-format_whitelist', 'mov')
    """
    reader = ("-format_whitelist", READERS[kind], "-f", READERS[kind])
    reader += ("-protocol_whitelist", "file,pipe", "-max_pixels", str(2**27))
    return (*reader, "-i", f"file:{path.resolve()}")  # a name like 12:30.mp4 would be a protocol


def _even(frames: "np.ndarray") -> "np.ndarray":
    """Repeat the last row or column of odd sizes: yuv420p, which all browsers play, needs even."""
    import numpy as np

    height, width = frames.shape[1:3]
    return np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")


# Untagged video leaves its colours to the player's guess. Of the tags tried in Chromium this one
# brings them back best: within 2 of 255, where bt709's matrix is off by 6.
TAGS = {"colorspace": "smpte170m", "color_primaries": "bt709", "color_trc": "bt709"}
TAGGED = (
    "-vf",
    "scale=out_color_matrix=smpte170m:out_range=tv,setparams=range=tv:"
    + ":".join(f"{name}={value}" for name, value in TAGS.items()),
    # newer ffmpegs take the tags from the frames, as set above, and older ones from here
    *(word for name, value in TAGS.items() for word in (f"-{name}", value)),
    *("-color_range", "tv"),
)
# A third of the time of x264's own preset; on 25 frames of 576×1024 with grain of 0, 2 and 4 grey
# levels the size was 0.85, 1.35 and 0.91 of its, and the PSNR the same within 0.1 dB.
QUICK = ("-preset", "veryfast", "-movflags", "+faststart")
ROWS = ("-row-mt", "1", "-cpu-used", "4")
# What ffmpeg is told for each format. WebP goes through ffmpeg's plain libwebp and GIF
# through ffmpeg too, because Pillow merges equal frames and so changes their number.
PALETTE = "split[s0][s1];[s0]palettegen[p];[s1][p]paletteuse"
YUV = ("-pix_fmt", "yuv420p")
ENCODERS: dict[str, tuple[str, ...]] = {
    ".mp4": ("-c:v", "h264", *YUV, "-vb", "0", "-crf", "18", *TAGGED, *QUICK),
    ".webm": ("-c:v", "vp9", *YUV, "-vb", "0", "-crf", "24", *TAGGED, *ROWS),
    ".webp": ("-c:v", "libwebp", *YUV, "-quality", "90", "-loop", "0"),
    ".gif": ("-c:v", "gif", "-pix_fmt", "pal8", "-vf", PALETTE, "-f", "gif"),
}


def _decode_with_pillow(path: Path) -> tuple["np.ndarray", float]:
    import numpy as np
    from PIL import Image, ImageSequence

    frames, milliseconds = [], 0
    with Image.open(path) as image:
        for number, frame in enumerate(ImageSequence.Iterator(image), 1):
            check_size(number, image.height, image.width)
            frames.append(np.asarray(frame.convert("RGB")))
            milliseconds += frame.info.get("duration", 0)
    return np.stack(frames), round(1000 * len(frames) / (milliseconds or 100 * len(frames)), 2)


def _decode_with_ffmpeg(path: Path, kind: str) -> tuple["np.ndarray", float]:
    """Have ffmpeg write every frame as a PPM picture, whose header tells its size."""
    import numpy as np

    # not mediapy.read_video: it passes -vsync, which ffmpeg 9 no longer knows
    # a small file may hold more frames than any memory: what does not move takes next to nothing
    most = ("-fs", str(int(MOST_BYTES) + 2**20))
    pictures = ("-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", *most, "-")
    for every_frame in (("-fps_mode", "passthrough"), ("-vsync", "0")):  # new ffmpegs, and old
        command = ("-nostdin", *reading(path, kind), *every_frame, *pictures)
        run = run_ffmpeg(*command, seconds=SECONDS + path.stat().st_size / BYTES_A_SECOND)
        if b"Unrecognized option" not in run.stderr:
            break
    told = run.stderr.decode(errors="replace")
    rate = re.search(r"^\s*Stream #.*Video:.*?([\d.]+)(k?) fps", told, re.MULTILINE)
    header = re.match(rb"P6\s(\d+)\s(\d+)\s255\s", run.stdout)
    if not header or not rate:
        raise ValueError(said_by(run).splitlines()[-1])
    if run.returncode:  # of what it was to write some may be missing
        raise ValueError(f"ffmpeg broke off: {said_by(run).splitlines()[-1]}")
    if len(run.stdout) > MOST_BYTES:
        raise ValueError(f"its frames take more than {MOST_BYTES / 1e9:g} GB")
    width, height = int(header[1]), int(header[2])
    frames = np.frombuffer(run.stdout, np.uint8).reshape(-1, header.end() + height * width * 3)
    return frames[:, header.end() :].reshape(-1, height, width, 3), float(rate[1]) * (
        1000 if rate[2] else 1
    )
