"""A model's name → its row, its folder or its address; and what "auto" stands for."""

import os
import re
from pathlib import Path
from typing import Any

from .checkpoints import EXAMPLES, PICKLES
from .devices import pick_device
from .hub import hub_answers, is_cached, model_is_cached
from .memory import PRESETS
from .models import Model, did_you_mean
from .paths import as_path, shown
from .prompts import PromptModel, names_for, row_of
from .residence import held_gib, resident
from .room import free_gpu_gib

# What "auto" stands for: on a CUDA GPU, and elsewhere
AUTO = {
    "animate": ("svd-xt", "tiny"),
    "draw": ("sd-1.5", "tiny-sd"),
    "animate_prompt": ("animatediff", "tiny-animatediff"),
}
HUB_PAGES = "https://huggingface.co/"  # people copy a checkpoint's address from the browser
ADDRESS = re.compile(r"[A-Za-z0-9](?!.*(--|\.\.))[\w.-]*/[A-Za-z0-9][\w.-]*")  # owner/name


def find(name: Any, verb: str | None = "animate") -> tuple[Model | PromptModel | None, Path | None]:
    """Find the row and the folder that a name means; neither is a hub address.

    `verb` says what it is to be good for, None for anything; a row for something else is refused.

    >>> find("svd-xt")[0].num_frames
    25
    >>> find("sd-turbo", "animate")
    Traceback (most recent call last):
    TypeError: 'sd-turbo' is for drawing; animating needs one of tiny, svd, svd-xt, svd-xt-1-1.
    """
    names = ", ".join(names_for(verb))
    if isinstance(name, str):
        name = address_of(name)
        name = auto(pick_device(), verb or "animate")[0] if name == "auto" else name
    if not isinstance(name, (str, os.PathLike)) or not str(name):
        raise TypeError(f"{name!r} is no model; give a name ({names}) or a path.")
    text = str(name)
    if isinstance(name, str) and text in names_for():
        return _checked(row_of(text), verb), None
    path = as_path(name)
    if path.is_dir():
        return None, path.resolve()
    if path.suffix.lower() in PICKLES:
        raise ValueError(
            f"{shown(text)!r} is a pickle, which can run any code when it is opened; svdkit reads "
            "safetensors only, in a folder of diffusers' layout."
        )
    if path.suffix.lower() == ".safetensors":
        raise ValueError(
            f"{shown(text)!r} is a single file, and svdkit loads pipelines; give a folder in "
            f"diffusers' layout (unet/, vae/ …), a hub address, or a name: {names}."
        )
    if isinstance(name, str) and ADDRESS.fullmatch(text):
        return _checked(row_of(text), verb), None
    near = did_you_mean(text.lower(), [*names_for(), "auto"])
    raise ValueError(
        f"{shown(text)!r} is no model, hub address (owner/name) or folder that is there."
        f"{near} There are: {names}, auto."
    )


def _checked(row: Model | PromptModel | None, verb: str | None) -> Model | PromptModel | None:
    own = "animate" if isinstance(row, Model) else getattr(row, "verb", verb)
    if verb and own != verb:
        raise TypeError(
            f"{row.name!r} is for {EXAMPLES[own][0]}; {EXAMPLES[verb][0]} needs one of "
            f"{', '.join(names_for(verb))}."
        )
    return row


def address_of(name: str | os.PathLike) -> str:
    """Take a hub address as people copy it from the browser.

    >>> address_of("https://huggingface.co/owner/name")
    'owner/name'
    """
    return str(name).removeprefix(HUB_PAGES)


def auto(device: str, verb: str = "animate", asked: tuple | None = None) -> tuple[str, str]:
    """Choose the model that "auto" means, and say why.

    >>> auto("cpu", "draw")
    ('tiny-sd', 'sd-1.5 needs a CUDA GPU and this runs on cpu')
    """
    real, small = AUTO[verb]
    kept = resident(device)
    if kept and kept.name == real and asked in (None, kept.asked):
        return real, "it is loaded already"  # and its memory is not free, but its own
    if not device.startswith("cuda"):
        return small, f"{real} needs a CUDA GPU and this runs on {device}"
    if verb == "animate":
        # what another model holds there is as good as free
        return best_model(free_gpu_gib(device) + held_gib(device))
    return _if_it_can_be_had(verb)


def best_model(free_gib: float) -> tuple[str, str]:
    """Choose the video model for a CUDA GPU with so much free memory, and say why.

    >>> best_model(1.5)
    ('tiny', 'the GPU has 1.5 GiB free, and svd-xt needs 2.5')
    """
    real, small = AUTO["animate"]
    least = min(preset.needs_gib for preset in PRESETS.values() if preset.peak_gib)
    room = f"the GPU has {free_gib:.1f} GiB free"
    if free_gib < least:
        return small, f"{room}, and {real} needs {least:.1f}"
    return _if_it_can_be_had("animate", f"{room} and ")


def _if_it_can_be_had(verb: str, besides: str = "") -> tuple[str, str]:
    real, small = AUTO[verb]
    row = row_of(real)
    repo, adapter = row.repo, getattr(row, "adapter", None)
    without = PromptModel.NOT_ANIMATED if adapter else ()
    if is_cached(repo, without) and (not adapter or model_is_cached(adapter, row.beside)):
        return real, f"{besides}its weights are in the cache"
    if hub_answers(repo):
        return real, f"{besides}the hub answers"
    return small, f"the weights of {real} are not in the cache and the hub does not answer"
