"""animate_prompt: a prompt → a clip, by way of a picture, or by AnimateDiff."""

import os
import random
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from .addresses import address_of, find
from .animation import animate, check_request, foreseen
from .checkpoints import from_folder
from .clips import Clip
from .frames import frozen
from .hub import check_reach
from .limits import Limit, checked_seed
from .pictures import as_bytes, draw, made_of, pipeline_for, say_remarks
from .prompting import PromptSettings, checked_prompt
from .prompts import row_of
from .records import outcome_of, prompt_request_of
from .running import check_quality
from .settings import Settings, holding

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, StableVideoDiffusionPipeline

WAYS = {
    "sd": "draws a picture, which SVD animates",
    "animatediff": "draws the frames themselves",
}
OF_ANIMATE = ("how", "focus", "on_step")  # what animate has besides its settings
SVD_KNOBS, DRAWING_KNOBS = (
    {field.name for field in fields(of)} for of in (Settings, PromptSettings)
)
OF_SVD = {*OF_ANIMATE, *SVD_KNOBS} - DRAWING_KNOBS
OF_DRAWING = DRAWING_KNOBS - SVD_KNOBS
FPS = Limit(1, 240, float, "Try 8; it is playback alone.")


def animate_prompt(
    prompt: str,
    via: str = "sd",
    *,
    model: "str | os.PathLike | DiffusionPipeline" = "auto",
    pipeline: "str | os.PathLike | StableVideoDiffusionPipeline" = "auto",
    drawing: Mapping[str, Any] | None = None,
    seed: int | None = None,
    progress: bool = True,
    **settings: Any,
) -> Clip:
    """Make a clip of a prompt: by a picture that SVD animates, or by AnimateDiff.

    `via="sd"`: `model` draws the picture, as in `draw` and with the settings `drawing`; `pipeline`
    animates it, as in `animate` and with `settings`. On a GPU the two take turns.
    `via="animatediff"`: `model` is an AnimateDiff of PROMPT_MODELS, or a hub address, folder or
    pipeline of its kind; `settings` are num_frames, num_inference_steps, guidance_scale,
    negative_prompt, height and width, in pixels, and fps, the playback rate in frames a second.
    The recipe holds every step.

    >>> clip = animate_prompt(
    ...     "a red balloon over green hills at dusk", model="tiny-sd", pipeline="tiny", seed=7,
    ...     drawing={"num_inference_steps": 4}, num_inference_steps=2, progress=False,
    ... )
    >>> [step["request"]["verb"] for step in clip.recipe["steps"]]
    ['draw', 'animate']
    """
    if not isinstance(via, str) or via not in WAYS:
        ways = "; ".join(f"{name!r} {what}" for name, what in WAYS.items())
        raise ValueError(f"via is {via!r}; there are: {ways}.")
    checked_prompt(prompt)
    seed = checked_seed(seed)
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    if via == "animatediff":
        if drawing is not None or pipeline != "auto":
            given = "drawing" if drawing is not None else "pipeline"
            raise TypeError(
                f"{given}= goes with via='sd', which draws and then animates; AnimateDiff does "
                "both at once, with model= and the settings themselves."
            )
        return _by_animatediff(prompt, model, seed, progress, settings)
    settings = holding(settings)
    _check_goes_with_sd(model, drawing, settings)
    rest = {name: value for name, value in settings.items() if name not in OF_ANIMATE}
    given = {name: value for name, value in settings.items() if name in OF_ANIMATE}
    check_request(rest, verb=animate_prompt, **given)
    if not isinstance(drawing or {}, Mapping):
        raise TypeError(f"drawing is {drawing!r:.60}; it is a dict of draw's settings.")
    PromptSettings.of(drawing or {}, "draw")
    if pipeline != "auto":  # which is chosen once the picture is there
        _check_animator(pipeline, rest)
    picture = draw(prompt, model, seed=seed, progress=progress, **drawing or {})
    try:
        return animate(picture, pipeline, seed=seed, progress=progress, **settings)
    except BaseException as error:  # an interrupt too: the picture is worth as much then
        error.add_note(f"The picture is drawn: draw(…, seed={seed}) draws it again.")
        raise


def _check_goes_with_sd(model: Any, drawing: Any, settings: Mapping[str, Any]) -> None:
    """Say where it belongs, of what is given in the wrong place."""
    for name in settings:
        if name in OF_DRAWING:
            raise TypeError(
                f"animate_prompt has no {name!r} where via='sd'; it shapes the drawing: "
                f"drawing={{{name!r}: …}}."
            )
    for name in ("seed", "progress"):
        if isinstance(drawing, Mapping) and name in drawing:
            raise TypeError(
                f"drawing has a {name}; give {name}= to animate_prompt itself, for both steps."
            )
    row = row_of(address_of(model)) if isinstance(model, str) else None
    if getattr(row, "verb", None) == "animate_prompt":
        raise TypeError(f"{row.name!r} is for animating a prompt; it goes with via='animatediff'.")


def _check_animator(
    pipeline: "str | os.PathLike | StableVideoDiffusionPipeline", settings: Mapping[str, Any]
) -> None:
    """Make sure that a model will take the picture over, as far as can be told before it is drawn.

    It is not loaded: on a small GPU there is room for one.
    """
    if isinstance(pipeline, (str, os.PathLike)):
        row, folder = find(pipeline)
        if folder:
            from_folder(folder, half=False, verb="animate")
        elif not (row and row.bundled):
            check_reach(row.repo if row else address_of(pipeline))
        foreseen(settings, pipeline)
    else:
        check_quality(pipeline, foreseen(settings, pipeline))


def _by_animatediff(
    prompt: str,
    model: "str | os.PathLike | DiffusionPipeline",
    seed: int,
    progress: bool,
    settings: Mapping[str, Any],
) -> Clip:
    settings = dict(settings)
    fps = settings.pop("fps", None)
    fps = fps if fps is None else FPS.checked("fps", fps)
    _refuse_what_svd_alone_has(settings)
    asked = PromptSettings.of(settings, "animate_prompt")
    lent, row = pipeline_for("animate_prompt", model, progress)
    asked = asked.resolved(lent, row)
    if progress:
        say_remarks(prompt, asked, lent, row)
    # its VAE knows no time: frames decoded one by one are the same, in a fraction of the memory
    made = made_of(lent, prompt, asked, seed, progress, output_type="np", decode_chunk_size=1)
    frames = as_bytes(made.frames[0], lent)
    recipe = {
        "request": prompt_request_of(lent, "animate_prompt", prompt, asked, seed=seed),
        "outcome": outcome_of(lent, frames),
    }
    return Clip(frozen(frames), fps or (row.fps if row else 8), recipe)


def _refuse_what_svd_alone_has(settings: Mapping[str, Any]) -> None:
    for name in settings:
        if name in OF_SVD:
            raise TypeError(
                f"AnimateDiff has no {name}; that is a knob of SVD. Use via='sd', or leave it out."
            )
