"""Measure how far chains of clips drift away, with `extend` and without it:

    python tests/benchmarks/chaining.py --out tests/benchmarks/results/chaining.json

From the same first clip, and with the same seeds, a film is made by `extend`, and another one as
one would without it: animate the last frame, again and again, and join the clips.
"""

import argparse
import json
import statistics
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from circumstances import circumstances

import svdkit as sk
from svdkit.matching import sharpness
from svdkit.seams import seam_at
from svdkit.toyland.scenes import scene

FIRST_SCENE = 100
AT_AN_END = 4  # frames over which detail is averaged: it differs from one to the next


def measured(film: sk.Clip, joins: list[tuple[int, int]]) -> dict:
    """Tell how far a film has gone from its first frame, and how its joins show.

    A join is the numbers of its first and its last frame: between them lies its largest step.
    """
    first, last = (film.frames[number].mean((0, 1)) for number in (0, -1))
    detail = [sharpness(frame) for frame in film.frames]
    steps = [np.abs(np.subtract(b, a, dtype=np.int16)).mean() for a, b in pairwise(film.frames)]
    seams = [seam_at(film, start, end) for start, end in joins]
    jumps = [float(max(steps[start:end]) / np.mean(steps)) for start, end in joins]
    return {
        "frames": len(film),
        "drift": round(sk.drift(film), 4),
        "mean_colour_difference": round(float(np.abs(last - first).mean() / 255), 4),
        "sharpness": round(sk.drift(film, "sharpness"), 4),
        "detail": round(float(np.mean(detail[-AT_AN_END:]) / np.mean(detail[:AT_AN_END])), 3),
        "motion": round(sk.motion(film), 5),
        "seams": [round(seam, 3) for seam in seams],
        "jumps_in_mean_steps_of_the_film": [round(jump, 3) for jump in jumps],
    }


def extended(clip: sk.Clip, pipeline, times: int, seed: int, how: dict) -> tuple[sk.Clip, list]:
    """Make a film by `extend`, and give its joins."""
    film = sk.extend(clip, pipeline, times=times, seed=seed, progress=False, **how)
    starts = [row["start"] for row in sk.joins(film)]
    ends = [len(clip), *(row["frames"] for row in sk.joins(film)[:-1])]
    return film, list(zip(starts, ends, strict=True))


def strung(clip: sk.Clip, pipeline, seeds: list[int], how: dict) -> tuple[sk.Clip, list]:
    """Make a film by animating the last frame again and again, and give its joins."""
    film, latest, joins = clip, clip, []
    for seed in seeds:
        latest = sk.animate(latest.last_frame, pipeline, seed=seed, progress=False, **how)
        # the last frame is there twice, so its next step belongs to the join, too
        joins.append((len(film) - 1, len(film) + 1))
        film += latest
    return film, joins


def summary(rows: list[dict], way: str) -> dict:
    """Average over the pictures what was measured of one way, and give the worst joins."""
    names = ("drift", "mean_colour_difference", "sharpness", "detail", "motion")
    means = {name: round(statistics.mean(row[way][name] for row in rows), 4) for name in names}
    joins = {"seams": "seam", "jumps_in_mean_steps_of_the_film": "jump"}
    for name, word in joins.items():
        values = sorted(value for row in rows for value in row[way][name])
        means |= {
            f"median_{word}": round(statistics.median(values), 3),
            f"largest_{word}": values[-1],
            f"share_of_{word}s_to_1.5": round(sum(v <= 1.5 for v in values) / len(values), 3),
        }
    return means


def main(arguments: list[str]) -> None:
    """Make both films of each picture, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--times", type=int, default=4)
    parser.add_argument("--steps", type=int, help="the model's own, if not given")
    parser.add_argument("--films", type=Path, help="a folder to save the films in as well")
    options = parser.parse_args(arguments)
    pipeline = sk.load(options.model)
    how = {"num_inference_steps": options.steps} if options.steps else {}
    rows = []
    for seed in range(options.pictures):
        painted = scene(seed=FIRST_SCENE + seed)
        clip = sk.animate(painted.image, pipeline, seed=seed, progress=False, **how)
        film, joins = extended(clip, pipeline, options.times, seed, how)
        seeds = [step["request"]["seed"] for step in film.recipe["steps"][1:]]
        other, other_joins = strung(clip, pipeline, seeds, how)
        if options.films:
            film.save(options.films / f"extended-{seed}")
            other.save(options.films / f"strung-{seed}")
        about = {"scene": FIRST_SCENE + seed, "caption": painted.caption, "seed": seed}
        ways = {"extended": measured(film, joins), "strung": measured(other, other_joins)}
        rows.append(about | ways)
        print(json.dumps(rows[-1]), flush=True)
    means = {way: summary(rows, way) for way in ("extended", "strung")}
    shares = {
        name: round(means["extended"][name] / means["strung"][name], 3)
        for name in ("drift", "mean_colour_difference")
    }
    report = circumstances(__file__, arguments) | {
        "model": options.model,
        "times": options.times,
        "extended_as_a_share_of_strung": shares,
        "means": means,
        "pictures": rows,
    }
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    print(f"Drift with extend is {shares['drift']:.2f} times that of clips strung together.")


if __name__ == "__main__":
    main(sys.argv[1:])
