"""The skies of Toyland: a table, and how a row of it is painted."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .painting import View, fractal_noise, gradient, inside, noise, over, smoothstep
from .scripts import Script

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Sky:
    """A time of day: three colours from the zenith to the horizon, the colour of its light, its
    clouds, its haze and its stars.

    >>> SKIES[1].name
    'at dusk'
    """

    name: str
    zenith: RGB
    middle: RGB
    horizon: RGB
    light: RGB
    cloud: RGB
    haze: float  # how much of a far hill the air swallows, 0–1
    stars: float = 0.0


DAY = Sky(
    "by day",
    zenith=(0.20, 0.47, 0.84),
    middle=(0.47, 0.71, 0.94),
    horizon=(0.82, 0.91, 0.97),
    light=(1.00, 1.00, 0.98),
    cloud=(1.00, 1.00, 1.00),
    haze=0.55,
)
DUSK = Sky(
    "at dusk",
    zenith=(0.26, 0.22, 0.47),
    middle=(0.87, 0.47, 0.46),
    horizon=(1.00, 0.79, 0.49),
    light=(1.00, 0.82, 0.70),
    cloud=(0.98, 0.63, 0.55),
    haze=0.50,
)
NIGHT = Sky(
    "at night",
    zenith=(0.03, 0.05, 0.15),
    middle=(0.07, 0.11, 0.27),
    horizon=(0.17, 0.23, 0.42),
    light=(0.52, 0.57, 0.80),
    cloud=(0.22, 0.27, 0.46),
    haze=0.45,
    stars=1.0,
)
MIST = Sky(
    "in the mist",
    zenith=(0.70, 0.75, 0.79),
    middle=(0.80, 0.83, 0.85),
    horizon=(0.89, 0.89, 0.87),
    light=(0.93, 0.94, 0.95),
    cloud=(0.93, 0.94, 0.94),
    haze=0.86,
)
SKIES = (DAY, DUSK, NIGHT, MIST)


def pick(colours: list[RGB], rows: torch.Tensor) -> torch.Tensor:
    """The colours of the given table rows, one a scene: (scenes, 1, 3, 1, 1).

    >>> pick([(0, 0, 0), (1, 0, 0)], torch.tensor([1])).flatten().tolist()
    [1.0, 0.0, 0.0]
    """
    return torch.tensor(colours, dtype=torch.float32, device=rows.device)[rows][
        :, None, :, None, None
    ]


def horizon(script: Script) -> torch.Tensor:
    """How far below the middle each scene's horizon lies, in half frame heights.

    >>> float(horizon(Script.roll_all([[0, 0, 0, 0]]))) < 0.3
    True
    """
    return script.roll("horizon", 0.02, 0.22)


def paint_sky(script: Script, view: View) -> torch.Tensor:
    """The sky of each scene over the whole frame: a gradient, drifting wisps of cloud, and stars at
    night.

    >>> from svdkit.toyland.painting import looking_at
    >>> paint_sky(Script.roll_all([[0, 0, 0, 0]]), looking_at(4, 8)).shape
    torch.Size([1, 1, 3, 4, 8])
    """
    x, y, edge = view
    zenith, middle, low, cloud = (
        pick([getattr(sky, name) for sky in SKIES], script.sky)
        for name in ("zenith", "middle", "horizon", "cloud")
    )
    height = (y + 1) / (1 + horizon(script))
    picture = gradient([zenith, middle, low], height)

    starry = pick([(sky.stars,) * 3 for sky in SKIES], script.sky)[:, :, 0]
    if bool(starry.any()):
        shine = _stars(view, script.roll("place", 0, 80)) * starry * smoothstep(1.0, 0.5, height)
        picture = over(picture, pick([(0.95, 0.95, 1.0)], script.sky * 0), shine)

    wisps = fractal_noise(x * 1.1, y * 3.2, script.roll("place"), edge * 3.2, octaves=6)
    thickness = (
        script.roll("clouds", 0.25, 0.85)
        * smoothstep(0.46, 0.86, wisps)
        * smoothstep(1.15, 0.55, height)
    )
    return over(picture, cloud, thickness)


def _stars(view: View, place: torch.Tensor) -> torch.Tensor:
    """A field of small bright points, one in some of the cells of a grid, each somewhere in its
    cell.
    """
    x, y = view.x * 5 + place.round(), view.y * 5
    cell_x, cell_y = x.floor() + 0.5, y.floor() + 0.5
    at_x, at_y, bright = (noise(cell_x + shift, cell_y) for shift in (0.0, 31.0, 57.0))
    radius = 0.006 + 0.006 * bright
    away = (
        (x - cell_x - 0.7 * (at_x - 0.5)) ** 2 + (y - cell_y - 0.7 * (at_y - 0.5)) ** 2
    ).sqrt() / 5
    return inside(away - radius.clamp_min(view.pixel * 0.3), view.pixel) * smoothstep(
        0.35, 1.0, bright
    )
