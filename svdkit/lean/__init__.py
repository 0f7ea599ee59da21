"""The same mathematics in less memory and less time.

Every class here is one of diffusers' own, with the same weights under the same names and another
`forward`; `apply` gives a pipeline's modules these classes, `restore` takes them away again. So
what is saved is a stock checkpoint, and adapters, offloading and training find what they know.

What is rewritten, and where:

- one image token makes cross-attention a constant (`parked.py`, `attention.py`)
- attention along time on views, without copies (`attention.py`)
- convolution along time as one matrix product, its statistics in two passes (`temporal.py`)
- all of it in slices that bound the working memory (`slices.py`)
- all frames decoded as one clip, frame by frame and slab by slab (`decoder.py`, `stacks.py`)
- guidance in turn instead of as a batch, constants once per picture (`unet.py`)

What is not exact, and only done when asked for, is in `shortcuts.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .knobs import Knobs, Shortcuts

if TYPE_CHECKING:
    import torch

__all__ = [
    *("Knobs", "Shortcuts", "apply", "is_lean", "knobs_of", "look_anew", "restore", "set_knobs"),
    "shortened",
]


def apply(pipeline: Any) -> None:
    """Let a Stable Video Diffusion pipeline calculate in the lean way.

    Do it before offloading is switched on: its hooks keep the methods that they find.

    >>> from svdkit import load
    >>> pipeline = load("tiny", device="cpu")
    >>> apply(pipeline)
    >>> is_lean(pipeline)
    True
    """
    from .swapping import make_lean

    for part in _parts(pipeline):
        make_lean(part)


def restore(pipeline: Any) -> None:
    """Let a pipeline calculate as diffusers does again.

    >>> from svdkit import load
    >>> pipeline = load("tiny", device="cpu", arithmetic="lean")
    >>> restore(pipeline)
    >>> is_lean(pipeline)
    False
    >>> apply(pipeline)
    """
    from .swapping import make_stock

    for part in _parts(pipeline):
        make_stock(part)


def is_lean(pipeline: Any) -> bool:
    """Whether a pipeline calculates in the lean way.

    >>> from svdkit import load
    >>> is_lean(load("tiny", device="cpu", arithmetic="stock"))
    False
    """
    return isinstance(getattr(getattr(pipeline, "unet", None), "knobs", None), Knobs)


def set_knobs(pipeline: Any, knobs: Knobs) -> None:
    """Say how a lean pipeline trades time for memory; the clip stays the same.

    >>> from svdkit import load
    >>> pipeline = load("tiny", device="cpu")
    >>> set_knobs(pipeline, Knobs(guidance="in_turn"))
    >>> knobs_of(pipeline).guidance
    'in_turn'
    >>> set_knobs(pipeline, Knobs())
    """
    for part in _parts(pipeline):
        for module in part.modules():
            if hasattr(module, "knobs"):
                module.knobs = knobs


def look_anew(pipeline: Any) -> None:
    """Let a pipeline, if it is lean, work out anew what stays the same for a picture.

    Weights and adapters may have changed since, and the picture be the very same tensor.

    >>> from svdkit import load
    >>> look_anew(load("tiny", device="cpu"))
    """
    if is_lean(pipeline):
        pipeline.unet.last_look = None


def knobs_of(pipeline: Any) -> Knobs:
    """Say how a lean pipeline trades time for memory.

    >>> from svdkit import load
    >>> knobs_of(load("tiny", device="cpu")).decode
    'store'
    """
    return pipeline.unet.knobs


@contextmanager
def shortened(pipeline: Any, shortcuts: Shortcuts, steps: int, guided: bool) -> Iterator[None]:
    """Let a lean pipeline take shortcuts during one run of so many steps.

    `guided` says whether its batches hold an unconditional half.

    >>> from svdkit import load
    >>> pipeline = load("tiny", device="cpu")
    >>> with shortened(pipeline, Shortcuts(reuse=3), steps=10, guided=True):
    ...     pipeline.unet.run.videos(2)
    slice(0, 2, None)
    """
    if shortcuts.exact:
        yield
        return
    from .shortcuts import Shortened

    pipeline.unet.run = Shortened(shortcuts, steps, guided)
    try:
        yield
    finally:
        pipeline.unet.run = None


def _parts(pipeline: Any) -> "list[torch.nn.Module]":
    return [pipeline.unet, pipeline.vae]
