"""Encoding once: what a picture became before the first step is kept for the next clips of it.

CLIP sees the picture alone, and the VAE the picture with the seed's noise. What they make of it is
the same for every motion bucket and every rate, and with offloading neither has to move for it.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from .frames import sha256_of_frames

if TYPE_CHECKING:
    import torch

Around = Mapping[str, Callable[..., Any]]

# The pipeline's methods that encode, and the parts whose work it is
PARTS: Mapping[str, tuple[str, ...]] = {
    "_encode_image": ("image_encoder", "feature_extractor"),
    "_encode_vae_image": ("vae",),
}
# Many seeds, each at many settings, find all of theirs. At SVD's native size the image latents of
# one take 2 × 4 × 72 × 128 fp32 numbers, so that as many are 19 MB.
MOST = 64
SAMPLES = 16  # numbers of each weight that are looked at

_shelves: "WeakKeyDictionary[Any, dict[str, _Shelf]]" = WeakKeyDictionary()


def encode_once(pipeline: Any, around: Around | None = None) -> dict[str, Callable[..., Any]]:
    """Give what is called in place of a pipeline's methods, so that it encodes nothing twice.

    What is `around` them already is called as before, and finds the methods that look up first.

    >>> from svdkit.pipelines import load
    >>> list(encode_once(load("tiny", device="cpu")))
    ['_encode_image', '_encode_vae_image']
    """
    shelves = _shelves.setdefault(pipeline, {name: _Shelf() for name in PARTS})
    within = {
        # weakly, as the class that `borrowed` makes of them stays until the next gc
        name: partial(_encoded, ref(pipeline), parts, shelves[name])
        for name, parts in PARTS.items()
    }
    around = around or {}
    both = {name: partial(_nested, around[name], within[name]) for name in within if name in around}
    return {**within, **around, **both}


def forget_encodings(pipeline: Any) -> None:
    """Let go of all that is kept for a pipeline.

    >>> from svdkit.pipelines import load
    >>> forget_encodings(load("tiny", device="cpu"))
    """
    _shelves.pop(pipeline, None)


class _Shelf:
    """What some parts of a pipeline made of their last inputs, as long as they stay as they are."""

    def __init__(self):
        self.parts: tuple[ref, ...] = ()
        self.state: list[Any] = []
        self.made: dict[tuple, tuple[torch.Tensor, int]] = {}

    def see(self, parts: list[Any]) -> None:
        """Clear the shelf if these parts, or their weights, are others than before."""
        state = [_state_of(part) for part in parts]
        if state != self.state or not all(map(_refers_to, self.parts, parts)):
            self.parts, self.state, self.made = tuple(map(ref, parts)), state, {}

    def find(self, key: tuple, make: Callable[[], "torch.Tensor"]) -> "torch.Tensor":
        """Give what was made, the same tensor each time, or make it."""
        made, version = self.made.pop(key, (None, 0))
        if made is None or _version_of(made) != version:  # somebody wrote into it
            made = make()
        self.made[key] = (made, _version_of(made))  # the last one looked for is the last to go
        if len(self.made) > MOST:
            del self.made[next(iter(self.made))]
        return made


def _refers_to(part: ref, other: Any) -> bool:
    return part() is other  # while an id may be that of one that is gone


def _nested(outer: Callable[..., Any], inner: Callable[..., Any], method: Any, *args, **how) -> Any:
    return outer(partial(inner, method), *args, **how)


def _encoded(
    pipeline: ref, names: tuple[str, ...], shelf: _Shelf, encode: Any, image: Any, *args, **how
) -> "torch.Tensor":
    import torch

    parts = [getattr(pipeline(), name) for name in names]
    encoder = parts[0]
    if isinstance(image, torch.Tensor):
        image = image.to(encoder.dtype)  # or bf16 fails in diffusers before 0.40
    make = partial(encode, image, *args, **how)
    if any(weight.is_meta for weight in encoder.parameters()):
        return make()  # accelerate holds the weights elsewhere: nobody sees whether they change
    shelf.see(parts)
    # the size, the seed's noise and its strength are in the image; the device, and whether it is
    # guided, in the arguments; threads and autocast decide how torch rounds; and what inference
    # mode makes is not good for all that is done outside it
    key = (_sha256_of(image), args, *sorted(how.items()), torch.get_num_threads())
    key += (torch.is_autocast_enabled("cuda"), torch.is_autocast_enabled("cpu"))
    key += (torch.is_inference_mode_enabled(),)
    return shelf.find(key, make)


def _sha256_of(image: Any) -> str:
    """Give the fingerprint of a picture, or of a tensor of whatever dtype."""
    import torch

    if isinstance(image, torch.Tensor):
        plain = image.detach().cpu().contiguous()
        return f"{image.dtype} {sha256_of_frames(plain.view(torch.uint8).numpy())}"
    return sha256_of_frames(np.asarray(image))


def _state_of(part: Any) -> Any:
    """Tell one state of a part from another: of a module the weights, and the hooks on its way.

    Moving it, or turning it to fp32 and back, keeps its parameters, and their counts of changes.
    The counts do not tell what was written into `weight.data`, or rounded: some numbers do.
    """
    from torch.nn import Module

    if not isinstance(part, Module):
        return repr(part)  # a feature extractor shows its settings
    weights = list(part.parameters())
    hooks = [
        key  # never used again
        for module in part.modules()
        for key in (*module._forward_pre_hooks, *module._forward_hooks)
    ]
    # no weak references: torch would not swap parameters that have some
    told = [(id(weight), _version_of(weight), weight.dtype) for weight in weights]
    return told, hooks, _some_numbers_of(weights)


def _version_of(tensor: "torch.Tensor") -> int:
    """Give torch's count of the changes in place; what inference mode made has none."""
    return 0 if tensor.is_inference() else tensor._version


def _some_numbers_of(weights: "Iterable[torch.Tensor]") -> list[bytes]:
    import torch

    samples: dict[torch.device, list[torch.Tensor]] = {}
    for weight in weights:
        some = weight.detach().flatten()[:: max(1, weight.numel() // SAMPLES)][:SAMPLES]
        samples.setdefault(weight.device, []).append(some.float())
    # one transfer a device, not one a weight
    return [torch.cat(some).cpu().numpy().tobytes() for some in samples.values()]
