"""Staging: the camera, and the painting of whole scenes from back to front."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from .grounds import GROUNDS, paint_ground
from .laws import travelled
from .painting import View, looking_at
from .scripts import Script
from .skies import horizon, paint_sky
from .things import THINGS, Thing, paint_thing

SKY_PARALLAX = 0.10  # the sky follows a pan this little; the nearest land follows it fully


def camera(script: Script, view: View, progress: torch.Tensor) -> tuple[View, torch.Tensor]:
    """The moving view of scenes without a thing, and how far it has panned. It pans or comes nearer
    as the ground has it: which way it goes a picture has to tell, or a small model goes every way
    at once.

    >>> script = Script.roll_all([[0, 0, 0, 0]] * 5)
    >>> _, pan = camera(script, looking_at(4, 8), torch.ones(5, 2, 1, 1))
    >>> pan.shape
    torch.Size([5, 2, 1, 1])
    """
    ways = torch.tensor([float(ground.pan) for ground in GROUNDS], device=script.ground.device)
    way = ways[script.ground].view(-1, 1, 1, 1)
    pan = way * travelled(0.40, progress, reach=1.0)
    zoom = 1 + torch.where(way == 0, 1.0, 0.0) * travelled(0.16, progress, reach=0.5)
    level = horizon(script)
    return View(view.x / zoom, level + (view.y - level) / zoom, view.pixel / zoom), pan


def _casts(script: Script) -> Iterator[tuple[int, Thing | None, torch.Tensor]]:
    """(ground, what is painted behind it, scenes) for each group of scenes that can be painted
    together.
    """
    things = list(THINGS.values())
    behind = torch.tensor([thing.behind for thing in things] + [False], device=script.thing.device)
    group = torch.where(behind[script.thing], script.thing, torch.where(script.thing < 0, -1, -2))
    for key in torch.unique(script.ground * 100 + group + 2).tolist():
        ground, kind = divmod(key, 100)
        scenes = (script.ground == ground) & (group == kind - 2)
        yield ground, things[kind - 2] if kind >= 2 else None, scenes.nonzero().flatten()


def paint(
    script: Script,
    progress: torch.Tensor,
    height: int,
    width: int,
    things: bool = True,
    of_things: torch.Tensor | None = None,
) -> torch.Tensor:
    """The frames of every scene, (scenes, frames, 3, height, width) in 0–1, at each of the given
    progresses; without `things`, the same frames with only the land and the sky in them. The things
    may have a progress `of_things` of their own.

    >>> script = Script.roll_all([[0, 0, 0, 0]])
    >>> paint(script, torch.zeros(1, 2, 1, 1), 8, 14).shape
    torch.Size([1, 2, 3, 8, 14])
    """
    resting = looking_at(height, width, script.dice.device)
    moved = progress if of_things is None else of_things
    frames = script.dice.new_empty(len(script), progress.shape[1], 3, height, width)
    for ground, behind, scenes in _casts(script):
        part, reached = script[scenes], progress[scenes]
        view, pan = resting, reached[:, :1] * 0
        if part.thing[0] < 0:
            view, pan = camera(part, resting, reached)
        picture = paint_sky(part, view._replace(x=view.x + SKY_PARALLAX * pan))
        if behind and things:
            picture = paint_thing(picture, behind, part, view, moved[scenes])
        frames[scenes] = paint_ground(picture, GROUNDS[ground], part, view, pan, reached)
    for kind, thing in enumerate(THINGS.values()):
        scenes = (script.thing == kind).nonzero().flatten()
        if things and len(scenes) and not thing.behind:
            frames[scenes] = paint_thing(
                frames[scenes], thing, script[scenes], resting, moved[scenes]
            )
    return frames.clamp_(0, 1)
