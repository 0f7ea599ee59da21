"""Clips made small enough that a notebook can hold a hundred of them."""

import hashlib
import io
import tempfile
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from .ffmpeg import run_ffmpeg
from .storage import Bundle
from .video import reading

SIZES = ((320, 23), (320, 29), (256, 32), (192, 36), (128, 40))  # longer side, and x264's crf
SECONDS = 120  # for ffmpeg to make one clip smaller


class Miniature(NamedTuple):
    """What a notebook holds of one clip among many."""

    mp4: bytes
    poster: bytes
    """Its first frame, as a JPEG."""
    tall: float
    """Its height, in widths."""


def miniature(path: Path, most_bytes: int, fps: float | None = None) -> Miniature:
    """Take an mp4 as it is where that is small enough, and else make it smaller; crop nothing.

    `fps` plays it at another rate.

    >>> from svdkit.clips import Clip
    >>> import numpy as np
    >>> saved = Clip(np.zeros((6, 64, 112, 3), np.uint8)).save(Path(tempfile.mkdtemp(), "dark.mp4"))
    >>> miniature(saved, 100_000).mp4 == saved.read_bytes()
    True
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.name!r} is not there any more.")
    about, data = Bundle(path).read().get("file", {}), path.read_bytes()
    if about.get("sha256", {}).get("") not in (None, hashlib.sha256(data).hexdigest()):
        raise ValueError(f"{path.name!r} was changed since it was made.")
    as_it_is = len(data) <= most_bytes and fps in (None, about.get("fps"))
    for side, crf in (*[(SIZES[0][0], None)] * as_it_is, *SIZES):
        mp4, frame = _reduced(path, side, crf, fps)
        stream = io.BytesIO()
        frame.save(stream, "JPEG", quality=80)
        small = Miniature(mp4 or data, stream.getvalue(), frame.height / frame.width)
        if len(small.mp4) + len(small.poster) <= most_bytes:
            break
    return small


def _reduced(
    path: Path, side: int, crf: int | None, fps: float | None
) -> tuple[bytes, Image.Image]:
    """Have one ffmpeg make a video smaller, where a crf is given, and give its first frame."""
    fitted = "force_original_aspect_ratio=decrease:force_divisible_by=2"
    scale = ("-map", "0:v:0", "-vf", f"scale=w='min({side},iw)':h='min({side},ih)':{fitted}")
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder, "new.mp4")
        video = (*scale, "-c:v", "h264", "-pix_fmt", "yuv420p", "-crf", str(crf))
        command = ["-v", "error", "-nostdin", *(("-r", str(fps)) if fps else ())]
        command += reading(path, "MP4")
        command += [*video, "-movflags", "+faststart", str(new)] if crf else []
        command += [*scale, "-frames:v", "1", "-c:v", "ppm", "-f", "image2pipe", "-"]
        run = run_ffmpeg(*command, seconds=SECONDS)
        if run.returncode or run.stdout[:2] != b"P6" or (crf and not new.exists()):
            or_else = ", or cannot write h264" if crf else ""
            raise ValueError(f"ffmpeg cannot read {path.name!r}{or_else}.")
        return new.read_bytes() if crf else b"", Image.open(io.BytesIO(run.stdout))
