"""Following a recipe step by step.

A recipe may come from a stranger. It is data: each value in it is checked before it is used, no
file or address in it is opened, and no model is loaded but those of MODELS.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .animation import animate
from .clips import Clip
from .devices import DTYPES, pick_device
from .edits import EDITS, MOST_SHOWN, Size, size_after
from .frames import check_size, sha256_of_frames
from .images import ImageLike, check_fit, fit, open_image
from .models import MODELS
from .notes import steps_of
from .pipelines import load
from .settings import Settings

if TYPE_CHECKING:
    from diffusers import StableVideoDiffusionPipeline
    from PIL import Image

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
# What of the request may be another one now
ASKED = {
    "image_sha256": "the picture",
    "model": "the model",
    "source": "the source of the model",
    "revision": "the revision of the model",
    "scheduler": "the scheduler",
    "arithmetic": "the arithmetic",
}
# What an outcome says of the circumstances, and how to say that they are others now
CIRCUMSTANCES = {
    "device": "it ran on {old} and runs on {new} now",
    "dtype": "it was calculated in {old} and is in {new} now",
    "threads": "threads were {old} and are {new} now, which torch.set_num_threads({old}) undoes",
    "memory": "memory was {old} and is {new} now",
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
        self.requests = [step.get("request", {}) for step in self.steps]
        self.stored = {sha256_of_frames(np.asarray(picture)): picture for picture in pictures}
        self.image = None if image is None else open_image(image)
        self.pipeline, self.progress = pipeline, progress
        self.changes: list[str] = []
        """What is found, on the way, not to be as it was."""

    @cached_property
    def size(self) -> Size:
        """How large the clip at the end will be; all steps are gone through and none is taken.

        What is wrong with any of them, and what is missing, is told here.
        """
        for request in self.requests:
            _check(request)
        sizes: list[Size] = []
        for request in self.requests:
            if "edit" not in request:
                settings = Settings.of(request["settings"])
                size = (settings.num_frames, settings.height, settings.width)
                check_size(*size)
                self._picture(request)
                if self.pipeline is None:
                    _check_model(request)
                sizes.append(size)
                continue
            takes = EDITS[request["edit"]].takes
            if takes > len(sizes):
                raise Missing("the recipe of a part: the clip was made from a video without one")
            sizes[-takes:] = [size_after(request, *sizes[-takes:])]
        if len(sizes) != 1:
            raise Missing(f"the step that makes one clip of {len(sizes)}")
        return sizes[0]

    def clip(self) -> Clip:
        """Take all steps, and give the clip that the last one makes."""
        _ = self.size  # all is checked before anything is made
        made: list[Clip] = []
        for step in self.steps:
            request = step["request"]
            if "edit" not in request:
                made.append(self._animate(request, step.get("outcome", {})))
                continue
            edit = EDITS[request["edit"]]
            made[-edit.takes :] = [edit.do(request, *made[-edit.takes :])]
        return made[0]

    def _animate(self, request: Mapping[str, Any], outcome: Mapping[str, Any]) -> Clip:
        settings = Settings.of(request["settings"])
        how, focus = _fit_of(request)
        clip = animate(
            self._picture(request),
            _load(request, outcome) if self.pipeline is None else self.pipeline,
            seed=request["seed"],
            how=how,
            focus=focus,
            progress=self.progress,
            **{name: getattr(settings, name) for name in request["settings"]},
        )
        found = _changes(request, outcome, clip.recipe)
        self.changes += [change for change in found if change not in self.changes]
        return clip

    def _picture(self, request: Mapping[str, Any]) -> "Image.Image":
        """Find the fitted picture, or fit the caller's as it was."""
        wanted = request["image_sha256"]
        if self.image is not None:
            settings = Settings.of(request["settings"])
            fitted = fit(self.image, settings.height, settings.width, *_fit_of(request))
            pictures = {other["image_sha256"] for other in self.requests if "edit" not in other}
            is_it = sha256_of_frames(np.asarray(fitted)) == wanted
            # of several pictures the caller's is the one that is wanted, or the one that is lost
            if is_it or len(pictures) == 1 or wanted not in self.stored:
                return fitted
        if wanted in self.stored:
            return self.stored[wanted]
        raise Missing(
            f"the picture that it was made from (sha256 {wanted[:12]}…); give the whole or the "
            "fitted one as image="
        )


def _check(request: Mapping[str, Any]) -> None:
    """Make sure that a step is one that svdkit knows to take, and that its values are sound."""
    if "edit" in request:
        edit = request["edit"]
        if not (isinstance(edit, str) and edit in EDITS):
            raise Missing(f"a svdkit that knows the edit {edit!r:.{MOST_SHOWN}}; update it")
        return
    verb = request.get("verb")
    if verb != "animate":
        raise Missing(f"a svdkit that knows the verb {verb!r:.{MOST_SHOWN}}; update it")
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


def _check_model(request: Mapping[str, Any]) -> None:
    """Make sure that the model is one of ours; another is asked about."""
    name = request["model"]
    if name not in MODELS or request.get("source") not in ("bundled", "hub", "random"):
        whose = "a model of its maker's own" if name in MODELS else "a model"
        raise Missing(
            f"the model: the recipe names {whose}, {name!r:.{MOST_SHOWN}}, and that is not loaded "
            "unasked; if you have it and trust it, give it as pipeline="
        )


def _load(request: Mapping[str, Any], outcome: Mapping[str, Any]) -> Any:
    then, now = outcome.get("device"), pick_device()
    dtype = outcome.get("dtype")
    same_kind = (then == "cpu") == (now == "cpu") and isinstance(dtype, str) and dtype in DTYPES
    random = "random" if request["source"] == "random" else None
    try:
        return load(request["model"], dtype=dtype if same_kind else None, weights=random)
    except (ConnectionError, PermissionError) as error:
        raise Missing(f"the model {request['model']}: {error}") from error


def _changes(
    request: Mapping[str, Any], outcome: Mapping[str, Any], recipe: Mapping[str, Any]
) -> list[str]:
    """Say what is not as it was when the clip was made."""
    new_request, new_outcome = recipe["request"], recipe["outcome"]
    changes = [
        f"{words} is another one"
        for name, words in ASKED.items()
        if name in request and request[name] != new_request[name]
    ]
    versions = outcome.get("versions")
    for name, version in new_outcome["versions"].items():
        then = versions.get(name, version) if isinstance(versions, dict) else version
        if then != version:
            changes.append(f"{name} was {_plain(then)} and is {version} now")
    for name, words in CIRCUMSTANCES.items():
        if name in outcome and outcome[name] != new_outcome[name]:
            changes.append(words.format(old=_plain(outcome[name]), new=new_outcome[name]))
    return changes


def _plain(value: Any) -> str:
    """Write a stranger's value without line breaks and control signs, and not at any length."""
    text = str(value)
    return f"{text if text.isprintable() else repr(text):.{MOST_SHOWN}}"
