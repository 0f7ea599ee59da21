"""Counting what a model does without doing it: its memory and its work, on torch's meta device.

Tensors of the meta device have shapes and no numbers, so that a model of any size runs in a moment.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

if TYPE_CHECKING:
    import torch

BLOCK = 512  # bytes: torch's CUDA allocator rounds up to whole ones
LEFT = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1}  # where a product's left matrix stands
OVERWRITING = ("copy_", "fill_", "zero_")  # what is there before is not read


class Kernel(NamedTuple):
    """One step of a GPU's work.

    >>> Kernel(flops=10, moved=24).crossed
    0
    """

    flops: int
    moved: int
    """Bytes that it reads and writes on the GPU."""
    crossed: int = 0
    """Bytes that it brings from RAM, or there."""


@dataclass(frozen=True)
class Count:
    """What was counted of some work.

    >>> Count(peak_bytes=0, ram_bytes=0, kernels={Kernel(2, 3): 5}).flops
    10
    """

    peak_bytes: int
    """The peak of the GPU's memory, without what was there before: weights and inputs."""
    ram_bytes: int
    """The peak of what was put away into RAM meanwhile."""
    kernels: dict[Kernel, int]
    """How often each kernel ran."""

    @property
    def flops(self) -> int:
        """Operations on numbers in all; a multiplication and an addition are two."""
        return sum(kernel.flops * times for kernel, times in self.kernels.items())

    @property
    def moved(self) -> int:
        """Bytes that all kernels read and write on the GPU."""
        return sum(kernel.moved * times for kernel, times in self.kernels.items())

    def repeated(self, times: int) -> "Count":
        """Give the count of the same work done several times, one after the other.

        >>> Count(0, 0, {Kernel(2, 3): 5}).repeated(3).moved
        45
        """
        kernels = {kernel: times * often for kernel, often in self.kernels.items()}
        return Count(self.peak_bytes, self.ram_bytes, kernels)

    def __add__(self, other: "Count") -> "Count":
        return Count(
            max(self.peak_bytes, other.peak_bytes),
            max(self.ram_bytes, other.ram_bytes),
            dict(Counter(self.kernels) + Counter(other.kernels)),
        )


def count(work: Callable[[], Any]) -> Count:
    """Run a function on tensors of the meta device, and count what a GPU would have to do.

    What is made meanwhile counts as long as it lives, in whole blocks of 512 bytes. Attention
    counts as the kernels do it that keep no table of all pairs.

    >>> import torch
    >>> rows = torch.empty(64, 32, device="meta")
    >>> counted = count(lambda: rows @ rows.T)
    >>> counted.peak_bytes, counted.flops, counted.moved
    (16384, 262144, 32768)
    """
    import torch

    ledger = _Ledger()
    with torch.no_grad(), _watched(ledger):
        work()
    return Count(ledger.peak, ledger.ram_peak, dict(ledger.kernels))


