"""Who resides where: one pipeline on each device, and the others make room for it."""

import gc
from dataclasses import dataclass
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

from .memory import PRESETS
from .origins import origin_of


@dataclass(frozen=True)
class Resident:
    """A pipeline that is kept, so that loading it again is instant.

    >>> Resident(("tiny", None), (), None).name
    'tiny'
    """

    what: tuple
    """The model, and the state of its folder if it has one."""
    asked: tuple
    """All else that shaped it: memory, device, dtype and weights."""
    pipeline: Any

    @property
    def name(self) -> str:
        """The model's name, as text.

        >>> Resident(("svd-xt", None), (), None).name
        'svd-xt'
        """
        return str(self.what[0])


moving = RLock()  # two loads at once get in each other's way inside accelerate
_residents: dict[str, Resident] = {}  # by device
_away: "WeakKeyDictionary[Any, tuple[str, tuple, tuple]]" = WeakKeyDictionary()


def resident(device: str) -> Resident | None:
    """Say who resides on a device.

    >>> resident("cuda:7") is None
    True
    """
    return _residents.get(device)


def move_in(device: str, newcomer: Resident) -> None:
    """Keep a pipeline on its device from now on."""
    _residents[device] = newcomer


def make_room(device: str) -> None:
    """Forget the pipeline that a device keeps, and free what it holds there."""
    import torch

    leaving = _residents.pop(device, None)
    if leaving is None:
        return
    if device != "cpu" and origin_of(leaving.pipeline).preset == PRESETS["all_on_gpu"]:
        # its user may still hold it, and with it the GPU's memory
        leaving.pipeline.to("cpu")
        _away[leaving.pipeline] = (device, leaving.what, leaving.asked)
        print(f"{origin_of(leaving.pipeline).name} leaves {device} for another model.")
    del leaving
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()


def bring_back(pipeline: Any) -> None:
    """Let a pipeline that had to make room return to its device; others stay where they are.

    A picture model and a video model share a small GPU by turns, whoever holds them.

    >>> from svdkit import load
    >>> bring_back(load("tiny", device="cpu"))
    """
    with moving:
        if pipeline not in _away:
            return
        device, what, asked = _away.pop(pipeline)
        make_room(device)
        print(f"{origin_of(pipeline).name} comes back to {device}.")
        pipeline.to(device)
        move_in(device, Resident(what, asked, pipeline))


def leave_all() -> None:
    """Make room on every device."""
    for device in list(_residents):
        make_room(device)
