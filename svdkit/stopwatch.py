"""A clip by the stopwatch: what each stage of making it takes, in seconds and in GPU memory."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .encodings import forget_encodings
from .origins import origin_of, remember
from .room import is_out_of_memory
from .rungs import free_memory
from .running import Steering, run
from .settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

GIB = 2**30
# In their order; all of them together are the clip
STAGES = (
    "encode",  # CLIP and the VAE look at the picture
    "first_step",  # with what is done once: moving the UNet in, and whatever it works out
    "step",  # each of the others
    "decode",
    "frames",  # from numbers to pixels
)


@dataclass(frozen=True)
class Lap:
    """What one stage took, once.

    >>> Lap("decode", 1.5).allocated_gib is None
    True
    """

    stage: str
    seconds: float
    allocated_gib: float | None = None
    """The peak of the GPU memory that tensors took meanwhile; None where nothing counts it."""
    reserved_gib: float | None = None
    """The peak of the GPU memory that torch held for them."""


@dataclass(frozen=True)
class TimedRun:
    """A clip and what its stages took.

    >>> TimedRun((Lap("encode", 1.5), Lap("decode", 2.0)), 14, None).seconds
    3.5
    """

    laps: tuple[Lap, ...]
    decode_chunk_size: int
    """How many frames were decoded at a time."""
    frames: "np.ndarray | None"
    """None where the model overflowed, as one with random weights may."""

    @property
    def seconds(self) -> float:
        """What the clip took in all."""
        return sum(lap.seconds for lap in self.laps)


class Stopwatch:
    """Takes laps on a device, which is waited for.

    >>> watch = Stopwatch("cpu")
    >>> watch.lap("encode")
    >>> [lap.stage for lap in watch.laps]
    ['encode']
    """

    def __init__(self, device: "str | torch.device"):
        import torch

        self.device = torch.device(device)
        self.laps: list[Lap] = []
        self.begin()

    def begin(self) -> None:
        """Begin the next lap now."""
        import torch

        self._wait()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._began = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a lap, and begin the next one."""
        self._wait()
        self.laps.append(Lap(stage, time.perf_counter() - self._began, *self._peaks()))
        self.begin()

    def _wait(self) -> None:
        import torch

        if self.device.type != "cpu":
            getattr(torch, self.device.type).synchronize()

    def _peaks(self) -> tuple[float, ...]:
        import torch

        if self.device.type != "cuda":
            return ()
        return (
            torch.cuda.max_memory_allocated(self.device) / GIB,
            torch.cuda.max_memory_reserved(self.device) / GIB,
        )


def timed_run(
    pipeline: Any,
    picture: "Image.Image",
    settings: Settings,
    seed: int = 0,
    *,
    smaller_chunks: Sequence[int] = (),
    after_step: Callable[[int], object] | None = None,
) -> TimedRun:
    """Make a clip of a fitted picture from the very beginning, by the stopwatch.

    Where memory runs out as the frames are decoded, they are decoded in `smaller_chunks`, one after
    the other until one does; only that is counted. `after_step` is told each step, from 0.

    >>> from svdkit import Settings, load, sample_image
    >>> small = Settings(64, 112, 2, num_inference_steps=2, decode_chunk_size=2)
    >>> picture = sample_image().resize((112, 64))
    >>> [lap.stage for lap in timed_run(load("tiny", device="cpu"), picture, small).laps]
    ['encode', 'first_step', 'step', 'decode', 'frames']
    """
    forget_encodings(pipeline)
    watch = Stopwatch(pipeline._execution_device)
    chunk = settings.decode_chunk_size

    def encoded(method: Callable[..., Any], *args: Any, **how: Any) -> Any:
        made = method(*args, **how)
        watch.lap("encode")
        return made

    def stepped(_: Any, step: int, latents: Any) -> Any:
        watch.lap("step" if step else "first_step")
        if after_step:
            after_step(step)
            watch.begin()
        return latents

    def decoded(method: Callable[..., Any], latents: Any, frames: int, whole: int) -> Any:
        nonlocal chunk
        chunks = (whole, *smaller_chunks)
        for chunk in chunks:
            try:
                made = method(latents, frames, chunk)
                watch.lap("decode")
                return made
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or chunk == chunks[-1]:
                    raise
            free_memory()  # only here, after the error, nothing holds the frames any more
            watch.begin()

    steering = Steering({"_encode_vae_image": encoded, "decode_latents": decoded}, stepped)
    frames = None
    # random weights draw what they will, and take as long as others
    with staying(pipeline), warnings.catch_warnings(), suppress(FloatingPointError):
        warnings.filterwarnings("ignore", message="All frames are black")
        frames = run(pipeline, picture, settings, seed, steering=steering)
    watch.lap("frames")
    return TimedRun(tuple(watch.laps), chunk, frames)


@contextmanager
def staying(pipeline: Any) -> Iterator[None]:
    """Let a pipeline stay with its preset where memory runs out: else another would be measured.

    >>> from svdkit import load
    >>> from svdkit.rungs import next_rung
    >>> pipeline = load("tiny", device="cpu")
    >>> with staying(pipeline):
    ...     print(next_rung(pipeline))
    None
    """
    origin = origin_of(pipeline)
    if origin.preset is None:
        yield
        return
    remember(pipeline, replace(origin, preset=None))
    try:
        yield
    finally:
        remember(pipeline, origin)
