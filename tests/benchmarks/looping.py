"""Measure how well moving clips loop, and compare the ways of making them loop, in one run:

    python tests/benchmarks/looping.py --out tests/benchmarks/results/looping.json --latent

The clips are Toyland's painted scenes and the model's own clips of the same pictures. With
`--latent` three ways of closing a loop while it is denoised are measured beside `sk.loop`. Two of
them join as well in the median, but of fewer clips than fading pixels does; and so svdkit offers
none.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

import numpy as np
from circumstances import circumstances

import svdkit as sk
from svdkit.animation import resolved
from svdkit.lending import borrowed
from svdkit.toyland.scenes import scene

LEAST_MOTION = 0.001  # frame widths a frame of the painted clip: what moves less is no moving clip
GOOD_SEAM, KEPT = 1.2, 0.7
PADDING = 4  # frames decoded beyond both ends of a circle, so that its ends are no ends to the VAE
TIED = 4  # frames of the end that are tied to the beginning


def measured(clip: sk.Clip, source: sk.Clip) -> dict:
    """Measure how well a clip loops, and what it keeps of the motion of its source."""
    after = np.roll(clip.frames, -1, 0).astype(np.int16)
    steps = np.abs(after - clip.frames).mean((1, 2, 3))
    figures = {
        "frames": len(clip),
        "seam": round(sk.seam(clip), 3),
        "largest_step": round(float(steps.max() / steps.mean()), 3),
        "motion_kept": round(sk.motion(clip) / sk.motion(source), 3),
    }
    return figures | {"good": figures["seam"] <= GOOD_SEAM and figures["motion_kept"] >= KEPT}


def naive(source: sk.Clip) -> dict:
    """Measure the clip as it is, played over and over."""
    return {"motion": round(sk.motion(source), 6), "seam": round(sk.seam(source), 3)}


def circled(pipeline, picture, seed: int, way: str) -> sk.Clip:
    """Make a clip that loops in the latents, in one of three ways."""
    import torch

    asked = resolved({"guidance": "triangle"} if way == "reversal" else {}, pipeline, picture.size)
    count = asked.num_frames
    kept = count - {"reversal": 1, "shift": 0, "tie": TIED}[way]
    draws, turn, before = torch.Generator().manual_seed(seed), 0, None

    def turned(unet, arguments, keywords):
        nonlocal turn
        turn = int(torch.randint(count, (1,), generator=draws)) if way == "shift" else 0
        return (arguments[0].roll(turn, 1), *arguments[1:]), keywords

    def answered(unet, arguments, keywords, answer):
        if way != "reversal":
            return (answer[0].roll(-turn, 1),)
        # "Explorative Inbetweening of Time and Space" (Feng et al., 2024): also backwards in time
        back = unet.forward(arguments[0].flip(1), *arguments[1:], **keywords)[0].flip(1)
        weight = torch.linspace(1, 0, count).reshape(1, -1, 1, 1, 1)
        return (weight * answer[0] + (1 - weight) * back,)

    def tied(_, step, timestep, tensors):
        nonlocal before
        latents, (high, low) = tensors["latents"], pipeline.scheduler.sigmas[step : step + 2]
        if before is not None and way == "tie":
            clean = (high * latents - low * before) / (high - low)
            weight = (torch.arange(1, TIED + 1) / (TIED + 1)).reshape(1, -1, 1, 1, 1)
            mixed = (1 - weight) * clean[:, -TIED:] + weight * clean[:, :TIED]
            whole = torch.cat([mixed, clean[:, TIED:-TIED], mixed], 1)
            latents = latents + whole - clean
        before = latents
        return {"latents": latents}

    def decoded(decode, latents, *_):
        circle = latents[:, torch.arange(-PADDING, kept + PADDING) % kept]
        frames = decode(circle, circle.shape[1], circle.shape[1])
        return frames[:, :, PADDING:-PADDING]

    unet = pipeline.unet
    hooks = [
        unet.register_forward_pre_hook(turned, with_kwargs=True),
        unet.register_forward_hook(answered, with_kwargs=True),
    ]
    own = ("height", "width", "num_frames", "num_inference_steps", "min_guidance_scale")
    own += ("max_guidance_scale", "fps", "motion_bucket_id", "noise_aug_strength")
    try:
        with borrowed(pipeline, asked.curve(), False, {"decode_latents": decoded}) as lent:
            frames = lent(
                sk.fit(picture, asked.height, asked.width),
                **{name: getattr(asked, name) for name in own},
                generator=torch.Generator().manual_seed(seed),
                callback_on_step_end=tied,
                output_type="np",
            ).frames[0]
    finally:
        for hook in hooks:
            hook.remove()
    return sk.Clip((frames * 255).round().astype(np.uint8))


def main(arguments: list[str]) -> None:
    """Loop the clips of some moving scenes, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--scenes", type=int, default=10)
    parser.add_argument("--latent", action="store_true", help="compare with loops in the latents")
    options = parser.parse_args(arguments)
    pipeline = sk.load(options.model)
    rows, seed = [], -1
    while len(rows) < options.scenes:
        seed += 1
        world = scene(seed)
        painted = sk.Clip(world.clip())
        if sk.motion(painted) < LEAST_MOTION:
            continue
        own = sk.animate(world.image, pipeline, seed=seed, progress=False)
        row = {"seed": seed, "caption": world.caption}
        for name, source in (("painted", painted), ("model", own)):
            looped = measured(sk.loop(source, progress=False), source)
            row[name] = {"naive": naive(source), "loop": looped}
        for way in ("reversal", "shift", "tie") if options.latent else ():
            made = circled(pipeline, world.image, seed, way)
            row["model"][way] = measured(made, own)
        rows.append(row)
        print(json.dumps(row), flush=True)
    summary = {}
    for kind in ("painted", "model"):
        for way in list(rows[0][kind])[1:]:
            each = [row[kind][way] for row in rows]
            summary[f"{kind} {way}"] = {
                "good": sum(one["good"] for one in each),
                "of": len(each),
                **{
                    f"median_{name}": round(statistics.median(one[name] for one in each), 3)
                    for name in ("seam", "largest_step", "motion_kept", "frames")
                },
            }
        seams = [row[kind]["naive"]["seam"] for row in rows]
        summary[f"{kind} naive"] = {
            "good": sum(seam <= GOOD_SEAM for seam in seams),
            "of": len(rows),
            "median_seam": round(statistics.median(seams), 3),
        }
    report = circumstances(__file__, arguments) | {
        "model": options.model,
        "good_is": f"seam ≤ {GOOD_SEAM} and motion_kept ≥ {KEPT}",
        "least_motion_of_a_painted_clip": LEAST_MOTION,
        "summary": summary,
        "scenes": rows,
    }
    options.out.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
