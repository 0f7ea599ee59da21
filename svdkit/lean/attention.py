"""The transformer of space and time: in slices, along time without copies, one token a constant."""

import threading
from typing import Any, NamedTuple

import torch
from diffusers.models.attention import BasicTransformerBlock, TemporalBasicTransformerBlock
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import nn
from torch.nn import functional

from .parked import as_many
from .slices import slices

USUAL_PROCESSORS = ("AttnProcessor", "AttnProcessor2_0")
MOST_HEADS = 32768  # heads of all positions at once: a CUDA grid counts to 65,535


class Known(NamedTuple):
    """What a transformer works out once per picture, and not at each step."""

    spatial: list[torch.Tensor]
    """What each spatial block's queries get of the picture, (videos, 1, channels)."""
    temporal: list[torch.Tensor]
    places: torch.Tensor
    """The embedding of the frames' places, (1, frames, 1, channels)."""

    def of(self, videos: slice) -> "Known":
        """Give the part that some of the videos need."""
        return Known(
            [constant[videos] for constant in self.spatial],
            [constant[videos] for constant in self.temporal],
            self.places,
        )


class Knowing(threading.local):
    """What the transformers of a UNet at work know, by their ids; in each thread its own."""

    def __init__(self):
        self.known: dict[int, Known] = {}


knowing = Knowing()


class SpatialBlock(BasicTransformerBlock):
    """Attention within each frame."""

    def change(self, tokens: torch.Tensor, constant: torch.Tensor) -> None:
        """Do in place what `forward` does, (frames, positions, channels)."""
        tokens += self.attn1(self.norm1(tokens))
        tokens += constant
        tokens += self.ff(self.norm3(tokens))


class TemporalBlock(TemporalBasicTransformerBlock):
    """Attention along time, at each position."""

    def change(self, tokens: torch.Tensor, constant: torch.Tensor) -> None:
        """Do in place what `forward` does, (videos, frames, positions, channels)."""
        tokens += self.ff_in(self.norm_in(tokens))
        tokens += self._attention(self.norm1(tokens))
        tokens += constant
        tokens += self.ff(self.norm3(tokens))

    def _attention(self, tokens: torch.Tensor) -> torch.Tensor:
        videos, frames, positions, channels = tokens.shape
        attention = self.attn1
        if not _is_usual(attention):  # someone's own: in the layout that it knows
            rows = tokens.transpose(1, 2).reshape(-1, frames, channels)
            return attention(rows).view(videos, positions, frames, channels).transpose(1, 2)

        def heads(rows: torch.Tensor) -> torch.Tensor:
            """View as (videos, positions and heads, frames, channels a head)."""
            wide = rows.view(videos, frames, positions * attention.heads, -1)
            return wide.transpose(1, 2)

        out = functional.scaled_dot_product_attention(
            heads(attention.to_q(tokens)),
            heads(attention.to_k(tokens)),
            heads(attention.to_v(tokens)),
        )
        return attention.to_out[0](out.transpose(1, 2).reshape(tokens.shape))


class Transformer(TransformerSpatioTemporalModel):
    """Spatial blocks by frames, temporal ones by positions: each slice is done with as it is made.

    A frame's GroupNorm, projections and attention know nothing of the other frames, and a
    position's attention along time nothing of the other positions.
    """

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        image_only_indicator: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> Any:
        """Do as diffusers does, (videos × frames, channels, height, width)."""
        if torch.is_grad_enabled():  # what is done in place has no gradient
            return super().forward(
                hidden_states, encoder_hidden_states, image_only_indicator, return_dict
            )
        frames = image_only_indicator.shape[-1]
        known = knowing.known.get(id(self))
        if known is None:
            known = self.look_at(encoder_hidden_states[::frames], frames)
        out = self._through(hidden_states, frames, known)
        return Transformer2DModelOutput(sample=out) if return_dict else (out,)

    def is_usual(self) -> bool:
        """Whether nobody has changed how it attends; someone's own is to see all there is."""
        blocks = (*self.transformer_blocks, *self.temporal_transformer_blocks)
        return all(_is_usual(block.attn1) for block in blocks)

    def parked(self) -> list[nn.Module]:
        """List the modules that `look_at` asks."""
        blocks = (*self.transformer_blocks, *self.temporal_transformer_blocks)
        return [*(block.attn2 for block in blocks), self.time_pos_embed]

    def look_at(self, picture: torch.Tensor, frames: int) -> Known:
        """Work out what stays the same for a picture's tokens, (videos, 1, channels)."""
        videos = len(picture)

        def constants(blocks: nn.ModuleList) -> list[torch.Tensor]:
            return [block.attn2(None, as_many(picture))[:videos] for block in blocks]

        places = self.time_proj(torch.arange(frames, device=picture.device)).to(picture.dtype)
        return Known(
            constants(self.transformer_blocks),
            [constant[:, None] for constant in constants(self.temporal_transformer_blocks)],
            self.time_pos_embed(places)[None, :, None, :],
        )

    def _through(self, images: torch.Tensor, frames: int, known: Known) -> torch.Tensor:
        count, _, height, width = images.shape
        videos, positions = count // frames, height * width
        # the widest thing there is: the feed-forward's two halves of four times the channels each
        token_bytes = 12 * self.inner_dim * images.element_size()
        slice_mib = most = None
        if self.is_usual():
            slice_mib = self.knobs.slice_mib
            most = max(1, MOST_HEADS // self.num_attention_heads)
        by_frame = list(slices(count, token_bytes * positions, slice_mib))
        by_position = list(slices(positions, token_bytes * count, slice_mib, most))
        tokens = images.new_empty(count, positions, self.inner_dim)
        for some in by_frame:
            normed = self.norm(images[some]).flatten(2).transpose(1, 2)
            tokens[some] = self.proj_in(normed)
            del normed
        spatial = [constant.repeat_interleave(frames, 0) for constant in known.spatial]
        stacked = tokens.view(videos, frames, positions, -1)
        share, places = self.time_mixer().to(tokens.dtype), known.places.to(tokens.dtype)
        layers = zip(self.transformer_blocks, self.temporal_transformer_blocks, strict=True)
        for layer, (spatial_block, temporal_block) in enumerate(layers):
            for some in by_frame:
                spatial_block.change(tokens[some], spatial[layer][some])
            for some in by_position:
                still = stacked[:, :, some]
                moved = still + places
                temporal_block.change(moved, known.temporal[layer])
                still.lerp_(moved, share)
                del moved
        out = torch.empty_like(images)
        for some in by_frame:
            made = self.proj_out(tokens[some]).transpose(1, 2).unflatten(2, (height, width))
            torch.add(made, images[some], out=out[some])
            del made
        return out


def _is_usual(attention: nn.Module) -> bool:
    """Whether nobody has changed how an attention is calculated."""
    usual = type(attention.processor).__name__ in USUAL_PROCESSORS
    return usual and "forward" not in vars(attention)
