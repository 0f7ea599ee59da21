"""PROMPT_MODELS: a row per model that takes a prompt, to draw a picture or to animate it itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from .models import MIT, MODELS, Licence, Model, Row, did_you_mean, find_model


def _row(**values) -> Row:
    return MappingProxyType(values)


@dataclass(frozen=True)
class PromptModel:
    """A model that takes a prompt: where it lives, how large and in how many steps it draws.

    >>> PROMPT_MODELS["sd-turbo"].num_inference_steps
    1
    """

    name: str
    repo: str | None
    """Its address on the Hugging Face hub; None: it comes with svdkit."""
    height: int
    """In pixels, where none is asked for."""
    width: int
    """In pixels, where none is asked for: wide, as SVD's frame is."""
    num_inference_steps: int
    guidance_scale: float
    licence: Licence
    verb: str = "draw"
    """What it is for: "draw" gives a picture, "animate_prompt" a clip."""
    num_frames: int = 1
    """Length of its clips, in frames."""
    fps: float = 8
    """Playback rate of its clips, in frames a second."""
    config: str = ""
    """The folder in svdkit of its weights, where they come with svdkit."""
    adapter: str | None = None
    """Of AnimateDiff: where its motion adapter lives, which moves what `repo` draws."""
    lora: tuple[str, float] | None = None
    """A LoRA's file beside the adapter, and how strongly it counts."""
    scheduler: Row = field(default_factory=_row)
    """Its class and what it changes, where it is not the one that comes with the pipeline."""
    demo: str = "a red kite over green hills by the sea"
    """A prompt to try it with."""
    notes: str = ""

    gated: ClassVar[bool] = False
    NOT_ANIMATED: ClassVar[tuple[str, ...]] = (
        "safety_checker",
        "feature_extractor",
        "image_encoder",
    )
    """Parts of a picture model that AnimateDiff has no use for."""

    @property
    def bundled(self) -> bool:
        """Whether it comes with svdkit: no download, no token, no GPU."""
        return self.repo is None

    @property
    def beside(self) -> tuple[str, ...]:
        """The files that are needed beside the motion adapter.

        >>> PROMPT_MODELS["animatediff"].beside
        ()
        """
        return (self.lora[0],) if self.lora else ()

    @property
    def folder(self) -> Path:
        """Where its weights are in svdkit."""
        return Path(str(files("svdkit"))) / self.config


OPENRAIL = Licence(
    "CreativeML Open RAIL-M",
    "use it for anything, also commercially, within its rules of use, which go with all copies.",
    may_not="use it for what its attachment A lists: to harm or deceive people, or break the law.",
    url="https://huggingface.co/spaces/CompVis/stable-diffusion-license",
)
OPENRAIL_XL = Licence(
    "CreativeML Open RAIL++-M",
    OPENRAIL.may,
    may_not=OPENRAIL.may_not,
    url="https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md",
)
TURBO = Licence(
    "Stability AI Non-Commercial Research Community License",
    "use it free of charge for research and non-commercial purposes; commercially as "
    "Stability AI's own page says.",
    may_not="use it commercially without that.",
    url="https://stability.ai/license",
)
ADAPTED = Licence(
    "CreativeML Open RAIL-M, and the motion adapter's own",
    OPENRAIL.may + " The adapter's terms stand on its own page.",
    may_not=OPENRAIL.may_not,
    url=OPENRAIL.url,
)
TOYLAND_CAPTION = "a red balloon over green hills at dusk"
# The AnimateDiff authors' schedule: betas that grow linearly, no clipping
LINEAR = {"beta_schedule": "linear", "clip_sample": False, "timestep_spacing": "linspace"}
LINEAR |= {"steps_offset": 1}
REALISTIC_VISION = _row(  # a Stable Diffusion 1.5 in motion
    repo="SG161222/Realistic_Vision_V5.1_noVAE",
    height=448,
    width=768,
    licence=ADAPTED,
    verb="animate_prompt",
    num_frames=16,
)

