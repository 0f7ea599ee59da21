"""The laws of motion of Toyland: where a thing is after so much progress, and how it is turned.

*Progress* is time in seconds, stretched by motion_bucket_id / 127: everything moves twice as far a
second at bucket 254, and half as far a frame at twice the fps. Whatever travels, but for clouds,
slows down before it would leave the frame. Every law takes the script of its scenes, the progress
(scenes, frames, 1, 1) and the frame's aspect (width / height), and returns a pose.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from .scripts import Script

REACH = 1.15  # the farthest that a travelling thing ever gets, in half frame heights


class Pose(NamedTuple):
    """Where a thing's middle is and how it is turned; lengths in half frame heights, angles in
    radians, clockwise on screen.

    >>> Pose(torch.zeros(1), torch.zeros(1)).floor
    9.0
    """

    x: torch.Tensor
    y: torch.Tensor
    angle: torch.Tensor | float = 0.0
    facing: torch.Tensor | float = 1.0  # 1 to the right, −1 to the left
    phase: torch.Tensor | float = 0.0  # how far its own wheels, wings or sails have turned, radians
    lift: torch.Tensor | float = 0.0  # height above the ground it stands on
    floor: torch.Tensor | float = 9.0  # below this y it is hidden: the water


def progress_of(motion_bucket_id: torch.Tensor, fps: torch.Tensor, num_frames: int) -> torch.Tensor:
    """The progress at each frame of scenes with the given motion buckets and fps: a field (scenes,
    frames, 1, 1).

    >>> progress_of(torch.tensor([127.0]), torch.tensor([2.0]), 3).flatten().tolist()
    [0.0, 0.5, 1.0]
    """
    seconds = torch.arange(num_frames, device=fps.device) / fps[:, None]
    return (seconds * motion_bucket_id[:, None] / 127)[..., None, None]


def travelled(speed: float, progress: torch.Tensor, reach: float = REACH) -> torch.Tensor:
    """How far a thing got: `speed` × progress at first, never more than `reach`, in half frame
    heights.

    >>> [round(travelled(0.5, torch.tensor(s)).item(), 2) for s in (0.1, 99.0)]
    [0.05, 1.15]
    """
    return reach * torch.tanh(progress * (speed / reach))


Law = Callable[[Script, torch.Tensor, float], Pose]


def _across(script: Script, aspect: float, low: float = -0.72, high: float = 0.72) -> torch.Tensor:
    return script.roll("x", low, high) * aspect


def _onward(script: Script, aspect: float) -> torch.Tensor:
    """A start that leaves room ahead: things that face right begin on the left."""
    return -script.side("facing") * script.roll("x", -0.1, 0.72) * aspect


def _room(aspect: float) -> float:
    """How far a thing may get from such a start: less where the frame is narrower than `tiny`'s."""
    return REACH * min(1.0, aspect / 1.75)


def _rises(script: Script, progress: torch.Tensor, aspect: float) -> Pose:
    """A balloon rises, and sways as it goes."""
    swing = 2.6 * progress + script.roll("phase", 0, 2 * math.pi)
    sway = 0.07 * (swing.sin() - swing[:, :1].sin())
    return Pose(
        _across(script, aspect) + sway,
        script.roll("y", -0.05, 0.42) - travelled(0.42, progress),
        0.10 * swing.cos(),
    )


def _bounces(script: Script, progress: torch.Tensor, aspect: float) -> Pose:
    """A ball falls, bounces off the ground and falls again, straight up and down; how high above
    the ground it is at first tells how high it bounces.
    """
    ground, height = script.roll("y", 0.60, 0.74), script.roll("freedom", 0.55, 1.0)
    swing = 2.2 * progress + 0.6
    lift = height * swing.cos().abs()
    return Pose(_across(script, aspect), ground - lift, phase=0.8 * progress, lift=lift)


def _sails(script: Script, progress: torch.Tensor, aspect: float) -> Pose:
    """A boat sails the way its bow points, and bobs on the waves."""
    facing, bob = script.side("facing"), 3.0 * progress + script.roll("phase", 0, 2 * math.pi)
    x = _onward(script, aspect) + facing * travelled(0.38, progress, _room(aspect))
    y = script.roll("y", 0.30, 0.58) + 0.030 * bob.sin()
    return Pose(x, y, 0.07 * bob.cos(), facing, floor=y + 0.21)


def _drives(script: Script, progress: torch.Tensor, aspect: float) -> Pose:
    """A cart drives the way it faces, its wheels rolling over the ground."""
    facing, way = script.side("facing"), travelled(0.50, progress, _room(aspect))
    return Pose(
        _onward(script, aspect) + facing * way,
        script.roll("y", 0.56, 0.70),
        facing=facing,
        phase=way * 7,
    )


