"""Measure lean arithmetic against stock on a card, with weights that need no download:

    python tests/benchmarks/lean.py --steps 5 --out tests/benchmarks/results/lean_H200.json

and on a CPU:

    python tests/benchmarks/lean.py --model tiny --out tests/benchmarks/results/lean_tiny_cpu.json

Each part has a process of its own, and what it measured is written before the next one begins: the
stages by turns; a clip of each preset in each arithmetic, on no more memory than the card that the
preset is meant for has; the kernels of a step; how near the clips are to each other; and, with
`--compile`, the stages of compiled models.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from circumstances import circumstances

import svdkit as sk
from svdkit import bench, lean
from svdkit.animation import resolved
from svdkit.architectures import build
from svdkit.figures import Figures, rounded
from svdkit.frames import psnr
from svdkit.memory import ARITHMETICS, PRESETS, place
from svdkit.origins import Origin, origin_of, remember
from svdkit.prediction import predict
from svdkit.room import OVERHEAD_GIB, NotEnoughMemory
from svdkit.rungs import free_memory
from svdkit.stopwatch import GIB, timed_run
from svdkit.toyland.scenes import scene

# What the card has that a preset is meant for
CARD_GIB = {
    "all_on_gpu": 16,
    "offload_models": 12,
    "offload_and_stream": 8,
    "offload_in_turn": 6,
    "offload_layers": 4,
}
SMALL = (192, 320, 4)  # the height, the width and the frames of a clip that warms up
KERNELS = 25
FIRST_SCENE = 100
DAY = 24 * 3600


def on_gpu() -> bool:
    """Whether there is a CUDA GPU."""
    import torch

    return torch.cuda.is_available()


def prepared(model: str, preset: str, arithmetic: str):
    """Give a pipeline with a preset; random weights are drawn on the GPU, which is quick."""
    import torch

    row = sk.MODELS[model]
    if row.bundled:
        return sk.load(model, memory=preset, arithmetic=arithmetic)
    device, dtype = "cuda:0", torch.float16
    pipeline = build(row, dtype=dtype, device=device)
    if PRESETS[preset].keeps != "all":
        pipeline.to("cpu")
    place(pipeline, PRESETS[preset], device, arithmetic)
    remember(pipeline, Origin(row.name, row, "random", preset=PRESETS[preset]))
    free_memory()
    return pipeline


def stages(options: argparse.Namespace) -> dict:
    """Time the stages by turns."""
    measured = bench.measure(
        options.model,
        memory="all_on_gpu" if on_gpu() else "auto",
        weights=options.weights,
        repeats=options.repeats,
    )
    print(measured, flush=True)
    return {"rows": measured.rows}


def one_preset(options: argparse.Namespace, preset: str, arithmetic: str) -> dict:
    """Make one clip with a preset, on the memory of the card that it is meant for."""
    import torch

    pipeline = prepared(options.model, preset, arithmetic)
    picture = sk.sample_image()
    settings = resolved({}, pipeline, picture.size)
    figures = {"card_gib": None}
    if options.cap and preset in CARD_GIB:
        total_gib = torch.cuda.get_device_properties(0).total_memory / GIB
        most_gib = min(CARD_GIB[preset] - OVERHEAD_GIB, total_gib)
        torch.cuda.set_per_process_memory_fraction(most_gib / total_gib)
        figures = {"card_gib": CARD_GIB[preset], "most_gib": most_gib}
    sides = (settings.height, settings.width, settings.num_frames)
    height, width, num_frames = map(min, sides, SMALL)
    warm = {"height": height, "width": width, "num_frames": num_frames, "num_inference_steps": 2}
    about = {"model": options.model, "preset": preset, "arithmetic": arithmetic} | figures
    try:
        quick = replace(settings, **warm, decode_chunk_size=min(num_frames, 2))
        timed_run(pipeline, sk.fit(picture, height, width), quick)
        free_memory()
        run = timed_run(
            pipeline,
            sk.fit(picture, settings.height, settings.width),
            replace(settings, num_inference_steps=options.steps or settings.num_inference_steps),
            smaller_chunks=bench.smaller_chunks(settings.decode_chunk_size)
            if arithmetic == "stock"
            else (),
        )
    except NotEnoughMemory as error:
        return about | {"fits": False, "why": str(error)}
    dtype = str(pipeline.unet.dtype).removeprefix("torch.")
    row = Figures(arithmetic, settings, (run, run)).row()  # its memory and its time are of one run
    about |= row | bench.circumstances(str(pipeline._execution_device))
    about |= {"dtype": dtype, "weights": origin_of(pipeline).source, "fits": True}
    about["steps_run"] = sum(lap.stage in ("first_step", "step") for lap in run.laps)
    if row["peak_gib"]:
        predicted = predict(
            sk.MODELS[options.model],
            PRESETS[preset],
            arithmetic=arithmetic,
            dtype=dtype,
            decode_chunk_size=run.decode_chunk_size,
        ).peak_gib
        about["predicted_peak_gib"] = rounded(predicted)
        about["measured_over_predicted"] = rounded(row["peak_gib"] / predicted)
    return about


def kernels(options: argparse.Namespace) -> dict:
    """List the kernels of a step, those that take longest first."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    found = {}
    for arithmetic in ARITHMETICS:
        pipeline = prepared(options.model, "all_on_gpu" if on_gpu() else "cpu", arithmetic)
        picture = sk.sample_image()
        settings = resolved({}, pipeline, picture.size)
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu() else [])]
        profiler = profile(activities=activities)

        def profiled(step: int, profiler: profile = profiler) -> None:
            actions = {0: profiler.start, 1: profiler.stop}  # the first step is unlike the others
            actions.get(step, lambda: None)()

        fitted = sk.fit(picture, settings.height, settings.width)
        fewer = {"num_inference_steps": 2, "decode_chunk_size": 1}  # decoding does not count here
        timed_run(pipeline, fitted, replace(settings, **fewer), after_step=profiled)
        events = profiler.key_averages()
        if on_gpu():
            kind = torch.autograd.DeviceType.CUDA
            events = [event for event in events if event.device_type == kind]
        named = [(_microseconds(event), event.count, event.key) for event in events]
        total = sum(microseconds for microseconds, _, _ in named)
        found[arithmetic] = {
            "milliseconds": rounded(total / 1000),
            "calls": sum(count for _, count, _ in named),
            "longest": [
                {
                    "name": name[:160],
                    "calls": count,
                    "milliseconds": rounded(microseconds / 1000),
                    "share": rounded(microseconds / total),
                }
                for microseconds, count, name in sorted(named, reverse=True)[:KERNELS]
            ],
        }
        del pipeline
        sk.unload()
        free_memory()
    return found