class _Ledger:
    """The books of a count: what lives where, and what was done."""

    def __init__(self):
        from .lean.stacks import in_ram

        self._in_ram = in_ram
        self.kernels: Counter[Kernel] = Counter()
        self.peak = self.ram_peak = 0
        self._live = self._ram_live = 0
        self._sizes: dict[int, int] = {}  # of storages on the GPU, by their address
        self._ram_sizes: dict[int, int] = {}
        self._watchers: dict[int, ref] = {}

    def places(self, tensors: "list[torch.Tensor]") -> tuple[bool, ...]:
        """Say which tensors are in RAM; nothing if none is."""
        if not self._ram_sizes:
            return ()
        return tuple([tensor.untyped_storage()._cdata in self._ram_sizes for tensor in tensors])

    def note(self, made: "list[torch.Tensor]", kernels: "list[Kernel]", passing: int) -> None:
        """Note what was made, the kernels that did it, and what they needed in passing."""
        for tensor in made:
            self._add(tensor)
        self.peak = max(self.peak, self._live + passing)
        for kernel in kernels:
            self.kernels[kernel] += 1

    def kernel(self, flops: int, touched: "list[torch.Tensor]") -> Kernel:
        """Describe a kernel by what it does, and all that it reads and writes."""
        sizes = [_bytes(tensor) for tensor in touched]
        places = self.places(touched) or (False,) * len(sizes)
        crossed = sum(size for size, in_ram in zip(sizes, places, strict=True) if in_ram)
        return Kernel(flops, sum(sizes) - crossed, crossed)

    def _add(self, tensor: "torch.Tensor") -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, -(-storage.nbytes() // BLOCK) * BLOCK
        if key in self._watchers:
            return
        self._watchers[key] = ref(storage, lambda _: self._remove(key))
        if self._in_ram(tensor):
            self._ram_sizes[key] = size
            self._ram_live += size
            self.ram_peak = max(self.ram_peak, self._ram_live)
        else:
            self._sizes[key] = size
            self._live += size

    def _remove(self, key: int) -> None:
        del self._watchers[key]
        self._live -= self._sizes.pop(key, 0)
        self._ram_live -= self._ram_sizes.pop(key, 0)


def _bytes(tensor: "torch.Tensor") -> int:
    # one that repeats itself is read once
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


class _Recipe(NamedTuple):
    """How to do again what was done: equal calls have equal results, which are quick to make."""

    make: "Callable[[torch.Tensor | None], Any] | None"
    """None: as torch does it."""
    fresh: bool
    """Whether the result is new, and not what was changed."""
    kernels: list[Kernel]
    passing: int


@contextmanager
def _watched(ledger: _Ledger) -> Iterator[None]:
    """Keep the books of all that torch does meanwhile in this thread."""
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    class Attention(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is functional.scaled_dot_product_attention:
                return _attention(ledger, *args, **(kwargs or {}))
            return function(*args, **(kwargs or {}))

    class Kernels(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            if function.is_view:  # nothing is done, and nothing made
                return function(*args, **kwargs)
            given, target = [], kwargs.get("out")
            others = [(name, value) for name, value in kwargs.items() if name != "out"]
            call = (function, _told(args, given), _told(others, given), target is None)
            call = (*call, ledger.places(given))
            target = args[0] if args and target is None else target
            recipe = recipes.get(call)
            if recipe and recipe.make:
                out = recipe.make(target)
            else:
                out = function(*args, **kwargs)
                recipe = recipe or _recipe(ledger, function._schema, given, target, out)
                recipes[call] = recipe
            made = ([out] if hasattr(out, "shape") else out) if recipe.fresh else []
            ledger.note(made, recipe.kernels, recipe.passing)
            return out

    recipes: dict[tuple, _Recipe] = {}
    with Attention(), Kernels():
        yield


def _told(value: Any, tensors: "list[torch.Tensor]") -> Any:
    """Describe what a kernel is given, and list the tensors in it."""
    if isinstance(value, (list, tuple)):
        return tuple([_told(item, tensors) for item in value])
    if hasattr(value, "untyped_storage"):
        tensors.append(value)
        return value.shape, value.stride(), value.dtype
    return type(value), value  # 1, 1.0 and True are equal, and do not do the same


def _recipe(
    ledger: _Ledger, schema: Any, given: "list[torch.Tensor]", target: Any, out: Any
) -> _Recipe:
    import torch

    name, made = schema.name.removeprefix("aten::"), []
    told = _told(out, made)
    kernels, passing, flops = [], 0, 0
    places = {tensor.untyped_storage()._cdata for tensor in given}
    shared = any(tensor.untyped_storage()._cdata in places for tensor in made)
    if shared and not schema.is_mutable:  # a view that does not say so
        return _Recipe(None, False, [], 0)
    if name in LEFT:
        flops = 2 * made[0].numel() * given[LEFT[name]].shape[-1]
    elif name == "convolution":
        flops = 2 * made[0].numel() * prod(given[1].shape[1:])
        if not given[0].is_contiguous():  # cuDNN puts it in order first
            passing = _bytes(given[0])
    if "empty" not in name:
        kernels.append(ledger.kernel(flops, [*given[name in OVERWRITING :], *made]))
    if out is target:
        return _Recipe(lambda target: target, False, kernels, passing)
    if schema.is_mutable:
        return _Recipe(None, False, kernels, passing)

    def make(shape: torch.Size, stride: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.empty_strided(shape, stride, dtype=dtype, device="meta")

    if len(made) == 1 and out is made[0]:
        return _Recipe(lambda _: make(*told), True, kernels, passing)
    return _Recipe(lambda _: tuple(make(*each) for each in told), True, kernels, passing)


def _attention(
    ledger: _Ledger,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    *_: Any,
    **__: Any,
) -> "torch.Tensor":
    """Do nothing, in the memory that a fused kernel needs: that of the result."""
    *batch, heads, rows, width = query.shape
    out = query.new_empty(*batch, rows, heads, value.shape[-1]).transpose(-2, -3)
    pairs = prod(batch) * heads * rows * key.shape[-2]
    flops = 2 * pairs * (width + value.shape[-1])
    ledger.note([], [ledger.kernel(flops, [query, key, value, out])], 0)
    return out
