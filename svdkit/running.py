"""Running diffusers' pipeline once, steered if need be; what can go wrong says what to do."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .encodings import encode_once
from .lean import is_lean, look_anew, shortened
from .lending import borrowed
from .origins import origin_of
from .previews import Preview, matrix_in, sigmas_at
from .progress import Bar
from .qualities import QUALITIES
from .room import NotEnoughMemory, is_out_of_memory
from .rungs import free_memory, next_rung, shortage, step_down
from .settings import Settings

if TYPE_CHECKING:
    import torch
    from PIL import Image

OnStep = Callable[[int, int, Callable[[], "Image.Image"]], object]
BLACK = 4  # of 255: a frame that is nowhere brighter than this is black
DARK = 16  # a picture that is nowhere brighter than this may well become a black clip


@dataclass(frozen=True)
class Steering:
    """What else happens during a run; the pipeline itself stays as it is.

    >>> Steering().around
    {}
    """

    around: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """For names of the pipeline's methods: what is called in their place, with the method first."""
    after_step: "Callable[[Any, int, torch.Tensor], torch.Tensor] | None" = None
    """Given the pipeline, the step from 0 and its latents: the latents to go on with."""


def run(
    pipeline: Any,
    picture: "Image.Image",
    settings: Settings,
    seed: int,
    progress: bool = False,
    on_step: OnStep | None = None,
    steering: Steering | None = None,
) -> np.ndarray:
    """Animate a fitted picture with settings that are all resolved: uint8 (n, height, width, 3).

    Where memory runs out, a pipeline of `load` goes down the ladder of presets, as long as the clip
    stays the same.

    >>> from svdkit import Settings, load, sample_image
    >>> small = Settings(64, 112, 2, num_inference_steps=1, decode_chunk_size=2)
    >>> run(load("tiny", device="cpu"), sample_image().resize((112, 64)), small, seed=7).shape
    (2, 64, 112, 3)
    """
    check_quality(pipeline, settings)
    while True:
        try:
            frames = _frames_of(pipeline, picture, settings, seed, progress, on_step, steering)
            try:
                return _checked_frames(frames, picture, settings, pipeline)
            except MemoryError as error:
                raise shortage(pipeline, settings) from error
        except NotEnoughMemory as error:
            told = earlier = error
            while earlier:  # the frames of the stack that failed hold what should be free by now
                earlier.__traceback__ = None
                earlier = earlier.__cause__ or earlier.__context__
        free_memory()
        rung = next_rung(pipeline)
        if rung is None:
            raise told
        if progress:
            preset = origin_of(pipeline).preset.name
            Bar.write(  # which another bar may be around
                f"Memory ran out with {preset!r}: going on with {rung.name!r}. {rung.summary}"
            )
        step_down(pipeline, rung)


def _frames_of(
    pipeline: Any,
    picture: "Image.Image",
    settings: Settings,
    seed: int,
    progress: bool,
    on_step: OnStep | None,
    steering: Steering | None,
) -> np.ndarray:
    import torch

    steering = steering or Steering()
    steps = settings.num_inference_steps
    curve = settings.curve()
    low, high = settings.min_guidance_scale, settings.max_guidance_scale
    if curve is not None:
        low, high = min(curve), max(curve)
    if high > 1 >= float(torch.tensor(high).to(pipeline.unet.dtype)):
        high = 1.0  # diffusers asks the number whether to guide, then what the dtype makes of it
    row, before = origin_of(pipeline).model, None
    matrix = matrix_in(row and row.folder)

    def after_step(_, step: int, timestep, tensors: dict[str, "torch.Tensor"]) -> dict:
        nonlocal before
        latents = tensors["latents"]
        preview = Preview(before, latents, *sigmas_at(pipeline.scheduler, step), matrix)
        before = steering.after_step(pipeline, step, latents) if steering.after_step else latents
        if on_step:
            on_step(step + 1, steps, preview.picture)
        return {"latents": before}

    look_anew(pipeline)
    around = encode_once(pipeline, steering.around)
    quality = QUALITIES[settings.quality]
    with (
        borrowed(pipeline, curve, progress, around, steps=steps) as lent,
        shortened(pipeline, quality.shortcuts, steps, guided=high > 1),
    ):
        try:
            return lent(
                picture,
                height=settings.height,
                width=settings.width,
                num_frames=settings.num_frames,
                num_inference_steps=steps,
                sigmas=quality.sigmas,
                min_guidance_scale=min(low, high),
                max_guidance_scale=high,
                fps=settings.fps,
                motion_bucket_id=settings.motion_bucket_id,
                noise_aug_strength=settings.noise_aug_strength,
                decode_chunk_size=settings.decode_chunk_size,
                generator=torch.Generator("cpu").manual_seed(seed),
                callback_on_step_end=after_step if on_step or steering.after_step else None,
                output_type="np",
            ).frames[0]
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise shortage(pipeline, settings) from error
            raise


def check_quality(pipeline: Any, settings: Settings) -> None:
    """Make sure that a pipeline knows the shortcuts of the quality that is asked for.

    >>> from svdkit import load
    >>> stock = load("tiny", device="cpu", arithmetic="stock")
    >>> check_quality(stock, Settings(quality="draft"))
    Traceback (most recent call last):
    ValueError: quality='draft' takes shortcuts that only lean arithmetic knows. Load the model ...
    """
    if not QUALITIES[settings.quality].shortcuts.exact and not is_lean(pipeline):
        raise ValueError(
            f"quality={settings.quality!r} takes shortcuts that only lean arithmetic knows. Load "
            "the model with arithmetic='lean', the default, or leave quality out."
        )


def _checked_frames(
    frames: np.ndarray, picture: "Image.Image", settings: Settings, pipeline: Any
) -> np.ndarray:
    dtype = str(pipeline.unet.dtype).removeprefix("torch.")
    if not np.isfinite(frames).all():
        raise FloatingPointError(
            f"The model's frames are not numbers (NaN) at {settings.height}×{settings.width} in "
            f"{dtype}: it overflowed, or its weights are damaged. Load it with dtype='bfloat16' "
            "or dtype='float32', or animate at the native size."
        )
    frames = (frames * 255).round().astype(np.uint8)  # as diffusers does for PIL pictures
    if frames.max() <= BLACK and np.asarray(picture).max() > DARK:
        warnings.warn(
            f"All frames are black at {settings.height}×{settings.width} in {dtype}, and the "
            "picture is not: the model overflowed. Animate at the native size, or load it with "
            "dtype='float32'.",
            stacklevel=4,
        )
    return frames
