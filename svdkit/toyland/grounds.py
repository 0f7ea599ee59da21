"""The grounds of Toyland: a table, and how a row of it is painted below a sky."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import grid_sample

from .painting import View, fractal_noise, inside, over, smoothstep
from .scripts import Script
from .skies import RGB, SKIES, horizon, pick

DEEP_WATER = (0.07, 0.25, 0.42)


@dataclass(frozen=True)
class Land:
    """Layers of land, one behind another, as in a stage set.

    >>> GROUNDS[0].land.layers
    4
    """

    far: RGB  # colour of the layer farthest away,
    near: RGB  # and of the one that we stand on
    layers: int
    tall: float  # of the farthest skyline, half frame heights
    roughness: float  # of the skylines: 0 is smooth, 1 is jagged
    mottle: float  # how strongly the ground is mottled
    crests: bool = False  # the wind has folded it into crests, as it does with sand


@dataclass(frozen=True)
class Ground:
    """A kind of ground: its name in a caption, its land, or None for water, and where the camera
    goes if no thing is there.

    >>> [ground.name for ground in GROUNDS]
    ['green hills', 'the sea', 'the snow', 'the dunes']
    """

    name: str
    land: Land | None
    pan: int  # −1 to the left, 1 to the right; 0 nearer


HILLS = Land(
    far=(0.22, 0.42, 0.30),
    near=(0.38, 0.62, 0.24),
    layers=4,
    tall=0.34,
    roughness=0.42,
    mottle=0.55,
)
SNOW = Land(
    far=(0.46, 0.55, 0.70),
    near=(0.95, 0.97, 1.00),
    layers=3,
    tall=0.50,
    roughness=0.55,
    mottle=0.12,
)
DUNES = Land(
    far=(0.80, 0.60, 0.40),
    near=(0.93, 0.74, 0.46),
    layers=4,
    tall=0.30,
    roughness=0.25,
    mottle=0.20,
    crests=True,
)
GROUNDS = (
    Ground("green hills", HILLS, pan=0),
    Ground("the sea", None, pan=1),
    Ground("the snow", SNOW, pan=0),
    Ground("the dunes", DUNES, pan=-1),
)


def paint_ground(
    picture: torch.Tensor,
    ground: Ground,
    script: Script,
    view: View,
    pan: torch.Tensor,
    progress: torch.Tensor,
) -> torch.Tensor:
    """Paint scenes that all have the same ground over their sky, as seen after a camera pan.

    >>> from svdkit.toyland.painting import looking_at
    >>> script, still = Script.roll_all([[0, 0, 0, 0]]), torch.zeros(1, 1, 1, 1)
    >>> sky, view = torch.ones(1, 1, 3, 4, 8), looking_at(4, 8)
    >>> paint_ground(sky, GROUNDS[0], script, view, still, still).shape
    torch.Size([1, 1, 3, 4, 8])
    """
    if ground.land is None:
        return _sea(picture, script, view, pan, progress)
    for layer in range(ground.land.layers):
        picture = _layer(picture, ground.land, layer, script, view, pan)
    return picture


def _lit(colour: torch.Tensor, shade: torch.Tensor) -> torch.Tensor:
    """A colour, darker or lighter by a field about 1."""
    return (colour * shade.unsqueeze(2)).clamp(0, 1)


def _skyline(
    x: torch.Tensor, place: torch.Tensor, roughness: float, crests: bool, edge: float = 0.2
) -> torch.Tensor:
    """The height of the land over the positions `x`, about 0–1."""
    line = fractal_noise(x, torch.zeros_like(x), place, edge, octaves=6, roughness=roughness)
    return 1 - (2 * line - 1).abs() * 0.9 if crests else line


def _layer(
    picture: torch.Tensor, land: Land, layer: int, script: Script, view: View, pan: torch.Tensor
) -> torch.Tensor:
    """One layer of land below its skyline, lit from the left, mottled, and thinned by haze."""
    near = layer / (land.layers - 1)  # 0 at the horizon, 1 at our feet
    x = view.x + pan * (0.35 + 0.65 * near)  # parallax
    place = script.roll("place", 0.1, 0.6) + 0.31 * layer

    stretch, roughness = 1.5 - 0.7 * near, land.roughness * (1 - 0.6 * near)
    height = script.roll("relief", 0.7, 1.2) * land.tall * (1 - 0.72 * near)
    pixel = 2 / view.size[0]  # at rest: detail that comes with a nearer camera would pop up
    line = _skyline(x[..., :1, :] * stretch, place, roughness, land.crests, pixel * stretch)
    crest = horizon(script) + 0.06 + 0.42 * near**1.5 - height * (line - 0.25)
    below = view.y - crest

    # The slope under a point is that of the skyline somewhat to its right: ridges run down aslant.
    foot, step = (x + 0.9 * below.clamp(0, 0.6)) * stretch, 0.03
    ahead, behind = (_skyline(foot + side, place, roughness, land.crests) for side in (step, -step))
    slope = (2.6 * (ahead - behind)).clamp(-0.24, 0.20) * smoothstep(0.8, 0.0, below)
    grain = 1.6 + 4 * (1 - near)
    mottled = fractal_noise(
        x * grain,
        view.y * grain * 2.2,
        place + 0.2,
        pixel * grain * 2.2,
        octaves=6,
        roughness=0.62,
    )
    rim = 0.10 * smoothstep(0.06, 0.0, below) - 0.22 * smoothstep(0.0, 1.1, below)
    shade = 1 + slope + rim + land.mottle * (mottled - 0.5)

    far_colour, near_colour = (pick([rgb], script.ground * 0) for rgb in (land.far, land.near))
    colour = far_colour + (near_colour - far_colour) * near**0.7
    colour = _lit(colour * pick([sky.light for sky in SKIES], script.sky), shade)
    haze = pick([(sky.haze,) * 3 for sky in SKIES], script.sky)
    haze = haze * (1 - 0.9 * near) + 0.35 * (haze - 0.5).clamp_min(0)
    air = pick([sky.horizon for sky in SKIES], script.sky)
    return over(picture, colour + (air - colour) * haze, inside(-below, view.pixel))


def _sea(
    picture: torch.Tensor, script: Script, view: View, pan: torch.Tensor, progress: torch.Tensor
) -> torch.Tensor:
    """The sea: the sky mirrored in moving ripples, darker towards the shore we stand on."""
    level = horizon(script)
    depth = (view.y - level).clamp_min(0.0)
    distance = 1 / (depth + 0.12)
    x = view.x + pan * (0.35 + 0.65 * depth)
    ripple = fractal_noise(
        x * 2.2 * (0.6 + 0.4 * distance.sqrt()),
        distance * 5.5 + 0.9 * progress,
        script.roll("place", 0.1, 0.6),
        view.pixel * 9.0,
        octaves=3,
        roughness=0.6,
    )
    ripple = ripple - 0.5
    mirrored = _look_up(
        picture,
        view,
        view.x + 0.16 * ripple * (0.15 + depth),
        2 * level - view.y - 0.10 * ripple * (0.3 + depth),
        level,
    )
    lit = pick([DEEP_WATER], script.ground * 0) * pick([sky.light for sky in SKIES], script.sky)
    deep = 0.5 * lit + 0.3 * pick([sky.zenith for sky in SKIES], script.sky)
    water = over(mirrored, _lit(deep, 1 + 0.9 * ripple), 0.38 + 0.45 * smoothstep(0.0, 1.0, depth))
    glint = smoothstep(0.16, 0.34, ripple) * (0.35 - 0.2 * depth).clamp_min(0)
    water = over(water, (mirrored * 1.15 + 0.12).clamp(0, 1), glint)
    return over(picture, water, inside(level - view.y, view.pixel))


def _look_up(
    picture: torch.Tensor, view: View, x: torch.Tensor, y: torch.Tensor, level: torch.Tensor
) -> torch.Tensor:
    """The picture's colours at the positions x, y of the scene, where the camera may have zoomed in
    on the horizon's `level`.
    """
    height, width = view.size
    zoom = 2 / height / view.pixel
    x, y = x * zoom * height / width, level + (y - level) * zoom
    x, y, _ = torch.broadcast_tensors(x, y, picture[:, :, 0])
    frames = picture.expand(*x.shape[:2], -1, -1, -1).flatten(0, 1)
    where = torch.stack([x, y], -1).flatten(0, 1)
    seen = grid_sample(
        frames, where, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return seen.unflatten(0, x.shape[:2])
