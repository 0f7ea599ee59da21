"""The shapes of Toyland's things.

A painter draws one kind of thing on its own little canvas, `u` to the right and `v` down, about 1
in size and facing right. It yields layers from the back to the front: a colour, an outline as a
signed distance, and a strength.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch

from .laws import Pose
from .painting import box, disc, fractal_noise, plain, polygon, rotate, smoothstep
from .skies import RGB

WOOD, DARK, PALE = (0.45, 0.30, 0.18), (0.14, 0.14, 0.18), (0.93, 0.90, 0.84)

Tensor = torch.Tensor
Layer = tuple[Tensor, Tensor, Tensor | float]
Painter = Callable[[Tensor, Tensor, Pose, Tensor], Iterator[Layer]]


def _plain(colour: RGB, like: Tensor) -> Tensor:
    return plain(colour, like.device)


def _shaded(colour: Tensor, shade: Tensor) -> Tensor:
    """The colour darker (shade < 1) or towards white (shade > 1) at each pixel."""
    shade = shade.unsqueeze(2)
    return colour * shade.clamp_max(1) + (1 - colour) * (shade - 1).clamp(0, 1)


def _ball_light(u: Tensor, v: Tensor) -> Tensor:
    """Light from the upper left on a unit sphere: a shade about 1, with a small highlight."""
    bulge = (1 - (u * u + v * v)).clamp_min(0).sqrt()
    facing = (-0.45 * u - 0.6 * v + 0.66 * bulge).clamp_min(0)
    return 0.52 + 0.55 * facing + 0.6 * smoothstep(0.93, 1.0, facing)


def _balloon(u: Tensor, v: Tensor, pose: Pose, colour: Tensor) -> Iterator[Layer]:
    bulb = torch.where(v < 0, disc(u, v), disc(u * (1 + 0.35 * v.clamp_min(0) ** 2), v * 0.86))
    bulb = torch.maximum(bulb, v - 1.02)
    for side in (-1, 1):
        yield (
            _plain(DARK, u),
            box(rotate(u - side * 0.22, v - 1.15, side * 0.13)[0], v - 1.15, 0.018, 0.22),
            0.8,
        )
    yield _plain(WOOD, u), box(u, v - 1.42, 0.2, 0.14, 0.05), 1.0
    meridian = (
        torch.asin((u / (1 - 0.72 * v * v).clamp_min(0.08).sqrt()).clamp(-1, 1)) / math.pi * 7
    )
    gore = smoothstep(-0.25, 0.25, (meridian * math.pi).cos())
    light = _ball_light(u * 0.95, v * 0.8)
    yield _shaded(colour, light * (0.72 + 0.28 * gore)), bulb, 1.0
    yield _shaded(_plain(PALE, u), light), torch.maximum(bulb, (v + 0.05).abs() - 0.13), 0.85


def _ball(u: Tensor, v: Tensor, pose: Pose, colour: Tensor) -> Iterator[Layer]:
    below = v - 1 - pose.lift
    fade = (1 / (1 + 0.35 * pose.lift)).expand_as(below)
    yield _plain(DARK, u), disc(u / (0.75 + 0.3 * fade), below * 4) * 0.6, 0.5 * fade
    spun_u, spun_v = rotate(u, v, pose.phase)
    light = _ball_light(u, v)
    yield _shaded(colour, light), disc(u, v), 1.0
    band = torch.maximum(disc(u, v), (spun_v - 0.25 * spun_u * spun_u).abs() - 0.2)
    yield _shaded(_plain(PALE, u), light), band, 0.9


def _boat(u: Tensor, v: Tensor, pose: Pose, colour: Tensor) -> Iterator[Layer]:
    yield _plain(WOOD, u), box(u - 0.02, v + 0.35, 0.035, 0.85), 1.0
    belly = 0.10 * (1 - v * v)
    yield (
        _shaded(_plain(PALE, u), 1.0 - 0.25 * (u + v)),
        polygon(u - belly, v, (0.1, -1.15), (0.92, 0.32), (0.1, 0.32)),
        1.0,
    )
    yield (
        _shaded(colour, 0.95 - 0.35 * (u + 0.4)),
        polygon(u - belly, v, (-0.03, -1.2), (-0.03, 0.36), (-0.82, 0.36)),
        1.0,
    )
    hull = torch.maximum(
        polygon(u, v, (-0.95, 0.45), (1.25, 0.40), (0.75, 0.98), (-0.7, 0.98)), -(v - 0.4)
    )
    yield _shaded(_plain((0.52, 0.28, 0.16), u), 1.15 - 0.5 * (v - 0.3)), hull, 1.0
    yield _plain(PALE, u), torch.maximum(hull, (v - 0.52).abs() - 0.06), 0.9


def _cart(u: Tensor, v: Tensor, pose: Pose, colour: Tensor) -> Iterator[Layer]:
    yield _plain(DARK, u), disc(u * 0.8, (v - 0.80) * 5) * 0.5, 0.4
    load = _shaded(colour, 1.05 - 0.35 * (v + 0.2))
    yield load, box(u + 0.32, v + 0.06, 0.80, 0.42, 0.12), 1.0
    yield _shaded(colour, 0.86 - 0.3 * v), box(u - 0.84, v - 0.10, 0.40, 0.42, 0.14), 1.0
    yield _plain((0.72, 0.88, 0.96), u), box(u - 0.92, v + 0.06, 0.20, 0.15, 0.06), 0.95
    yield _plain(PALE, u), box(u + 0.32, v + 0.06, 0.80, 0.07), 0.85
    for middle in (-0.62, 0.72):
        a, b = rotate(u - middle, v - 0.52, pose.phase)
        yield _plain(DARK, u), disc(a, b, 0.31), 1.0
        spokes = torch.minimum(box(a, b, 0.25, 0.05), box(a, b, 0.05, 0.25))
        yield _plain((0.80, 0.80, 0.82), u), torch.maximum(spokes, disc(a, b, 0.25)), 1.0


def _cloud(u: Tensor, v: Tensor, pose: Pose, colour: Tensor) -> Iterator[Layer]:
    puffs = (
        (-0.85, 0.22, 0.42),
        (-0.35, -0.08, 0.58),
        (0.28, -0.22, 0.62),
        (0.85, 0.12, 0.48),
        (0.1, 0.22, 0.55),
    )
    body = torch.stack([disc(u - a, v - b, r) for a, b, r in puffs]).amin(0)
    rough = fractal_noise(u * 1.6, v * 1.6, 0.37, 0.02, octaves=4)
    body = torch.maximum(body, v - 0.55) + 0.28 * (rough - 0.45)
    softness = smoothstep(0.10, -0.22, body)
    yield (
        _shaded(colour, 1.04 - 0.26 * smoothstep(-0.5, 0.6, v + 0.5 * (rough - 0.5))),
        body - 0.1,
        softness,
    )


def _bird(u: Tensor, v: Tensor, pose: Pose, colour: Tensor) -> Iterator[Layer]:
    flap = torch.as_tensor(pose.phase).sin()
    flap = torch.where(flap < 0, flap.clamp_max(-0.18), flap.clamp_min(0.18))  # never edge on
    yield _shaded(colour, 0.62 + 0 * u), _wing(u - 0.16, v, flap), 1.0  # the far wing
    yield _shaded(colour, 0.95 - 0.4 * v), disc(u / 0.86, (v + 0.05 * u) / 0.26) * 0.26, 1.0
    tail = polygon(u, v, (-1.25, -0.2), (-0.6, -0.1), (-0.6, 0.12), (-1.2, 0.22))
    yield _shaded(colour, 0.80 - 0.2 * v), tail, 1.0
    yield _shaded(colour, 1.0 - 0.5 * v), disc(u - 0.82, v + 0.16, 0.25), 1.0
    beak = polygon(u, v, (1.0, -0.24), (1.34, -0.10), (1.0, -0.05))
    yield _plain((0.95, 0.62, 0.15), u), beak, 1.0
    yield _plain(DARK, u), disc(u - 0.88, v + 0.20, 0.05), 1.0
    yield _shaded(colour, 0.95 + 0 * u), _wing(u, v, flap), 1.0


def _wing(u: Tensor, v: Tensor, flap: Tensor) -> Tensor:
    """Signed distance to a bird's wing, raised where `flap` is above 0 and lowered below it."""
    up = -v * flap.sign()
    blade = torch.maximum(up - 0.95 * flap.abs(), -(up + 0.02))
    span = (u - 0.1 + 0.45 * up).abs() - 0.42 * (1 - 0.75 * up.clamp(0, 1))
    return torch.maximum(blade, span)


