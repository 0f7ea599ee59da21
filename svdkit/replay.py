"""Following a recipe step by step.

A recipe may come from a stranger. It is data: each value in it is checked before it is used, no
file or address in it is opened, and no model is loaded but those of MODELS.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .animation import animate
from .clips import Clip
from .devices import DTYPES, pick_device
from .frames import sha256_of_frames
from .images import ImageLike, check_fit, fit, open_image
from .models import MODELS
from .pipelines import load
from .settings import Settings
from .storage import steps_of

if TYPE_CHECKING:
    from diffusers import StableVideoDiffusionPipeline
    from PIL import Image

MOST_FRAMES = 20_000  # that an edit may make: a recipe of a few words could ask for any number
MOST_SHOWN = 60  # characters of a stranger's value in a message

# What an animation's request has to say, besides what Settings looks after
VALUES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "model": (lambda name: isinstance(name, str), "the name of a model"),
    "settings": (lambda settings: isinstance(settings, dict), "a dict of settings"),
    "seed": (lambda seed: type(seed) is int and 0 <= seed < 2**63, "a whole number from 0"),
    "image_sha256": (
        lambda sha: isinstance(sha, str) and bool(re.fullmatch("[0-9a-f]{64}", sha)),
        "the sha256 of the fitted picture",
    ),
}
# What an outcome says of the circumstances, and how to say that they are others now
CIRCUMSTANCES = {
    "device": "it ran on {old} and runs on {new} now",
    "dtype": "it was calculated in {old} and is in {new} now",
    "threads": "threads were {old} and are {new} now, which torch.set_num_threads({old}) undoes",
    "memory": "memory was {old!r} and is {new!r} now",
    "weights": "the weights are other ones",
}


class Missing(LookupError):  # noqa: N818 - it is no fault, and rerun tells it as a verdict
    """What a recipe needs and neither the machine nor the caller has given.

    >>> str(Missing("the picture"))
    'the picture'
    """


class Replay:
    """A recipe, and what it takes to follow it.

    >>> Replay({"request": {"verb": "dance"}}).clip()
    Traceback (most recent call last):
    svdkit.replay.Missing: a svdkit that knows the verb 'dance'; update it
    """

    def __init__(
        self,
        recipe: dict[str, Any],
        pictures: Sequence["Image.Image"] = (),
        image: ImageLike | None = None,
        pipeline: "str | os.PathLike | StableVideoDiffusionPipeline | None" = None,
        progress: bool = True,
    ):
        self.steps = steps_of(recipe)
        self.pictures, self.image, self.pipeline = pictures, image, pipeline
        self.progress = progress
        self.changes: list[str] = []
        """What is found, on the way, not to be as it was."""

    def clip(self) -> Clip:
        """Follow all steps, and give the clip that the last one makes."""
        for step in self.steps:  # before the first of them takes minutes
            _check(step.get("request", {}))
        made: list[Clip] = []
        for step in self.steps:
            request = step["request"]
            takes, edit = EDITS.get(request.get("edit"), (0, None))
            if takes > len(made):
                raise Missing("the recipe of a part: the clip was made from a video without one")
            parts = [made.pop() for _ in range(takes)][::-1]
            made.append(
                edit(request, *parts) if edit else self._animate(request, step.get("outcome", {}))
            )
        if len(made) != 1:
            raise Missing(f"the step that makes one clip of {len(made)}")
        return made[0]

    def _animate(self, request: Mapping[str, Any], outcome: Mapping[str, Any]) -> Clip:
        settings = Settings.of(request["settings"])
        picture = self._picture(request, settings)
        if self.pipeline is None:
            self.pipeline = _load(request, outcome)
        values = {name: getattr(settings, name) for name in request["settings"]}
        clip = animate(
            picture, self.pipeline, seed=request["seed"], progress=self.progress, **values
        )
        found = _changes(request, outcome, clip.recipe)
        self.changes += [change for change in found if change not in self.changes]
        return clip

    def _picture(self, request: Mapping[str, Any], settings: Settings) -> "Image.Image":
        """Find the fitted picture, or fit the caller's as it was."""
        if self.image is not None:
            picture = open_image(self.image)
            if picture.size == (settings.width, settings.height):
                return picture
            return fit(picture, settings.height, settings.width, *_fit_of(request))
        wanted = request["image_sha256"]
        for picture in self.pictures:
            if sha256_of_frames(np.asarray(picture)) == wanted:
                return picture
        raise Missing(
            f"the picture that it was made from (sha256 {wanted[:12]}…); give the whole or the "
            "fitted one as image="
        )


