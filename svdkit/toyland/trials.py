"""What `tiny` makes of painted scenes and of photographs, measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import StableVideoDiffusionPipeline
from PIL import Image

from .architectures import HEIGHT, NUM_FRAMES, WIDTH
from .conditions import clip_pixels, denoised
from .laws import progress_of
from .measures import (
    backwards,
    best_pan_error,
    flickering,
    mean,
    moving,
    photographs,
    spearman,
    through_the_vae,
    to_frames,
    undue_drift,
)
from .motion_judge import LAWFUL, by_thing, captions_of, thing_of
from .photos import come_nearer
from .scenes import scene
from .sheets import decibels
from .stress import differing

STEPS, GUIDANCE = 10, 2.0  # tiny's own defaults
NOISES = (700.0, 30.0, 5.0, 1.0)  # the sampler begins at the first and passes the others
BUCKETS = (10, 20, 60, 100, 140, 180, 240)


class Maker:
    """Clips by `tiny`, with its defaults where nothing else is said.

    >>> Maker.__call__.__name__
    '__call__'
    """

    def __init__(self, weights: Path, device: torch.device) -> None:
        self.pipeline = StableVideoDiffusionPipeline.from_pretrained(weights / "tiny").to(device)
        self.pipeline.set_progress_bar_config(disable=True)

    def __call__(
        self,
        image: Image.Image,
        seed: int = 0,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        **how,
    ) -> torch.Tensor:
        """A clip of this picture, (14, 3, 64, 112) in −1…1 on the CPU."""
        made = self.pipeline(
            image,
            HEIGHT,
            WIDTH,
            num_frames=NUM_FRAMES,
            num_inference_steps=steps,
            max_guidance_scale=guidance,
            generator=torch.Generator().manual_seed(seed),
            output_type="pt",
            **how,
        )
        return made.frames[0].float().cpu() * 2 - 1

    def through_the_vae(self, frames: torch.Tensor) -> torch.Tensor:
        """What is left of the frames after encoding and decoding them as one clip."""
        return through_the_vae(self.pipeline.vae, frames, num_frames=len(frames)).cpu()


@torch.no_grad()
def error_by_noise(
    pipeline: StableVideoDiffusionPipeline, truth: torch.Tensor
) -> dict[float, torch.Tensor]:
    """How far the clip that the model sees through noise of each level is from the truth, where
    things move: 0 is the truth, 1 the first frame held.

    What is missed at the highest levels it does not know of the laws; that is what more training
    would bring.

    >>> error_by_noise.__name__
    'error_by_noise'
    """
    vae, device = pipeline.vae, pipeline.device
    frames, noise = truth.to(device), torch.Generator().manual_seed(0)
    latents = vae.encode(frames).latent_dist.mode()[None]
    beside = latents[:, :1].expand_as(latents)
    latents = latents * vae.config.scaling_factor
    told = torch.tensor([[7.0 - 1, 127.0, 0.02]], device=device)  # the pipeline's own
    seen = pipeline.image_encoder(clip_pixels(frames[:1])).image_embeds[:, None]
    moves = differing(frames[None], frames[None, :1], latents.shape[-2:]) > 0.1
    errors = {}
    for level in NOISES:
        noised = latents + level * torch.randn(latents.shape, generator=noise).to(device)
        sigma = torch.tensor([level], device=device)
        found = denoised(pipeline.unet, noised, sigma, beside, seen, told)
        errors[level] = (moves * (found - latents).square()).sum()
        errors[level] /= (moves * (latents[:, :1] - latents).square()).sum()
    return errors


def evaluate_tiny(make: Maker, number: int) -> tuple[dict, list[torch.Tensor]]:
    """Every figure about `tiny`, on `number` scenes, and rows for its sheet: truth above, made
    below.

    >>> evaluate_tiny.__name__
    'evaluate_tiny'
    """
    scenes = [scene(seed) for seed in range(number)]
    truths = [to_frames(drawn.clip()) for drawn in scenes]
    images = [drawn.image for drawn in scenes]
    began = time.perf_counter()
    clips = [make(image) for image in images]
    figures = {"seconds_a_clip": (time.perf_counter() - began) / number}
    passed = [make.through_the_vae(truth) for truth in truths]
    figures["vae_psnr_scenes"] = mean(
        [decibels(some, truth) for some, truth in zip(passed, truths, strict=True)]
    )
    figures["first_frame_psnr"] = mean(
        [decibels(clip[0], truth[0]) for clip, truth in zip(clips, truths, strict=True)]
    )
    pairs = list(zip(clips, truths, strict=True))
    figures["colour_drift"] = mean([undue_drift(clip, truth) for clip, truth in pairs])
    figures["flicker"] = flickering(clips)
    figures["flicker_of_the_truth"] = flickering(truths)
    few = images[: max(2, number // 4)]
    half = scenes[: max(2, number // 2)]

    def moved(**how: int) -> tuple[float, float]:
        """The motion of the clips that are made, and of those that are painted."""
        painted = [to_frames(drawn.clip(**how)) for drawn in half]
        return moving([make(drawn.image, **how) for drawn in half]), moving(painted)

    by_bucket = {bucket: moved(motion_bucket_id=bucket) for bucket in BUCKETS}
    by_fps = {fps: moved(fps=fps) for fps in (5, 10, 20)}
    for name, rows in (("bucket", by_bucket), ("fps", by_fps)):
        figures[f"motion_by_{name}"] = {key: made for key, (made, _) in rows.items()}
        figures[f"motion_of_the_truth_by_{name}"] = {key: due for key, (_, due) in rows.items()}
    figures["bucket_spearman"] = spearman(list(by_bucket), [made for made, _ in by_bucket.values()])
    figures["motion_240_over_20"] = by_bucket[240][0] / max(by_bucket[20][0], 1e-6)
    figures["step_at_fps_5_over_20"] = by_fps[5][0] / max(by_fps[20][0], 1e-6)
    figures["motion_by_guidance"] = {
        g: moving([make(i, guidance=g) for i in few]) for g in (1.0, 3.0)
    }
    figures["first_frame_by_steps"] = {
        steps: mean([decibels(make(few[i], steps=steps)[0], truths[i][0]) for i in range(len(few))])
        for steps in (5, 10, 25)
    }
    figures["change_by_seed"] = mean(
        [(make(i, seed=1) - make(i, seed=2)).abs().mean() for i in few]
    )

    errors, lost, frozen, panned, guessed = [], [], [], [], []
    for drawn, truth, made, through in zip(scenes, truths, clips, passed, strict=True):
        if thing_of(drawn.caption) not in LAWFUL:
            continue
        errors.append((made - truth).square().mean())
        lost.append((through - truth).square().mean())
        frozen.append((truth[:1] - truth).square().mean())
        panned.append(best_pan_error(truth))
        guessed.append(error_by_noise(make.pipeline, truth))
    figures["error_over_frozen"] = mean(errors) / mean(frozen)
    figures["error_over_best_pan"] = mean(errors) / mean(panned)
    figures["error_of_the_vae_over_best_pan"] = mean(lost) / mean(panned)
    figures["error_where_it_moves_by_noise"] = {
        level: mean([errors[level] for errors in guessed]) for level in NOISES
    }
    return figures, [row for pair in zip(truths, clips, strict=True) for row in pair]


def evaluate_law(make: Callable[[Image.Image], torch.Tensor], number: int) -> dict:
    """How many of `number` clips are nearer to their things going as the law says than to the same
    things going backwards, and how many would be if nothing moved; each thing equally often.

    >>> held = evaluate_law(lambda image: to_frames(np.asarray(image)[None]), 2)
    >>> held["share_that_obeys_its_law"] == held["share_that_obeys_if_frozen"]
    True
    """
    named = captions_of(LAWFUL, number, torch.Generator().manual_seed(3))
    obeys, still = [], []
    for seed, caption in enumerate(named):
        drawn = scene(seed, caption)
        truth, wrong = to_frames(drawn.clip()), backwards(drawn, 127.0, 7.0)
        matters = (truth - wrong).abs() > 0.1
        for hits, made in ((obeys, make(drawn.image)), (still, truth[:1])):
            made = made.expand_as(truth)
            forth, back = ((made - other)[matters].square().mean() for other in (truth, wrong))
            hits.append(float(forth < back))
    return {
        "share_that_obeys_its_law": mean(obeys),
        "share_that_obeys_its_law_by_thing": by_thing(named, obeys),
        "share_that_obeys_if_frozen": mean(still),
        "things_that_were_asked_for_their_law": number,
    }


def evaluate_photos(make: Maker) -> tuple[dict, list[torch.Tensor]]:
    """How photographs come through the VAE, and rows of each before the clip `tiny` makes of it.

    >>> evaluate_photos.__name__
    'evaluate_photos'
    """
    photos = photographs()
    if not photos:
        return {"photos": "not measured: scikit-image is not installed"}, []
    stills = [
        to_frames(np.asarray(photo)[None]).expand(NUM_FRAMES, -1, -1, -1)
        for photo in photos.values()
    ]
    passed = [float(decibels(make.through_the_vae(still), still)) for still in stills]
    figures = {
        "vae_psnr_photos": mean(passed),
        "vae_psnr_by_photo": dict(zip(photos, passed, strict=True)),
    }
    clips = [make(photo) for photo in photos.values()]
    pairs = list(zip(clips, stills, strict=True))
    figures["photos_first_frame_psnr"] = mean(
        [decibels(clip[0], still[0]) for clip, still in pairs]
    )
    # What training makes of a picture that is no scene: the camera comes nearer.
    progress = progress_of(torch.tensor([127.0]), torch.tensor([7.0]), NUM_FRAMES)
    truths = [come_nearer(still[:1], progress, HEIGHT, WIDTH)[0] for still in stills]
    figures["photos_last_frame_psnr"] = mean(
        [decibels(clip[-1], truth[-1]) for clip, truth in zip(clips, truths, strict=True)]
    )
    figures["photos_last_frame_psnr_if_held"] = mean(
        [decibels(still[-1], truth[-1]) for still, truth in zip(stills, truths, strict=True)]
    )
    rows = [torch.cat([still[:1], clip]) for clip, still in pairs]
    return figures, rows
