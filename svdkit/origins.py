"""Where a pipeline came from, and what is known of it."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .memory import Preset
from .models import Model
from .prompts import PromptModel, row_of

if TYPE_CHECKING:
    from diffusers import StableVideoDiffusionPipeline

_origins: "WeakKeyDictionary[Any, Origin]" = WeakKeyDictionary()


@dataclass(frozen=True)
class Origin:
    """What is known of where a pipeline came from."""

    name: str
    model: Model | PromptModel | None = None
    """Its row of MODELS or PROMPT_MODELS, if it is one of them."""
    source: str = "unknown"
    """Where its weights are from: hub, folder, bundled, random or unknown."""
    revision: str | None = None
    preset: Preset | None = None
    before: tuple[str, ...] = ()
    """The presets that it had before, with which memory ran out."""
    compiled: bool = False


def remember(pipeline: "StableVideoDiffusionPipeline", origin: Origin) -> None:
    """Keep in mind where a pipeline came from, as long as it lives."""
    _origins[pipeline] = origin


def origin_of(pipeline: "StableVideoDiffusionPipeline") -> Origin:
    """Say what is known of a pipeline: all, if `load` made it, else the name it calls itself.

    >>> from svdkit import load
    >>> origin_of(load("tiny", device="cpu")).name
    'tiny'
    """
    if pipeline in _origins:
        return _origins[pipeline]
    name = str(getattr(pipeline.config, "_name_or_path", "") or type(pipeline).__name__)
    row = row_of(name)
    if row:
        return Origin(row.name, row)
    # a folder of the user's own is named without the path to it, which is nobody's business
    is_path = os.path.isabs(name) or os.path.exists(name) or name.startswith((".", "~"))
    is_path = is_path or name.count("/") > 1  # while an address is owner/name
    return Origin(os.path.basename(name.rstrip("/\\")) if is_path else name)
