"""The last stage, though it may run at any time after `vae`: both decoders learn on while the
encoder rests.

What a decoder blurs, no model can show that draws in its latents. These keep their meaning, so
UNets that are trained, or training beside it, fit the better decoders as they did the old ones.
Stable Video Diffusion got its temporal decoder in this way.
"""

from __future__ import annotations

from pathlib import Path

import torch

from .train_vae import VaeStage
from .trained import trained_vaes


class DecoderStage(VaeStage):
    """Training of both decoders, `clips` clips a step, on the encoder that stage `vae` left in
    `out`.

    >>> DecoderStage.name
    'decoders'
    """

    name = "decoders"
    crop_steps = 0  # what is left to learn is finer than crops can teach
    singles = 0.4

    def __init__(self, clips: int, device: torch.device, out: Path) -> None:
        super().__init__(clips, device)
        video, image = trained_vaes(out)
        for network in (video.decoder, image.decoder):
            network.train().requires_grad_(True)
        self.networks = torch.nn.ModuleDict({"video": video, "image": image}).to(device)
        self.known = {"latent_std": 1 / video.config.scaling_factor}

    def state(self, networks: torch.nn.ModuleDict) -> dict:
        """The spread of the latents, as stage `vae` found it."""
        return self.known
