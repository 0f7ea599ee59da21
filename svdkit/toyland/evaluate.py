"""Measure what `tiny`, `tiny-sd` and `tiny-animatediff` can do, on scenes that training never saw:

    python -m svdkit.toyland.evaluate --weights svdkit/toyland/weights --out evaluation

writes evaluation/figures.json, in which every figure stands beside its target, and the pictures
that belong to it.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import diffusers
import torch
from diffusers import AnimateDiffPipeline, MotionAdapter, StableDiffusionPipeline

from .judge import judged_drawings, load_judge
from .jury import judged_clips, load_jury
from .plans import device_and_precision
from .restore import trained_for
from .sheets import film_strips
from .trials import Maker, evaluate_law, evaluate_photos, evaluate_tiny

# What must hold: (figure, least, most).
TARGETS = (
    ("vae_psnr_scenes", 32.0, None),
    ("vae_psnr_photos", 22.0, None),
    ("first_frame_psnr", 25.0, None),
    ("bucket_spearman", 0.9, None),
    ("motion_240_over_20", 3.0, None),
    ("step_at_fps_5_over_20", 2.0, None),
    ("share_that_obeys_its_law", 0.85, None),
    ("error_over_frozen", None, 1.0),
    ("error_over_best_pan", None, 1.0),
    ("colour_drift", None, 0.02),
    ("seconds_a_clip", None, 10.0),
    ("colour_right", 0.90, None),
    ("thing_right", 0.85, None),
    ("background_right", 0.90, None),
    ("animatediff_law_right", 0.75, None),
)


def verdicts(figures: dict) -> dict[str, dict]:
    """Each target that was measured: the figure, what it should be, and whether it is met.

    >>> verdicts({"colour_drift": 0.01})["colour_drift"]["met"]
    True
    """
    table = {}
    for name, least, most in TARGETS:
        if name in figures:
            value = figures[name]
            met = (least is None or value >= least) and (most is None or value <= most)
            goal = f"at least {least}" if most is None else f"at most {most}"
            table[name] = {"figure": value, "goal": goal, "met": met}
    return table


def measure_tiny(weights: Path, out: Path, device: torch.device, scenes: int) -> dict:
    """Every figure about `tiny`; its sheets go to the folder `out`.

    >>> measure_tiny.__name__
    'measure_tiny'
    """
    make = Maker(weights, device)
    figures, rows = evaluate_tiny(make, scenes)
    film_strips(rows[:40], every=2).save(out / "tiny.png")
    figures |= evaluate_law(make, 2 * scenes)
    of_photos, rows = evaluate_photos(make)
    if rows:
        film_strips(rows, every=2).save(out / "photos.png")
    return figures | of_photos


def measure_tiny_sd(weights: Path, out: Path, device: torch.device, scenes: int) -> dict:
    """Every figure about `tiny-sd`; its sheet goes to the folder `out`.

    >>> measure_tiny_sd.__name__
    'measure_tiny_sd'
    """
    pipeline = StableDiffusionPipeline.from_pretrained(weights / "tiny-sd").to(device)
    judged, drawn = judged_drawings(pipeline, 4 * scenes, load_judge(device))
    film_strips(list(drawn[:40].unflatten(0, (-1, 4)))).save(out / "tiny-sd.png")
    return judged | {f"{name}_right": share for name, share in judged["tiny_sd_right"].items()}


def measure_tiny_animatediff(weights: Path, out: Path, device: torch.device, scenes: int) -> dict:
    """Every figure about `tiny-animatediff`; its sheet goes to the folder `out`.

    >>> measure_tiny_animatediff.__name__
    'measure_tiny_animatediff'
    """
    adapter = MotionAdapter.from_pretrained(weights / "tiny-animatediff")
    pipeline = AnimateDiffPipeline.from_pretrained(weights / "tiny-sd", motion_adapter=adapter)
    pipeline.to(device).set_progress_bar_config(disable=True)
    judged, rows = judged_clips(pipeline, 2 * scenes, load_jury(device))
    film_strips(rows[:40], every=2).save(out / "tiny-animatediff.png")
    return judged


MEASURED = {
    "tiny": measure_tiny,
    "tiny-sd": measure_tiny_sd,
    "tiny-animatediff": measure_tiny_animatediff,
}


def main(arguments: list[str] | None = None) -> None:
    """The command line.

    >>> main(["--weights", "nowhere"])
    Traceback (most recent call last):
    SystemExit: nowhere/tiny is missing: run python -m svdkit.toyland.train export first.
    """
    parser = argparse.ArgumentParser(prog="python -m svdkit.toyland.evaluate")
    option = parser.add_argument
    option("--weights", type=Path, default=Path(__file__).parent / "weights")
    option("--out", type=Path, default=Path("evaluation"))
    option("--models", nargs="+", choices=list(MEASURED), help="default: all there are")
    option("--device", help="default: the best here; time a clip on cpu")
    option("--scenes", type=int, default=40, help="held-out scenes to measure on")
    options = parser.parse_args(arguments)
    there = [name for name in MEASURED if (options.weights / name).exists()]
    for name in options.models or ["tiny"]:
        if name not in there:
            raise SystemExit(
                f"{options.weights / name} is missing: "
                "run python -m svdkit.toyland.train export first."
            )
    device = torch.device(options.device) if options.device else device_and_precision()[0]
    options.out.mkdir(parents=True, exist_ok=True)
    models = options.models or there
    steps = {name: trained_for(options.weights / name)[0] for name in models}
    figures = {}
    for name in models:
        figures |= MEASURED[name](options.weights, options.out, device, options.scenes)
    on_gpu = device.type == "cuda"
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "targets": verdicts(figures),
        "figures": figures,
        "device": torch.cuda.get_device_name(device) if on_gpu else str(device),
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
        "scenes": options.scenes,
        "steps": steps,  # that the models had learned for
    }
    (options.out / "figures.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report["targets"], indent=2))


if __name__ == "__main__":
    main()