def _windmill(u: Tensor, v: Tensor, pose: Pose, colour: Tensor) -> Iterator[Layer]:
    tower = polygon(u, v, (-0.22, -0.05), (0.22, -0.05), (0.42, 1.75), (-0.42, 1.75))
    yield _plain(DARK, u), disc(u - 0.15, (v - 1.74) * 5, 0.6), 0.3
    yield _shaded(_plain(PALE, u), 1.0 - 0.55 * (u + 0.15)), tower, 1.0
    yield _shaded(_plain(WOOD, u), 0.9 + 0 * u), box(u, v - 1.52, 0.11, 0.24, 0.08), 1.0
    yield _plain((0.35, 0.45, 0.55), u), disc(u, v - 0.75, 0.1), 1.0
    yield _shaded(colour, 0.9 - 0.5 * u), torch.maximum(disc(u, v + 0.02, 0.34), v - 0.1), 1.0
    for quarter in range(4):
        a, b = rotate(u, v, pose.phase + quarter * math.pi / 2)
        yield _plain(WOOD, u), box(a, b + 0.56, 0.03, 0.56), 1.0
        yield _shaded(colour, 1.08 - 0.3 * a), box(a - 0.13, b + 0.68, 0.13, 0.40, 0.02), 1.0
    yield _plain(DARK, u), disc(u, v, 0.08), 1.0


