"""What a recipe says of one run: what was asked, and what else its numbers depend on."""

import hashlib
import json
import os
import platform
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .addresses import address_of, find
from .frames import sha256_of_frames
from .hub import cached_folder
from .lean import is_lean
from .models import MODELS
from .origins import origin_of
from .paths import shown
from .prompting import PromptSettings
from .settings import Settings
from .upstream import import_diffusers

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, StableVideoDiffusionPipeline
    from PIL import Image

PUBLISHED = "EulerDiscreteScheduler"  # which SVD comes with
SAMPLES = 8  # numbers of each tensor of weights that go into their fingerprint


def request_of(
    pipeline: "StableVideoDiffusionPipeline",
    picture: "Image.Image",
    settings: Settings,
    *,
    seed: int,
    how: str = "crop",
    focus: tuple[float, float] = (0.5, 0.5),
) -> dict[str, Any]:
    """Write down what is asked of a pipeline: with the same again, the same clip comes again.

    The picture is the fitted one; `how` and `focus` say how another may be fitted like it.

    >>> from svdkit import load, sample_image
    >>> request_of(load("tiny", device="cpu"), sample_image(), Settings(), seed=7)["scheduler"]
    {'class': 'EulerDiscreteScheduler'}
    """
    return {
        "verb": "animate",
        **identity_of(pipeline),
        "revision": origin_of(pipeline).revision,
        "settings": json.loads(json.dumps(asdict(settings))),
        "seed": seed,
        "image_sha256": sha256_of_frames(np.asarray(picture)),
        "fit": {"how": how, "focus": [float(part) for part in focus]},
    }


def prompt_request_of(
    pipeline: "DiffusionPipeline", verb: str, prompt: str, settings: PromptSettings, *, seed: int
) -> dict[str, Any]:
    """Write down what is asked of a pipeline that takes a prompt.

    >>> from svdkit import load
    >>> pipeline = load("tiny-sd", device="cpu")
    >>> prompt_request_of(pipeline, "draw", "a kite", PromptSettings(), seed=7)["prompt"]
    'a kite'
    """
    origin = origin_of(pipeline)
    return {
        "verb": verb,
        "model": origin.name,
        "source": origin.source,
        "scheduler": _departures_of(pipeline.scheduler, _defaults_of(type(pipeline.scheduler))),
        "revision": origin.revision,
        "prompt": prompt,
        "settings": {name: value for name, value in asdict(settings).items() if value is not None},
        "seed": seed,
    }


def identity_of(model: "str | os.PathLike | StableVideoDiffusionPipeline") -> dict[str, Any]:
    """Say which model it is, and how it calculates: what all clips of a sweep share.

    A name is not loaded for it; an address of the hub has to be in the cache.

    >>> identity_of("tiny")["source"]
    'bundled'
    """
    arithmetic = "lean"  # as load has it
    if isinstance(model, (str, os.PathLike)):
        name, source, scheduler = _named(model)
    else:
        origin = origin_of(model)
        name, source, scheduler = origin.name, origin.source, model.scheduler
        arithmetic = "lean" if is_lean(model) else "stock"
    return {
        "model": name,
        "source": source,
        "scheduler": _departures_of(scheduler, _published_scheduler()),
        "arithmetic": arithmetic,
    }


def outcome_of(pipeline: "StableVideoDiffusionPipeline", frames: np.ndarray) -> dict[str, Any]:
    """Write down what came out, and under which circumstances.

    >>> from svdkit import load
    >>> outcome_of(load("tiny", device="cpu"), np.zeros((2, 8, 8, 3), np.uint8))["device"]
    'cpu'
    """
    import diffusers
    import torch
    import transformers

    device = pipeline._execution_device
    on_gpu = device.type == "cuda"
    origin = origin_of(pipeline)
    rare = {"memory_ran_out_with": list(origin.before)} if origin.before else {}
    rare |= {"compiled": True} if origin.compiled else {}
    return {
        "versions": {
            "svdkit": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
        },
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "dtype": str(pipeline.unet.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "memory": origin.preset.name if origin.preset else None,
        **rare,
        "weights": fingerprint_of_weights(pipeline),
        "frames_sha256": sha256_of_frames(frames),
    }


def _named(model: str | os.PathLike) -> tuple[str, str, Any]:
    """Give the name, the source and the scheduler that a model will have once it is loaded."""
    row, folder = find(model)
    if row:
        config = row.config_of("scheduler")
    else:
        stored = folder or cached_folder(address_of(model))
        if stored is None:
            raise ValueError(
                f"{model!r} is not in the cache of this machine, so its frames and its scheduler "
                f"are not known here. Load it once, with load({str(model)!r})."
            )
        config = json.loads((stored / "scheduler" / "scheduler_config.json").read_text("utf-8"))
    kind = str(config.get("_class_name", PUBLISHED))
    if not kind.endswith("Scheduler"):  # of a stranger's folder, and anything in diffusers else
        raise ValueError(f"{shown(model)!r} calls its scheduler {kind!r:.60}, which is none.")
    kind = getattr(import_diffusers(), kind)
    source = "bundled" if row and row.bundled else "folder" if folder else "hub"
    name = row.name if row else folder.name if folder else address_of(model)
    return name, source, kind.from_config(config)


@cache
def _published_scheduler() -> dict[str, Any]:
    kind = getattr(import_diffusers(), PUBLISHED)
    return dict(kind.from_config(MODELS["svd-xt"].config_of("scheduler")).config)


@cache
def _defaults_of(kind: type) -> dict[str, Any]:
    return dict(kind().config)


def _departures_of(scheduler: Any, published: dict[str, Any]) -> dict[str, Any]:
    """Name the scheduler, and where it departs from what is published, or usual."""
    departures = {
        name: value
        for name, value in scheduler.config.items()
        if not name.startswith("_") and published.get(name, value) != value
    }
    about = {"class": type(scheduler).__name__} | departures
    return json.loads(json.dumps(about, default=str))


def fingerprint_of_weights(pipeline: "StableVideoDiffusionPipeline") -> str | None:
    """Tell one set of weights from another by some numbers of each tensor.

    Fine-tuned, merged and replaced weights differ nearly everywhere, so a few numbers do; all of
    SVD-XT's would take seconds. None where offloading keeps the weights out of reach.

    >>> from svdkit import load
    >>> len(fingerprint_of_weights(load("tiny", device="cpu")))
    64
    """
    import torch

    names = ("unet", "vae", "image_encoder", "text_encoder", "text_encoder_2")
    parts = [part for name in names if (part := getattr(pipeline, name, None)) is not None]
    named = [pair for part in parts for pair in part.named_parameters()]
    named = [(name.removeprefix("_orig_mod."), weight) for name, weight in named]  # torch.compile's
    if any(weight.is_meta for _, weight in named):
        return None
    samples = [
        weight.detach().flatten()[:: max(1, weight.numel() // SAMPLES)][:SAMPLES].float()
        for _, weight in named
    ]
    read = {}
    for place in {sample.device for sample in samples}:  # one transfer a device, not one a tensor
        there = [sample for sample in samples if sample.device == place]
        read[place] = iter(torch.cat(there).cpu().split([len(sample) for sample in there]))
    digest = hashlib.sha256(" ".join(name for name, _ in named).encode())
    for sample in samples:
        digest.update(next(read[sample.device]).numpy().tobytes())
    return digest.hexdigest()
