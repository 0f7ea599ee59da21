"""Which model takes which step of a recipe: one of the caller's, or one of svdkit's own.

A recipe may come from a stranger: no model is loaded but those of MODELS and PROMPT_MODELS, and
those that the caller names.
"""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from .addresses import address_of, find
from .checkpoints import PIPELINES, is_for, read_json
from .devices import DTYPES, pick_device
from .edits import MOST_SHOWN
from .hub import cached_folder
from .limits import quoted
from .memory import ARITHMETICS
from .models import Model
from .origins import origin_of
from .pipelines import load_for
from .prompts import names_for
from .verbs import VERBS

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    Given = str | os.PathLike | DiffusionPipeline

Request = Mapping[str, Any]


class Missing(LookupError):  # noqa: N818 - it is no fault, and rerun tells it as a verdict
    """What a recipe needs and neither the machine nor the caller has given.

    >>> str(Missing("the picture"))
    'the picture'
    """


class Player(NamedTuple):
    """A model that the caller gave.

    >>> Player.of("tiny-sd")
    Player(given='tiny-sd', name='tiny-sd', uses='draw')
    """

    given: "Given"
    name: str
    """As a recipe calls it."""
    uses: str | None
    """What it is good for: a key of PIPELINES; None for an address that nothing is known of yet."""

    @classmethod
    def of(cls, given: "Given") -> "Player":
        """See what a pipeline, a name, a hub address or a folder is.

        >>> Player.of(7)
        Traceback (most recent call last):
        TypeError: pipeline is 7; it is a loaded pipeline, a name, a hub address or a folder, or ...
        """
        if not isinstance(given, (str, os.PathLike)):
            for uses in PIPELINES:
                if is_for(uses, given):
                    return cls(given, origin_of(given).name, uses)
            raise TypeError(
                f"pipeline is {quoted(given)}; it is a loaded pipeline, a name, a hub address or a "
                "folder, or a list of them."
            )
        row, folder = find(given, verb=None)
        if row:
            return cls(given, row.name, "animate" if isinstance(row, Model) else row.verb)
        name = folder.name if folder else address_of(given)
        folder = folder or cached_folder(name)
        index = folder / "model_index.json" if folder else None
        kind = read_json(index).get("_class_name") if index and index.exists() else None
        uses = (uses for uses, kinds in PIPELINES.items() if kind in kinds)
        return cls(given, name, next(uses, None))


class Cast:
    """The models for a recipe's requests; `given` are the caller's.

    One of the caller's takes the steps that name it. One that no step names, if it is the only one
    of its kind, takes the steps of that whose model is not to be had otherwise, or, where there is
    none of these, all.

    >>> steps = [{"verb": "animate", "model": "tiny", "source": "bundled"}]
    >>> Cast(steps, "tiny").given_for(steps[0]), Cast(steps).given_for(steps[0])
    ('tiny', None)
    """

    def __init__(
        self,
        requests: Sequence[Request],
        given: "Given | Sequence[Given] | None" = None,
        progress: bool = True,
    ):
        several = [] if given is None else given if isinstance(given, (list, tuple)) else [given]
        self.players = [Player.of(one) for one in several]
        self.requests = [request for request in requests if "edit" not in request]
        self.progress = progress

    def given_for(self, request: Request) -> "Given | None":
        """Give the caller's model for a step; None where it takes one of ours.

        >>> Cast([]).given_for({"verb": "draw", "model": "tiny-sd"})
        """
        named = [player for player in self.players if _names(request, player)]
        uses, others = VERBS[request["verb"]].uses, self.others(request)
        if not named and len(others) == 1 and (not _is_ours(request) or uses not in self.lacking):
            named = others
        return named[0].given if named else None

    def others(self, request: Request) -> list[Player]:
        """Give those of the caller's models that no step names, and that are of a step's kind.

        >>> request = {"verb": "draw", "model": "tiny-sd", "source": "bundled"}
        >>> [player.name for player in Cast([request], ["sd-turbo", "svd"]).others(request)]
        ['sd-turbo']
        """
        uses = VERBS[request["verb"]].uses
        return [player for player in self.unnamed if (player.uses or "animate") == uses]

    @cached_property
    def unnamed(self) -> list[Player]:
        """Those of the caller's models that no step names."""
        return [
            player
            for player in self.players
            if not any(_names(request, player) for request in self.requests)
        ]

    @cached_property
    def lacking(self) -> set[str]:
        """What some step needs a model for that is not ours and that it finds not by its name."""
        return {
            VERBS[request["verb"]].uses
            for request in self.requests
            if not _is_ours(request) and not any(_names(request, player) for player in self.players)
        }

    def check(self, request: Request) -> None:
        """Make sure that the model of a step can be had; what is not ours is asked about.

        >>> Cast([]).check({"verb": "animate", "model": "mine", "source": "folder"})
        Traceback (most recent call last):
        svdkit.casting.Missing: the model: the recipe names a model, 'mine', and that is not ...
        """
        if self.given_for(request) is not None:
            return
        name = request["model"]
        ours = name in names_for(VERBS[request["verb"]].uses)
        if ours and request.get("source") == "random":  # gigabytes of them, at a stranger's word
            raise Missing(
                f"the model: its weights were drawn at random, to measure with; load({name!r}, "
                "weights='random') draws them again, to be given as pipeline="
            )
        if not _is_ours(request):
            whose = "a model of its maker's own" if ours else "a model"
            others = [repr(player.name) for player in self.others(request)]
            raise Missing(
                f"the model: the recipe names {whose}, {name!r:.{MOST_SHOWN}}, and that is not "
                "loaded unasked; if you have it and trust it, give it as pipeline=, in a list if "
                "there are several"
                + (f"; those given are {' and '.join(others)}, called otherwise" if others else "")
            )

    def pipeline_for(self, request: Request, outcome: Mapping[str, Any]) -> "DiffusionPipeline":
        """Give the pipeline for a step, in the dtype and the arithmetic that it was made with.

        >>> request = {"verb": "animate", "model": "tiny", "source": "bundled"}
        >>> type(Cast([request]).pipeline_for(request, {})).__name__
        'StableVideoDiffusionPipeline'
        """
        given = self.given_for(request)
        if given is not None and not isinstance(given, (str, os.PathLike)):
            return given
        then, now = outcome.get("device"), pick_device()
        dtype = outcome.get("dtype")
        same_kind = (then == "cpu") == (now == "cpu") and isinstance(dtype, str) and dtype in DTYPES
        arithmetic = request.get("arithmetic")
        try:
            return load_for(
                VERBS[request["verb"]].uses,
                request["model"] if given is None else given,
                progress=self.progress,
                dtype=dtype if same_kind else None,
                arithmetic=arithmetic if arithmetic in ARITHMETICS else "lean",
            )
        except (ConnectionError, PermissionError, ImportError) as error:
            raise Missing(f"the model {request['model']}: {error}") from error


def _names(request: Request, player: Player) -> bool:
    fits = player.uses in (None, VERBS[request["verb"]].uses)
    return fits and request.get("model") == player.name


def _is_ours(request: Request) -> bool:
    ours = request.get("model") in names_for(VERBS[request["verb"]].uses)
    return ours and request.get("source") in ("bundled", "hub")
