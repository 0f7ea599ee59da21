"""The real modules of a model without their weights, to count what they will take."""

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .counting import Count, count
from .memory import Preset
from .models import Model
from .upstream import import_diffusers, quietly

if TYPE_CHECKING:
    import torch

GIB = 2**30
PICTURE = 224  # CLIP always sees 224×224
PARTS = ("clip", "vae", "encoder", "unet")

_drawn: dict[tuple, "Blueprint"] = {}


def blueprint_of(model: Model, dtype: str, arithmetic: str) -> "Blueprint":
    """Give a model's blueprint; each is drawn once.

    >>> from svdkit.models import MODELS
    >>> blueprint_of(MODELS["tiny"], "float32", "stock").unet.device.type
    'meta'
    """
    key = (model.folder, dtype, arithmetic)
    if key not in _drawn:
        _drawn[key] = Blueprint(model, dtype, arithmetic)
    return _drawn[key]


class Blueprint:
    """A model's modules on torch's meta device, and what each of them takes at its work.

    >>> from svdkit.models import MODELS
    >>> drawn = Blueprint(MODELS["tiny"], "float16", "stock")
    >>> round(drawn.gib["unet"] * 1024), drawn.step(2, 64, 112).flops > 1e9
    (10, True)
    """

    def __init__(self, model: Model, dtype: str, arithmetic: str):
        import torch

        self.dtype, self.arithmetic = dtype, arithmetic
        kind = getattr(torch, dtype)
        self.unet, self.vae, self.clip = _drawn_parts(model, kind)
        # in fp16 it would overflow, so that the pipeline turns the VAE to fp32 and back
        upcast = dtype == "float16" and self.vae.config.force_upcast
        self.encoder = _drawn_parts(model, torch.float32)[1] if upcast else self.vae
        if arithmetic == "lean":
            from . import lean

            lean.apply(self)
        self._like = {"device": "meta", "dtype": kind}
        self._way: dict[str, Hashable] = {}  # how the UNet and the decoder work
        self._counts: dict[tuple, Count] = {}

    @cached_property
    def gib(self) -> dict[str, float]:
        """The weights of each part that come onto the GPU; the encoder's are the VAE's, upcast."""
        return {name: weights_gib(getattr(self, name)) for name in PARTS}

    @cached_property
    def whole_gib(self) -> float:
        """All weights in GiB, with those that lean arithmetic leaves in RAM."""
        return sum(
            weights_gib(getattr(self, name), parked=True) for name in ("unet", "vae", "clip")
        )

    @cached_property
    def layer_gib(self) -> dict[str, float]:
        """The weights of the largest layer of each part, in GiB."""
        return {
            name: max(
                weights_gib(layer) for layer in getattr(self, name).modules() if _is_leaf(layer)
            )
            for name in PARTS
        }

    def set_up(self, preset: Preset) -> None:
        """Let the modules work in slices, or in turn, as a preset has them."""
        if self.arithmetic == "lean":
            from . import lean

            knobs = preset.knobs
            lean.set_knobs(self, knobs)
            self._way = {"step": (knobs.slice_mib, knobs.guidance), "decode": knobs.decode}
        else:
            sliced = bool(preset.stock and preset.stock.slices_wide_layers)
            for module in self.unet.modules():
                if hasattr(module, "set_chunk_feed_forward"):
                    # as enable_forward_chunking() does, which nothing undoes
                    module.set_chunk_feed_forward(chunk_size=1 if sliced else None, dim=0)
            self._way = {"step": sliced}

    def see(self) -> Count:
        """Count what CLIP takes to look at a picture."""
        picture = self._empty(1, 3, PICTURE, PICTURE)
        return self._counted(("see",), lambda: self.clip(picture))

    def encode(self, height: int, width: int) -> Count:
        """Count what the VAE takes to encode a picture."""
        picture = self._empty(1, 3, height, width).to(self.encoder.dtype)
        return self._counted(("encode", height, width), lambda: self.encoder.encode(picture))

    def step(self, frames: int, height: int, width: int, guided: bool = True) -> Count:
        """Count what the UNet takes for a step, as the pipeline calls it."""
        videos, size = 1 + guided, self._latent(height, width)
        config = self.unet.config

        def work() -> Any:
            latents = self._empty(1, frames, config.out_channels, *size)
            pictures = self._empty(videos, frames, config.in_channels - config.out_channels, *size)
            both = latents.new_empty(videos, frames, config.out_channels, *size)
            return self.unet(
                both.new_empty(videos, frames, config.in_channels, *size),
                latents.new_empty(()),
                self._empty(videos, 1, config.cross_attention_dim),
                self._empty(videos, 3),
                return_dict=False,
            ), pictures

        return self._counted(("step", frames, height, width, guided), work)

    def decode(self, frames: int, height: int, width: int, chunk: int) -> Count:
        """Count what the VAE takes to decode a clip, so many frames at a time."""
        chunk = min(chunk, frames)
        whole, rest = divmod(frames, chunk)
        picture = 3 * height * width * self._empty(1).element_size()
        decoded = self._decode_at_once(chunk, height, width)
        before = decoded.peak_bytes + (whole - 1) * chunk * picture  # what is decoded already
        # in the end they are put together, and turned to fp32
        after = frames * (2 * picture + 3 * height * width * 4)
        both = decoded.repeated(whole)
        if rest:
            both += self._decode_at_once(rest, height, width)
        return Count(max(before, after), both.ram_bytes, both.kernels)

    def _decode_at_once(self, frames: int, height: int, width: int) -> Count:
        channels = self.vae.config.latent_channels
        latents = self._empty(frames, channels, *self._latent(height, width))
        return self._counted(
            ("decode", frames, height, width), lambda: self.vae.decode(latents, num_frames=frames)
        )

    def _latent(self, height: int, width: int) -> tuple[int, int]:
        shrinks = 2 ** (len(self.vae.config.block_out_channels) - 1)
        return height // shrinks, width // shrinks

    def _empty(self, *shape: int) -> "torch.Tensor":
        import torch

        return torch.empty(shape, **self._like)

    def _counted(self, what: tuple, work: Callable[[], Any]) -> Count:
        key = (*what, self._way.get(what[0]))
        if key not in self._counts:
            self._counts[key] = count(work)
        return self._counts[key]


def _drawn_parts(model: Model, dtype: "torch.dtype") -> tuple[Any, Any, Any]:
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    diffusers = import_diffusers()
    with torch.device("meta"), quietly():
        parts = (
            diffusers.UNetSpatioTemporalConditionModel.from_config(model.config_of("unet")),
            diffusers.AutoencoderKLTemporalDecoder.from_config(model.config_of("vae")),
            CLIPVisionModelWithProjection(
                CLIPVisionConfig.from_dict(model.config_of("image_encoder"))
            ),
        )
        # what is made of numbers, such as a mixing factor, is still in RAM
        return tuple(part.to("meta", dtype).eval() for part in parts)


def weights_gib(module: "torch.nn.Module", *, parked: bool = False) -> float:
    """Give the size of a module's weights; what lean leaves in RAM counts only if `parked`.

    >>> import torch
    >>> weights_gib(torch.nn.Linear(1024, 1024, bias=False)) * 1024
    4.0
    """
    from .lean.parked import Parked

    if isinstance(module, Parked) and not parked:
        return 0.0
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    size = sum(tensor.numel() * tensor.element_size() for tensor in own) / GIB
    return size + sum(weights_gib(child, parked=parked) for child in module.children())


def _is_leaf(module: "torch.nn.Module") -> bool:
    return not any(module.children())
