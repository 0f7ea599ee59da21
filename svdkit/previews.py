"""A quick look at latents while they are denoised: no decoder, one small matrix product."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from PIL import Image

# Latent channels to RGB, as fitted for Stable Diffusion 1.x and used for previews in ComfyUI
# (latent_formats.py, SD15); SVD shares that autoencoder's latent space.
LATENT_TO_RGB = (
    (0.3512, 0.2297, 0.3227),
    (0.3250, 0.4974, 0.2350),
    (-0.2829, 0.1762, 0.2721),
    (-0.2120, -0.2616, -0.7177),
)


class Preview:
    """The picture that a step is heading for, guessed from two successive noisy latents.

    >>> from svdkit.pipelines import load
    >>> Preview(load("tiny", device="cpu").scheduler).step
    -1
    """

    def __init__(self, scheduler: Any):
        self.scheduler = scheduler
        self.step = -1
        self._before: torch.Tensor | None = None
        self._latents: torch.Tensor | None = None

    def update(self, step: int, latents: "torch.Tensor") -> None:
        """Take the latents (1, frames, channels, height, width) after a step, counted from 0."""
        self.step, self._before, self._latents = step, self._latents, latents

    def picture(self) -> "Image.Image":
        """Draw the middle frame, a pixel for each latent."""
        import torch
        from PIL import Image

        if self._latents is None:
            raise ValueError("There is nothing to preview before the first step.")
        clean = self._denoised()
        frame = clean[0, clean.shape[1] // 2].float().cpu()
        matrix = torch.tensor(LATENT_TO_RGB)
        rgb = torch.einsum("chw,cr->hwr", frame[: len(matrix)], matrix)
        pixels = ((rgb + 1) / 2).clamp(0, 1).mul(255).round().byte().numpy()
        return Image.fromarray(pixels)

    def _denoised(self) -> "torch.Tensor":
        """Undo the Euler step: it went from x to x' along the line through the clean picture."""
        sigma, next_sigma = (float(s) for s in self.scheduler.sigmas[self.step : self.step + 2])
        after = self._latents.float()
        if self._before is None:  # before the first step there was only noise
            return after / (next_sigma**2 + 1) ** 0.5
        return (sigma * after - next_sigma * self._before.float()) / (sigma - next_sigma)