def _microseconds(event) -> float:
    return event.self_device_time_total if on_gpu() else event.self_cpu_time_total


def nearness(options: argparse.Namespace) -> dict:
    """Tell how near lean clips of tiny are to stock ones, for several pictures and seeds."""
    found = {}
    for dtype in ("float32", *(["float16"] if on_gpu() else [])):
        pipeline = sk.load("tiny", dtype=dtype)
        pictures = {"sample": sk.sample_image()}
        pictures |= {
            f"scene {seed}": scene(seed).image
            for seed in range(FIRST_SCENE, FIRST_SCENE + options.clips - 1)
        }
        rows = []
        for seed, (name, picture) in enumerate(pictures.items()):
            lean.restore(pipeline)
            stock = sk.animate(picture, pipeline, seed=seed, progress=False).frames
            lean.apply(pipeline)
            lean_ones = sk.animate(picture, pipeline, seed=seed, progress=False).frames
            near = psnr(stock, lean_ones)
            differs = abs(stock.astype("int16") - lean_ones)
            rows.append(
                {
                    "picture": name,
                    "seed": seed,
                    "psnr": rounded(near) if math.isfinite(near) else None,
                    "largest_difference_of_255": int(differs.max()),
                    "share_of_equal_bytes": round(float((differs == 0).mean()), 6),
                }
            )
        # equal frames have no PSNR: they are nearer than all others
        every = sorted(math.inf if row["psnr"] is None else row["psnr"] for row in rows)
        summary = {"worst_psnr": every[0], "median_psnr": rounded(statistics.median(every))}
        summary = {name: value if math.isfinite(value) else None for name, value in summary.items()}
        found[dtype] = {"psnr_is_null": "where all frames are equal"} | summary | {"clips": rows}
    return found


