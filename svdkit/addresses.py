"""A model's name → its row, its folder or its address; and what "auto" stands for."""

import os
import re
from pathlib import Path
from typing import Any

from .checkpoints import PICKLES
from .devices import pick_device
from .hub import hub_answers, is_cached
from .memory import PRESETS, free_gpu_gib
from .models import MODELS, Model, did_you_mean
from .paths import as_path, shown
from .prompts import PROMPT_MODELS, PromptModel, names_for, row_of
from .residence import resident

# What "auto" stands for: on a CUDA GPU, and elsewhere
AUTO = {
    "animate": ("svd-xt", "tiny"),
    "draw": ("sd-1.5", "tiny-sd"),
    "animate_prompt": ("animatediff", "tiny-animatediff"),
}
HUB_PAGES = "https://huggingface.co/"  # people copy a checkpoint's address from the browser
ADDRESS = re.compile(r"[A-Za-z0-9](?!.*(--|\.\.))[\w.-]*/[A-Za-z0-9][\w.-]*")  # owner/name


def find(name: Any, verb: str = "animate") -> tuple[Model | PromptModel | None, Path | None]:
    """Find the row and the folder that a name means; neither is a hub address.

    `verb` says what "auto" is to be good for.

    >>> find("svd-xt")[0].num_frames
    25
    """
    if isinstance(name, str):
        name = address_of(name)
        name = auto(pick_device(), verb)[0] if name == "auto" else name
    if not isinstance(name, (str, os.PathLike)) or not str(name):
        names = ", ".join(names_for(verb))
        raise TypeError(f"{name!r} is no model; give a name ({names}) or a path.")
    text = str(name)
    if isinstance(name, str) and (text in MODELS or text in PROMPT_MODELS):
        return row_of(text), None
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
            f"{shown(text)!r} is a single file, from which diffusers cannot load SVD; give a "
            "folder in "
            "its layout (unet/, vae/, image_encoder/ …), a hub address, or a name: "
            f"{', '.join(names_for(verb))}."
        )
    if isinstance(name, str) and ADDRESS.fullmatch(text):
        return row_of(text), None
    near = did_you_mean(text.lower(), [*names_for(), "auto"])
    raise ValueError(
        f"{shown(text)!r} is no model, hub address (owner/name) or folder that is there."
        f"{near} There are: {', '.join([*names_for(verb), 'auto'])}."
    )


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
        return best_model(free_gpu_gib(device))
    return _if_it_can_be_had(verb)


def best_model(free_gib: float) -> tuple[str, str]:
    """Choose the video model for a CUDA GPU with so much free memory, and say why.

    >>> best_model(1.5)
    ('tiny', 'the GPU has 1.5 GiB free, and svd-xt needs 5.7')
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
    if is_cached(repo, without=PromptModel.NOT_ANIMATED if adapter else ()):
        return real, f"{besides}its weights are in the cache"
    if hub_answers(repo):
        return real, f"{besides}the hub answers"
    return small, f"the weights of {real} are not in the cache and the hub does not answer"