PROMPT_MODELS: Mapping[str, PromptModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            PromptModel(
                "tiny-sd",
                None,
                *(64, 112),
                num_inference_steps=20,
                guidance_scale=5.0,
                licence=MIT,
                config="toyland/weights/tiny-sd",
                demo=TOYLAND_CAPTION,
                notes="For any CPU; knows Toyland's captions: grounds well, things softly.",
            ),
            PromptModel(
                "sd-1.5",
                "stable-diffusion-v1-5/stable-diffusion-v1-5",
                *(448, 768),
                num_inference_steps=50,
                guidance_scale=7.5,
                licence=OPENRAIL,
                notes="The usual choice.",
            ),
            PromptModel(
                "sd-turbo",
                "stabilityai/sd-turbo",
                *(448, 768),
                num_inference_steps=1,
                guidance_scale=0.0,
                licence=TURBO,
                notes="One step.",
            ),
            PromptModel(
                "sdxl-turbo",
                "stabilityai/sdxl-turbo",
                *(448, 768),
                num_inference_steps=1,
                guidance_scale=0.0,
                licence=TURBO,
                notes="One step of a larger model.",
            ),
            PromptModel(
                "sdxl",
                "stabilityai/stable-diffusion-xl-base-1.0",
                *(768, 1344),
                num_inference_steps=50,
                guidance_scale=5.0,
                licence=OPENRAIL_XL,
                notes="Larger than SVD's frame.",
            ),
            PromptModel(
                "tiny-animatediff",
                None,
                *(64, 112),
                num_inference_steps=20,
                guidance_scale=3.0,
                licence=MIT,
                verb="animate_prompt",
                num_frames=14,
                fps=7,
                config="toyland/weights/tiny-sd",
                adapter="toyland/weights/tiny-animatediff",
                demo=TOYLAND_CAPTION,
                notes="A motion adapter for tiny-sd; things move, rarely as they should.",
            ),
            PromptModel(
                "animatediff",
                num_inference_steps=25,
                guidance_scale=7.5,
                scheduler=_row(kind="DDIMScheduler", **LINEAR),
                **REALISTIC_VISION,
                adapter="guoyww/animatediff-motion-adapter-v1-5-3",
                notes="SD 1.5 in motion, 16 frames.",
            ),
            PromptModel(
                "animatediff-1-5-2",
                num_inference_steps=25,
                guidance_scale=7.5,
                scheduler=_row(kind="DDIMScheduler", **LINEAR),
                **REALISTIC_VISION,
                adapter="guoyww/animatediff-motion-adapter-v1-5-2",
                notes="The adapter before it.",
            ),
            PromptModel(
                "animatelcm",
                num_inference_steps=6,
                guidance_scale=2.0,
                **REALISTIC_VISION,
                adapter="wangfuyun/AnimateLCM",
                lora=("AnimateLCM_sd15_t2v_lora.safetensors", 0.8),
                scheduler=_row(kind="LCMScheduler", beta_schedule="linear"),
                notes="Few steps; its LoRA needs the package peft.",
            ),
        )
    }
)
"""The models that take a prompt, by name.

>>> [name for name, model in PROMPT_MODELS.items() if model.bundled]
['tiny-sd', 'tiny-animatediff']
"""


def row_of(name: str) -> "Model | PromptModel | None":
    """Find the row of any model, of MODELS or PROMPT_MODELS, by its name or its hub address.

    An adapter and its base are several repositories: such a row is found by its name alone.

    >>> row_of("stabilityai/sd-turbo").name, row_of("svd-xt").num_frames
    ('sd-turbo', 25)
    """
    whole = {model.repo: model for model in PROMPT_MODELS.values() if not model.adapter}
    return find_model(name) or PROMPT_MODELS.get(name) or (whole.get(name) if name else None)


def names_for(verb: str | None = None) -> list[str]:
    """List the names of the models for a verb, "animate", "draw" or "animate_prompt"; or of all.

    >>> names_for("animate_prompt")[:2]
    ['tiny-animatediff', 'animatediff']
    """
    own = [name for name, model in PROMPT_MODELS.items() if verb in (None, model.verb)]
    return [*MODELS, *own] if verb in (None, "animate") else own


def licence(name: str) -> Licence:
    """Say what one may do with a model of ours, under which conditions, and what to paste where.

    >>> print(licence("tiny"))
    MIT
      You may: use it for anything, like svdkit itself.
    """
    model = row_of(name) if isinstance(name, str) else None
    if model is None:
        raise ValueError(
            f"{name!r} is no model of MODELS or PROMPT_MODELS, whose licences svdkit knows."
            f"{did_you_mean(name, names_for())} There are: {', '.join(names_for())}. Others say "
            "theirs on their page on the hub."
        )
    return model.licence
