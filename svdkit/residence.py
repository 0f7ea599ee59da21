"""Who resides where: one pipeline on each device, and the others make room for it."""

import gc
from dataclasses import dataclass
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

from .encodings import forget_encodings
from .lending import at_work
from .memory import PRESETS
from .origins import origin_of
from .room import NotEnoughMemory, is_out_of_memory


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

    leaving = _residents.get(device)
    if leaving is None:
        return
    if _holds(device, leaving):
        # its user may still hold it, and with it the GPU's memory
        if at_work(leaving.pipeline):
            raise RuntimeError(
                f"{leaving.name} is at work on {device}, in another thread or around this on_step, "
                "and cannot make room for another model. Wait until it is done."
            )
        leaving.pipeline.to("cpu")
        _away[leaving.pipeline] = (device, leaving.what, leaving.asked)
        print(f"{origin_of(leaving.pipeline).name} leaves {device} for another model.")
    forget_encodings(leaving.pipeline)
    del _residents[device], leaving
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()


def held_gib(device: str) -> float:
    """Say how much of a device's memory would be free if the pipeline that resides there left.

    >>> held_gib("cuda:7")
    0.0
    """
    from torch.nn import Module

    kept = _residents.get(device)
    if kept is None or not _holds(device, kept):
        return 0.0
    parts = [part for part in kept.pipeline.components.values() if isinstance(part, Module)]
    weights = {id(weight): weight for part in parts for weight in part.parameters()}
    return sum(weight.numel() * weight.element_size() for weight in weights.values()) / 2**30


def _holds(device: str, kept: Resident) -> bool:
    return device != "cpu" and origin_of(kept.pipeline).preset == PRESETS["all_on_gpu"]


def who_left(device: str, what: tuple, asked: tuple) -> Any | None:
    """Find the pipeline that made room on a device and is still held by somebody.

    >>> who_left("cuda:0", ("svd-xt", None), ()) is None
    True
    """
    there = [pipeline for pipeline, told in _away.items() if told == (device, what, asked)]
    return there[0] if there else None


def bring_back(pipeline: Any) -> None:
    """Let a pipeline that had to make room return to its device; others stay where they are.

    A picture model and a video model share a small GPU by turns, whoever holds them.

    >>> from svdkit import load
    >>> bring_back(load("tiny", device="cpu"))
    """
    with moving:
        if pipeline not in _away:
            return
        device, what, asked = _away[pipeline]
        make_room(device)
        try:
            pipeline.to(device)
        except BaseException as error:  # an interrupt too must not leave it on two devices
            pipeline.to("cpu")
            if is_out_of_memory(error):
                raise NotEnoughMemory(
                    f"{origin_of(pipeline).name} does not fit on {device} any more: something else "
                    "holds its memory. Close it, or load the model with memory='offload_models'."
                ) from error
            raise
        del _away[pipeline]
        move_in(device, Resident(what, asked, pipeline))
        print(f"{origin_of(pipeline).name} comes back to {device}.")


def leave_all() -> None:
    """Make room on every device."""
    for device in list(_residents):
        make_room(device)
