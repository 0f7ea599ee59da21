"""All frames decoded as one clip, exactly, with little more than one stack of them in memory.

The decoder's GroupNorms along time couple all frames, so that decoding a few at a time
(`decode_chunk_size`) is another function: it flickers from chunk to chunk. Here all frames go
through each block together, but one at a time through its spatial half, which knows nothing of the
others, and in slabs of positions through its temporal half.
"""

from collections.abc import Iterator

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import TemporalDecoder
from torch import nn
from torch.nn import functional

from .stacks import Frames, InRam, OnDevice
from .temporal import TemporalConv, along_time, combined, is_ours, moments_of

SLAB_MIB = 256


class Decoder(TemporalDecoder):
    """A temporal decoder that streams."""

    def forward(
        self, sample: torch.Tensor, image_only_indicator: torch.Tensor, num_frames: int = 1
    ) -> torch.Tensor:
        """Decode videos of `num_frames` latents each."""
        if torch.is_grad_enabled() or not self._is_ours():
            return super().forward(sample, image_only_indicator, num_frames)
        if len(sample) % num_frames:
            raise ValueError(
                f"{len(sample)} latents are no whole number of videos of {num_frames} frames each."
            )
        videos = [self._decoded(latents) for latents in sample.split(num_frames)]
        return videos[0] if len(videos) == 1 else torch.cat(videos)

    def _decoded(self, latents: torch.Tensor) -> torch.Tensor:
        frames = (InRam if self.knobs.decode == "spill" else OnDevice)(len(latents), SLAB_MIB)
        for index in range(frames.count):
            frames.put(index, self.conv_in(latents[index : index + 1]))
        for before, block in self._blocks():
            self._pass(frames, before, block)
        pictures = None
        for index in range(frames.count):
            normed = self.conv_norm_out(frames.take(index))
            picture = self.conv_out(functional.silu(normed, inplace=True))
            del normed
            if pictures is None:  # padded with an empty frame at both ends
                pictures = picture.new_zeros(frames.count + 2, *picture.shape[1:])
            pictures[index + 1] = picture[0]
        return self.time_conv_out(pictures.flatten(2)).view_as(pictures[1:-1])

    def _is_ours(self) -> bool:
        """Whether no adapter changes a convolution along time."""
        last = isinstance(self.time_conv_out, TemporalConv)
        return last and all(is_ours(block) for _, block in self._blocks())

    def _blocks(self) -> Iterator[tuple[nn.Module | None, nn.Module]]:
        """List the residual blocks in order, each with what comes before its spatial half."""
        middle = self.mid_block
        yield None, middle.resnets[0]
        yield from zip(middle.attentions, middle.resnets[1:], strict=False)
        before = None
        for block in self.up_blocks:
            for resnet in block.resnets:
                yield before, resnet
                before = None
            before = block.upsamplers[0] if block.upsamplers else None

    def _pass(self, frames: Frames, before: nn.Module | None, block: nn.Module) -> None:
        """Send all frames through a residual block."""
        seen = []
        for index in range(frames.count):
            frame = frames.take(index)
            frame = block.spatial_res_block(before(frame) if before else frame, None)
            seen.append(moments_of(frame.flatten(2), block.temporal_res_block.norm1.num_groups))
            frames.put(index, frame)
            del frame
        recompute = self.knobs.decode != "store"
        along_time(block, frames.slabs(), combined(seen), recompute=recompute)
