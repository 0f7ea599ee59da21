"""MODELS: a row per checkpoint. A new checkpoint is one new row, and no code."""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

Row = Mapping[str, Any]

CONFIG_FILES = {
    "unet": "unet/config.json",
    "vae": "vae/config.json",
    "image_encoder": "image_encoder/config.json",
    "scheduler": "scheduler/scheduler_config.json",
    "feature_extractor": "feature_extractor/preprocessor_config.json",
}


def _row(**values) -> Row:
    return MappingProxyType(values)


@dataclass(frozen=True)
class Licence:
    """What one may do with a model.

    >>> MODELS["svd"].licence.attribution
    'Powered by Stability AI'
    """

    name: str
    may: str
    """What it allows, and to whom."""
    may_not: str = ""
    attribution: str | None = None
    """The line that a product built on the model must show."""
    notice: str | None = None
    """The text that must go with copies of the model, to paste beside the licence's own."""
    url: str | None = None

    @property
    def summary(self) -> str:
        """All that matters before the first use, in one line."""
        shown = f' Show "{self.attribution}".' if self.attribution else ""
        return f"{self.name}: {self.may}{shown}{f' {self.url}' if self.url else ''}"

    def __str__(self) -> str:
        lines = [self.name + (f", {self.url}" if self.url else ""), f"  You may: {self.may}"]
        lines += [f"  You may not: {self.may_not}"] if self.may_not else []
        lines += [f"  A product shows: {self.attribution}"] if self.attribution else []
        lines += [f"  Copies carry the licence and: {self.notice}"] if self.notice else []
        return "\n".join(lines)


@dataclass(frozen=True)
class Model:
    """A checkpoint: where it lives, what it was made for, what one may do with it.

    >>> MODELS["svd-xt"].num_frames
    25
    """

    name: str
    repo: str | None
    """Its address on the Hugging Face hub; None: it comes with svdkit."""
    height: int
    """Of its frames, in pixels."""
    width: int
    """Of its frames, in pixels."""
    num_frames: int
    """Length of its clips, in frames."""
    config: str
    """The folder in svdkit of the configurations that describe its architecture, and of its weights
    where they come with svdkit."""
    licence: Licence
    gated: bool = False
    """Whether its terms have to be accepted on the hub first."""
    defaults: Row = field(default_factory=_row)
    """Settings in which it departs from the defaults of diffusers."""
    demo: Row = field(default_factory=_row)
    """Settings that its authors' own demos use."""
    tuned: Row = field(default_factory=_row)
    """Settings around which it was fine-tuned."""
    notes: str = ""

    @property
    def bundled(self) -> bool:
        """Whether it comes with svdkit: no download, no token, no GPU."""
        return self.repo is None

    @property
    def folder(self) -> Path:
        """Where its configurations are."""
        return Path(str(files("svdkit"))) / self.config

    def config_of(self, part: str) -> dict[str, Any]:
        """Give the full configuration of one part of the architecture, as a fresh dict.

        >>> MODELS["svd-xt"].config_of("unet")["block_out_channels"]
        [320, 640, 1280, 1280]
        """
        config = json.loads((self.folder / CONFIG_FILES[part]).read_text(encoding="utf-8"))
        return config | {"num_frames": self.num_frames} if part == "unet" else config


MIT = Licence("MIT", "use it for anything, like svdkit itself.")
STABILITY = Licence(
    "Stability AI Community License",
    "use it free of charge for research and non-commercial purposes, and commercially too, once "
    "registered with Stability AI, up to USD 1M of total annual revenue; above that, with an "
    "Enterprise licence. What you make is yours.",
    may_not="use it, or what it makes, to train other foundation models.",
    attribution="Powered by Stability AI",
    notice="This Stability AI Model is licensed under the Stability AI Community License, "
    "Copyright © Stability AI Ltd. All Rights Reserved",
    url="https://stability.ai/license",
)

MODELS: Mapping[str, Model] = MappingProxyType(
    {
        model.name: model
        for model in (
            Model(
                name="tiny",
                repo=None,
                height=64,
                width=112,
                num_frames=14,
                config="toyland/weights/tiny",
                licence=MIT,
                defaults=_row(num_inference_steps=10, max_guidance_scale=2.0),
                notes="Small, for any CPU and no download; trained on Toyland, a painted world.",
            ),
            Model(
                name="svd",
                repo="stabilityai/stable-video-diffusion-img2vid",
                height=576,
                width=1024,
                num_frames=14,
                config="configs/svd-xt",  # the same architecture; only the number of frames differs
                licence=STABILITY,
                demo=_row(num_inference_steps=25, min_guidance_scale=1.0, max_guidance_scale=2.5),
                notes="The first, for 14 frames.",
            ),
            Model(
                name="svd-xt",
                repo="stabilityai/stable-video-diffusion-img2vid-xt",
                height=576,
                width=1024,
                num_frames=25,
                config="configs/svd-xt",
                licence=STABILITY,
                demo=_row(num_inference_steps=30, min_guidance_scale=1.5, max_guidance_scale=3.0),
                notes="Fine-tuned from svd for 25 frames; the usual choice.",
            ),
            Model(
                name="svd-xt-1-1",
                repo="stabilityai/stable-video-diffusion-img2vid-xt-1-1",
                height=576,
                width=1024,
                num_frames=25,
                config="configs/svd-xt",
                licence=STABILITY,
                gated=True,
                demo=_row(num_inference_steps=30, min_guidance_scale=1.5, max_guidance_scale=3.0),
                tuned=_row(fps=6, motion_bucket_id=127),
                notes="Steadier at fps 6 and motion bucket 127, which it was tuned on.",
            ),
        )
    }
)
"""The models that animate a picture, by name.

>>> list(MODELS)
['tiny', 'svd', 'svd-xt', 'svd-xt-1-1']
"""


def find_model(name: str) -> Model | None:
    """Find the row of a model by its name or its hub address; None where there is no row.

    >>> find_model("stabilityai/stable-video-diffusion-img2vid-xt").name
    'svd-xt'
    """
    by_repo = {model.repo: model for model in MODELS.values() if model.repo}
    return MODELS.get(name) or by_repo.get(name)


def built_like(unet: Row) -> Model | None:
    """Find the first row whose UNet is as wide as this configuration says; None if there is none.

    A checkpoint that was trained on from a model is in no row, and yet made for the same frames.

    >>> built_like(MODELS["svd-xt"].config_of("unet")).name, built_like({})
    ('svd', None)
    """

    def widths(config: Row) -> list[Any]:
        names = ("block_out_channels", "cross_attention_dim", "addition_time_embed_dim")
        return json.loads(json.dumps([config.get(name) for name in names]))  # tuples as lists

    return next(
        (model for model in MODELS.values() if widths(model.config_of("unet")) == widths(unet)),
        None,
    )


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Give a sentence that names the nearest of the words, or "" where none is near.

    >>> did_you_mean("tinny", MODELS)
    ' Did you mean tiny?'
    """
    near = difflib.get_close_matches(str(word), list(words), n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""
