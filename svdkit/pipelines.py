"""load and unload: a ready pipeline, from the hub, a folder, or the bundled tiny one."""

import gc
import json
import os
import re
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from . import hub
from .architectures import build
from .devices import pick_device, pick_dtype
from .memory import (
    PRESETS,
    NotEnoughMemory,
    Preset,
    checked_memory,
    free_gpu_gib,
    is_out_of_memory,
    preset_for,
)
from .models import MODELS, Model, did_you_mean, find_model
from .origins import Origin, origin_of, remember
from .paths import as_path, shown
from .upstream import dtype_argument, feature_extractor, import_diffusers, without_bars

if TYPE_CHECKING:
    import torch
    from diffusers import StableVideoDiffusionPipeline

AUTO_MODEL = "svd-xt"
HUB_PAGES = "https://huggingface.co/"  # people copy a checkpoint's address from the browser
ADDRESS = re.compile(r"[A-Za-z0-9](?!.*(--|\.\.))[\w.-]*/[A-Za-z0-9][\w.-]*")  # owner/name


@dataclass(frozen=True)
class _Kept:
    what: tuple
    """The model, and the state of its folder if it has one."""
    asked: tuple
    """All else that shaped it: memory, device, dtype and weights."""
    pipeline: "StableVideoDiffusionPipeline"


_kept: dict[str, _Kept] = {}  # by device: one pipeline resides on each
_loading = RLock()  # two loads at once get in each other's way inside accelerate
_licences_told: set[str] = set()


def load(
    name: str | os.PathLike = "auto",
    *,
    memory: str = "auto",
    device: "str | torch.device | None" = None,
    dtype: "str | torch.dtype | None" = None,
    weights: str | None = None,
) -> "StableVideoDiffusionPipeline":
    """Load a ready pipeline by a name of MODELS, a hub address, or a folder in diffusers' layout.

    "auto" takes svd-xt where a CUDA GPU holds it and its weights can be had, else tiny, and says
    why. A pipeline is kept, so that loading it again is instant; the next one takes its place.
    `memory` is a name of PRESETS; `weights="random"` builds a model of MODELS at full size with
    no download, to measure time and memory.

    >>> load("tiny", device="cpu") is load("tiny", device="cpu")
    True
    """
    device = pick_device(device, memory)
    memory = checked_memory(memory, device)
    if weights not in (None, "random"):
        raise ValueError(f"weights is {weights!r}; it is None (the trained ones) or 'random'.")
    dtype = pick_dtype(dtype, device)
    with _loading:
        return _loaded(name, memory, device, dtype, weights)


def unload() -> None:
    """Give the memory of every kept pipeline back.

    >>> unload()
    """
    for device in list(_kept):
        _make_room(device)


def _loaded(
    name: Any, memory: str, device: str, dtype: "torch.dtype", weights: str | None
) -> "StableVideoDiffusionPipeline":
    asked = (memory, device, dtype, weights)
    if isinstance(name, str):
        name = address_of(name)
    if name == "auto":
        name, why = _auto(device, asked)
        print(f"auto: {name}, because {why}.")
    row, folder = find(name)
    kept = _kept.get(device)
    what = (folder or (row.name if row else name), _fingerprint(folder))
    if kept and (kept.what, kept.asked) == (what, asked):
        return kept.pipeline
    if weights == "random" and row is None:
        raise ValueError(f"weights='random' builds a model of {', '.join(MODELS)}; not {name!r}.")
    random = weights == "random"
    # what can go wrong outside goes wrong here, before the pipeline that is there makes room
    checkpoint = None if random else _checkpoint(str(name), row, folder, dtype)
    _make_room(device)
    small = bool(row and row.bundled)
    preset = preset_for(memory, device, small=small)
    if checkpoint:
        with without_bars() if small else nullcontext():
            pipeline = _read(checkpoint, dtype)
    else:
        # a GPU draws its numbers quicker, and others; those of tiny are the same everywhere
        straight = preset.name == "all_on_gpu" and not small
        pipeline = build(row, dtype=dtype, device=device if straight else "cpu")
    _place(pipeline, preset, device)
    _kept[device] = _Kept(what, asked, pipeline)
    origin = Origin(
        name=row.name if row else folder.name if folder else str(name),
        model=row,
        source="random" if random else "bundled" if small else "folder" if folder else "hub",
        revision=checkpoint.revision if checkpoint else None,
        preset=preset,
    )
    remember(pipeline, origin)
    if checkpoint and row and not small:
        _tell_licence(row)
    return pipeline


def _read(checkpoint: hub.Checkpoint, dtype: "torch.dtype") -> "StableVideoDiffusionPipeline":
    pipeline_class = import_diffusers().StableVideoDiffusionPipeline
    config = checkpoint.folder / "feature_extractor" / "preprocessor_config.json"
    try:
        preprocessor = json.loads(config.read_text(encoding="utf-8"))
        return pipeline_class.from_pretrained(
            checkpoint.folder,
            variant=checkpoint.variant,
            use_safetensors=True,
            local_files_only=True,
            feature_extractor=feature_extractor(preprocessor),
            **dtype_argument(dtype),
        )
    except (ImportError, PermissionError):
        raise
    except Exception as error:  # safetensors, json, diffusers and torch each have their own
        if is_out_of_memory(error):
            raise NotEnoughMemory(
                f"Memory ran out while {shown(checkpoint.folder)!r} was read. Close other programs "
                "and notebooks, or load it with dtype='float16', which halves it."
            ) from error
        raise hub.damaged(checkpoint.folder, f"{type(error).__name__}: {shown(error)}") from error


