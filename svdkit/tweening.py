"""Frames between frames, by ffmpeg's motion-compensated interpolation."""

from typing import TYPE_CHECKING

from .ffmpeg import run_ffmpeg, said_by
from .paths import shown

if TYPE_CHECKING:
    import numpy as np

# Both ways, overlapping blocks of varying size: the best that ffmpeg's filter has. scd=none: the
# clips are single shots, and small ones are taken for a change of scene by mistake.
HOW = "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none"
MORE = 4  # frames that the filter keeps back at the end
SECONDS = 600


def tweened(frames: "np.ndarray", fps: float, new_fps: float) -> "np.ndarray":
    """Give as many frames as fill the time from the first to the last at a higher rate.

    >>> import numpy as np
    >>> tweened(np.zeros((4, 64, 112, 3), np.uint8), 6, 12).shape
    (7, 64, 112, 3)
    """
    import numpy as np

    count, height, width, _ = frames.shape
    wanted = int((count - 1) * new_fps / fps + 1e-6) + 1
    # the filter works on blocks of 16 pixels, and fails on frames of fewer than two by two
    padding = [(-side) % 16 + (32 if side < 32 else 0) for side in (height, width)]
    padded = np.pad(frames, ((0, MORE), (0, padding[0]), (0, padding[1]), (0, 0)), mode="edge")
    size = f"{padded.shape[2]}x{padded.shape[1]}"
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24")
    command = ["-v", "error", "-nostdin", *raw, "-s", size, "-r", f"{fps:g}"]
    # colours keep their full resolution: 4:2:0 would smear them
    filters = f"format=yuv444p,minterpolate=fps={new_fps:g}:{HOW}"
    command += ["-i", "-", "-vf", filters, *raw, "-"]
    run = run_ffmpeg(*command, seconds=SECONDS, data=padded)
    count = len(run.stdout) // padded[0].size
    if run.returncode or count < wanted:
        told = said_by(run) if run.returncode else f"{count} of {wanted} frames"
        raise RuntimeError(f"ffmpeg cannot smooth this clip: {shown(told)}")
    made = np.frombuffer(run.stdout, np.uint8, wanted * padded[0].size)
    result = made.reshape(wanted, *padded.shape[1:])[:, :height, :width].copy()
    for number, frame in enumerate(frames):  # what was there stays as it was
        place = number * new_fps / fps
        if abs(place - round(place)) < 1e-6:
            result[round(place)] = frame
    return result
