"""Following a recipe step by step.

A recipe may come from a stranger. It is data: each value in it is checked before it is used, and no
file or address in it is opened.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .casting import Cast, Missing
from .clips import Clip
from .drawings import Drawing
from .edits import EDITS, MOST_SHOWN, Edit, Size, size_after
from .frames import sha256_of_frames
from .images import ImageLike, fit, fitting_in, open_image
from .notes import steps_of
from .settings import Settings
from .verbs import VERBS, Verb, check_values

if TYPE_CHECKING:
    from PIL import Image

    from .casting import Given

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


class Replay:
    """A recipe, and what it takes to follow it.

    >>> Replay({"request": {"verb": "dance"}}).clip()
    Traceback (most recent call last):
    svdkit.casting.Missing: a svdkit that knows the verb 'dance'; update it
    """

    def __init__(
        self,
        recipe: dict[str, Any],
        pictures: Sequence["Image.Image"] = (),
        image: ImageLike | None = None,
        pipeline: "Given | Sequence[Given] | None" = None,
        progress: bool = True,
    ):
        self.steps = steps_of(recipe)
        self.requests = [step.get("request", {}) for step in self.steps]
        self.stored = {sha256_of_frames(np.asarray(picture)): picture for picture in pictures}
        self.image = None if image is None else open_image(image)
        self.cast, self.progress = Cast(self.requests, pipeline, progress), progress
        self.drawn: dict[int, Drawing] = {}
        """What the steps that draw have drawn, by their number."""
        self.changes: list[str] = []
        """What is found, on the way, not to be as it was."""

    @cached_property
    def size(self) -> Size:
        """How large the clip at the end will be; all steps are gone through and none is taken.

        What is wrong with any of them, and what is missing, is told here.
        """
        for request in self.requests:
            _check_known(request)
        sizes: list[Size] = []
        for number, request in enumerate(self.requests):
            step = _step_of(request)
            if step.takes > len(sizes):
                raise Missing("the recipe of a part: the clip was made from a video without one")
            taken = [sizes.pop() for _ in range(step.takes)][::-1]
            if "edit" in request:
                sizes.append(size_after(request, *taken))
                continue
            check_values(request)
            size = step.size(request, *taken)
            self._check_had(number)
            if request["verb"] != "draw":
                sizes.append(size)
        if len(sizes) != 1:
            raise Missing(f"the step that makes one clip of {len(sizes)}")
        return sizes[0]

    def clip(self) -> Clip:
        """Take all steps, and give the clip that the last one makes."""
        _ = self.size  # all is checked before anything is made
        made: list[Clip] = []
        for number, request in enumerate(self.requests):
            step = _step_of(request)
            if self._is_idle(request):
                self.changes.append("the picture is given, and was not drawn again")
                continue
            taken = [made.pop() for _ in range(step.takes)][::-1]
            if "edit" in request:
                made.append(step.do(request, *taken))
                continue
            new = self._make(number, step, taken)
            if isinstance(new, Clip):
                made.append(new)
            else:
                self.drawn[number] = new
        return made[0]

    def _check_had(self, number: int) -> None:
        """Make sure that the pictures and the model of a step can be had."""
        request = self.requests[number]
        for name in VERBS[request["verb"]].pictures:
            if not self._is_drawn(number, name):
                self._picture(request, name)
        if not self._is_idle(request):
            self.cast.check(request)

    def _make(self, number: int, verb: Verb, clips: list[Clip]) -> "Clip | Drawing":
        request, outcome = self.requests[number], self.steps[number].get("outcome", {})
        pictures = [
            self._redrawn(number) if self._is_drawn(number, name) else self._picture(request, name)
            for name in verb.pictures
        ]
        pipeline = self.cast.pipeline_for(request, outcome)
        new = verb.do(request, pipeline, pictures, clips, self.progress)
        found = _changes(request, outcome, steps_of(new.recipe)[-1])
        self.changes += [change for change in found if change not in self.changes]
        return new

    def _is_idle(self, request: Mapping[str, Any]) -> bool:
        """Whether a step draws what the caller gives."""
        return request.get("verb") == "draw" and self.image is not None

    def _is_drawn(self, number: int, name: str) -> bool:
        """Whether the picture of a step is the one that the step before it draws."""
        return (
            name == "image_sha256"
            and self.image is None
            and number > 0
            and self.requests[number - 1].get("verb") == "draw"
        )

    def _redrawn(self, number: int) -> "Image.Image":
        request = self.requests[number]
        settings = Settings.of(request["settings"])
        drawing = self.drawn[number - 1]
        return fit(drawing, settings.height, settings.width, **fitting_in(request))

    def _picture(self, request: Mapping[str, Any], name: str) -> "Image.Image":
        """Find a fitted picture, or fit the caller's as it was."""
        wanted = request[name]
        if self.image is not None and name == "image_sha256":
            settings = Settings.of(request["settings"])
            fitted = fit(self.image, settings.height, settings.width, **fitting_in(request))
            pictures = {other[name] for other in self.requests if name in other}
            is_it = sha256_of_frames(np.asarray(fitted)) == wanted
            # of several pictures the caller's is the one that is wanted, or the one that is lost
            if is_it or len(pictures) == 1 or wanted not in self.stored:
                return fitted
        if wanted in self.stored:
            return self.stored[wanted]
        if name == "mask_sha256":
            raise Missing(
                f"the mask that it was made with (sha256 {wanted[:12]}…), which is kept beside the "
                "clip; cinemagraph(image, mask) makes it anew"
            )
        raise Missing(
            f"the picture that it was made from (sha256 {wanted[:12]}…); give the whole or the "
            "fitted one as image="
        )


def _step_of(request: Mapping[str, Any]) -> "Edit | Verb":
    return EDITS[request["edit"]] if "edit" in request else VERBS[request["verb"]]


def _check_known(request: Mapping[str, Any]) -> None:
    """Make sure that a step is one that svdkit knows to take."""
    kind, table = ("edit", EDITS) if "edit" in request else ("verb", VERBS)
    name = request.get(kind)
    if not (isinstance(name, str) and name in table):
        raise Missing(f"a svdkit that knows the {kind} {name!r:.{MOST_SHOWN}}; update it")


def _changes(
    request: Mapping[str, Any], outcome: Mapping[str, Any], recipe: Mapping[str, Any]
) -> list[str]:
    """Say what is not as it was when the clip was made."""
    new_request, new_outcome = recipe["request"], recipe["outcome"]
    changes = [
        f"{words} is another one"
        for name, words in ASKED.items()
        if name in request and request[name] != new_request.get(name)
    ]
    frames = "frames_sha256"
    if request.get("verb") == "draw" and outcome.get(frames) != new_outcome[frames]:
        changes.append("the drawing is another one")
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
