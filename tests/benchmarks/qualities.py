"""Measure on tiny what shortcuts cost and save, one by one and as qualities:

    python tests/benchmarks/qualities.py --out tests/benchmarks/results/qualities_tiny_cpu.json

Every way makes the same clips, by turns, and is compared with the exact clips of 25 steps. The work
of svd-xt's UNet is counted beside them, on torch's meta device; its clips are not looked at.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from circumstances import circumstances

import svdkit as sk
from svdkit import lean
from svdkit.animation import resolved
from svdkit.blueprints import blueprint_of
from svdkit.counting import count
from svdkit.frames import psnr
from svdkit.lean import Shortcuts
from svdkit.qualities import QUALITIES, Quality
from svdkit.toyland.scenes import scene

FAST = QUALITIES["fast"]
STEPS = 25  # as diffusers has them for SVD
WAYS = {
    "exact, 25 steps": Quality("", ""),
    "fast": FAST,
    "draft": QUALITIES["draft"],
    "10 steps": Quality("", "", steps=10),
    "10 steps of Align Your Steps": Quality("", "", schedule=FAST.schedule, steps=FAST.steps),
    **{
        f"reuse={reuse} at depth {depth}": Quality("", "", Shortcuts(reuse, depth))
        for reuse in (2, 3)
        for depth in (0, 1)
    },
    **{f"guided={share}": Quality("", "", Shortcuts(guided=share)) for share in (0.8, 0.6)},
}
EXACT = next(iter(WAYS))
FIRST_SCENE = 100
DIGITS = 4


@dataclass
class Made:
    """A clip, and how long it took."""

    clip: sk.Clip
    seconds: float
    cpu_seconds: float


def made(pipeline: Any, picture: Any, seed: int, way: Quality) -> Made:
    """Make a clip from the very beginning."""
    import torch

    settings = resolved({}, pipeline, picture.size)
    steps = way.steps or STEPS
    lean.look_anew(pipeline)
    began = time.perf_counter(), time.process_time()
    with lean.shortened(pipeline, way.shortcuts, steps, guided=settings.max_guidance_scale > 1):
        frames = pipeline(
            picture,
            height=settings.height,
            width=settings.width,
            num_frames=settings.num_frames,
            num_inference_steps=steps,
            sigmas=way.sigmas,
            max_guidance_scale=settings.max_guidance_scale,
            decode_chunk_size=settings.decode_chunk_size,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np",
        ).frames[0]
    seconds, cpu_seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    return Made(sk.Clip((frames * 255).round().astype(np.uint8)), seconds, cpu_seconds)


def compared(one: Made, exact: Made) -> dict[str, float]:
    """Say how a clip differs from the exact one."""
    return {
        "psnr": psnr(exact.clip.frames, one.clip.frames),
        "motion_of_exact": sk.motion(one.clip) / sk.motion(exact.clip),
        "flicker_of_exact": sk.flicker(one.clip) / sk.flicker(exact.clip),
        "seconds": one.seconds,
        "seconds_of_exact": one.seconds / exact.seconds,
        "cpu_seconds": one.cpu_seconds,
        "cpu_seconds_of_exact": one.cpu_seconds / exact.cpu_seconds,
    }


def unet_tflop(way: Quality, model: str = "svd-xt") -> float:
    """Count the work of a UNet for all steps of a clip of the native size, in TFLOP."""
    import torch

    row, steps = sk.MODELS[model], way.steps or STEPS
    drawn = blueprint_of(row, "float16", "lean")
    like = {"device": "meta", "dtype": torch.float16}
    config, kinds = drawn.unet.config, {}
    given = (
        torch.empty(2, row.num_frames, config.in_channels, row.height // 8, row.width // 8, **like),
        torch.empty((), **like),
        torch.empty(2, 1, config.cross_attention_dim, **like),
        torch.empty(2, 3, **like),
    )
    total, shortcuts = 0, way.shortcuts
    with lean.shortened(drawn, shortcuts, steps, guided=True):
        for step in range(steps):
            kind = bool(step % shortcuts.reuse), step >= shortcuts.guided * steps
            if kind not in kinds:
                if drawn.unet.run:
                    drawn.unet.run.step = step
                kinds[kind] = count(lambda: drawn.unet(*given)).flops
            total += kinds[kind]
    return total / 1e12


def summed_up(rows: list[dict]) -> dict:
    """Give the medians over all clips, and of the nearness the worst too."""
    names = [name for name in rows[0] if name not in ("way", "picture", "seed")]
    medians = {name: statistics.median(row[name] for row in rows) for name in names}
    ratios = [row["motion_of_exact"] for row in rows]
    return medians | {
        "psnr_worst": min(row["psnr"] for row in rows),
        "motion_of_exact_from": min(ratios),
        "motion_of_exact_to": max(ratios),
    }


def rounded(row: dict) -> dict:
    """Leave out the digits that say nothing; equal clips have no PSNR."""
    numbers = {name: value for name, value in row.items() if isinstance(value, float)}
    short = {
        name: round(value, DIGITS) if math.isfinite(value) else None
        for name, value in numbers.items()
    }
    return row | short


def main(arguments: list[str]) -> None:
    """Measure clip by clip, and write the figures as JSON."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--clips", type=int, default=8, help="pictures, each with its own seed")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS)[1:], default=list(WAYS)[1:])
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    pipeline = sk.load("tiny", device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    asked = resolved({}, pipeline, sk.sample_image().size)
    picture = sk.fit(sk.sample_image(), asked.height, asked.width)
    pictures = {"sample image": picture} | {
        f"scene {seed}": scene(seed).image
        for seed in range(FIRST_SCENE, FIRST_SCENE + options.clips - 1)
    }
    ways, rows = [EXACT, *options.ways], []
    made(pipeline, picture, 0, WAYS["draft"])  # warms up
    for seed, (name, picture) in enumerate(pictures.items()):
        turn = seed % len(ways)  # each way is first at one time or another
        clips = {way: made(pipeline, picture, seed, WAYS[way]) for way in ways[turn:] + ways[:turn]}
        about = {"picture": name, "seed": seed}
        rows += [about | {"way": way} | compared(clips[way], clips[EXACT]) for way in ways]
        print(f"{time.process_time():7.1f} s  {name}", flush=True)
    work = {way: unet_tflop(WAYS[way]) for way in ways}
    report = circumstances(__file__, arguments) | {
        "model": "tiny",
        "frames": [asked.num_frames, asked.height, asked.width],
        "max_guidance_scale": asked.max_guidance_scale,
        "psnr_is_null": "where the clip is the exact one",
        "medians": {
            way: rounded(
                {"steps": WAYS[way].steps or STEPS}
                | summed_up([row for row in rows if row["way"] == way])
                | {
                    "unet_tflop_of_svd_xt": work[way],
                    "unet_tflop_of_svd_xt_of_exact": work[way] / work[EXACT],
                }
            )
            for way in ways
        },
        "clips": list(map(rounded, rows)),
    }
    draft = options.out.with_suffix(".part")
    draft.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    os.replace(draft, options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
