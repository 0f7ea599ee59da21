"""Weights that stay in RAM: they are needed once per picture, and the GPU has no room to spare."""

import math
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import TimestepEmbedding
from torch import nn
from torch.nn import functional

MANY = 16  # rows


class Parked:
    """A module that does not move with its model; it takes over dtypes, but no device."""

    def _apply(self, fn, recurse=True):
        """Do to all weights what `.to()`, `.half()` and the like do, on the device they are on."""

        def in_place(weight: torch.Tensor) -> torch.Tensor:
            dtype = fn(torch.empty(0, dtype=weight.dtype)).dtype
            # some offloading had put it on the GPU
            return weight.to(dtype) if weight.is_meta else weight.to("cpu", dtype)

        return super()._apply(in_place, recurse)


class OneTokenAttention(Parked, Attention):
    """Cross-attention to a single token: softmax over one key is 1, so each query gets the value.

        softmax(q·kᵀ)·v = 1·v, whatever q and k are: out = W_out·(W_v·token) + b

    SVD attends to one token, the CLIP embedding of the picture. The result is the same for all
    queries and all steps; W_q and W_k are not needed at all.
    """

    def forward(
        self,
        hidden_states: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        **_: Any,
    ) -> torch.Tensor:
        """Give what each query gets, (rows, 1, channels): it is added to all queries of its row."""
        if encoder_hidden_states is None or encoder_hidden_states.shape[1] != 1:
            count = "no" if encoder_hidden_states is None else encoder_hidden_states.shape[1]
            raise ValueError(
                f"Lean arithmetic rests on one image token, as SVD has; here are {count}. "
                "Load the model with arithmetic='stock'."
            )
        if not type(self.processor).__module__.startswith("diffusers."):
            raise ValueError(
                "Lean arithmetic does without cross-attention's queries, and so without the "
                f"attention processor {type(self.processor).__name__}. Set it on attn1 alone, or "
                "load the model with arithmetic='stock'."
            )
        values = through(self.to_v, encoder_hidden_states)
        return through(self.to_out[0], as_many(values))[: len(values)]


class ParkedEmbedding(Parked, TimestepEmbedding):
    """The embedding of the frames' places in time, which is the same at each step."""

    def forward(self, sample: torch.Tensor, condition: Any = None) -> torch.Tensor:
        """Embed, (frames, channels)."""
        return through(self.linear_2, self.act(through(self.linear_1, sample)))


def state_of(parked: nn.Module) -> list[Any]:
    """Tell one state of a module's weights, and of adapters around them, from another."""
    told: list[Any] = [(id(weight), _version_of(weight)) for weight in parked.parameters()]
    for layer in parked.modules():
        if hasattr(layer, "merged_adapters"):  # peft's
            told += [layer.disable_adapters, *layer.active_adapters, *layer.merged_adapters]
            told += layer.scaling.items()
    return told


def _version_of(weight: torch.Tensor) -> int:
    """Give torch's count of the changes in place; what inference mode made has none."""
    return 0 if weight.is_inference() else weight._version


def as_many(rows: torch.Tensor) -> torch.Tensor:
    """Repeat rows until they are many, as stock has them: BLAS rounds few rows otherwise."""
    return rows.repeat(math.ceil(MANY / len(rows)), 1, 1)


def through(layer: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """Apply a linear layer to a few rows: its weights come to them for a moment, if need be."""
    if type(layer) is not nn.Linear or "forward" in vars(layer):
        # an adapter is around it, or what casts or brings its weights: the rows go to the weights,
        # or wait for those that accelerate puts on meta
        home = next(layer.parameters()).device
        return layer(rows if home.type == "meta" else rows.to(home)).to(rows)
    bias = None if layer.bias is None else layer.bias.to(rows)
    return functional.linear(rows, layer.weight.to(rows), bias)
