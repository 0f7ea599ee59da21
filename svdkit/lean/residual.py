"""The residual block of space and time: its spatial half by frames, its temporal half by slabs."""

import torch
from diffusers.models.resnet import SpatioTemporalResBlock

from .slices import slices
from .stacks import views
from .temporal import along_time, combined, is_ours, moments_of


class ResBlock(SpatioTemporalResBlock):
    """A residual block that works in slices, and in place where it may."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        temb: torch.Tensor | None = None,
        image_only_indicator: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Do as diffusers does, (videos × frames, channels, height, width)."""
        if torch.is_grad_enabled() or not is_ours(self):
            return super().forward(hidden_states, temb, image_only_indicator)
        frames = image_only_indicator.shape[-1]
        images = self._within_frames(hidden_states, temb)
        shift = None
        half = self.temporal_res_block
        if temb is not None and half.time_emb_proj is not None:
            shift = half.time_emb_proj(half.nonlinearity(temb))[:, :, None]
        flat = images.flatten(2)  # a view, as the images are contiguous
        for start in range(0, len(flat), frames):
            video = flat[start : start + frames]
            moments = combined([moments_of(video, half.norm1.num_groups)])
            moved = None if shift is None else shift[start : start + frames]
            along_time(self, views(video, self.knobs.slice_mib), moments, moved)
        return images

    def _within_frames(self, images: torch.Tensor, temb: torch.Tensor | None) -> torch.Tensor:
        block = self.spatial_res_block
        count, _, height, width = images.shape
        channels = block.in_channels + 2 * block.out_channels
        bytes_each = 2 * channels * height * width * images.element_size()
        cuts = list(slices(count, bytes_each, self.knobs.slice_mib))
        if len(cuts) == 1:
            return block(images, temb).contiguous()
        out = images.new_empty(count, block.out_channels, height, width)
        for some in cuts:
            out[some] = block(images[some], None if temb is None else temb[some])
        return out
