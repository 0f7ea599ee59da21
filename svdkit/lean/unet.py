"""The UNet: what stays the same is worked out once per picture, and guidance may go in turn."""

from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionOutput

from .attention import Known, Transformer, knowing
from .parked import state_of


class Look(NamedTuple):
    """What was worked out for a picture, and from what."""

    picture: torch.Tensor
    version: Any
    frames: int
    state: list[Any]
    known: list[tuple[Transformer, Known]]


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
        usual = all(transformer.is_usual() for transformer, _ in known)
        count, frames = sample.shape[:2]
        wanted = self.run.videos(count) if self.run else slice(0, count)
        made = []
        try:
            for videos in self._turns(wanted) if usual else [wanted]:
                knowing.known = {id(each): constants.of(videos) for each, constants in known}
                time = timestep
                if torch.is_tensor(timestep) and timestep.numel() > 1:
                    time = timestep[videos]
                some = (encoder_hidden_states[videos], added_time_ids[videos])
                with self.run.around(self, videos, frames) if self.run else nullcontext():
                    made.append(denoise(sample[videos], time, *some, return_dict=False)[0])
        finally:
            knowing.known = {}
        if wanted.start:  # unconditional noise that equals the conditional one guides nothing
            made *= 2
        if self.run:
            self.run.step += 1
        out = made[0] if len(made) == 1 else torch.cat(made)
        return UNetSpatioTemporalConditionOutput(sample=out) if return_dict else (out,)

    def enable_forward_chunking(self, chunk_size: int | None = None, dim: int = 0) -> None:
        """Work in slices; how large they are is said by the knobs."""
        raise ValueError(
            "Lean arithmetic slices all layers by itself: set_knobs(pipeline, "
            "Knobs(slice_mib=64)) of svdkit.lean, or load with memory='offload_and_stream'."
        )

    def _turns(self, wanted: slice) -> list[slice]:
        if self.knobs.guidance == "batch":
            return [wanted]
        return [slice(index, index + 1) for index in range(wanted.start, wanted.stop)]

    @torch.compiler.disable
    def _known_of(self, picture: torch.Tensor, frames: int) -> list:
        """Recall what stays the same for a picture; the pipeline gives the same tensor each step.

        Another tensor is another picture, or another run, before which weights may have changed.
        """
        # inference mode counts no changes
        version = picture.tolist() if picture.is_inference() else picture._version
        last = self.last_look
        if (
            last is not None
            and last.picture is picture
            and (last.version, last.frames) == (version, frames)
            and last.state == _state_of(last.known)
        ):
            return last.known
        known = [
            (module, module.look_at(picture, frames))
            for module in self.modules()
            if isinstance(module, Transformer)
        ]
        self.last_look = Look(picture, version, frames, _state_of(known), known)
        return known


def _state_of(known: list[tuple[Transformer, Known]]) -> list[Any]:
    return [state_of(parked) for transformer, _ in known for parked in transformer.parked()]


# diffusers writes the class's name into the config that it saves
UNet.__name__ = UNetSpatioTemporalConditionModel.__name__