def _checkpoint(
    name: str, row: Model | None, folder: Path | None, dtype: "torch.dtype"
) -> hub.Checkpoint:
    import torch

    half = dtype != torch.float32
    if row and row.bundled:
        return hub.Checkpoint(row.folder, None)
    if folder:
        return hub.from_folder(folder, half=half)
    repo = row.repo if row else name
    hint = did_you_mean(repo, [model.repo for model in MODELS.values() if model.repo])
    return hub.from_hub(repo, half=half, hint=hint)


def _place(pipeline: "StableVideoDiffusionPipeline", preset: Preset, device: str) -> None:
    try:
        preset.apply(pipeline, device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        names = list(PRESETS)
        raise NotEnoughMemory(
            f"The model does not fit on {device} with memory={preset.name!r}; try "
            f"memory={names[names.index(preset.name) + 1]!r}, or close what else uses the GPU."
        ) from error


def find(name: Any) -> tuple[Model | None, Path | None]:
    """Find the row of MODELS and the folder that a name means; neither is a hub address.

    >>> find("svd-xt")[0].num_frames
    25
    """
    if isinstance(name, str):
        name = address_of(name)
        name = _auto(pick_device())[0] if name == "auto" else name
    if not isinstance(name, (str, os.PathLike)) or not str(name):
        raise TypeError(f"{name!r} is no model; give a name ({', '.join(MODELS)}) or a path.")
    text = str(name)
    if isinstance(name, str) and text in MODELS:
        return MODELS[text], None
    path = as_path(name)
    if path.is_dir():
        return None, path.resolve()
    if path.suffix.lower() in hub.PICKLES:
        raise ValueError(
            f"{shown(text)!r} is a pickle, which can run any code when it is opened; svdkit reads "
            "safetensors only, in a folder of diffusers' layout."
        )
    if path.suffix.lower() == ".safetensors":
        raise ValueError(
            f"{shown(text)!r} is a single file, from which diffusers cannot load SVD; give a "
            "folder in "
            "its layout (unet/, vae/, image_encoder/ …), a hub address, or a name: "
            f"{', '.join(MODELS)}."
        )
    if isinstance(name, str) and ADDRESS.fullmatch(text):
        return find_model(text), None
    known = [*MODELS, "auto"]
    raise ValueError(
        f"{shown(text)!r} is no model, hub address (owner/name) or folder that is there."
        f"{did_you_mean(text.lower(), known)} There are: {', '.join(known)}."
    )


def address_of(name: str | os.PathLike) -> str:
    """Take a hub address as people copy it from the browser.

    >>> address_of("https://huggingface.co/owner/name")
    'owner/name'
    """
    return str(name).removeprefix(HUB_PAGES)


def _fingerprint(folder: Path | None) -> tuple | None:
    """Tell one state of a folder from another: a checkpoint that was saved anew is loaded anew."""
    if folder is None or not (folder / "model_index.json").exists():
        return None
    files = [folder / "model_index.json", *sorted(folder.glob("*/*"))]
    stats = [(str(file), file.stat()) for file in files if file.exists()]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _auto(device: str, asked: tuple | None = None) -> tuple[str, str]:
    """Choose the model that "auto" means, and say why."""
    kept = _kept.get(device)
    if kept and kept.what[0] == AUTO_MODEL and asked in (None, kept.asked):
        return AUTO_MODEL, "it is loaded already"  # and its memory is not free, but its own
    if not device.startswith("cuda"):
        return "tiny", f"svd-xt needs a CUDA GPU and this runs on {device}"
    return best_model(free_gpu_gib(device))


def best_model(free_gib: float) -> tuple[str, str]:
    """Choose the model for a CUDA GPU with so much free memory, and say why.

    >>> best_model(1.5)
    ('tiny', 'the GPU has 1.5 GiB free, and svd-xt needs 5.7')
    """
    row = MODELS[AUTO_MODEL]
    least = min(preset.needs_gib for preset in PRESETS.values() if preset.peak_gib)
    room = f"the GPU has {free_gib:.1f} GiB free"
    if free_gib < least:
        return "tiny", f"{room}, and {row.name} needs {least:.1f}"
    if hub.is_cached(row.repo):
        return row.name, f"{room} and its weights are in the cache"
    if hub.hub_answers(row.repo):
        return row.name, f"{room} and the hub answers"
    return "tiny", f"the weights of {row.name} are not in the cache and the hub does not answer"


def _make_room(device: str) -> None:
    """Forget the pipeline that a device keeps, and free what it holds there."""
    import torch

    kept = _kept.pop(device, None)
    if kept is None:
        return
    if device != "cpu" and origin_of(kept.pipeline).preset == PRESETS["all_on_gpu"]:
        # its user may still hold it, and with it the GPU's memory
        kept.pipeline.to("cpu")
        print(f"{origin_of(kept.pipeline).name} leaves {device} for another model.")
    del kept
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()


def _tell_licence(row: Model) -> None:
    if row.name not in _licences_told:
        _licences_told.add(row.name)
        print(f"{row.name}: {row.licence.summary}")
