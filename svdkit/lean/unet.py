"""The UNet: what stays the same is worked out once per picture, and guidance may go in turn."""

from typing import Any

import torch
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionOutput

from .attention import Transformer


class UNet(UNetSpatioTemporalConditionModel):
    """The UNet of Stable Video Diffusion, in the lean way."""

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float | int,
        encoder_hidden_states: torch.Tensor,
        added_time_ids: torch.Tensor,
        return_dict: bool = True,
    ) -> Any:
        """Do as diffusers does, (videos, frames, channels, height, width)."""
        denoise = self.compiled or super().forward
        if torch.is_grad_enabled():
            return super().forward(
                sample, timestep, encoder_hidden_states, added_time_ids, return_dict
            )
        known = self._known_of(encoder_hidden_states, sample.shape[1])
        made = []
        for videos in self._turns(len(sample)):
            for transformer, constants in known:
                transformer.known = constants.of(videos)
            time = timestep
            if torch.is_tensor(timestep) and timestep.numel() > 1:
                time = timestep[videos]
            some = (encoder_hidden_states[videos], added_time_ids[videos])
            made.append(denoise(sample[videos], time, *some, return_dict=False)[0])
        for transformer, _ in known:
            transformer.known = None
        out = made[0] if len(made) == 1 else torch.cat(made)
        return UNetSpatioTemporalConditionOutput(sample=out) if return_dict else (out,)

    def enable_forward_chunking(self, chunk_size: int | None = None, dim: int = 0) -> None:
        """Work in slices; how large they are is said by the knobs."""
        raise ValueError(
            "Lean arithmetic slices all layers by itself: set_knobs(pipeline, "
            "Knobs(slice_mib=64)) of svdkit.lean, or load with memory='offload_and_stream'."
        )

    def _turns(self, count: int) -> list[slice]:
        if self.knobs.guidance == "batch":
            return [slice(0, count)]
        return [slice(index, index + 1) for index in range(count)]

    def _known_of(self, picture: torch.Tensor, frames: int) -> list:
        """Recall what stays the same for a picture; the pipeline gives the same tensor each step.

        Another tensor is another picture, or another run, before which weights may have changed.
        """
        last = self.last_look
        if last is None or last[0] is not picture or last[1:3] != (picture._version, frames):
            looks = [
                (module, module.look_at(picture, frames))
                for module in self.modules()
                if isinstance(module, Transformer)
            ]
            self.last_look = last = (picture, picture._version, frames, looks)
        return last[3]


# diffusers writes the class's name into the config that it saves
UNet.__name__ = UNetSpatioTemporalConditionModel.__name__
