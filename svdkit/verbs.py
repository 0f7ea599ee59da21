"""The verbs of a recipe: what each step that uses a model needs, how large its clip gets, and how
it is made again.

The values come from recipes, and so perhaps from strangers: `size` checks them before anything is
made or loaded.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .animation import animate
from .chains import redo_extend
from .cinemagraphs import redo_cinemagraph, size_after_cinemagraph
from .clips import Clip
from .drawings import Drawing
from .edits import MOST_SHOWN, Size
from .extensions import size_after_extend
from .films import animate_prompt
from .frames import check_size
from .images import fitting_in
from .pictures import draw
from .prompting import PromptSettings, checked_prompt
from .settings import settings_in

Request = Mapping[str, Any]
# What every request of a verb has to say
VALUES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "model": (lambda name: isinstance(name, str), "the name of a model"),
    "settings": (lambda settings: isinstance(settings, dict), "a dict of settings"),
    "seed": (lambda seed: type(seed) is int and 0 <= seed < 2**63, "a whole number from 0"),
}


@dataclass(frozen=True)
class Verb:
    """One way to make something with a model.

    >>> VERBS["animate"].pictures
    ('image_sha256',)
    """

    uses: str
    """What its model is loaded for: "animate", "draw" or "animate_prompt"."""
    size: Callable[..., Size]
    """(request, *sizes) → the size of its clip; values that cannot be are errors."""
    do: Callable[..., Clip | Drawing]
    """(request, pipeline, pictures, clips, progress) → what the step made."""
    takes: int = 0
    """How many clips it goes on from."""
    pictures: tuple[str, ...] = ()
    """Where its request names the fitted pictures that it needs, by their sha256."""


def check_values(request: Request) -> None:
    """Make sure that a request of a verb says what all of them say.

    >>> check_values({"model": "tiny", "settings": {}, "seed": -1})
    Traceback (most recent call last):
    ValueError: The recipe's seed is -1; it is a whole number from 0.
    """
    named = dict.fromkeys(_pictures_of(request), (_is_sha256, "the sha256 of a picture"))
    for name, (is_right, wanted) in (VALUES | named).items():
        value = request.get(name)
        if not is_right(value):
            raise ValueError(f"The recipe's {name} is {value!r:.{MOST_SHOWN}}; it is {wanted}.")


def _pictures_of(request: Request) -> tuple[str, ...]:
    return VERBS[request["verb"]].pictures if request.get("verb") in VERBS else ()


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value))


def _size_animated(request: Request) -> Size:
    settings = settings_in(request)
    size = (settings.num_frames, settings.height, settings.width)
    if not all(size):
        raise ValueError("The recipe's settings leave height, width or num_frames open.")
    fitting_in(request)
    check_size(*size)
    return size


def _animated(
    request: Request, pipeline: Any, pictures: Sequence[Any], clips: Sequence[Clip], progress: bool
) -> Clip:
    settings = settings_in(request)
    values = {name: getattr(settings, name) for name in request["settings"]}
    where = fitting_in(request)
    return animate(
        pictures[0], pipeline, seed=request["seed"], progress=progress, **where, **values
    )


def _size_of_prompt(request: Request) -> Size:
    checked_prompt(request.get("prompt"))
    settings = PromptSettings.of(request["settings"], request["verb"])
    needed = ["height", "width", "num_inference_steps", "guidance_scale"]
    needed += ["num_frames"] if request["verb"] == "animate_prompt" else []
    left = [name for name in needed if getattr(settings, name) is None]
    if left:
        raise ValueError(f"The recipe's settings leave {', '.join(left)} open.")
    size = (settings.num_frames or 1, settings.height, settings.width)
    check_size(*size)
    return size


def _drawn(
    request: Request, pipeline: Any, pictures: Sequence[Any], clips: Sequence[Clip], progress: bool
) -> Drawing:
    seed, values = request["seed"], request["settings"]
    return draw(request["prompt"], pipeline, seed=seed, progress=progress, **values)


def _filmed(
    request: Request, pipeline: Any, pictures: Sequence[Any], clips: Sequence[Clip], progress: bool
) -> Clip:
    return animate_prompt(
        request["prompt"],
        "animatediff",
        model=pipeline,
        seed=request["seed"],
        progress=progress,
        **request["settings"],
    )


VERBS: Mapping[str, Verb] = {
    "animate": Verb("animate", _size_animated, _animated, pictures=("image_sha256",)),
    "cinemagraph": Verb(
        "animate",
        size_after_cinemagraph,
        redo_cinemagraph,
        pictures=("image_sha256", "mask_sha256"),
    ),
    "extend": Verb("animate", size_after_extend, redo_extend, takes=1),
    "draw": Verb("draw", _size_of_prompt, _drawn),
    "animate_prompt": Verb("animate_prompt", _size_of_prompt, _filmed),
}
