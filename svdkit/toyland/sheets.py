"""Contact sheets: clips as strips of film, one below another, and the decibels that tell how near
two of them are.
"""

from __future__ import annotations

import torch
from PIL import Image


def decibels(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio of frames in −1…1, in dB.

    >>> round(decibels(torch.zeros(4), torch.full((4,), 0.2)).item(), 2)
    20.0
    """
    error = made.detach().float().clamp(-1, 1) - wanted.float()
    return 10 * torch.log10(4 / error.square().mean().clamp_min(1e-10))


def film_strips(clips: list[torch.Tensor], every: int = 1) -> Image.Image:
    """One row for each clip, (frames, 3, height, width) in −1…1, with every so-manieth frame side
    by side.

    >>> film_strips([torch.zeros(4, 3, 8, 14)] * 3, every=2).size
    (28, 24)
    """
    rows = [torch.cat(list(clip[::every]), -1) for clip in clips]
    widest = max(row.shape[-1] for row in rows)
    rows = [torch.nn.functional.pad(row, (0, widest - row.shape[-1]), value=1.0) for row in rows]
    sheet = torch.cat(rows, -2).float().clamp(-1, 1)
    return Image.fromarray(((sheet + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy())
