"""animate: the one verb."""

import inspect
import os
import random
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .clips import Clip
from .frames import frozen
from .framing import architecture_of, frame_for
from .images import ImageLike, check_fit, fit, open_image
from .lending import borrowed
from .memory import PRESETS, NotEnoughMemory, is_out_of_memory
from .models import did_you_mean
from .origins import origin_of
from .pipelines import load
from .previews import Preview, matrix_in, sigmas_at
from .records import outcome_of, request_of
from .settings import Settings

if TYPE_CHECKING:
    import torch
    from diffusers import StableVideoDiffusionPipeline
    from PIL import Image

OnStep = Callable[[int, int, Callable[[], "Image.Image"]], object]
MAX_SEED = 2**63 - 1
BLACK = 4  # of 255: a frame that is nowhere brighter than this is black
DARK = 16  # a picture that is nowhere brighter than this may well become a black clip

_remarks_made: set[str] = set()


def animate(
    image: ImageLike,
    pipeline: "str | os.PathLike | StableVideoDiffusionPipeline" = "auto",
    *,
    seed: int | None = None,
    progress: bool = True,
    on_step: OnStep | None = None,
    guidance: str | Iterable[float] = "linear",
    how: str = "crop",
    focus: tuple[float, float] = (0.5, 0.5),
    **settings: Any,
) -> Clip:
    """Animate a picture: one clip, with the recipe that makes it again.

    `settings` are those of `Settings`, under diffusers' names. The picture is fitted to the frame
    (`how` and `focus` as in `fit`); a portrait or square one gets a portrait or square frame,
    unless `height` and `width` say otherwise. A `seed` not given is drawn, and recorded. Unusual
    settings are remarked on once; `progress=False` keeps all quiet.
    `on_step(step, total, preview)` is called after each step; `preview()` gives a quick picture.

    >>> from svdkit import sample_image
    >>> clip = animate(sample_image(), "tiny", seed=7, num_inference_steps=2, progress=False)
    >>> clip.recipe["request"]["seed"]
    7
    """
    # what is asked for is looked at first: loading may mean a download
    if not isinstance(guidance, str) and isinstance(guidance, Iterable):
        guidance = tuple(guidance)
    values = {"guidance": guidance, **settings}
    check_request(values, seed=seed, how=how, focus=focus, on_step=on_step)
    picture = open_image(image)
    if isinstance(pipeline, (str, os.PathLike)):
        pipeline = load(pipeline)
    _check_pipeline(pipeline)
    seed = random.SystemRandom().randrange(2**32) if seed is None else int(seed)
    asked = resolved(values, pipeline, picture.size)
    if progress:
        _remark(asked, pipeline)
    picture = fit(picture, asked.height, asked.width, how, focus)
    frames = _run(pipeline, picture, asked, seed, progress, on_step)
    recipe = {
        "request": request_of(pipeline, picture, asked, seed=seed, how=how, focus=focus),
        "outcome": outcome_of(pipeline, frames),
    }
    return Clip(frozen(frames), asked.fps, recipe, (picture,))


def check_request(
    values: Mapping[str, Any],
    *,
    seed: int | None = None,
    how: str = "crop",
    focus: tuple[float, float] = (0.5, 0.5),
    on_step: OnStep | None = None,
) -> None:
    """Make sure that an animation can be asked for in this way, before anything is loaded.

    >>> check_request({"fps": 0})
    Traceback (most recent call last):
    ValueError: fps is 0; 1–240 is allowed. Try 7; clip.at(fps=…) changes the playback alone.
    """
    known = [field.name for field in fields(Settings)]
    own = [name for name in inspect.signature(animate).parameters if name != "settings"]
    for name in values:
        if name not in known:
            near = did_you_mean(name, [*known, *own])
            raise TypeError(
                f"animate has no {name!r}.{near} There are: {', '.join([*own, *known])}."
            )
    Settings.of(values)
    check_fit(how, focus)
    if on_step is not None and not callable(on_step):
        raise TypeError(f"on_step is {on_step!r}; it is a function of (step, total, preview).")
    if seed is None:
        return
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed is {seed!r}; it is a whole number, or None to draw one.")
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed is {seed}; 0–{MAX_SEED} is allowed.")