def _check(request: Mapping[str, Any]) -> None:
    """Make sure that a step is one that svdkit knows to take, and that its values are sound."""
    verb, edit = request.get("verb"), request.get("edit")
    if edit is not None or verb != "animate":
        kind, name = ("edit", edit) if edit is not None else ("verb", verb)
        if not (isinstance(edit, str) and edit in EDITS):
            raise Missing(f"a svdkit that knows the {kind} {name!r:.{MOST_SHOWN}}; update it")
        return
    for name, (is_right, wanted) in VALUES.items():
        value = request.get(name)
        if not is_right(value):
            raise ValueError(f"The recipe's {name} is {value!r:.{MOST_SHOWN}}; it is {wanted}.")
    settings = Settings.of(request["settings"])
    if not (settings.height and settings.width and settings.num_frames):
        raise ValueError("The recipe's settings leave height, width or num_frames open.")
    check_fit(*_fit_of(request))


def _fit_of(request: Mapping[str, Any]) -> tuple[Any, Any]:
    way = request.get("fit")
    way = way if isinstance(way, dict) else {}
    return way.get("how", "crop"), way.get("focus", (0.5, 0.5))


def _load(request: Mapping[str, Any], outcome: Mapping[str, Any]) -> Any:
    """Load the model that a recipe names, if it is one of ours; another is asked about."""
    name, source = request["model"], request.get("source")
    if name not in MODELS or source not in ("hub", "random", "bundled"):
        whose = "a model of its maker's own" if name in MODELS else "a model"
        raise Missing(
            f"the model: the recipe names {whose}, {name!r:.{MOST_SHOWN}}, and that is not loaded "
            "unasked; if you have it and trust it, give it as pipeline="
        )
    then, now = outcome.get("device"), pick_device()
    dtype = outcome.get("dtype")
    same_kind = (then == "cpu") == (now == "cpu") and isinstance(dtype, str) and dtype in DTYPES
    random = source == "random" and not MODELS[name].bundled
    return load(name, dtype=dtype if same_kind else None, weights="random" if random else None)


def _changes(
    request: Mapping[str, Any], outcome: Mapping[str, Any], recipe: Mapping[str, Any]
) -> list[str]:
    """Say what is not as it was when the clip was made."""
    new_request, new_outcome = recipe["request"], recipe["outcome"]
    changes = []
    names = {"image_sha256": "the picture", "revision": "the model's revision"}
    for name, words in (names | {"scheduler": "the scheduler", "source": "the model"}).items():
        if name in request and request[name] != new_request[name]:
            changes.append(f"{words} is another one")
    versions = outcome.get("versions")
    for name, version in new_outcome["versions"].items():
        then = versions.get(name, version) if isinstance(versions, dict) else version
        if then != version:
            changes.append(f"{name} was {then!s:.{MOST_SHOWN}} and is {version} now")
    for name, words in CIRCUMSTANCES.items():
        if name in outcome and outcome[name] != new_outcome[name]:
            old = outcome[name]
            old = old if type(old) is int else f"{old!s:.{MOST_SHOWN}}"
            changes.append(words.format(old=old, new=new_outcome[name]))
    return changes


def _sliced(request: Mapping[str, Any], clip: Clip) -> Clip:
    start, stop, step = (_whole(request, name) for name in ("start", "stop", "step"))
    # as slice.indices has it: −1 is before the first frame, not the last one
    return clip[start : None if stop < 0 else stop : step or 1]


def _repeated(request: Mapping[str, Any], clip: Clip) -> Clip:
    times = _whole(request, "times")
    return _within_reason(clip, times).repeat(times)


def _smoothed(request: Mapping[str, Any], clip: Clip) -> Clip:
    clip = clip.at(request.get("from_fps"))
    fps = request.get("fps")
    factor = fps / clip.fps if isinstance(fps, (int, float)) else 1
    return _within_reason(clip, factor).smooth(fps)


def _whole(request: Mapping[str, Any], name: str) -> int:
    value = request.get(name)
    if type(value) is not int:
        raise ValueError(f"The recipe's {name} is {value!r:.{MOST_SHOWN}}; it is a whole number.")
    return value


def _within_reason(clip: Clip, factor: float) -> Clip:
    if not len(clip) * factor <= MOST_FRAMES:
        raise ValueError(
            f"The recipe asks for {len(clip) * factor:g} frames; {MOST_FRAMES} are allowed."
        )
    return clip


# Each edit: how many clips it takes, and what it makes of them
EDITS: Mapping[str, tuple[int, Callable[..., Clip]]] = {
    "slice": (1, _sliced),
    "join": (2, lambda request, a, b: _within_reason(a, 1 + len(b) / len(a)) + b),
    "boomerang": (1, lambda request, clip: _within_reason(clip, 2).boomerang()),
    "repeat": (1, _repeated),
    "smooth": (1, _smoothed),
}
