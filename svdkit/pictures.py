"""draw: a prompt → a picture, to be animated."""

import os
import random
import warnings
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .checkpoints import check_kind
from .drawings import Drawing
from .lending import borrowed
from .limits import checked_seed
from .memory import smaller_than
from .origins import origin_of
from .pipelines import load_for
from .prompting import MOST_SHOWN, PromptSettings, checked_prompt, remarks_on
from .prompts import PromptModel
from .records import outcome_of, prompt_request_of
from .residence import bring_back
from .room import NotEnoughMemory, is_out_of_memory
from .upstream import quietly

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_remarks_made: set[str] = set()


def draw(
    prompt: str,
    model: "str | os.PathLike | DiffusionPipeline" = "auto",
    *,
    seed: int | None = None,
    progress: bool = True,
    **settings: Any,
) -> Drawing:
    """Draw a picture from a prompt with Stable Diffusion: a PIL picture with its recipe.

    `model` is a name of PROMPT_MODELS, any hub address or folder of a Stable Diffusion or SDXL in
    diffusers' layout, or a loaded pipeline; "auto" takes sd-1.5 where a CUDA GPU is and its weights
    can be had, else tiny-sd. `settings` are diffusers' num_inference_steps, guidance_scale, height
    and width, in pixels, and negative_prompt; what is not given is the model's own. `animate` takes
    the picture, and its clip's recipe then begins with the prompt.

    >>> balloon = draw("a red balloon over green hills at dusk", "tiny-sd", seed=7, progress=False)
    >>> balloon.size, balloon.recipe["request"]["seed"]
    ((112, 64), 7)
    """
    # what is asked for is looked at first: loading may mean a download
    checked_prompt(prompt)
    asked = PromptSettings.of(settings, "draw")
    seed = checked_seed(seed)
    pipeline, row = pipeline_for("draw", model, progress)
    asked = replace(asked.resolved(pipeline, row), num_frames=None)
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    if progress:
        say_remarks(prompt, asked, pipeline, row)
    made = made_of(pipeline, prompt, asked, seed, progress, output_type="np")
    if any(getattr(made, "nsfw_content_detected", None) or ()):
        raise ValueError(
            f"The model's safety checker held back what it drew of {prompt[:MOST_SHOWN]!r} with "
            f"seed {seed}; it errs at times. Try another seed, or other words."
        )
    pixels = as_bytes(made.images[0], pipeline)
    recipe = {
        "request": prompt_request_of(pipeline, "draw", prompt, asked, seed=seed),
        "outcome": outcome_of(pipeline, pixels),
    }
    return Drawing.of(pixels, recipe)


def pipeline_for(
    verb: str, model: "str | os.PathLike | DiffusionPipeline", progress: bool = True
) -> "tuple[DiffusionPipeline, PromptModel | None]":
    """Load a model that draws, or take a loaded pipeline, which returns to its GPU if it left it.

    >>> pipeline_for("draw", "tiny-sd")[1].height
    64
    """
    if isinstance(model, (str, os.PathLike)):
        pipeline = load_for(verb, model, progress=progress)
    else:
        pipeline = model
        check_kind(verb, pipeline)
        bring_back(pipeline)
    row = origin_of(pipeline).model
    return pipeline, row if getattr(row, "verb", None) == verb else None


def made_of(
    pipeline: "DiffusionPipeline",
    prompt: str,
    settings: PromptSettings,
    seed: int,
    progress: bool,
    **how: Any,
) -> Any:
    """Call diffusers with a prompt, and give what it gives."""
    import torch

    shown = {"what": "drawing", "steps": settings.num_inference_steps}
    with (
        borrowed(pipeline, None, progress, **shown) as lent,
        quietly(),
        warnings.catch_warnings(),
    ):
        # of an SDXL in half precision diffusers calls what it has deprecated itself
        warnings.filterwarnings("ignore", message=".*upcast_vae", category=FutureWarning)
        try:
            return lent(
                prompt,
                **{name: value for name, value in asdict(settings).items() if value is not None},
                generator=torch.Generator("cpu").manual_seed(seed),
                **how,
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            smaller = smaller_than(origin_of(pipeline).preset)
            cures = [f"load it with memory={smaller[0]!r}"] if smaller else []
            cures += ["fewer frames"] if settings.num_frames else []
            raise NotEnoughMemory(
                f"Memory ran out at {settings.height}×{settings.width}. Try "
                f"{'; or '.join([*cures, 'a smaller height and width'])}."
            ) from error


def as_bytes(pixels: np.ndarray, pipeline: "DiffusionPipeline") -> np.ndarray:
    """Turn what diffusers gives, 0–1, into bytes; what is no number is told.

    >>> as_bytes(np.ones((1, 1, 3)), None).tolist()
    [[[255, 255, 255]]]
    """
    if not np.isfinite(pixels).all():
        dtype = str(pipeline.unet.dtype).removeprefix("torch.")
        raise FloatingPointError(
            f"What the model drew is not numbers (NaN) in {dtype}: it overflowed, or its weights "
            "are damaged. Load it with dtype='bfloat16' or dtype='float32'."
        )
    return (pixels * 255).round().astype(np.uint8)  # as diffusers does for PIL pictures


def say_remarks(
    prompt: str, asked: PromptSettings, pipeline: "DiffusionPipeline", row: PromptModel | None
) -> None:
    """Print what of a prompt the model will not heed, each thing once."""
    for remark in [*remarks_on(prompt, pipeline, row), *asked.remarks()]:
        if remark not in _remarks_made:
            _remarks_made.add(remark)
            print(f"Remark: {remark}")
