"""load and unload: a ready pipeline, from the hub, a folder, or a bundled one."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import lean
from .addresses import address_of, auto, find
from .architectures import build
from .assembly import gather, read
from .checkpoints import is_for
from .compiling import compile_unet
from .devices import pick_device, pick_dtype
from .memory import Preset, checked_arithmetic, checked_memory, place, preset_for
from .models import MODELS, Model
from .origins import Origin, remember
from .residence import (
    Resident,
    bring_back,
    leave_all,
    make_room,
    move_in,
    moving,
    resident,
    who_left,
)
from .room import NotEnoughMemory, is_out_of_memory
from .rungs import rung_below, take_off

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

_told: set[str] = set()  # what need not be said again


def load(
    name: str | os.PathLike = "auto",
    *,
    memory: str = "auto",
    device: "str | torch.device | None" = None,
    dtype: "str | torch.dtype | None" = None,
    weights: str | None = None,
    arithmetic: str = "lean",
    compile: bool = False,
    progress: bool = True,
) -> "DiffusionPipeline":
    """Load a ready pipeline by a name of MODELS, a hub address, or a folder in diffusers' layout.

    "auto" takes svd-xt where a CUDA GPU holds it and its weights can be had, else tiny, and says
    why. The models of PROMPT_MODELS, which draw, are loaded alike. A pipeline is kept, so that
    loading it again is instant; the next one takes its place. `memory` is a name of PRESETS;
    `weights="random"` builds a model of MODELS at full size with no download, to measure time and
    memory. Stable Video Diffusion calculates in svdkit's lean way: the same mathematics in less
    memory and time, rounded otherwise in the last digits; `arithmetic="stock"` is diffusers' own.
    `compile=True` lets torch compile its UNet: the first clip of each size takes minutes longer,
    those after it are faster. `progress=False` shows no bars of what is downloaded and read,
    and says nothing.

    >>> load("tiny", device="cpu") is load("tiny", device="cpu")
    True
    """
    return load_for(
        None,
        name,
        memory=memory,
        device=device,
        dtype=dtype,
        weights=weights,
        arithmetic=arithmetic,
        compile=compile,
        progress=progress,
    )


def load_for(
    verb: str | None,
    name: str | os.PathLike = "auto",
    *,
    memory: str = "auto",
    device: "str | torch.device | None" = None,
    dtype: "str | torch.dtype | None" = None,
    weights: str | None = None,
    arithmetic: str = "lean",
    compile: bool = False,
    progress: bool = True,
) -> "DiffusionPipeline":
    """Load a pipeline that is good for a verb: "animate", "draw" or "animate_prompt".

    What is not is refused before anything is downloaded.

    >>> load_for("animate", "sd-turbo")
    Traceback (most recent call last):
    TypeError: 'sd-turbo' is for drawing; animating needs one of tiny, svd, svd-xt, svd-xt-1-1.
    """
    device = pick_device(device, memory)
    memory = checked_memory(memory, device)
    if weights not in (None, "random"):
        raise ValueError(f"weights is {weights!r}; it is None (the trained ones) or 'random'.")
    checked_arithmetic(arithmetic)
    dtype = pick_dtype(dtype, device)
    asked = Asked(memory, device, dtype, weights, arithmetic, compile)
    with moving:
        return _loaded(verb, name, asked, progress)


def unload() -> None:
    """Give the memory of every kept pipeline back.

    >>> unload()
    """
    leave_all()


class Asked(NamedTuple):
    """All that shapes a pipeline, besides its model.

    >>> Asked("auto", "cpu", None, None, "lean", False).device
    'cpu'
    """

    memory: str
    device: str
    dtype: "torch.dtype | None"
    weights: str | None
    arithmetic: str
    compile: bool


def _loaded(
    verb: str | None, name: Any, asked: Asked, progress: bool = False
) -> "DiffusionPipeline":
    memory, device, dtype, weights, arithmetic, compiles = asked
    if isinstance(name, str):
        name = address_of(name)
    if name == "auto":
        name, why = auto(device, verb or "animate", asked)
        _tell_once(f"auto: {name}, because {why}.", progress)
    row, folder = find(name, verb)
    kept = resident(device)
    what = (folder or (row.name if row else name), _fingerprint(folder))
    if kept and (kept.what, kept.asked) == (what, asked):
        return kept.pipeline
    gone = who_left(device, what, asked)
    if gone:
        bring_back(gone)
        return gone
    random = weights == "random"
    if random and not isinstance(row, Model):
        raise ValueError(f"weights='random' builds a model of {', '.join(MODELS)}; not {name!r}.")
    # what can go wrong outside goes wrong here, before the pipeline that is there makes room
    found = None if random else gather(str(name), row, folder, dtype, verb, progress)
    make_room(device)
    small = bool(row and row.bundled)
    other = None if found is None or found.animates else found.gib
    preset = preset_for(memory, device, small=small, weights_gib=other, arithmetic=arithmetic)
    called = row.name if row else folder.name if folder else str(name)
    if found:
        pipeline = read(found, row, dtype, called, progress and not small)
    else:
        # a GPU draws its numbers quicker, and others; those of tiny are the same everywhere
        straight = preset.name == "all_on_gpu" and not small
        pipeline = build(row, dtype=dtype, device=device if straight else "cpu")
    if arithmetic == "lean" and is_for("animate", pipeline):
        lean.apply(pipeline)
    if compiles:
        compile_unet(pipeline, preset)
    preset = _placed(pipeline, preset, asked)
    move_in(device, Resident(what, asked, pipeline))
    origin = Origin(
        name=called,
        model=row,
        source="random" if random else "bundled" if small else "folder" if folder else "hub",
        revision=found.revision if found else None,
        preset=preset,
        compiled=compiles,
    )
    remember(pipeline, origin)
    if found and row and not small:
        _tell_once(f"{row.name}: {row.licence.summary}", progress)
    return pipeline


def _placed(pipeline: "DiffusionPipeline", preset: Preset, asked: Asked) -> Preset:
    """Put a pipeline where it belongs: with "auto" one rung lower where it does not fit."""
    while True:
        try:
            place(pipeline, preset, asked.device, asked.arithmetic)
            return preset
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            below = rung_below(preset, asked.device, asked.arithmetic)
            if below is None or asked.memory != "auto":
                cure = f"try memory={below.name!r}, or " if below else ""
                raise NotEnoughMemory(
                    f"The model does not fit on {asked.device} with memory={preset.name!r}; "
                    f"{cure}close what else uses its memory."
                ) from error
        take_off(pipeline)
        preset = below


def _fingerprint(folder: Path | None) -> tuple | None:
    """Tell one state of a folder from another: a checkpoint that was saved anew is loaded anew."""
    if folder is None or not (folder / "model_index.json").exists():
        return None
    files = [folder / "model_index.json", *sorted(folder.glob("*/*"))]
    stats = [(str(file), file.stat()) for file in files if file.exists()]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _tell_once(words: str, progress: bool) -> None:
    if progress and words not in _told:
        _told.add(words)
        print(words)
