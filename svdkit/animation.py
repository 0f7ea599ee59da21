"""animate: the one verb."""

import inspect
import os
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from .addresses import address_of, find
from .checkpoints import check_kind
from .clips import Clip
from .drawings import steps_behind
from .frames import frozen
from .framing import architecture_of, frame_for
from .hub import cached_folder
from .images import ImageLike, check_fit, fit, open_image
from .lean import is_lean
from .limits import checked_seed, quoted
from .models import did_you_mean
from .origins import origin_of
from .pipelines import load_for
from .records import outcome_of, request_of
from .residence import bring_back
from .running import OnStep, run
from .settings import Settings, held

if TYPE_CHECKING:
    from diffusers import StableVideoDiffusionPipeline

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
    unless `height` and `width`, in pixels, say otherwise. A `seed` not given is drawn, and
    recorded. Unusual settings are remarked on once; `progress=False` keeps all quiet.
    `on_step(step, total, preview)` is called after each step; `preview()` gives a quick picture.

    >>> from svdkit import sample_image
    >>> clip = animate(sample_image(), "tiny", seed=7, num_inference_steps=2, progress=False)
    >>> clip.recipe["request"]["seed"]
    7
    """
    # what is asked for is looked at first: loading may mean a download
    values = {"guidance": held(guidance), **settings}
    check_request(values, seed=seed, how=how, focus=focus, on_step=on_step)
    picture = open_image(image)
    steps = steps_behind(image, picture)
    pipeline, asked, seed = ready(pipeline, values, picture.size, seed, progress)
    picture = fit(picture, asked.height, asked.width, how, focus)
    frames = run(pipeline, picture, asked, seed, progress, on_step)
    step = {
        "request": request_of(pipeline, picture, asked, seed=seed, how=how, focus=focus),
        "outcome": outcome_of(pipeline, frames),
    }
    recipe = {"steps": [*steps, step]} if steps else step
    return Clip(frozen(frames), asked.fps, recipe, (picture,))


def check_request(
    values: Mapping[str, Any],
    *,
    seed: int | None = None,
    how: str = "crop",
    focus: tuple[float, float] = (0.5, 0.5),
    on_step: OnStep | None = None,
    verb: Callable[..., Clip] = animate,
) -> None:
    """Make sure that an animation can be asked for in this way, before anything is loaded.

    `verb` is the function that it is asked of.

    >>> check_request({"fps": 0})
    Traceback (most recent call last):
    ValueError: fps is 0; 1–240 is allowed. Try 7; clip.at(fps=…) changes the playback alone.
    """
    known = [field.name for field in fields(Settings)]
    own = [name for name in inspect.signature(verb).parameters if name != "settings"]
    for name in values:
        if name not in known:
            names = list(dict.fromkeys([*own, *known]))
            near = did_you_mean(name, names)
            raise TypeError(
                f"{verb.__name__} has no {name!r}.{near} There are: {', '.join(names)}."
            )
    Settings.of(values)
    check_fit(how, focus)
    if on_step is not None and not callable(on_step):
        raise TypeError(
            f"on_step is {quoted(on_step)}; it is a function of (step, total, preview)."
        )
    checked_seed(seed)


def ready(
    pipeline: "str | os.PathLike | StableVideoDiffusionPipeline",
    values: Mapping[str, Any],
    size: tuple[int, int],
    seed: int | None = None,
    progress: bool = False,
) -> "tuple[StableVideoDiffusionPipeline, Settings, int]":
    """Load what is asked for, settle the settings for a picture's size, and draw a missing seed.

    >>> ready("tiny", {"fps": 12}, (112, 64), seed=7)[2]
    7
    """
    if isinstance(pipeline, (str, os.PathLike)):
        pipeline = load_for("animate", pipeline, progress=progress)
    check_kind("animate", pipeline)
    bring_back(pipeline)
    asked = resolved(values, pipeline, size)
    if progress:
        _remark(asked, pipeline)
    return pipeline, asked, random.SystemRandom().randrange(2**32) if seed is None else int(seed)


def resolved(
    values: Mapping[str, Any],
    pipeline: "StableVideoDiffusionPipeline",
    size: tuple[int, int] = (1024, 576),
) -> Settings:
    """Fill in what the settings leave to the model, the picture's size and the memory preset.

    >>> from svdkit import load
    >>> resolved({"fps": 12}, load("tiny", device="cpu")).decode_chunk_size
    14
    """
    settings = resolved_for(values, pipeline, size)
    stock = getattr(origin_of(pipeline).preset, "stock", None)
    chunk = settings.decode_chunk_size
    if stock and not is_lean(pipeline):
        chunk = chunk or stock.decode_chunk_size
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


def foreseen(
    values: Mapping[str, Any], pipeline: "str | os.PathLike | StableVideoDiffusionPipeline"
) -> Settings | None:
    """Settle settings as `resolved_for` does, before anything is loaded; None where the model is at
    an address that nothing is known of yet.

    >>> foreseen({}, "svd-xt").num_frames, foreseen({}, "nobody/nothing")
    (25, None)
    """
    if not isinstance(pipeline, (str, os.PathLike)):
        check_kind("animate", pipeline)
    elif find(pipeline) == (None, None) and not cached_folder(address_of(pipeline)):
        return None
    return resolved_for(values, pipeline)


def _remark(settings: Settings, pipeline: Any) -> None:
    """Say what is unusual about the settings, each thing once."""
    row = origin_of(pipeline).model
    for remark in settings.remarks(row) if row else ():
        if remark not in _remarks_made:
            _remarks_made.add(remark)
            print(f"Remark: {remark}")
