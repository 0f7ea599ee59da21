"""The layers along time: a convolution over three frames, its norm over all frames, the mixing.

They are called in diffusers' layout (batch, channels, frames, height, width) as it calls them, and
in a lean one: one video as (frames, channels, positions), in slabs of positions, for what is along
time is the same at each position. GroupNorm alone couples them, by its statistics.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from diffusers.models.resnet import AlphaBlender
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from .stacks import Slab

FAR = 64  # times the variance: a mean squared that leaves few digits to the variance


class Moments(NamedTuple):
    """Mean and variance of groups of channels, in fp32 at least."""

    mean: torch.Tensor
    """(frames, groups), or (groups) of a whole video."""
    variance: torch.Tensor
    positions: int
    """How many positions each frame has."""


def moments_of(part: torch.Tensor, groups: int) -> Moments:
    """Find the moments of each frame of a part of a video, (frames, channels, positions)."""
    grouped = part.reshape(part.shape[0], groups, -1)
    if part.dtype not in (torch.float16, torch.bfloat16):
        variance, mean = torch.var_mean(grouped, dim=2, correction=0)
        return Moments(mean, variance, part.shape[2])
    # var_mean would round to half precision; sums in fp32 of half-precision numbers lose nothing
    count = grouped.shape[2]
    mean = grouped.sum(2, dtype=torch.float32) / count
    squares = torch.linalg.vector_norm(grouped, dim=2, dtype=torch.float32).square() / count
    variance = squares - mean.square()
    # but the difference of two large ones does, far from zero: there rounding is the lesser evil
    rounded = torch.std(grouped, dim=2, correction=0).float().square()
    far = mean.square() > FAR * variance
    return Moments(mean, torch.where(far, rounded, variance), part.shape[2])


def combined(parts: list[Moments]) -> Moments:
    """Combine the moments of all parts of a video, without loss.

    Mean and variance of the whole are E[mean] and E[variance] + Var[mean] of the parts, weighted by
    their sizes (Chan, Golub and LeVeque, "Updating formulae", 1979).
    """
    means = torch.cat([part.mean for part in parts])
    sizes = [part.positions for part in parts for _ in range(part.mean.shape[0])]
    if len(set(sizes)) == 1:
        weights = 1 / len(sizes)
    else:
        weights = means.new_tensor(sizes)[:, None] / sum(sizes)
    mean = (means * weights).sum(0)
    spread = torch.cat([part.variance for part in parts]) + (means - mean).square()
    return Moments(mean, (spread * weights).sum(0), sum(sizes))


class NormOverFrames(nn.GroupNorm):
    """GroupNorm over all frames of a video, in two passes: the statistics first, then the slabs."""

    def forward(self, video: torch.Tensor, moments: Moments | None = None) -> torch.Tensor:
        """Normalise and activate a slab, padded with an empty frame at both ends."""
        if moments is None:
            return super().forward(video)
        each = self.num_channels // self.num_groups
        wide = moments.mean.dtype
        scale = (moments.variance + self.eps).rsqrt().repeat_interleave(each)
        scale = scale * self.weight.to(wide)
        shift = self.bias.to(wide) - moments.mean.repeat_interleave(each) * scale
        frames, channels, positions = video.shape
        padded = video.new_zeros(frames + 2, channels, positions)
        inside = padded[1:-1]
        torch.addcmul(shift[:, None], video, scale[:, None], out=inside)  # in fp32, kept in fp16
        functional.silu(inside, inplace=True)
        return padded


class TemporalConv(nn.Conv3d):
    """A (3, 1, 1) convolution as one matrix product over a window that needs no copy.

        out[f] = [W₋₁ W₀ W₊₁] · [in[f−1]; in[f]; in[f+1]]

    Frames lie one after the other, so three of them are one matrix of 3·channels rows, and the
    windows of all frames are one strided view. cuDNN's Conv3d is slow for this shape.
    """

    def forward(
        self,
        padded: torch.Tensor,
        onto: torch.Tensor | None = None,
        share: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Convolve a padded slab; or add a share of the result to another slab, in place."""
        if padded.ndim == 5:
            return super().forward(padded)
        if onto is not None:
            padded = padded.to(onto.dtype)  # another one under autocast
        frames, channels, positions = padded.shape
        frames -= 2
        shape = (frames, 3 * channels, positions)
        if padded.device.type == "mps":  # whose matrix products are not known to take such views
            windows = torch.cat([padded[:-2], padded[1:-1], padded[2:]], dim=1)
        else:
            windows = padded.as_strided(shape, (channels * positions, positions, 1))
        weights = self.weight[:, :, :, 0, 0].permute(0, 2, 1).reshape(self.out_channels, -1)
        if onto is None:
            out = torch.bmm(weights.expand(frames, -1, -1), windows)
            return out.add_(self.bias[:, None])
        # the mixing of spatial and temporal, folded into the product
        weights = (weights * share).to(onto.dtype)
        out = onto.baddbmm_(weights.expand(frames, -1, -1), windows)
        return out.add_((self.bias * share)[:, None])


class Mixer(AlphaBlender):
    """The mixing of spatial and temporal: α·spatial + (1 − α)·temporal."""

    def forward(
        self,
        x_spatial: torch.Tensor | None = None,
        x_temporal: torch.Tensor | None = None,
        image_only_indicator: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mix; or, asked without anything to mix, give the temporal share."""
        if x_spatial is not None:
            return super().forward(x_spatial, x_temporal, image_only_indicator)
        alpha = self.mix_factor
        if self.merge_strategy != "fixed":
            alpha = torch.sigmoid(alpha)
        return alpha if self.switch_spatial_to_temporal_mix else 1 - alpha


def is_ours(block: nn.Module) -> bool:
    """Whether `along_time` knows a block: an adapter on a convolution is at home in diffusers'."""
    half = block.temporal_res_block
    return isinstance(half.conv1, TemporalConv) and isinstance(half.conv2, TemporalConv)


def along_time(
    block: nn.Module,
    slabs: "list[Slab]",
    moments: Moments,
    shift: torch.Tensor | None = None,
    *,
    recompute: bool = False,
) -> None:
    """Do the temporal half of a residual block in place: x += share·conv₂(norm₂(conv₁(norm₁(x)))).

    `slabs` are those of a stack of frames, and `moments` its own; `shift` is the time embedding's
    part, (frames, channels, 1). The second norm has to see all slabs before the first is done with:
    what it saw is stored, or made once more.
    """
    half, share = block.temporal_res_block, block.time_mixer()
    groups = half.norm2.num_groups

    def hidden(slab: "Slab") -> torch.Tensor:
        out = half.conv1(half.norm1(slab.read(), moments))
        return out if shift is None else out.add_(shift)

    stored: list[torch.Tensor] = []
    seen = []
    for slab in slabs:
        inner = hidden(slab)
        seen.append(moments_of(inner, groups))
        if not recompute:
            stored.append(inner)
        del inner
    second = combined(seen)
    for slab in slabs:
        padded = half.norm2(hidden(slab) if recompute else stored.pop(0), second)
        spatial = slab.read()
        mixed = half.conv2(padded, onto=spatial, share=share)
        slab.write(mixed, in_place=mixed is spatial)  # a hook of offloading may hand in a copy
        del padded