def _sun(u: Tensor, v: Tensor, pose: Pose, colour: Tensor) -> Iterator[Layer]:
    away = disc(u, v, 0.0)
    for reach, strength in ((3.6, 0.40), (1.9, 0.45)):
        yield colour, away - reach, strength * (1 - away / reach).clamp(0, 1) ** 1.7
    yield _shaded(colour, 1.25 - 0.30 * away * away), away - 1, 1.0


def _moon(u: Tensor, v: Tensor, pose: Pose, colour: Tensor) -> Iterator[Layer]:
    away = disc(u, v, 0.0)
    yield colour, away - 2.6, 0.35 * (1 - away / 2.6).clamp(0, 1) ** 1.6
    yield _shaded(colour, 1.1 - 0.25 * (u + v)), away - 1, 1.0
    for a, b, r in (
        (-0.35, -0.25, 0.26),
        (0.32, 0.12, 0.34),
        (-0.18, 0.48, 0.20),
        (0.25, -0.52, 0.14),
    ):
        yield _shaded(colour, 0.80 + 0 * u), disc(u - a, v - b, r), 0.8


def _kite(u: Tensor, v: Tensor, pose: Pose, colour: Tensor) -> Iterator[Layer]:
    yield _plain(PALE, u), box(u, v - 4, 0.022, 4.0), 0.55
    along = (v - 1.1).clamp_min(0)
    wave = (
        -pose.facing * 0.28 * along + 0.16 * along.clamp_max(1) * (4.5 * along - pose.phase).sin()
    )
    yield (
        _shaded(colour, 1.25 + 0 * u),
        torch.maximum((u - wave).abs() - 0.07, torch.maximum(1.1 - v, v - 2.7)),
        1.0,
    )
    sail = polygon(u, v, (0, -1.0), (0.78, -0.25), (0, 1.15), (-0.78, -0.25))
    quarters = torch.where((u > 0) ^ (v > -0.25), 1.0, 0.0)
    yield _shaded(colour, 1.0 - 0.2 * v - 0.1 * u), sail, 1.0
    yield _plain(PALE, u), sail, 0.5 * quarters
    yield _plain(WOOD, u), torch.maximum(torch.minimum(u.abs(), (v + 0.25).abs()) - 0.03, sail), 0.9


def _fish(u: Tensor, v: Tensor, pose: Pose, colour: Tensor) -> Iterator[Layer]:
    wag = 0.18 * torch.as_tensor(pose.phase).sin()
    yield (
        _shaded(colour, 0.85 + 0 * u),
        polygon(u, v - wag, (-1.35, -0.5), (-0.7, 0.0), (-1.35, 0.5), (-1.1, 0.0)),
        1.0,
    )
    yield (
        _shaded(colour, 0.80 + 0 * u),
        polygon(u, v, (-0.35, -0.35), (0.05, -0.72), (0.35, -0.30)),
        1.0,
    )
    body = disc(u / 0.98, v / 0.46) * 0.46
    yield _shaded(colour, 1.0 - 0.3 * (v / 0.46)), body, 1.0
    yield _plain(PALE, u), torch.maximum(body, 0.12 - v), 0.75
    yield _plain(PALE, u), disc(u - 0.58, v + 0.12, 0.13), 1.0
    yield _plain(DARK, u), disc(u - 0.61, v + 0.12, 0.07), 1.0


SHAPES: dict[str, Painter] = {
    "balloon": _balloon,
    "ball": _ball,
    "boat": _boat,
    "cart": _cart,
    "cloud": _cloud,
    "bird": _bird,
    "windmill": _windmill,
    "sun": _sun,
    "moon": _moon,
    "kite": _kite,
    "fish": _fish,
}
