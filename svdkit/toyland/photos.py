"""Photo-like pictures: heaps of textured, shaded shapes that the camera slowly comes nearer to, so
that models also learn what photographs need.

It always comes nearer, and the motion bucket and the fps say how fast: where nothing in a picture
tells which way the camera will go, a small model goes every way at once, and the picture breaks up.

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
FINER = 1.5  # the picture is painted this much finer than the frame: the camera comes nearer to it
SPREAD = 1.25  # some shapes reach in from outside the frame


def _still_lifes(dice: torch.Tensor, view: View) -> torch.Tensor:
    """One picture a scene, (scenes, 1, 3, height, width), of dice (scenes, LEAVES, DICE)."""
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
            view.x - (2 * x - 1) * aspect * SPREAD, view.y - (2 * y - 1) * SPREAD, turn * math.pi
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


def come_nearer(
    pictures: torch.Tensor, progress: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    """What a camera sees that comes nearer to pictures (n, 3, rows, columns): clips (n, frames, 3,
    height, width).

    >>> come_nearer(torch.ones(1, 3, 12, 21), torch.ones(1, 2, 1, 1), 8, 14).shape
    torch.Size([1, 2, 3, 8, 14])
    """
    n, frames = progress.shape[:2]
    zoom = torch.exp(travelled(0.06, progress, reach=0.16))
    view = looking_at(height, width, progress.device)
    where = torch.stack([view.x * height / width / zoom, view.y / zoom], -1).flatten(0, 1)
    pictures = pictures.repeat_interleave(frames, 0)
    seen = grid_sample(pictures, where, padding_mode="reflection", align_corners=False)
    return seen.view(n, frames, 3, height, width)


def photo_clips(
    n: int, progress: torch.Tensor, height: int, width: int, generator: torch.Generator
) -> torch.Tensor:
    """`n` clips of photo-like pictures, (n, frames, 3, height, width) in 0–1, to which the camera
    comes nearer.

    >>> photo_clips(1, torch.zeros(1, 2, 1, 1), 8, 14, torch.Generator().manual_seed(0)).shape
    torch.Size([1, 2, 3, 8, 14])
    """
    device = progress.device
    dice = torch.rand(n, LEAVES, DICE, generator=generator).to(device)
    vivid = torch.rand(n, 1, 1, 1, 1, generator=generator).to(device)
    canvas = looking_at(round(FINER * height), round(FINER * width), device)
    # All that is finer than a pixel of the frame is left out of the painting: nothing flickers.
    pictures = _still_lifes(dice, View(canvas.x, canvas.y, 2 / height)).squeeze(1)
    contrast = 1 + 0.6 * smoothstep(0.3, 1.0, vivid)
    return ((come_nearer(pictures, progress, height, width) - 0.5) * contrast + 0.5).clamp(0, 1)
