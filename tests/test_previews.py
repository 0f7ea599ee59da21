import numpy as np
import pytest
import torch

import svdkit as sk
from svdkit.previews import LATENT_TO_RGB, Preview


def test_a_preview_undoes_the_noise_exactly_where_the_model_is_sure(tiny):
    """A model that always answers the same clean latents is seen through at every step."""
    scheduler = type(tiny.scheduler).from_config(tiny.scheduler.config)
    scheduler.set_timesteps(5)
    clean = torch.randn(1, 3, 4, 8, 8, generator=torch.manual_seed(0))
    latents = torch.randn(clean.shape, generator=torch.manual_seed(1)) * scheduler.init_noise_sigma
    preview = Preview(scheduler)
    for step, t in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[step]
        # v-prediction: clean = x/(σ²+1) − v·σ/√(σ²+1), solved for v
        v = (latents / (sigma**2 + 1) - clean) * (sigma**2 + 1).sqrt() / sigma
        scheduler.scale_model_input(latents, t)
        latents = scheduler.step(v, t, latents).prev_sample
        preview.update(step, latents)
        if step:
            assert torch.allclose(preview._denoised(), clean, atol=1e-2)
    rgb = torch.einsum("chw,cr->hwr", clean[0, 1], torch.tensor(LATENT_TO_RGB))
    wanted = ((rgb + 1) / 2).clamp(0, 1) * 255
    assert np.abs(np.asarray(preview.picture()) - wanted.numpy()).max() <= 2


def test_before_the_first_step_there_is_nothing_to_preview(tiny):
    with pytest.raises(ValueError, match="before the first step"):
        Preview(tiny.scheduler).picture()


def test_a_preview_can_be_kept_for_later(picture):
    later = []
    sk.animate(
        picture, "tiny", num_frames=2, num_inference_steps=2, progress=False,
        on_step=lambda step, total, preview: later.append(preview),
    )  # fmt: skip
    assert later[-1]().size == (28, 16)
