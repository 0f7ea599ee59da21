"""Paint for Toyland: anti-aliased shapes, soft shading and natural noise, for many scenes and
frames at once.

Everything is a torch tensor. A *field* has the shape (scenes, frames, height, width), a *picture*
(scenes, frames, 3, height, width) with colours in 0–1, and a colour (scenes, 1, 3, 1, 1); any of
these axes may be 1 where nothing changes along it. Lengths are half frame heights: y runs from −1
(top) to 1 (bottom), x from −aspect to aspect.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch.nn.functional import grid_sample

LATTICE = 128  # cells a side of the table of random numbers that all noise is read from


class View(NamedTuple):
    """The coordinates of every pixel's centre, and the side of a pixel: `x`, `y` and `pixel` in
    half frame heights.

    >>> looking_at(4, 8).x.shape
    torch.Size([1, 1, 4, 8])
    """

    x: torch.Tensor
    y: torch.Tensor
    pixel: float | torch.Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frame in pixels.

        >>> looking_at(4, 8).size
        (4, 8)
        """
        return self.y.shape[-2], self.x.shape[-1]


def looking_at(height: int, width: int, device: torch.device | str = "cpu") -> View:
    """The view of a resting camera on a frame of `height` × `width` pixels.

    >>> float(looking_at(2, 2).y[0, 0, 0, 0])
    -0.5
    """
    y = (torch.arange(height, device=device) + 0.5) * (2 / height) - 1
    x = (torch.arange(width, device=device) + 0.5) * (2 / height) - width / height
    y, x = torch.meshgrid(y, x, indexing="ij")
    return View(x[None, None], y[None, None], 2 / height)


def smoothstep(low: float, high: float, value: torch.Tensor) -> torch.Tensor:
    """0 below `low`, 1 above `high`, and a smooth ramp between.

    >>> smoothstep(0, 2, torch.tensor([-1.0, 1.0, 3.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    ramp = ((value - low) / (high - low)).clamp(0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def inside(distance: torch.Tensor, edge: float | torch.Tensor) -> torch.Tensor:
    """How much of each pixel is covered, from the signed `distance` to an outline (negative inside)
    and the pixel's side `edge`.

    >>> inside(torch.tensor([-1.0, 0.0, 1.0]), edge=0.5).tolist()
    [1.0, 0.5, 0.0]
    """
    return (0.5 - distance / edge).clamp(0, 1)


def disc(u: torch.Tensor, v: torch.Tensor, radius: float = 1.0) -> torch.Tensor:
    """Signed distance to a circle about the origin.

    >>> disc(torch.tensor(3.0), torch.tensor(4.0), radius=2.0).item()
    3.0
    """
    return (u * u + v * v).clamp_min(1e-12).sqrt() - radius


def box(
    u: torch.Tensor, v: torch.Tensor, half_width: float, half_height: float, corner: float = 0.0
) -> torch.Tensor:
    """Signed distance to a rectangle about the origin, with corners rounded by `corner`.

    >>> box(torch.tensor(2.0), torch.tensor(0.0), 1.0, 0.5).item()
    1.0
    """
    du, dv = u.abs() - half_width + corner, v.abs() - half_height + corner
    outside = (du.clamp_min(0) ** 2 + dv.clamp_min(0) ** 2).clamp_min(1e-12).sqrt()
    return outside + torch.maximum(du, dv).clamp_max(0) - corner


def polygon(u: torch.Tensor, v: torch.Tensor, *corners: tuple[float, float]) -> torch.Tensor:
    """Signed distance (exact along the sides) to a convex polygon, its corners given clockwise as
    seen on screen.

    >>> polygon(torch.tensor(0.0), torch.tensor(-2.0), (-1, -1), (1, -1), (1, 1), (-1, 1)).item()
    1.0
    """
    sides = []
    for (au, av), (bu, bv) in zip(corners, corners[1:] + corners[:1], strict=True):
        length = math.hypot(bu - au, bv - av)
        sides.append((u - au) * ((bv - av) / length) - (v - av) * ((bu - au) / length))
    return functools.reduce(torch.maximum, sides)


def rotate(
    u: torch.Tensor, v: torch.Tensor, angle: torch.Tensor | float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The coordinates in a frame turned clockwise on screen by `angle` radians.

    >>> [round(float(c), 3) for c in rotate(torch.tensor(0.0), torch.tensor(1.0), math.pi / 2)]
    [1.0, -0.0]
    """
    angle = torch.as_tensor(angle)
    cos, sin = angle.cos(), angle.sin()
    return u * cos + v * sin, v * cos - u * sin


