"""Measure what a sweep costs over the bare pipeline calls that it makes, in one run:

    python tests/benchmarks/sweep_overhead.py --out tests/benchmarks/results/sweep_overhead.json

The same settings go through diffusers' own pipeline and through `sweep`, by turns, and the ratio
of their times is what counts. A sweep also codes each clip as a video, measures it and stores it.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from circumstances import circumstances

import svdkit as sk


def bare(pipeline, picture, cells: list[dict], seed: int) -> float:
    """Call diffusers for each cell, and give the seconds that it took."""
    import torch

    began = time.perf_counter()
    for cell in cells:
        generator = torch.Generator("cpu").manual_seed(seed)
        pipeline(picture, generator=generator, output_type="np", **cell)
    return time.perf_counter() - began


def swept(pipeline, picture, cells: list[dict], seed: int) -> float:
    """Sweep the cells into a new folder, and give the seconds that it took."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        seeded = [{**cell, "seed": seed} for cell in cells]
        runs = sk.sweep(picture, pipeline, seeded, Path(folder, "runs"), progress=False)
        seconds = time.perf_counter() - began
        if len(runs) != len(cells):
            raise RuntimeError(f"{runs!r}: {runs.failures}")
    return seconds


def main(arguments: list[str]) -> None:
    """Time both by turns, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="the model's own, if not given")
    options = parser.parse_args(arguments)
    pipeline = sk.load(options.model)
    pipeline.set_progress_bar_config(disable=True)
    row = sk.MODELS[options.model]
    how = {"num_inference_steps": 25, "max_guidance_scale": 3.0, **row.defaults}
    how |= {"height": row.height, "width": row.width, "num_frames": row.num_frames}
    how |= {"num_inference_steps": options.steps} if options.steps else {}
    cells = [{**how, "motion_bucket_id": 20 + 10 * n} for n in range(options.cells)]
    picture = sk.fit(sk.sample_image(), row.height, row.width)
    bare(pipeline, picture, cells[:1], 0)  # the first call of a process is slower than the others
    swept(pipeline, picture, cells[:1], 0)
    rounds = []
    for seed in range(options.rounds):
        first, second = (bare, swept) if seed % 2 else (swept, bare)
        seconds = {way: way(pipeline, picture, cells, seed) for way in (first, second)}
        rounds.append({"bare_s": round(seconds[bare], 3), "sweep_s": round(seconds[swept], 3)})
        print(json.dumps(rounds[-1]), flush=True)
    ratios = [each["sweep_s"] / each["bare_s"] for each in rounds]
    report = circumstances(__file__, arguments) | {
        "model": options.model,
        "settings": how,
        "cells": options.cells,
        "rounds": rounds,
        "ratios": [round(ratio, 4) for ratio in ratios],
        "median_ratio": round(statistics.median(ratios), 4),
    }
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    print(f"A sweep takes {report['median_ratio']:.3f} times the bare calls.")


if __name__ == "__main__":
    main(sys.argv[1:])
