"""plan: what fits which GPU, and how long it takes, before anything is downloaded."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from .addresses import address_of, find
from .checkpoints import read_json
from .framing import NATIVE, in_proportion, sides_divide_by
from .gpus import GPUS, Gpu, find_gpu, present_gpu
from .hub import cached_folder
from .measured import Measurement, measurements, newest
from .memory import PRESETS, Preset, checked_arithmetic, fastest_preset, needed_gib
from .models import CONFIG_FILES, MODELS, Model, built_like
from .origins import origin_of
from .paths import shown
from .plans import Plan, PlannedRow
from .prediction import Prediction, predict
from .progress import PATIENCE, Bar
from .reach import Reach, reach_of
from .settings import LIMITS, Settings

FREE = "T4"  # what Colab lends for nothing


def plan(
    model: Any = "svd-xt",
    *,
    gpu: str | Gpu | None = None,
    num_frames: int | None = None,
    height: int | None = None,
    width: int | None = None,
    num_inference_steps: int | None = None,
    max_guidance_scale: float | None = None,
    decode_chunk_size: int | None = None,
    arithmetic: str = "lean",
    dtype: str = "float16",
    reaches: bool = True,
    progress: bool = True,
) -> Plan:
    """Say what fits a GPU with each memory preset, and how long it takes; nothing is downloaded.

    `gpu` is a name such as "T4" or "RTX 4090", a size such as "8 GB", or None for the one that is
    here. What was measured on such a card stands in the place of what is predicted. How far the
    card reaches takes half of the time; `reaches=False` leaves it out.

    >>> plan("tiny", gpu="T4", num_frames=8)
    tiny on T4 (14.7 GiB): 8 frames of 64×112, 10 steps, lean arithmetic in float16
    ...
    """
    row = _row_of(model)
    checked_arithmetic(arithmetic)
    card, remark = _card(gpu)
    settings = Settings.of(
        {
            "height": height,
            "width": width,
            "num_frames": num_frames,
            "num_inference_steps": num_inference_steps,
            "max_guidance_scale": max_guidance_scale,
            "decode_chunk_size": decode_chunk_size,
        },
        row.defaults,
    )
    frames, size = settings.num_frames or row.num_frames, _size(row, settings)
    more = {
        "arithmetic": arithmetic,
        "dtype": dtype,
        "num_inference_steps": settings.num_inference_steps,
        "guided": settings.max_guidance_scale > 1,
        "decode_chunk_size": decode_chunk_size,
    }
    presets = [
        preset
        for preset in PRESETS.values()
        if preset.keeps != "none" and (arithmetic == "lean" or preset.stock)
    ]
    predictions, furthest = _counted(
        row, presets, card, frames, size, more, reaches=reaches, progress=progress
    )
    known = measurements() if decode_chunk_size is None else []
    wanted = {"model": row.name, "num_frames": frames, "height": size[0], "width": size[1]}
    wanted |= {name: more[name] for name in ("arithmetic", "dtype", "guided")}
    return Plan(
        row.name,
        card,
        frames,
        size,
        settings.num_inference_steps,
        arithmetic,
        dtype,
        rows=tuple(
            _planned(
                prediction,
                card,
                newest(known, card, preset=prediction.preset, **wanted),
                settings.num_inference_steps,
            )
            for prediction in predictions
        ),
        auto="all_on_gpu" if row.bundled else fastest_preset(card.usable_gib, arithmetic).name,
        reaches=furthest,
        download_gib=predictions[0].download_gib,
        remark=remark,
    )


def _row_of(model: Any) -> Model:
    """Find the row of a model; a folder or an address without one gets one like it."""
    if not isinstance(model, (str, os.PathLike)):
        row = getattr(model, "config", None) and origin_of(model).model
        if not isinstance(row, Model):
            raise TypeError(
                f"{model!r:.40} is no Stable Video Diffusion that svdkit knows; give a name: "
                f"{', '.join(MODELS)}."
            )
        return row
    row, folder = find(model, "animate")
    if row:
        return row
    folder = folder or cached_folder(address_of(model))
    if folder is None:  # a checkpoint that is not here yet is built like SVD
        return replace(MODELS["svd-xt"], name=str(model), repo=address_of(model))
    return _row_for(folder)


def _row_for(folder: Path) -> Model:
    needed = [folder / CONFIG_FILES[part] for part in ("unet", "vae", "image_encoder")]
    for file in needed:
        if not file.is_file():
            raise FileNotFoundError(
                f"{shown(folder)!r} has no {file.relative_to(folder)}; give a folder of Stable "
                "Video Diffusion in diffusers' layout."
            )
    unet, *_ = map(read_json, needed)
    usual = built_like(unet) or replace(MODELS["svd-xt"], height=NATIVE[0], width=NATIVE[1])
    frames = unet.get("num_frames", usual.num_frames)
    return replace(usual, name=folder.name, config=str(folder.resolve()), num_frames=frames)


def _card(gpu: str | Gpu | None) -> tuple[Gpu, str]:
    if isinstance(gpu, Gpu):
        return gpu, ""
    if gpu is not None:
        return find_gpu(gpu), ""
    here = present_gpu()
    if here:
        return here, ""
    return GPUS[FREE], f"There is no CUDA GPU here; this is for a {FREE}, the free one of Colab."


def _step(row: Model) -> int:
    return sides_divide_by(row.config_of("unet"), row.config_of("vae"))


def _size(row: Model, settings: Settings) -> tuple[int, int]:
    """Take the size asked for; where one side is open, the other follows in proportion."""
    if not settings.height and not settings.width:
        return row.height, row.width
    step = _step(row)
    height, width = in_proportion(settings, row.width / row.height, step)
    if height % step or width % step:
        raise ValueError(
            f"{height}×{width} does not suit {row.name}: its sides divide by {step}. Try "
            f"{max(step, round(height / step) * step)}×{max(step, round(width / step) * step)}."
        )
    return height, width


def _planned(
    prediction: Prediction, card: Gpu, measured: Measurement | None, steps: int
) -> PlannedRow:
    """Make a row of a prediction, and of what was measured as far as it is the same."""
    peak, seconds, source = prediction.peak_gib, prediction.seconds_on(card), "predicted"
    if measured:
        peak, source = measured.peak_gib, measured.source
        if measured.steps == steps:
            seconds = measured.seconds
        elif seconds is not None:
            source = f"memory {measured.source}, time predicted"
    needs = needed_gib(peak)
    fits = needs <= card.usable_gib
    return PlannedRow(prediction.preset, peak, needs, fits, seconds, prediction.ram_gib, source)


def _counted(
    row: Model,
    presets: list[Preset],
    card: Gpu,
    frames: int,
    size: tuple[int, int],
    more: dict[str, Any],
    *,
    reaches: bool,
    progress: bool,
) -> tuple[list[Prediction], tuple[Reach, ...]]:
    """Predict what each preset takes, and how far the leanest ones reach."""
    predictions, furthest = [], []
    told = {"desc": f"planning {row.name}", "unit": "prediction", "total": len(presets) + 2}
    with Bar(**told, delay=PATIENCE, disable=not progress) as bar:
        for preset in presets:
            bar.stage(preset.name)
            height, width = size
            predictions.append(
                predict(row, preset, num_frames=frames, height=height, width=width, **more)
            )
            bar.update()
        leanest = _leanest(presets, predictions) if reaches else []
        bar.total = len(presets) + len(leanest)
        for preset in leanest:
            bar.stage(f"how far {preset.name} reaches")
            limits = {"frames": LIMITS["num_frames"], "sides": LIMITS["width"], "step": _step(row)}
            furthest.append(reach_of(row, preset, card.usable_gib, frames, size, **limits, **more))
            bar.update()
    return predictions, tuple(furthest)


def _leanest(presets: list[Preset], predictions: list[Prediction]) -> list[Preset]:
    """Give the leanest presets: with frames in RAM, and without."""
    leanest: dict[bool, Preset] = {}
    for preset, prediction in sorted(
        zip(presets, predictions, strict=True), key=lambda both: -both[1].peak_gib
    ):
        spills = any(stage.count.ram_bytes for stage in prediction.stages)
        leanest[spills] = preset
    return list(leanest.values())
