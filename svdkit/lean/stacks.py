"""The frames of a clip on their way through a model: whole, one by one, or in RAM."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from weakref import finalize

import torch

from .slices import slices

_in_ram: set[int] = set()  # storages of the meta device that stand for ones in RAM
_making: list[bool] = []


class Slab(ABC):
    """All frames at some positions, (frames, channels, positions)."""

    @abstractmethod
    def read(self) -> torch.Tensor:
        """Give its numbers; whoever asked may change them."""

    @abstractmethod
    def write(self, numbers: torch.Tensor, in_place: bool) -> None:
        """Put changed numbers back; `in_place` says that they are those that were read."""


class View(Slab):
    """A slab of a video that is one tensor: reading gives a view, so nothing need be put back."""

    def __init__(self, video: torch.Tensor, where: slice):
        self.video, self.where = video, where

    def read(self) -> torch.Tensor:
        """Give a view."""
        return self.video[:, :, self.where]

    def write(self, numbers: torch.Tensor, in_place: bool) -> None:
        """Put changed numbers back, if they are not there already."""
        if not in_place:
            self.video[:, :, self.where] = numbers


def views(video: torch.Tensor, slice_mib: int | None) -> list[Slab]:
    """Cut a video, (frames, channels, positions), into slabs to work on."""
    frames, channels, positions = video.shape
    bytes_each = 3 * frames * channels * video.element_size()  # the padded copy, and two products
    return [View(video, where) for where in slices(positions, bytes_each, slice_mib)]


class Frames(ABC):
    """A stack of frames (channels, height, width) that is exchanged frame by frame for the next."""

    def __init__(self, count: int, slab_mib: int):
        self.count, self.slab_mib = count, slab_mib
        self.shape: torch.Size | None = None  # of a frame

    @abstractmethod
    def take(self, index: int) -> torch.Tensor:
        """Give a frame, (1, channels, height, width), and forget it."""

    @abstractmethod
    def put(self, index: int, frame: torch.Tensor) -> None:
        """Keep a frame, (1, channels, height, width), of the next stack."""

    @abstractmethod
    def slabs(self) -> list[Slab]:
        """Cut the stack into slabs."""

    def _cuts(self, frame: torch.Tensor) -> Iterator[slice]:
        channels, height, width = frame.shape[-3:]
        bytes_each = 4 * self.count * channels * frame.element_size()
        return slices(height * width, bytes_each, self.slab_mib)


class OnDevice(Frames):
    """Frames that stay where they are made, each a tensor of its own."""

    def __init__(self, count: int, slab_mib: int):
        super().__init__(count, slab_mib)
        self._frames: list[torch.Tensor | None] = [None] * count

    def take(self, index: int) -> torch.Tensor:
        """Give a frame, and forget it."""
        frame = self._frames[index]
        self._frames[index] = None
        return frame

    def put(self, index: int, frame: torch.Tensor) -> None:
        """Keep a frame."""
        self._frames[index] = frame.contiguous()

    def slabs(self) -> list[Slab]:
        """Cut all frames into slabs, which are copies."""
        flat = [frame.view(frame.shape[1], -1) for frame in self._frames]
        return [_Gathered(flat, where) for where in self._cuts(self._frames[0])]


class _Gathered(Slab):
    """A slab of frames that are tensors of their own."""

    def __init__(self, flat: list[torch.Tensor], where: slice):
        self.flat, self.where = flat, where

    def read(self) -> torch.Tensor:
        return torch.stack([frame[:, self.where] for frame in self.flat])

    def write(self, numbers: torch.Tensor, in_place: bool) -> None:
        for frame, changed in zip(self.flat, numbers, strict=True):
            frame[:, self.where] = changed


class InRam(Frames):
    """Frames that wait in RAM, cut into slabs there, so that each transfer is one whole piece."""

    def __init__(self, count: int, slab_mib: int):
        super().__init__(count, slab_mib)
        self._now: list[_Waiting] = []
        self._next: list[_Waiting] = []
        self._shape: torch.Size | None = None

    def take(self, index: int) -> torch.Tensor:
        """Give a frame; its place in RAM is free for one of the next stack, if it has its shape."""
        pieces = [slab.frame(index) for slab in self._now]
        return torch.cat(pieces, dim=1).view(self._shape)

    def put(self, index: int, frame: torch.Tensor) -> None:
        """Keep a frame in the slabs of the next stack; the last one makes it the present."""
        if index == 0:
            same = frame.shape == self._shape
            self._next = self._now if same else self._made_for(frame)
        flat = frame.view(frame.shape[1], -1)
        for slab in self._next:
            slab.keep(index, flat[:, slab.where])
        if index == self.count - 1:
            self._now, self._next, self._shape = self._next, [], frame.shape

    def slabs(self) -> list[Slab]:
        """Give the slabs that wait."""
        return list(self._now)

    def _made_for(self, frame: torch.Tensor) -> "list[_Waiting]":
        return [_Waiting(self.count, frame, where) for where in self._cuts(frame)]


class _Waiting(Slab):
    """A slab that waits in RAM."""

    def __init__(self, count: int, like: torch.Tensor, where: slice):
        self.where, self.device = where, like.device
        shape = (count, like.shape[1], where.stop - where.start)
        self.kept = ram(shape, like)

    def frame(self, index: int) -> torch.Tensor:
        return self.kept[index].to(self.device, non_blocking=True, copy=True)

    def keep(self, index: int, numbers: torch.Tensor) -> None:
        self.kept[index].copy_(numbers, non_blocking=True)

    def read(self) -> torch.Tensor:
        return self.kept.to(self.device, non_blocking=True, copy=True)

    def write(self, numbers: torch.Tensor, in_place: bool) -> None:
        self.kept.copy_(numbers, non_blocking=True)


def ram(shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """Make a tensor in RAM, pinned for a GPU's sake; on meta one that `in_ram` knows."""
    if not like.is_meta:
        return torch.empty(shape, dtype=like.dtype, pin_memory=like.is_cuda)
    _making.append(True)  # who counts meta tensors asks while they are made
    try:
        made = like.new_empty(shape)
    finally:
        _making.pop()
    storage = made.untyped_storage()._cdata
    _in_ram.add(storage)
    finalize(made, _in_ram.discard, storage)
    return made


def in_ram(tensor: torch.Tensor) -> bool:
    """Whether a tensor of the meta device stands for one in RAM."""
    return bool(_making) or tensor.untyped_storage()._cdata in _in_ram
