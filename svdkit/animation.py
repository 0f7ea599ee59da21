"""animate: the one verb."""

import json
import os
import platform
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .clips import Clip, sha256_of_frames
from .images import ImageLike, fit, natural_frame, open_image
from .memory import PRESETS, NotEnoughMemory, is_out_of_memory
from .pipelines import Origin, load, origin_of
from .previews import Preview
from .settings import Settings

if TYPE_CHECKING:
    import torch
    from diffusers import StableVideoDiffusionPipeline
    from PIL import Image

OnStep = Callable[[int, int, Callable[[], "Image.Image"]], object]
MAX_SEED = 2**63 - 1
BLACK = 4  # of 255: a frame that is nowhere brighter than this is black
DARK = 16  # a picture that is nowhere brighter than this may well become a black clip


def animate(
    image: ImageLike,
    pipeline: "str | StableVideoDiffusionPipeline" = "auto",
    *,
    seed: int | None = None,
    progress: bool = True,
    on_step: OnStep | None = None,
    guidance: str | Sequence[float] = "linear",
    how: str = "crop",
    focus: tuple[float, float] = (0.5, 0.5),
    **settings: Any,
) -> Clip:
    """Animate a picture: one clip, with the recipe that makes it again.

    `settings` are those of `Settings`, under diffusers' names. The picture is fitted to the frame
    (`how` and `focus` as in `fit`); a portrait or square one gets a portrait or square frame,
    unless `height` and `width` say otherwise. A `seed` not given is drawn, and recorded.
    `on_step(step, total, preview)` is called after each step; `preview()` gives a quick picture.

    >>> from svdkit import sample_image
    >>> clip = animate(sample_image(), "tiny", seed=7, num_inference_steps=2, progress=False)
    >>> clip.recipe["request"]["seed"]
    7
    """
    # what is asked for is looked at first: loading may mean a download
    seed = _checked_seed(seed)
    settings = {"guidance": guidance, **settings}
    Settings.of(settings)
    picture = open_image(image)
    if isinstance(pipeline, (str, os.PathLike)):
        pipeline = load(pipeline)
    _check_pipeline(pipeline)
    origin = origin_of(pipeline)
    settings = _resolved(settings, pipeline, origin, picture.size)
    picture = fit(picture, settings.height, settings.width, how, focus)
    frames = _run(pipeline, picture, settings, seed, progress, on_step)
    request = {
        "verb": "animate",
        "model": origin.name,
        "source": origin.source,
        "revision": origin.revision,
        "settings": json.loads(json.dumps(asdict(settings))),
        "seed": seed,
        "image_sha256": sha256_of_frames(np.asarray(picture)),
        "arithmetic": "stock",
    }
    outcome = _circumstances(pipeline, origin) | {"frames_sha256": sha256_of_frames(frames)}
    recipe = {"request": request, "outcome": outcome}
    return Clip(frames, settings.fps, recipe, [picture])


