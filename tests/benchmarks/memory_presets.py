"""Measure what each memory preset really takes here, with weights that need no download:

    python tests/benchmarks/memory_presets.py --out tests/benchmarks/results/memory_presets_T4.json

Every preset gets a process of its own, which builds the full-size model with random weights and
makes one clip; time and memory are those of the true ones. `--limit-gib 8` plays a smaller card.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from circumstances import circumstances

import svdkit as sk


def measure(preset: str, model: str, steps: int, limit_gib: float | None) -> dict:
    """Make one clip with a preset, and tell what it took."""
    import torch

    on_gpu = torch.cuda.is_available() and preset != "cpu"
    total_gib = torch.cuda.get_device_properties(0).total_memory / 2**30 if on_gpu else 0
    if limit_gib and on_gpu:
        torch.cuda.set_per_process_memory_fraction(limit_gib / total_gib)
    began = time.perf_counter()
    try:
        pipeline = sk.load(model, memory=preset, weights="random")
        loaded = time.perf_counter()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        clip = sk.animate(
            sk.sample_image(), pipeline, seed=0, num_inference_steps=steps, progress=False
        )
    except sk.NotEnoughMemory as error:
        return {"preset": preset, "fits": False, "why": str(error)}
    figures = {
        "preset": preset,
        "fits": True,
        "seconds_to_load": round(loaded - began, 2),
        "seconds_a_clip": round(time.perf_counter() - loaded, 2),
        "frames": list(clip.frames.shape[:3]),
        "steps": steps,
        "dtype": clip.recipe["outcome"]["dtype"],
        "decode_chunk_size": clip.recipe["request"]["settings"]["decode_chunk_size"],
        "predicted_peak_gib": sk.PRESETS[preset].peak_gib,
    }
    if on_gpu:
        figures |= {
            "peak_allocated_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
            "peak_reserved_gib": round(torch.cuda.max_memory_reserved() / 2**30, 2),
        }
    return figures


def main(arguments: list[str]) -> None:
    """Measure every preset asked for, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--model", default="svd-xt", choices=list(sk.MODELS))
    parser.add_argument("--presets", nargs="+", default=[p for p in sk.PRESETS if p != "cpu"])
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--limit-gib", type=float, help="play a card with so much memory")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:  # the process of its own
        figures = measure(options.one, options.model, options.steps, options.limit_gib)
        options.out.write_text(json.dumps(figures))
        return
    rows = []
    for preset in options.presets:
        command = [sys.executable, __file__, *arguments, "--one", preset]
        subprocess.run(command, check=True)
        rows.append(json.loads(options.out.read_text()))
        print(json.dumps(rows[-1]), flush=True)
    about = {"limited_to_gib": options.limit_gib, "presets": rows}
    report = circumstances(__file__, arguments) | about
    options.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