def plain(colour: tuple[float, float, float], device: torch.device | str = "cpu") -> torch.Tensor:
    """One colour everywhere: red, green and blue in 0–1 become a picture of (1, 1, 3, 1, 1).

    >>> plain((1, 0, 0)).flatten().tolist()
    [1.0, 0.0, 0.0]
    """
    return torch.tensor(colour, dtype=torch.float32, device=device)[None, None, :, None, None]


def over(picture: torch.Tensor, colour: torch.Tensor, coverage: torch.Tensor) -> torch.Tensor:
    """Lay `colour` over the picture where `coverage`, a field in 0–1, says so.

    >>> black, white = torch.zeros(1, 1, 3, 1, 1), torch.ones(1, 1, 3, 1, 1)
    >>> over(black, white, torch.full((1, 1, 1, 1), 0.25)).flatten().tolist()
    [0.25, 0.25, 0.25]
    """
    return picture + (colour - picture) * coverage.unsqueeze(2)


def gradient(stops: list[torch.Tensor], along: torch.Tensor) -> torch.Tensor:
    """A smooth passage through the colours of `stops`, evenly spaced while the field `along` goes
    from 0 to 1.

    >>> black, white = torch.zeros(1, 1, 3, 1, 1), torch.ones(1, 1, 3, 1, 1)
    >>> gradient([black, white], torch.full((1, 1, 1, 1), 0.5))[0, 0, 0].item()
    0.5
    """
    steps = len(stops) - 1
    picture = stops[0]
    for i, colour in enumerate(stops[1:]):
        picture = over(picture, colour, smoothstep(i / steps, (i + 1) / steps, along))
    return picture


@functools.lru_cache(maxsize=8)
def _lattice(device: torch.device) -> torch.Tensor:
    """The one table of random numbers; the same on every machine."""
    numbers = torch.rand(1, 1, LATTICE, LATTICE, generator=torch.Generator().manual_seed(0))
    return numbers.to(device)


def noise(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Smooth random numbers about ½, mostly in 0–1, with one independent number for each unit of
    length.

    >>> noise(torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4)).shape
    torch.Size([1, 1, 4, 4])
    """
    x, y = torch.broadcast_tensors(x, y)
    where = torch.stack([x, y], -1).flatten(0, -4) * (2 / LATTICE)
    table = _lattice(x.device).expand(len(where), -1, -1, -1)
    read = grid_sample(table, where, mode="bicubic", padding_mode="reflection", align_corners=False)
    return read.view(x.shape)


def fractal_noise(
    x: torch.Tensor,
    y: torch.Tensor,
    place: torch.Tensor | float,
    edge: float | torch.Tensor,
    octaves: int = 5,
    roughness: float = 0.5,
) -> torch.Tensor:
    """Noise upon finer noise, as clouds and meadows have it: about 0–1, read somewhere else in the
    table for each `place`.

    Octaves finer than two pixels (`edge` is a pixel's side in the units of `x`) are left out, so
    that a small picture is a soft version of the large one and nothing twinkles when the camera
    moves.

    >>> fractal_noise(torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4), place=0.3, edge=0.01).shape
    torch.Size([1, 1, 4, 4])
    """
    finest = float(edge.max()) if isinstance(edge, torch.Tensor) else edge
    count = max(1, min(octaves, 1 + math.floor(math.log2(0.5 / finest))))
    octave = torch.arange(count, device=x.device).view(-1, 1, 1, 1, 1)
    scale = 2.0**octave
    layers = noise(x * scale + place * 1013 + octave * 17.3, y * scale + place * 617 - octave * 9.1)
    weights = roughness**octave
    mean = (layers * weights).sum(0) / weights.sum()
    # Averaging octaves pulls everything towards ½; this undoes most of it.
    return 0.5 + (mean - 0.5) * math.sqrt(1 + octaves / 2) * 0.8
