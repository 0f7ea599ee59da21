"""The model behind a panel: loaded when it is first needed, and moved to another memory preset."""

import html
import os
from typing import Any

from . import lean
from .addresses import address_of, auto, find
from .checkpoints import check_kind
from .devices import pick_device
from .hub import is_cached
from .lending import at_work
from .memory import PRESETS
from .models import Model
from .origins import origin_of
from .paths import shown
from .pipelines import load_for
from .residence import bring_back
from .rungs import settle


class Engine:
    """A video model by its name, or a pipeline that is there already.

    >>> engine = Engine("tiny")
    >>> engine.name, engine.is_loaded
    ('tiny', False)
    """

    def __init__(self, pipeline: Any = "auto"):
        self._pipeline, self._name, why = None, None, ""
        if isinstance(pipeline, (str, os.PathLike)):
            name = address_of(pipeline) if isinstance(pipeline, str) else pipeline
            device = pick_device()
            if name == "auto":
                name, why = auto(device)
            find(name, "animate")  # a wrong name is told of now, and not by the first clip
            self._name = name
        else:
            check_kind("animate", pipeline)
            self._pipeline, device = pipeline, pipeline._execution_device.type
        self.device = device
        """Where it works: cpu, cuda or mps."""
        self._why = why

    @property
    def about(self) -> str:
        """What it is, why "auto" took it, and what one may do with it, as HTML."""
        told = f"<b>{html.escape(self.name)}</b>"
        if self._why:
            told += f", because {html.escape(self._why)}"
        if self.row and not self.row.bundled:
            told += f"<br>{html.escape(self.row.licence.summary)}"
        return f'<div style="line-height:1.35">Model: {told}</div>'

    @property
    def model(self) -> Any:
        """What stands for the model wherever one is asked for."""
        return self._pipeline or self._name

    @property
    def row(self) -> Model | None:
        """Its row of MODELS, if it has one."""
        return origin_of(self._pipeline).model if self._pipeline else find(self._name)[0]

    @property
    def name(self) -> str:
        """What it is called."""
        return origin_of(self._pipeline).name if self._pipeline else shown(self._name)

    @property
    def code(self) -> str:
        """What stands for it in code, where its name alone does not; else nothing."""
        if self._name:
            return ""
        origin = origin_of(self._pipeline)
        as_loaded = origin.source in ("bundled", "hub") and self.arithmetic == "lean"
        return "" if as_loaded else "pipeline"

    @property
    def is_loaded(self) -> bool:
        """Whether it is there, or has still to be read or downloaded."""
        return self._pipeline is not None

    @property
    def is_far(self) -> bool:
        """Whether it has to be downloaded first."""
        repo = self.row and self.row.repo
        return bool(repo and not self.is_loaded and not is_cached(repo))

    @property
    def dtype(self) -> str:
        """The numbers that it calculates in on a GPU."""
        return str(self._pipeline.unet.dtype)[6:] if self._pipeline else "float16"

    @property
    def arithmetic(self) -> str:
        """Whether it calculates as diffusers does, or in the lean way."""
        is_stock = self._pipeline and not lean.is_lean(self._pipeline)
        return "stock" if is_stock else "lean"

    @property
    def presets(self) -> list[str]:
        """The memory presets that there are for it; none for a pipeline from elsewhere."""
        if self._pipeline and not origin_of(self._pipeline).preset and not self._name:
            return []
        names = [
            preset.name
            for preset in PRESETS.values()
            if (preset.keeps == "none") == (self.device == "cpu")
            and (self.arithmetic == "lean" or preset.stock)
        ]
        return ["auto", *names] if self._name else names

    @property
    def preset(self) -> str:
        """The preset that it has, or will have."""
        if self._name:
            return "auto"
        preset = origin_of(self._pipeline).preset
        return preset.name if preset else ""

    def shares_with(self, other: "Engine") -> bool:
        """Whether both have one and the same pipeline, or will have.

        >>> Engine("tiny").shares_with(Engine("tiny"))
        True
        """
        if self._pipeline is not None and self._pipeline is other._pipeline:
            return True
        return self._name is not None and self._name == other._name

    def ready(self, memory: str) -> Any:
        """Give the pipeline, loaded and with a memory preset."""
        if self._name:
            self._pipeline = load_for("animate", self._name, memory=memory)
            return self._pipeline
        if at_work(self._pipeline):
            raise RuntimeError(
                f"{self.name} is making a clip already, in another panel or cell. Wait until it is "
                "done, or stop it there."
            )
        bring_back(self._pipeline)
        if memory and memory != self.preset:
            settle(self._pipeline, PRESETS[memory])
        return self._pipeline
