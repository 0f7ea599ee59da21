"""Photo-like pictures: heaps of textured, shaded shapes before a moving camera, so that models also
learn what photographs need.

Overlapping shapes of all sizes ("dead leaves") share the statistics of natural pictures: edges at
every scale, flat parts and rough parts (Lee, Mumford and Huang, "Occlusion Models for Natural
Images", 2001).
"""

from __future__ import annotations

import math

import torch
from torch.nn.functional import grid_sample

from .laws import travelled
from .painting import View, disc, fractal_noise, inside, looking_at, over, rotate, smoothstep

LEAVES, DICE = 22, 14  # shapes in a picture, and random numbers for each
MARGIN = 1.5  # the painted picture is this much larger than the frame, so that the camera has room


def _still_lifes(dice: torch.Tensor, view: View) -> torch.Tensor:
    """One large picture a scene, (scenes, 1, 3, height, width), of dice (scenes, LEAVES, DICE)."""
    aspect = view.size[1] / view.size[0]
    leaf = [dice[..., i, None, None, None] for i in range(DICE)]
    vivid = leaf[0][:, :1] * 0.75
    palette = dice[:, :, 1:4, None, None]
    palette = palette + (palette.mean(2, keepdim=True) - palette) * (1 - vivid)
    mood = palette[:, :1]  # the light that all leaves of a picture share
    wander = fractal_noise(view.x, view.y, leaf[4][:, 0], view.pixel, octaves=4) - 0.5
    picture = mood
    for i in range(LEAVES):
        place, x, y, radius, turn, squash, roundness, rough, blur, fine = (
            die[:, i] for die in leaf[4:]
        )
        small = 0.07 + 0.93 * radius * (1 - i / LEAVES) ** 0.5
        radius = (0.10 / small).clamp_max(1.3) if i else 9.0  # the first is the backdrop
        u, v = rotate(
            view.x - (2 * x - 1) * aspect * MARGIN, view.y - (2 * y - 1) * MARGIN, turn * math.pi
        )
        u = u * (1 + 1.5 * squash) + wander * 0.5 * rough
        square = torch.maximum(u.abs(), v.abs()) * 1.2
        outline = torch.where(roundness < 0.55, disc(u, v, 0.0), square) - radius
        grain = 1.5 + 14 * fine**2
        texture = fractal_noise(
            u * grain,
            v * grain * (0.4 + squash),
            place,
            view.pixel * grain,
            octaves=4,
            roughness=0.65,
        )
        light = 1 - 0.35 * ((u + v) / (2 * radius)).clamp(-1, 1)
        light = light + 0.9 * rough**2 * (texture - 0.5)
        colour = 0.4 * mood + 0.6 * palette[:, i : i + 1]
        depth = view.pixel * (1 + 6 * blur**4)  # some leaves lie out of focus
        picture = over(picture, (colour * light.unsqueeze(2)).clamp(0, 1), inside(outline, depth))
    return picture


def photo_clips(
    n: int, progress: torch.Tensor, height: int, width: int, generator: torch.Generator
) -> torch.Tensor:
    """`n` clips of photo-like pictures, (n, frames, 3, height, width) in 0–1: the camera rests,
    pans, zooms or drifts.

    >>> photo_clips(1, torch.zeros(1, 2, 1, 1), 8, 14, torch.Generator().manual_seed(0)).shape
    torch.Size([1, 2, 3, 8, 14])
    """
    device = progress.device
    dice = torch.rand(n, LEAVES, DICE, generator=generator).to(device)
    heading, choice, pull, turn = torch.rand(4, n, 1, 1, 1, generator=generator).to(device)
    rows, columns = (2 * round(side * MARGIN / 2) for side in (height, width))
    canvas = looking_at(rows, columns, device)
    scale = rows / height
    pictures = _still_lifes(dice, View(canvas.x * scale, canvas.y * scale, 2 / height))

    way = heading * 2 * math.pi
    pans, zooms = (choice > 0.15) & (choice < 0.75), choice > 0.5
    distance = torch.where(pans, travelled(0.24, progress, reach=0.45), 0.0)
    zoom = torch.exp(torch.where(zooms, (0.3 + pull) * travelled(0.14, progress, reach=0.32), 0.0))
    view = looking_at(height, width, device)
    x, y = rotate(
        view.x / zoom,
        view.y / zoom,
        torch.where(choice > 0.85, (turn - 0.5) * travelled(0.16, progress, 0.3), 0.0),
    )
    x, y = x + distance * way.cos(), y + 0.6 * distance * way.sin()
    where = torch.stack([x / (scale * width / height), y / scale], -1).flatten(0, 1)
    frames = progress.shape[1]
    canvases = pictures.expand(-1, frames, -1, -1, -1).flatten(0, 1)
    seen = grid_sample(
        canvases, where, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    contrast = 1 + 0.6 * smoothstep(0.3, 1.0, pull)[:, :, None]
    return ((seen.view(n, frames, 3, height, width) - 0.5) * contrast + 0.5).clamp(0, 1)