def resolved(
    values: Mapping[str, Any],
    pipeline: "StableVideoDiffusionPipeline",
    size: tuple[int, int] = (1024, 576),
) -> Settings:
    """Fill in what the settings leave to the model, the picture's size and the memory preset.

    >>> resolved({"fps": 12}, load("tiny", device="cpu")).decode_chunk_size
    14
    """
    settings = resolved_for(values, pipeline, size)
    preset = origin_of(pipeline).preset
    chunk = settings.decode_chunk_size or (preset and preset.decode_chunk_size)
    chunk = min(chunk or settings.num_frames, settings.num_frames)
    return replace(settings, decode_chunk_size=chunk)


def resolved_for(
    values: Mapping[str, Any],
    model: "str | os.PathLike | StableVideoDiffusionPipeline",
    size: tuple[int, int] = (1024, 576),
) -> Settings:
    """Fill in what the settings leave to the model and the picture's size, on whatever machine.

    >>> resolved_for({"fps": 12}, "svd-xt").num_frames
    25
    """
    row, unet, _ = architecture_of(model)
    settings = Settings.of(values, row.defaults if row else {})
    height, width = frame_for(size, model, settings)
    num_frames = settings.num_frames or unet["num_frames"]
    return replace(settings, height=height, width=width, num_frames=num_frames)


def _remark(settings: Settings, pipeline: Any) -> None:
    """Say what is unusual about the settings, each thing once."""
    row = origin_of(pipeline).model
    for remark in settings.remarks(row) if row else ():
        if remark not in _remarks_made:
            _remarks_made.add(remark)
            print(f"Remark: {remark}")


def _run(
    pipeline: Any,
    picture: "Image.Image",
    settings: Settings,
    seed: int,
    progress: bool,
    on_step: OnStep | None,
) -> np.ndarray:
    """Call diffusers, and turn what can go wrong into errors that say what to do."""
    import torch

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
        sigmas = sigmas_at(pipeline.scheduler, step)
        preview = Preview(before, tensors["latents"], *sigmas, matrix)
        before = preview.after
        on_step(step + 1, steps, preview.picture)
        return {}

    with borrowed(pipeline, curve, progress) as lent:
        try:
            frames = lent(
                picture,
                height=settings.height,
                width=settings.width,
                num_frames=settings.num_frames,
                num_inference_steps=steps,
                min_guidance_scale=min(low, high),
                max_guidance_scale=high,
                fps=settings.fps,
                motion_bucket_id=settings.motion_bucket_id,
                noise_aug_strength=settings.noise_aug_strength,
                decode_chunk_size=settings.decode_chunk_size,
                generator=torch.Generator("cpu").manual_seed(seed),
                callback_on_step_end=after_step if on_step else None,
                output_type="np",
            ).frames[0]
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise _not_enough_memory(pipeline, settings) from error
            raise
    return _checked_frames(frames, picture, settings, pipeline)


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


def _not_enough_memory(pipeline: Any, settings: Settings) -> NotEnoughMemory:
    preset = origin_of(pipeline).preset
    names = list(PRESETS)
    smaller = names[names.index(preset.name) + 1 : -1] if preset and preset.peak_gib else []
    cures = [f"load it with memory={smaller[0]!r}"] if smaller else []
    if settings.decode_chunk_size > 1:
        cures.append(f"decode_chunk_size={max(1, settings.decode_chunk_size // 2)}")
    cures.append("fewer frames, or a smaller height and width")
    return NotEnoughMemory(
        f"Memory ran out at {settings.num_frames} frames of {settings.height}×{settings.width}"
        f"{f' with memory={preset.name!r}' if preset else ''}. Try {'; or '.join(cures)}."
    )


def _check_pipeline(pipeline: Any) -> None:
    from diffusers import StableVideoDiffusionPipeline

    if not isinstance(pipeline, StableVideoDiffusionPipeline):
        raise TypeError(
            f"The pipeline is a {type(pipeline).__name__}; animate needs a "
            "StableVideoDiffusionPipeline, such as load('svd-xt'), or a model's name."
        )
