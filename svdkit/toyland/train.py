"""Train Toyland's models from nothing, in six stages and an export:

    python -m svdkit.toyland.train vae --minutes 6
    python -m svdkit.toyland.train sight --minutes 2.5
    python -m svdkit.toyland.train sd --minutes 3.75
    python -m svdkit.toyland.train svd --minutes 7
    python -m svdkit.toyland.train motion --minutes 3.25
    python -m svdkit.toyland.train decoders --minutes 2.5
    python -m svdkit.toyland.train export

or all of it with `python -m svdkit.toyland.train all --minutes 25`. The same commands run on a GPU
and on a CPU; how much is trained in these minutes, and so how good the models are, is another
matter. Several GPUs or cores learn together under torchrun (see together.py).

`restore` writes checkpoints from the models that svdkit brings. Train on from them with --resume;
--minutes are then those that come on top, and --steps count those of before. Of stage vae only the
decoders can go on: everything else was learned in its latents.

`export`, and `all` in the end, write the models into models/ below --out: folders for `load`.

Each stage writes checkpoint.pt, log.jsonl and samples/ below --out, and goes on from there with
--resume. Where time comes in portions, `all --minutes 25 --sitting 9 --resume` works through its 25
minutes 9 at a time: give the same command again until it has exported the models.
"""

from __future__ import annotations

import argparse
import signal
import time
from dataclasses import replace
from pathlib import Path

import torch

from . import together
from .export import WEIGHTS, export
from .loop import train
from .plans import Plan, device_and_precision
from .quick import keep_memory
from .restore import restore
from .train_decoders import DecoderStage
from .train_motion import MotionStage
from .train_sd import ImageStage
from .train_sight import SightStage
from .train_svd import VideoStage
from .train_vae import VaeStage
from .trained import built_on_the_vae

STAGES = {
    stage.name: stage
    for stage in (VaeStage, SightStage, ImageStage, VideoStage, MotionStage, DecoderStage)
}
# Of the minutes of `all`, in this order.
# What `sight` does not know in the end, `svd` will not learn: from an encoder that had forgotten,
# it told half of the things after 75 seconds on a core, and nine in ten after 9 minutes.
SHARES = {"vae": 0.24, "sight": 0.10, "sd": 0.15, "svd": 0.28, "motion": 0.13, "decoders": 0.10}
# Clips (sight, sd: pictures) in a step.
CLIPS = {
    "cuda": {"vae": 8, "sight": 512, "sd": 256, "svd": 32, "motion": 32, "decoders": 8},
    "cpu": {"vae": 1, "sight": 128, "sd": 32, "svd": 4, "motion": 4, "decoders": 1},
}
# How many times the plan's learning rate a stage takes. After 60 steps of 2 clips, twice the rate
# had taken 19 % off the error at time 600 of 1000, once the rate 9 %. After 200 steps of 128
# pictures, sight knew 45 % of the colours at six times the rate, 64 % at sixteen times. Clips came
# back from `tiny`'s decoder at 29.3 dB; after 200 steps of 2 clips at four times the rate at 24.6,
# 150 steps further on at twice the rate at 30.5.
RATES = {"sight": 10.0, "motion": 2.0, "decoders": 2.0}


def run(stage: str, out: Path, plan: Plan, clips: int | None = None, resume: bool = False) -> float:
    """Train one stage on the best device here; returns the share of its plan that is done.

    >>> run("moon", Path("runs"), Plan(minutes=1))
    Traceback (most recent call last):
    ValueError: stage is 'moon'; there are vae, sight, sd, svd, motion, decoders. Train...
    """
    if stage not in STAGES:
        raise ValueError(
            f"stage is {stage!r}; there are {', '.join(STAGES)}. Train them in this order."
        )
    if stage == "vae" and (built := built_on_the_vae(out)):
        raise ValueError(
            f"stage is 'vae', but {built[0]} has learned on from it, and its encoder has to stay "
            "as it is: latents would mean something else. Train decoders instead, or choose "
            "another --out."
        )
    if clips is not None and clips < 1:
        raise ValueError(f"clips is {clips}; a step learns from 1 or more. Leave it out.")
    device, precision = device_and_precision()
    clips = clips or CLIPS.get(device.type, CLIPS["cpu"])[stage]
    kind = precision or torch.float32
    print(f"{stage}: {clips} a step on {device} in {kind}, into {out / stage}", flush=True)
    lesson = STAGES[stage](clips, device, out)
    plan = replace(plan, peak_rate=RATES.get(stage, 1.0) * plan.peak_rate)
    return train(lesson, plan, out, device=device, precision=precision, resume=resume)


def command_line() -> argparse.ArgumentParser:
    """The command line's options.

    >>> command_line().parse_args(["vae", "--minutes", "7"]).minutes
    7.0
    """
    parser = argparse.ArgumentParser(
        prog="python -m svdkit.toyland.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    option = parser.add_argument
    option("stage", choices=[*STAGES, "export", "restore", "all"])
    option("--minutes", type=float, help="how long to train, all sittings taken together")
    option("--steps", type=int, help="stop at so many steps instead, counted from the first one")
    option("--sitting", type=float, help="pause after so many minutes, to --resume later")
    option(
        "--clips",
        type=int,
        help="clips (sight, sd: pictures) a step; default: what suits the device",
    )
    option("--resume", action="store_true", help="go on from the last checkpoint")
    option("--out", type=Path, default=Path("toyland-runs"), help="for checkpoints and samples")
    option("--to", type=Path, help="where export puts models (OUT/models), and restore finds them")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    >>> main(["vae"])
    Traceback (most recent call last):
    SystemExit: neither --minutes nor --steps is given: how long shall it train? Try --minutes 30.
    """
    began = time.monotonic()
    options = command_line().parse_args(arguments)
    to = options.to or options.out / "models"  # and not over those that svdkit brings
    if options.stage == "export":
        export(options.out, to)
        return
    if options.stage == "restore":
        for path in restore(options.out, options.to or WEIGHTS):
            print(path)
        return
    if options.minutes is None and options.steps is None:
        raise SystemExit(
            "neither --minutes nor --steps is given: how long shall it train? Try --minutes 30."
        )
    keep_memory()
    for stage in SHARES if options.stage == "all" else [options.stage]:
        if stage == "vae" and options.stage == "all" and built_on_the_vae(options.out):
            continue  # an earlier sitting came farther
        share = SHARES[stage] if options.stage == "all" else 1.0
        left = None
        if options.sitting is not None:
            left = max(0.0, options.sitting - (time.monotonic() - began) / 60)
        minutes = options.minutes and options.minutes * share
        plan = Plan(minutes=minutes, steps=options.steps, sitting=left)
        if run(stage, options.out, plan, options.clips, options.resume) < 1:
            print(f"{stage}: paused; go on with --resume", flush=True)
            return
    if options.stage == "all" and together.rank() == 0:
        export(options.out, to)


if __name__ == "__main__":
    # What ends a machine says so by a SIGTERM: what was learned is kept, as after a Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