def _resolved(
    values: dict[str, Any], pipeline: Any, origin: Origin, size: tuple[int, int]
) -> Settings:
    """Fill in what the settings leave to the model, the picture and the memory preset."""
    row = origin.model
    settings = Settings.of(values, row.defaults if row else {})
    native = (row.height, row.width) if row else (576, 1024)  # the latter as diffusers has it
    # each level of the UNet but the first halves the latents
    step = pipeline.vae_scale_factor * 2 ** (len(pipeline.unet.config.down_block_types) - 1)
    height, width = natural_frame(size, *native, multiple=step)
    if settings.height or settings.width:  # one side given: the other follows in proportion
        aspect = width / height
        height = settings.height or max(step, round(settings.width / aspect / step) * step)
        width = settings.width or max(step, round(settings.height * aspect / step) * step)
    for name, side in (("height", height), ("width", width)):
        if side % 8:
            raise ValueError(
                f"{name} is {side}; it must divide by 8. Try {round(side / 8) * 8}, or better a "
                "multiple of 64."
            )
    num_frames = settings.num_frames or pipeline.unet.config.num_frames
    chunk = settings.decode_chunk_size or (origin.preset and origin.preset.decode_chunk_size)
    return replace(
        settings,
        height=height,
        width=width,
        num_frames=num_frames,
        decode_chunk_size=min(chunk or num_frames, num_frames),
    )


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
    scales = curve or [settings.min_guidance_scale, settings.max_guidance_scale]
    preview = Preview(pipeline.scheduler)

    def after_step(_, step: int, timestep, tensors: dict[str, "torch.Tensor"]) -> dict:
        preview.update(step, tensors["latents"])
        on_step(step + 1, steps, preview.picture)
        return {}

    with _borrowed(pipeline, curve, progress) as borrowed:
        try:
            frames = borrowed(
                picture,
                height=settings.height,
                width=settings.width,
                num_frames=settings.num_frames,
                num_inference_steps=steps,
                min_guidance_scale=scales[0] if curve is None else min(scales),
                max_guidance_scale=max(scales),
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


@contextmanager
def _borrowed(pipeline: Any, curve: list[float] | None, progress: bool) -> Iterator[Any]:
    """Lend the pipeline with our guidance and progress, and give it back as it was.

    An interrupt may strike at any moment: also while diffusers holds a half-precision VAE in
    fp32 to encode, or a model of several on the GPU.
    """
    kind = type(pipeline)
    bar = getattr(pipeline, "_progress_bar_config", {})
    vae_dtype = pipeline.vae.dtype
    try:
        if curve is not None:
            pipeline.__class__ = _with_guidance(kind, curve)
        if not progress:
            pipeline.set_progress_bar_config(**bar | {"disable": True})
        yield pipeline
    except BaseException:
        if pipeline.vae.dtype != vae_dtype:
            pipeline.vae.to(vae_dtype)
        pipeline.maybe_free_model_hooks()
        raise
    finally:
        pipeline.__class__ = kind
        pipeline._progress_bar_config = bar


def _with_guidance(kind: type, curve: list[float]) -> type:
    """Make a kind of pipeline whose guidance follows the curve, once diffusers has set its own."""

    def guidance_scale(self):
        scale = self._guidance_scale  # a number at first, then a tensor (1, frames, 1, 1, 1)
        if isinstance(scale, (int, float)):
            return scale
        return scale.new_tensor(curve).reshape(scale.shape)

    return type(kind.__name__, (kind,), {"guidance_scale": property(guidance_scale)})


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
    smaller = names[names.index(preset.name) + 1 :] if preset else names[1:]
    cures = [f"load it with memory={smaller[0]!r}"] if smaller else []
    if settings.decode_chunk_size > 1:
        cures.append(f"decode_chunk_size={max(1, settings.decode_chunk_size // 2)}")
    cures.append("fewer frames, or a smaller height and width")
    return NotEnoughMemory(
        f"Memory ran out at {settings.num_frames} frames of {settings.height}×{settings.width}"
        f"{f' with memory={preset.name!r}' if preset else ''}. Try {'; or '.join(cures)}."
    )


def _circumstances(pipeline: Any, origin: Origin) -> dict[str, Any]:
    """Record what else the numbers of a clip depend on."""
    import diffusers
    import torch
    import transformers

    device = pipeline._execution_device
    on_gpu = device.type == "cuda"
    return {
        "versions": {
            "svdkit": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
        },
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "dtype": str(pipeline.unet.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "memory": origin.preset.name if origin.preset else None,
    }


def _check_pipeline(pipeline: Any) -> None:
    from diffusers import StableVideoDiffusionPipeline

    if not isinstance(pipeline, StableVideoDiffusionPipeline):
        raise TypeError(
            f"The pipeline is a {type(pipeline).__name__}; animate needs a "
            "StableVideoDiffusionPipeline, such as load('svd-xt'), or a model's name."
        )


def _checked_seed(seed: Any) -> int:
    if seed is None:
        return random.SystemRandom().randrange(2**32)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed is {seed!r}; it is a whole number, or None to draw one.")
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed is {seed}; 0–{MAX_SEED} is allowed.")
    return int(seed)