def _drifts(script: Script, progress: torch.Tensor, aspect: float) -> Pose:
    """A cloud drifts with the wind, left or right: nothing in the picture tells which."""
    way = script.side("freedom") * travelled(0.34, progress, reach=0.9)
    return Pose(
        _across(script, aspect, -0.6, 0.6) + way,
        script.roll("y", -0.62, -0.25),
        facing=script.side("facing"),
    )


def _flies(script: Script, progress: torch.Tensor, aspect: float) -> Pose:
    """A bird flies the way it faces, up and down in a wave, beating its wings."""
    facing, wave = script.side("facing"), 3.2 * progress
    y = script.roll("y", -0.62, 0.0) - 0.13 * wave.sin()
    x = _onward(script, aspect) + facing * travelled(0.46, progress, _room(aspect))
    return Pose(
        x,
        y,
        -0.22 * facing * wave.cos(),
        facing,
        phase=4.2 * progress + script.roll("phase", 0, 2 * math.pi),
    )


def _turns(script: Script, progress: torch.Tensor, aspect: float) -> Pose:
    """A windmill stays where it is and turns its sails clockwise."""
    turn = 1.15 * progress + script.roll("phase", 0, math.pi / 2)
    return Pose(_across(script, aspect), script.roll("y", -0.02, 0.14), phase=turn)


def _sinks(script: Script, progress: torch.Tensor, aspect: float) -> Pose:
    """The sun sinks towards the horizon and behind it."""
    return Pose(_across(script, aspect), script.roll("y", -0.62, -0.12) + travelled(0.34, progress))


def _climbs(script: Script, progress: torch.Tensor, aspect: float) -> Pose:
    """The moon climbs from the horizon."""
    return Pose(
        _across(script, aspect),
        script.roll("y", -0.32, 0.08) - travelled(0.30, progress, reach=0.8),
    )


def _swings(script: Script, progress: torch.Tensor, aspect: float) -> Pose:
    """A kite swings from side to side at the end of its string, first the way its tail does not
    point.
    """
    length, start = script.roll("size", 1.0, 1.35), script.side("facing")
    tilt = start * 0.55 * (1.7 * progress + script.roll("phase", 0.7, 1.3)).cos()
    x = script.roll("x", -0.4, 0.4) * aspect + length * tilt.sin()
    wag = 5.0 * progress + script.roll("freedom", 0, 2 * math.pi)
    return Pose(x, 0.92 - length * tilt.cos(), tilt, start, phase=wag, lift=length)


def _leaps(script: Script, progress: torch.Tensor, aspect: float) -> Pose:
    """A fish leaps out of the water and dives back, again and again, onward the way it faces."""
    facing, beat = script.side("facing"), 1.9 * progress + script.roll("phase", 0.6, 1.6)
    water, height = script.roll("y", 0.42, 0.60), script.roll("freedom", 0.55, 0.85)
    through = (beat % math.pi) / math.pi  # 0 out of the water, ½ at the top, 1 back in
    x = _onward(script, aspect) + facing * travelled(0.36, progress, _room(aspect))
    y = water + 0.25 - (height + 0.25) * 4 * through * (1 - through)
    return Pose(x, y, facing * 1.9 * (through - 0.5), facing, phase=6 * beat, floor=water)


LAWS: dict[str, Law] = {
    "balloon": _rises,
    "ball": _bounces,
    "boat": _sails,
    "cart": _drives,
    "cloud": _drifts,
    "bird": _flies,
    "windmill": _turns,
    "sun": _sinks,
    "moon": _climbs,
    "kite": _swings,
    "fish": _leaps,
}


def at_rest(script: Script, aspect: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Where things are before they move, (scenes, 2), x and y in half frame heights, and which way
    they face, (scenes,): −1 to the left, 1 to the right, 0 if neither or if there is no thing.

    >>> script = Script.roll_all([[0, 0, 3, 0], [0, 0, -1, 0]])
    >>> [facing.abs().tolist() for facing in at_rest(script, 1.75)[1:]]
    [[1.0, 0.0]]
    """
    places, facing = torch.zeros(len(script), 2), torch.zeros(len(script))
    for kind, law in enumerate(LAWS.values()):
        scenes = (script.thing == kind).nonzero().flatten()
        if len(scenes):
            pose = law(script[scenes], torch.zeros(len(scenes), 1, 1, 1), aspect)
            places[scenes] = torch.cat([pose.x.flatten(1), pose.y.flatten(1)], 1)
            if isinstance(pose.facing, torch.Tensor):
                facing[scenes] = pose.facing.flatten()
    return places, facing
