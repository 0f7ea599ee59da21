"""Measure four ways from a prompt to a clip on the small models, in one run:

    python tests/benchmarks/prompt_to_video.py --out tests/benchmarks/results/prompt_to_video.json

- sd: tiny-sd draws a picture, tiny animates it;
- animatediff: tiny-animatediff draws the frames;
- takeover: AnimateDiff drafts, and tiny animates the draft's first frame;
- temporal decoder: AnimateDiff's latents, decoded by tiny's temporal decoder.

Each clip of a caption of Toyland is measured: how it moves, flickers and drifts, and
whether a judge that knows painted scenes alone sees in its first and in its last frame the thing,
the colour and the background that the caption names. Painted clips stand beside them.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

import numpy as np
import torch
from circumstances import circumstances
from PIL import Image

import svdkit as sk
from svdkit.toyland.judge import load_judge, random_captions
from svdkit.toyland.measures import to_frames
from svdkit.toyland.scenes import scene

QUESTIONS = ("thing", "colour", "background")


def by_sd(prompt: str, seed: int) -> sk.Clip:
    """A picture, animated."""
    return sk.animate_prompt(prompt, model="tiny-sd", pipeline="tiny", seed=seed, progress=False)


def by_animatediff(prompt: str, seed: int) -> sk.Clip:
    """Frames that are drawn together."""
    return sk.animate_prompt(
        prompt, "animatediff", model="tiny-animatediff", seed=seed, progress=False
    )


def by_takeover(prompt: str, seed: int) -> sk.Clip:
    """AnimateDiff's first frame, animated by SVD."""
    return sk.animate(by_animatediff(prompt, seed)[0], "tiny", seed=seed, progress=False)


def by_temporal_decoder(prompt: str, seed: int) -> sk.Clip:
    """AnimateDiff's latents through SVD's decoder, which sees all frames at once."""
    row = sk.PROMPT_MODELS["tiny-animatediff"]
    drawer = sk.load(row.name)
    drawer.set_progress_bar_config(disable=True)
    latents = drawer(
        prompt,
        row.num_frames,
        row.height,
        row.width,
        num_inference_steps=row.num_inference_steps,
        guidance_scale=row.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(seed),
        output_type="latent",
    ).frames
    decoder = sk.load("tiny").vae
    with torch.no_grad():
        frames = decoder.decode(
            latents[0].movedim(0, 1) / decoder.config.scaling_factor, num_frames=row.num_frames
        ).sample
    pixels = ((frames.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return sk.Clip(pixels.movedim(1, -1).cpu().numpy(), row.fps)


def painted(prompt: str, seed: int) -> sk.Clip:
    """What the caption's scene really looks like."""
    return sk.Clip(scene(seed, prompt).clip(num_frames=14), 7)


WAYS = {
    "painted": painted,
    "sd": by_sd,
    "animatediff": by_animatediff,
    "takeover": by_takeover,
    "temporal_decoder": by_temporal_decoder,
}


def sharpness(clip: sk.Clip) -> float:
    """The mean absolute second difference of the last frame, as a share of white."""
    grey = clip.frames[-1].mean(-1) / 255
    return float(np.abs(np.diff(grey, 2, axis=0)).mean() + np.abs(np.diff(grey, 2, axis=1)).mean())


def measured(clips: list[sk.Clip], prompts: list[str], judge) -> dict:
    """Give the figures of one way."""
    figures = {
        "motion": statistics.mean(map(sk.motion, clips)),
        "flicker": statistics.mean(map(sk.flicker, clips)),
        "drift": statistics.mean(map(sk.drift, clips)),
        "sharpness_of_last_frame": statistics.mean(map(sharpness, clips)),
    }
    for name, which in (("first", 0), ("last", -1)):
        frames = torch.cat([to_frames(clip.frames)[[which]] for clip in clips])
        shares = judge.right(frames, prompts)
        figures |= {f"{question}_right_in_{name}_frame": shares[question] for question in QUESTIONS}
    return {name: round(value, 5) for name, value in figures.items()}


def main(arguments: list[str]) -> None:
    """Make all clips, judge them, and write the figures as JSON and a sheet of frames."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--prompts", type=int, default=16)
    options = parser.parse_args(arguments)
    prompts = random_captions(options.prompts, torch.Generator().manual_seed(9))
    judge = load_judge(torch.device("cpu"))
    report = circumstances(__file__, arguments) | {"prompts": prompts, "ways": {}}
    rows = []
    for name, make in WAYS.items():
        clips = [make(prompt, 1000 + number) for number, prompt in enumerate(prompts)]
        report["ways"][name] = measured(clips, prompts, judge)
        rows.append(np.concatenate([np.concatenate(c.frames[[0, 6, -1]], 1) for c in clips[:6]]))
        print(name, json.dumps(report["ways"][name]), flush=True)
    Image.fromarray(np.concatenate(rows, 1)).save(options.out.with_suffix(".png"))
    options.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
