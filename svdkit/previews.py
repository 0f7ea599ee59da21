"""A quick look at latents while they are denoised: no decoder, one small matrix product."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from PIL import Image

# Latent channels to RGB, as fitted for Stable Diffusion 1.x and used for previews in ComfyUI
# (latent_formats.py, SD15); SVD shares that autoencoder's latent space.
Matrix = tuple[tuple[float, float, float], ...]
LATENT_TO_RGB: Matrix = (
    (0.3512, 0.2297, 0.3227),
    (0.3250, 0.4974, 0.2350),
    (-0.2829, 0.1762, 0.2721),
    (-0.2120, -0.2616, -0.7177),
    (0.0, 0.0, 0.0),  # a constant
)


@dataclass(frozen=True)
class Preview:
    """The picture that a step is heading for, guessed from the latents on both sides of it.

    >>> import torch
    >>> Preview(None, torch.zeros(1, 3, 4, 8, 8), 1.0, 0.5).picture().size
    (8, 8)
    """

    before: "torch.Tensor | None"
    """Latents (1, frames, channels, height, width) before the step; None where not known."""
    after: "torch.Tensor"
    """Latents after the step."""
    sigma: float
    """Noise level before the step."""
    next_sigma: float
    """Noise level after the step."""
    latent_to_rgb: Matrix = LATENT_TO_RGB
    """A row for each latent channel, and one that is added."""

    def picture(self) -> "Image.Image":
        """Draw the middle frame, a pixel for each latent."""
        import torch
        from PIL import Image

        clean = self.denoised()
        frame = clean[0, clean.shape[1] // 2].cpu()
        *channels, constant = torch.tensor(self.latent_to_rgb)
        rgb = torch.einsum("chw,cr->hwr", frame[: len(channels)], torch.stack(channels)) + constant
        return Image.fromarray(((rgb + 1) / 2).clamp(0, 1).mul(255).round().byte().numpy())

    def denoised(self) -> "torch.Tensor":
        """Undo the Euler step: it went from before to after on the line through what is clean."""
        after = self.after.float()
        if self.before is None or self.sigma == self.next_sigma:
            return after / (self.next_sigma**2 + 1) ** 0.5
        ahead = self.sigma * after - self.next_sigma * self.before.float()
        return ahead / (self.sigma - self.next_sigma)


def matrix_in(folder: Path | None) -> Matrix:
    """Give the matrix that a model's folder brings, else that of Stable Diffusion.

    >>> len(matrix_in(None))
    5
    """
    file = folder and folder / "preview.json"
    if not file or not file.exists():
        return LATENT_TO_RGB
    return tuple(map(tuple, json.loads(file.read_text(encoding="utf-8"))["latent_to_rgb"]))


def sigmas_at(scheduler: Any, step: int) -> tuple[float, float]:
    """Give the noise levels before and after a step, counted from 0; 0 where there are none.

    >>> sigmas_at(None, 3)
    (0.0, 0.0)
    """
    sigmas = getattr(scheduler, "sigmas", ())[step : step + 2]
    return (float(sigmas[0]), float(sigmas[1])) if len(sigmas) == 2 else (0.0, 0.0)
