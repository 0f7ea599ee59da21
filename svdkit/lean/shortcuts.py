"""Shortcuts: steps that leave out what has changed little since the last. They are not exact.

Features deep in the UNet change slowly from step to step. A shallow step runs its outermost layers
alone, on the deep features of the last whole step (Ma et al., "DeepCache", 2023). And guidance
matters while the motion forms: the last steps can do without the unconditional pass (Kynkäänniemi
et al., "Applying Guidance in a Limited Interval", 2024).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .knobs import Shortcuts


class Shortened:
    """One run with shortcuts: which step it is at, and the features it has kept."""

    def __init__(self, shortcuts: Shortcuts, steps: int, guided: bool):
        self.shortcuts, self.steps, self.guided = shortcuts, steps, guided
        self.step = 0
        self._features: dict[tuple[int, int], torch.Tensor] = {}
        self._made_at = 0

    def videos(self, count: int) -> slice:
        """Say which of a batch are calculated at this step: late ones leave out the first half."""
        late = self.step >= self.shortcuts.guided * self.steps
        return slice(count // 2, count) if self.guided and late else slice(0, count)

    @contextmanager
    def around(self, unet: nn.Module, videos: slice, frames: int) -> Iterator[None]:
        """Let a UNet run at this step on some videos of the batch: whole, or shallow."""
        if self.shortcuts.reuse == 1:
            yield
        elif self.step % self.shortcuts.reuse:
            with _shallow(unet, self.shortcuts.depth, self._recall(videos, frames)):
                yield
        else:
            if self._made_at != self.step:  # older ones are of no more use
                self._features, self._made_at = {}, self.step
            with _watched(unet, self.shortcuts.depth) as seen:
                yield
            self._features[videos.start, videos.stop] = seen[0]

    def _recall(self, videos: slice, frames: int) -> torch.Tensor:
        """Find the deep features of some videos among those of all, or of each."""
        for (start, stop), features in self._features.items():
            if start <= videos.start and videos.stop <= stop:
                first = (videos.start - start) * frames
                return features[first : first + (videos.stop - videos.start) * frames]
        raise LookupError("no features were kept")  # the first step is whole


@contextmanager
def _watched(unet: nn.Module, depth: int) -> Iterator[list[torch.Tensor]]:
    """See the features that a whole step hands to the UNet's outermost layers."""
    seen: list[torch.Tensor] = []

    def look(_module: nn.Module, _inputs: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    last = unet.up_blocks[-1]
    before = len(last.resnets) - depth - 2  # the pair before those that a shallow step runs
    source = last.attentions[before] if before >= 0 else unet.up_blocks[-2]
    handle = source.register_forward_hook(look)
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def _shallow(unet: nn.Module, depth: int, features: torch.Tensor) -> Iterator[None]:
    """Leave out all but the outermost layers; the UNet's own forward runs what is there."""
    names = ("down_blocks", "mid_block", "up_blocks")
    whole = {name: unet._modules[name] for name in names}
    head, tail = _Head(whole["down_blocks"][0], depth), _Tail(whole["up_blocks"][-1], depth)
    try:
        unet._modules |= {
            "down_blocks": [head],
            "mid_block": lambda **_: features,
            "up_blocks": [tail],
        }
        yield
    finally:
        unet._modules |= whole


class _Head:
    """The first pairs of a down block."""

    has_cross_attention = True

    def __init__(self, block: nn.Module, depth: int):
        self.pairs = list(zip(block.resnets, block.attentions, strict=True))[:depth]

    def __call__(self, hidden_states, temb, encoder_hidden_states, image_only_indicator):
        made = ()
        for resnet, attention in self.pairs:
            hidden_states = resnet(hidden_states, temb, image_only_indicator)
            hidden_states = attention(
                hidden_states, encoder_hidden_states, image_only_indicator, return_dict=False
            )[0]
            made += (hidden_states,)
        return hidden_states, made


class _Tail:
    """The last pairs of an up block, each of which takes what its counterpart made."""

    has_cross_attention = True

    def __init__(self, block: nn.Module, depth: int):
        pairs = list(zip(block.resnets, block.attentions, strict=True))
        self.pairs = pairs[-(depth + 1) :]
        self.resnets = [resnet for resnet, _ in self.pairs]

    def __call__(
        self,
        hidden_states,
        res_hidden_states_tuple,
        temb,
        encoder_hidden_states,
        image_only_indicator,
        upsample_size=None,
    ):
        for (resnet, attention), skipped in zip(
            self.pairs, reversed(res_hidden_states_tuple), strict=True
        ):
            hidden_states = torch.cat([hidden_states, skipped], dim=1)
            hidden_states = resnet(hidden_states, temb, image_only_indicator)
            hidden_states = attention(
                hidden_states, encoder_hidden_states, image_only_indicator, return_dict=False
            )[0]
        return hidden_states
