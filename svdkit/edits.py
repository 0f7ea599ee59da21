"""The edits of a clip as a recipe names them: what each makes of the size, and of the clip itself.

The values come from recipes, and so perhaps from strangers. They are checked on the sizes alone,
before anything is made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .clips import Clip
from .frames import check_size
from .loops import blended, frames_blended

Size = tuple[int, int, int]  # frames, height, width
MOST = 10**6  # of any number in an edit
MOST_SHOWN = 60  # characters of a stranger's value in a message


@dataclass(frozen=True)
class Edit:
    """One edit: how many clips it takes, how many frames it gives, and how it is done.

    >>> EDITS["boomerang"].frames({}, (6, 64, 112))
    10
    """

    takes: int
    frames: Callable[..., int]
    do: Callable[..., Clip]


def size_after(request: Mapping[str, Any], *sizes: Size) -> Size:
    """Give the size of what an edit makes of clips of these sizes; what cannot be is an error.

    >>> size_after({"edit": "repeat", "times": 3}, (6, 64, 112))
    (18, 64, 112)
    """
    count = EDITS[request["edit"]].frames(request, *sizes)
    height, width = sizes[0][1:]
    check_size(count, height, width)
    if count < 1:
        raise ValueError(f"The recipe's {request['edit']} leaves no frame of {sizes[0][0]}.")
    return count, height, width


def whole(request: Mapping[str, Any], name: str) -> int:
    """Read a whole number of a request.

    >>> whole({"times": 2}, "times")
    2
    """
    value = request.get(name)
    if type(value) is not int or abs(value) > MOST:
        raise ValueError(
            f"The recipe's {name} is {value!r:.{MOST_SHOWN}}; it is a whole number, up to {MOST}."
        )
    return value


def _rate(request: Mapping[str, Any], name: str) -> float:
    value = request.get(name)
    if type(value) not in (int, float) or not 0 < value <= 1000:
        raise ValueError(f"The recipe's {name} is {value!r:.{MOST_SHOWN}}; it is a number, 0–1000.")
    return value


def _picked(request: Mapping[str, Any], size: Size) -> slice:
    start, stop, step = (whole(request, name) for name in ("start", "stop", "step"))
    if not step or not range(start, stop, step):
        raise ValueError(f"The recipe's slice {start}:{stop}:{step} picks no frame of {size[0]}.")
    # as slice.indices has it: −1 is before the first frame, not the last one
    return slice(start, None if stop < 0 else stop, step)


def _joined_frames(request: Mapping[str, Any], first: Size, second: Size) -> int:
    if first[1:] != second[1:]:
        raise ValueError(f"The recipe joins clips of {first[1:]} and {second[1:]} pixels.")
    return first[0] + second[0]


def _repeated_frames(request: Mapping[str, Any], size: Size) -> int:
    times = whole(request, "times")
    if times < 1:
        raise ValueError(f"The recipe's times is {times}; it is a whole number from 1.")
    return size[0] * times


def _smoothed_frames(request: Mapping[str, Any], size: Size) -> int:
    old, new = _rate(request, "from_fps"), _rate(request, "fps")
    if new <= old:
        raise ValueError(f"The recipe smooths from {old:g} to {new:g} fps; the second is higher.")
    return int((size[0] - 1) * new / old + 1e-6) + 1


def _looped_frames(request: Mapping[str, Any], size: Size) -> int:
    if request.get("how") != "blend":
        raise ValueError(
            f"The recipe's loop is made by {request.get('how')!r:.{MOST_SHOWN}}; svdkit knows "
            "'blend'."
        )
    return frames_blended(size[0], whole(request, "overlap"))


EDITS: Mapping[str, Edit] = {
    "slice": Edit(
        1,
        lambda request, size: len(range(size[0])[_picked(request, size)]),
        lambda request, clip: clip[_picked(request, clip.frames.shape[:3])],
    ),
    "join": Edit(2, _joined_frames, lambda request, first, second: first + second),
    "boomerang": Edit(
        1,
        lambda request, size: size[0] + max(0, size[0] - 2),
        lambda request, clip: clip.boomerang(),
    ),
    "repeat": Edit(1, _repeated_frames, lambda request, clip: clip.repeat(request["times"])),
    "loop": Edit(1, _looped_frames, lambda request, clip: blended(clip, request["overlap"])),
    "smooth": Edit(
        1,
        _smoothed_frames,
        lambda request, clip: clip.at(request["from_fps"]).smooth(request["fps"]),
    ),
}