def compiled(options: argparse.Namespace, arithmetic: str) -> dict:
    """Time the stages of a compiled model; the first run compiles."""
    pipeline = sk.load(
        options.model,
        memory="all_on_gpu" if on_gpu() else "auto",
        weights=options.weights,
        arithmetic=arithmetic,
        compile=True,
    )
    picture = sk.sample_image()
    settings = resolved({}, pipeline, picture.size)
    fitted = sk.fit(picture, settings.height, settings.width)
    few = replace(settings, num_inference_steps=bench.STEPS)
    runs = tuple(timed_run(pipeline, fitted, few) for _ in range(1 + options.repeats))
    row = Figures(arithmetic, settings, runs).row()
    return row | {"seconds_of_the_first_run": rounded(runs[0].seconds)}


def every_part(options: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """Name all parts in their order: what matters most comes first."""
    yield ("stages",)
    off_gpu = [name for name, preset in PRESETS.items() if preset.keeps == "none"]
    presets = options.presets or (CARD_GIB if on_gpu() else off_gpu)
    for arithmetic in ARITHMETICS:
        for preset in presets:
            if arithmetic == "lean" or PRESETS[preset].stock:
                yield ("presets", preset, arithmetic)
    yield ("kernels",)
    yield ("nearness",)
    if options.compile:
        yield from (("compiled", arithmetic) for arithmetic in ARITHMETICS)


PARTS = {
    "stages": stages,
    "presets": one_preset,
    "kernels": kernels,
    "nearness": nearness,
    "compiled": compiled,
}


def apart(part: tuple[str, ...], arguments: list[str], seconds: float) -> dict:
    """Measure a part in a process of its own; what goes wrong there is told."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "part.json")
        command = [sys.executable, __file__, *arguments, "--out", str(out), "--part", *part]
        try:
            subprocess.run(command, check=True, timeout=max(1.0, seconds))
            return json.loads(out.read_text())
        except subprocess.TimeoutExpired:
            return {"failed": "there was no time left"}
        except subprocess.CalledProcessError as error:
            return {"failed": f"exit code {error.returncode}"}


def main(arguments: list[str]) -> None:
    """Measure part by part, and write the figures as JSON after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--model", default="svd-xt", choices=list(sk.MODELS))
    parser.add_argument("--steps", type=int, help="of each preset's clip; the model's own")
    parser.add_argument("--repeats", type=int, default=9, help="timed runs of the stages")
    parser.add_argument("--clips", type=int, default=10, help="whose nearness is measured")
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS))
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), help="all, if not given")
    parser.add_argument("--no-cap", dest="cap", action="store_false", help="use the whole card")
    parser.add_argument("--compile", action="store_true", help="measure compiled models too")
    parser.add_argument("--seconds", type=float, default=math.inf, help="what all may take")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.weights = None if sk.MODELS[options.model].bundled else "random"
    if options.part:  # the process of its own
        name, *words = options.part
        options.out.write_text(json.dumps(PARTS[name](options, *words)))
        return
    began = time.monotonic()
    report = circumstances(__file__, arguments) | {
        "model": options.model,
        "weights": options.weights or "trained",
        "parts": {},
    }
    for part in every_part(options):
        if options.parts and part[0] not in options.parts:
            continue
        left = options.seconds - (time.monotonic() - began)
        report["parts"][" ".join(part)] = apart(part, arguments, min(left, DAY))
        report["seconds"] = round(time.monotonic() - began, 1)
        draft = options.out.with_suffix(".part")
        draft.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        os.replace(draft, options.out)
        print(f"{report['seconds']:6.1f} s  {' '.join(part)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
