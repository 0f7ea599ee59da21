"""The things of Toyland: a table of where each belongs, and how one is put into a scene."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .grounds import GROUNDS
from .laws import LAWS
from .painting import View, inside, over, rotate
from .scripts import Script
from .shapes import SHAPES
from .skies import NIGHT, RGB, SKIES, pick

COLOURS: dict[str, RGB] = {
    "red": (0.86, 0.16, 0.14),
    "orange": (0.96, 0.52, 0.10),
    "yellow": (0.98, 0.84, 0.20),
    "green": (0.10, 0.58, 0.34),
    "blue": (0.14, 0.34, 0.86),
    "purple": (0.52, 0.22, 0.70),
    "white": (0.97, 0.97, 0.96),
}
ALL_GROUNDS = tuple(ground.name for ground in GROUNDS)
SEA = ("the sea",)
LAND = tuple(name for name in ALL_GROUNDS if name not in SEA)
ALL_SKIES = tuple(sky.name for sky in SKIES)
DARK = (NIGHT.name,)
LIGHT = tuple(name for name in ALL_SKIES if name not in DARK)


@dataclass(frozen=True)
class Thing:
    """A kind of thing: its name, its size in half frame heights, and where it belongs.

    >>> THINGS["balloon"].preposition
    'over'
    """

    name: str
    size: tuple[float, float]
    preposition: str
    grounds: tuple[str, ...] = ALL_GROUNDS
    skies: tuple[str, ...] = ALL_SKIES
    hue: RGB | None = None  # None: it comes in all COLOURS
    behind: bool = False  # behind the ground, as sun and moon are


THINGS = {
    thing.name: thing
    for thing in (
        Thing("balloon", (0.24, 0.34), "over"),
        Thing("ball", (0.17, 0.24), "on", LAND),
        Thing("boat", (0.24, 0.34), "on", SEA),
        Thing("cart", (0.20, 0.27), "on", LAND),
        Thing("cloud", (0.26, 0.36), "over", hue=(1.0, 1.0, 1.0)),
        Thing("bird", (0.17, 0.24), "over"),
        Thing("windmill", (0.36, 0.44), "on", LAND),
        Thing("sun", (0.17, 0.24), "over", skies=LIGHT, hue=(1.0, 0.90, 0.55), behind=True),
        Thing("moon", (0.17, 0.24), "over", skies=DARK, hue=(0.95, 0.94, 0.86), behind=True),
        Thing("kite", (0.22, 0.30), "over"),
        Thing("fish", (0.20, 0.27), "over", SEA),
    )
}
GLOWING = ("sun", "moon")  # these give light: no sky dims them


def paint_thing(
    picture: torch.Tensor, thing: Thing, script: Script, view: View, progress: torch.Tensor
) -> torch.Tensor:
    """Paint scenes that all hold the same kind of thing, where its law puts it by now.

    >>> from svdkit.toyland.painting import looking_at
    >>> script = Script.roll_all([[0, 0, 0, 0]])
    >>> sky, view, progress = torch.ones(1, 1, 3, 4, 8), looking_at(4, 8), torch.zeros(1, 2, 1, 1)
    >>> paint_thing(sky, THINGS["ball"], script, view, progress).shape
    torch.Size([1, 2, 3, 4, 8])
    """
    height, width = view.size
    pose = LAWS[thing.name](script, progress, width / height)
    size = script.roll("size", *thing.size)
    pose = pose._replace(lift=torch.as_tensor(pose.lift) / size)
    u, v = rotate(view.x - pose.x, view.y - pose.y, pose.angle)
    u, v = u * pose.facing / size, v / size
    above_water = inside(view.y - pose.floor, view.pixel)
    hues = [thing.hue] if thing.hue else list(COLOURS.values())
    colour = pick(hues, script.colour * 0 if thing.hue else script.colour)
    light = 0.25 + 0.75 * pick([sky.light for sky in SKIES], script.sky)
    if thing.name in GLOWING:
        light = torch.ones_like(light)
    for paint, outline, strength in SHAPES[thing.name](u, v, pose, colour):
        picture = over(
            picture,
            (paint * light).clamp(0, 1),
            inside(outline, view.pixel / size) * strength * above_water,
        )
    return picture
