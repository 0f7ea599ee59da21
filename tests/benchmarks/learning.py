"""Measure what training has brought so far, on the models of several days, and what twice as much
would bring if it went on like that:

    python tests/benchmarks/learning.py 06f551f 29f0837 6427f2d 18836ab 0b80f82 e7b9b49 HEAD \
        --out tests/benchmarks/results/learning.json

A revision of this repository stands for the `tiny` that it carries; a folder for the one in it, as
`python -m svdkit.toyland.train export` wrote it. All are measured on the same scenes, those of
which every version was taught the same law: the ball's was told anew in e7b9b49.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch
from circumstances import circumstances

from svdkit.toyland.measures import mean, moving, to_frames
from svdkit.toyland.motion_judge import LAWFUL, captions_of
from svdkit.toyland.restore import trained_for
from svdkit.toyland.scenes import scene
from svdkit.toyland.trials import Maker, error_by_noise

WEIGHTS = "svdkit/toyland/weights/tiny"
THINGS = tuple(thing for thing in LAWFUL if thing != "ball")
BUCKETS = (20, 240)


def weights_of(version: str, room: Path) -> Path:
    """Find the folder that holds the `tiny` of a revision or of a folder."""
    if Path(version, "tiny").is_dir():
        return Path(version)
    packed = subprocess.run(
        ["git", "archive", version, WEIGHTS], cwd=Path(__file__).parents[2], capture_output=True
    )
    if packed.returncode:
        said = packed.stderr.decode().strip()
        raise SystemExit(f"{version} is no folder with a tiny in it, and no revision: {said}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as files:
        files.extractall(room / version, filter="data")
    return room / version / Path(WEIGHTS).parent


def measured(weights: Path, number: int) -> dict:
    """Measure how far one version knows where things go, by its answers and by its clips."""
    make = Maker(weights, torch.device("cpu"))
    named = captions_of(THINGS, number, torch.Generator().manual_seed(3))
    drawn = [scene(seed, caption) for seed, caption in enumerate(named)]
    errors = [error_by_noise(make.pipeline, to_frames(each.clip())) for each in drawn]
    steps, minutes = trained_for(weights / "tiny")
    row = {"steps": steps, "minutes": minutes}
    row["error_where_it_moves"] = {
        f"{level:g}": round(mean([error[level] for error in errors]), 4) for level in errors[0]
    }
    row["motion_over_painted"] = {}
    for bucket in BUCKETS:
        how = {"motion_bucket_id": bucket}
        made = moving([make(each.image, **how) for each in drawn])
        due = moving([to_frames(each.clip(**how)) for each in drawn])
        row["motion_over_painted"][str(bucket)] = round(float(made / due), 4)
    return row


def by_doubling(steps: list[float], figures: list[float]) -> dict:
    """Fit a power of the steps; tell by what a figure is multiplied when they double, and how far
    that is to be trusted (one standard error of the fit, as a factor).
    """
    doublings, logs = np.log2(steps), np.log2(figures)
    (slope, _), spread = np.polyfit(doublings, logs, 1, cov=True)
    return {"times": round(2**slope, 3), "give_or_take": round(2 ** spread[0, 0] ** 0.5 - 1, 3)}


def main(arguments: list[str]) -> None:
    """Measure every version that is named, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="+", help="revisions, or folders of models")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--scenes", type=int, default=16)
    options = parser.parse_args(arguments)
    if len(options.versions) < 4:
        raise SystemExit(
            f"{len(options.versions)} versions are given; a slope with an error needs 4 or more."
        )
    rows = {}
    with tempfile.TemporaryDirectory() as room:
        for version in options.versions:
            rows[version] = measured(weights_of(version, Path(room)), options.scenes)
            print(version, json.dumps(rows[version]), flush=True)
    steps = [row["steps"] for row in rows.values()]
    brought = {
        f"{name} {key}": by_doubling(steps, [row[name][key] for row in rows.values()])
        for name in ("error_where_it_moves", "motion_over_painted")
        for key in next(iter(rows.values()))[name]
    }
    report = circumstances(__file__, arguments) | {
        "scenes": options.scenes,
        "things": THINGS,
        "versions_measured": rows,
        "twice_the_steps_brought": brought,
    }
    options.out.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(brought, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
