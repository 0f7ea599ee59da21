"""ffmpeg: finding it, and running it to its end, whatever becomes of it."""

import errno
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def find_ffmpeg() -> str:
    """Find the ffmpeg that writes the videos: the system's, or the one of imageio-ffmpeg.

    >>> "ffmpeg" in find_ffmpeg()
    True
    """
    if path := shutil.which("ffmpeg"):
        return path
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


def run_ffmpeg(
    *options: str, seconds: float, data: "np.ndarray | None" = None, program: str | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """Run ffmpeg on some data to its end; one that hangs is ended, which is an error.

    >>> run_ffmpeg("-version", seconds=60).stdout[:6]
    b'ffmpeg'
    """
    program = program or find_ffmpeg()
    given = {"stdin": subprocess.DEVNULL} if data is None else {"input": data.data.cast("B")}
    try:
        return subprocess.run(
            [program, *options], capture_output=True, timeout=seconds, check=False, **given
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(
            f"ffmpeg was not done after {seconds:g} seconds, and was ended. Try again; or pip "
            "install -U imageio-ffmpeg, which brings another."
        ) from None
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise
        raise RuntimeError(
            f"ffmpeg cannot be run ({error.strerror}); pip install -U imageio-ffmpeg brings one."
        ) from error


def said_by(run: "subprocess.CompletedProcess[bytes]") -> str:
    """Give what ffmpeg said went wrong, or how it ended if it said nothing.

    >>> said_by(subprocess.CompletedProcess([], -9, b"", b""))
    'it was killed by signal 9'
    """
    ended = f"it was killed by signal {-run.returncode}" if run.returncode < 0 else ""
    said = run.stderr.decode(errors="replace").strip()
    return said or ended or f"it ended with {run.returncode} and without a word"
