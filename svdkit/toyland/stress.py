"""Where an error counts more: at the small part of a picture or clip that has to be learned.

Away from the sea a thing and its way fill a tenth of the picture or less. Unstressed, the rest
outweighs them for a long time: things are left out of drawings, and stand still in clips.
"""

from __future__ import annotations

import torch
from torch.nn.functional import adaptive_max_pool2d

STRESS = 8.0  # how much more an error counts at a place that differs by 1 than where none does
HIDING = 3.0  # the noise level σ, of latents of unit variance, that half hides a thing


def differing(
    frames: torch.Tensor, others: torch.Tensor, size: tuple[int, int] | torch.Size
) -> torch.Tensor:
    """How much clips (n, frames, 3, height, width) ever differ from others, at each place of their
    latents: a field (n, 1, 1, *size).

    >>> black, white = torch.zeros(1, 1, 3, 8, 8), torch.ones(1, 1, 3, 8, 8)
    >>> differing(black, white, (1, 2)).flatten().tolist()
    [1.0, 1.0]
    """
    return adaptive_max_pool2d((frames - others).abs().amax((1, 2))[:, None], size)[:, None]


def stressed(places: torch.Tensor, seen: torch.Tensor | float = 1.0) -> torch.Tensor:
    """How much an error counts at each of the `places` of `differing`, 1 on average.

    `seen`, 0 to 1, says how far the model can know these places. Where nothing tells them, a thing
    that is stressed wherever it happens to be would be seen everywhere.

    >>> stressed(torch.tensor([0.0, 0.25]).view(1, 1, 1, 1, 2)).flatten().tolist()
    [0.5, 1.5]
    """
    counts = 1 + STRESS * seen * places
    return counts / counts.mean((1, 2, 3, 4), keepdim=True)


def seen_through_noise(signal: torch.Tensor, frames: int = 1) -> torch.Tensor:
    """How far things are seen in noised latents of which the share `signal` is no noise
    (`alphas_cumprod`, (n,)): a field (n, 1, 1, 1, 1). Several frames show more than one.

    >>> seen_through_noise(torch.tensor([0.0, 0.1, 1.0])).round(decimals=3).flatten().tolist()
    [0.0, 0.5, 1.0]
    """
    odds = frames * HIDING**2 * signal / (1 - signal).clamp_min(1e-9)
    return (odds**2 / (1 + odds**2))[:, None, None, None, None]
