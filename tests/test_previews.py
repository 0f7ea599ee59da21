import numpy as np
import torch

import svdkit as sk
from svdkit.previews import LATENT_TO_RGB, Preview, sigmas_at


def test_a_preview_undoes_the_noise_exactly_where_the_model_is_sure(tiny):
    """A model that always answers the same clean latents is seen through at every step."""
    scheduler = type(tiny.scheduler).from_config(tiny.scheduler.config)
    scheduler.set_timesteps(5)
    clean = torch.randn(1, 3, 4, 8, 8, generator=torch.manual_seed(0))
    latents = torch.randn(clean.shape, generator=torch.manual_seed(1)) * scheduler.init_noise_sigma
    before = None
    for step, t in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[step]
        # v-prediction: clean = x/(σ²+1) − v·σ/√(σ²+1), solved for v
        v = (latents / (sigma**2 + 1) - clean) * (sigma**2 + 1).sqrt() / sigma
        scheduler.scale_model_input(latents, t)
        latents = scheduler.step(v, t, latents).prev_sample
        preview = Preview(before, latents, *sigmas_at(scheduler, step))
        before = latents
        if step:
            assert torch.allclose(preview.denoised(), clean, atol=1e-2)
    rgb = torch.einsum("chw,cr->hwr", clean[0, 1], torch.tensor(LATENT_TO_RGB[:4]))
    wanted = ((rgb + 1) / 2).clamp(0, 1) * 255
    assert np.abs(np.asarray(preview.picture()) - wanted.numpy()).max() <= 2


def test_previews_kept_for_later_show_their_own_step(picture):
    shown, kept = [], []

    def on_step(step, total, preview):
        shown.append(np.asarray(preview()))
        kept.append(preview)

    for steps in (4, 2):  # a later clip with the same scheduler changes nothing either
        sk.animate(
            picture,
            "tiny",
            num_frames=2,
            num_inference_steps=steps,
            progress=False,
            on_step=on_step,
        )
    assert len(kept) == 6
    for before, preview in zip(shown, kept, strict=True):
        assert np.array_equal(np.asarray(preview()), before)
    assert not np.array_equal(shown[0], shown[3])


def test_a_scheduler_without_noise_levels_has_previews_too(picture):
    from diffusers import DDIMScheduler

    from svdkit.architectures import build

    pipeline = build(sk.MODELS["tiny"])
    pipeline.scheduler = DDIMScheduler(prediction_type="v_prediction")
    seen = []
    sk.animate(
        picture, pipeline, height=64, width=112, num_frames=2, num_inference_steps=2,
        progress=False, on_step=lambda step, total, preview: seen.append(preview().size),
    )  # fmt: skip
    assert seen == [(28, 16)] * 2


def test_the_preview_of_tiny_has_the_colours_of_its_clip(picture):
    """Its own matrix is fitted to its own latents; Stable Diffusion's would show other colours."""
    seen = []
    clip = sk.animate(
        picture,
        "tiny",
        seed=3,
        num_inference_steps=5,
        progress=False,
        on_step=lambda step, total, preview: seen.append(np.asarray(preview()).mean((0, 1))),
    )
    middle = clip.frames[len(clip) // 2].mean((0, 1))
    assert np.abs(seen[-1] - middle).max() < 25
