"""The files of a checkpoint → a pipeline in memory."""

import json
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import hub
from .checkpoints import PIPELINES, Checkpoint, bytes_of_weights, from_folder, read_json
from .models import MODELS, Model, did_you_mean
from .paths import nameless, shown, visible
from .progress import PATIENCE, Bar
from .prompts import PROMPT_MODELS, PromptModel
from .refusals import damaged
from .room import NotEnoughMemory, is_out_of_memory
from .upstream import dtype_argument, feature_extractor, parts_told, pipeline_class, quietly

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class Files:
    """All files that a model is read from: its own, and those of its motion adapter."""

    whole: Checkpoint
    adapter: Checkpoint | None = None

    @property
    def revision(self) -> str | None:
        """The commits on the hub that they are from.

        >>> Files(Checkpoint(Path("a"), None, "1a"), Checkpoint(Path("b"), None, "2b")).revision
        '1a+2b'
        """
        parts = [part.revision for part in (self.whole, self.adapter) if part and part.revision]
        return "+".join(parts) or None

    @property
    def gib(self) -> float:
        """How much memory its weights take, in GiB.

        >>> Files(Checkpoint(Path("nowhere"), None)).gib
        0.0
        """
        without = PromptModel.NOT_ANIMATED if self.adapter else ()
        count = bytes_of_weights(self.whole, without)
        return (count + (bytes_of_weights(self.adapter) if self.adapter else 0)) / 2**30

    @property
    def kind(self) -> str:
        """The class of diffusers that they make.

        >>> Files(Checkpoint(MODELS["tiny"].folder, None)).kind
        'StableVideoDiffusionPipeline'
        """
        if self.adapter:
            return "AnimateDiffPipeline"
        return read_json(self.whole.folder / "model_index.json")["_class_name"]

    @property
    def animates(self) -> bool:
        """Whether it is a model that animates pictures, whose memory svdkit knows.

        >>> Files(Checkpoint(MODELS["tiny"].folder, None)).animates
        True
        """
        return self.kind in PIPELINES["animate"]


def gather(
    name: str,
    row: Model | PromptModel | None,
    folder: Path | None,
    dtype: "torch.dtype",
    verb: str | None = None,
    progress: bool = False,
) -> Files:
    """Find the files of a model: in svdkit, in a folder, in the hub's cache or on the hub.

    >>> import torch
    >>> gather("tiny", MODELS["tiny"], None, torch.float32).whole.variant is None
    True
    """
    import torch

    half = dtype != torch.float32
    adapter = getattr(row, "adapter", None)
    if row and row.bundled:
        beside = Checkpoint(Path(str(files("svdkit"))) / adapter, None) if adapter else None
        return Files(Checkpoint(row.folder, None), beside)
    if folder:
        return Files(from_folder(folder, half=half, verb=verb))
    repo = row.repo if row else name
    every = [model.repo for model in (*MODELS.values(), *PROMPT_MODELS.values()) if model.repo]
    hint = did_you_mean(repo, every)
    if not adapter:
        return Files(hub.from_hub(repo, half=half, hint=hint, verb=verb, progress=progress))
    if row.lora and not find_spec("peft"):
        raise ModuleNotFoundError(
            f"{row.name} draws in few steps by a LoRA, which needs peft: pip install peft. "
            "'animatediff' needs none."
        )
    how = {"half": half, "progress": progress}
    return Files(
        hub.from_hub(repo, verb="draw", without=PromptModel.NOT_ANIMATED, **how),
        hub.model_from_hub(adapter, extra=row.beside, **how),
    )


def read(
    found: Files,
    row: Model | PromptModel | None,
    dtype: "torch.dtype",
    name: str = "",
    progress: bool = False,
) -> "DiffusionPipeline":
    """Read a pipeline from its files, on the CPU; a bar tells each part, and calls it by `name`.

    >>> import torch
    >>> found = gather("tiny", MODELS["tiny"], None, torch.float32)
    >>> read(found, MODELS["tiny"], torch.float32).unet.config.num_frames
    14
    """
    where = found.whole.folder
    index = read_json(where / "model_index.json")
    total = sum(isinstance(part, list) for part in index.values())  # till diffusers knows better
    told = {"desc": f"loading {name}", "total": total, "unit": "part"}
    try:
        with Bar(**told, delay=PATIENCE, disable=not progress) as bar, parts_told(bar):
            return _animatediff(found, row, dtype, bar) if found.adapter else _whole(found, dtype)
    except (ImportError, PermissionError):
        raise
    except Exception as error:  # safetensors, json, diffusers and torch each have their own
        if is_out_of_memory(error):
            raise NotEnoughMemory(
                f"Memory ran out while {shown(where)!r} was read. Close other programs "
                "and notebooks, or load it with dtype='float16', which halves it."
            ) from error
        why = visible(shown(error))
        raise damaged(where, f"{type(error).__name__}: {why}") from nameless(error)


def _whole(found: Files, dtype: "torch.dtype") -> "DiffusionPipeline":
    folder = found.whole.folder
    return pipeline_class(found.kind).from_pretrained(
        folder, **_reading(found.whole, dtype), **_preprocessor(folder)
    )


def _animatediff(
    found: Files, row: PromptModel, dtype: "torch.dtype", bar: Bar
) -> "DiffusionPipeline":
    """Put a motion adapter into a Stable Diffusion, with the scheduler and LoRA that go with it."""
    import diffusers

    kind = pipeline_class("AnimateDiffPipeline")
    bar.stage("motion_adapter")
    adapter = diffusers.MotionAdapter.from_pretrained(
        found.adapter.folder, **_reading(found.adapter, dtype)
    )
    bar.update()
    with quietly():  # it warns of modules to be kept in float32, and lists none
        pipeline = kind.from_pretrained(
            found.whole.folder,
            motion_adapter=adapter,
            **dict.fromkeys(("feature_extractor", "image_encoder")),
            **_reading(found.whole, dtype),
        )
    pipeline.register_modules(motion_adapter=None)  # it is in the UNet now, and need not be twice
    if row.scheduler:
        changes = dict(row.scheduler)
        scheduler = getattr(diffusers, changes.pop("kind"))
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **changes)
    if row.lora:
        name, strength = row.lora
        pipeline.load_lora_weights(found.adapter.folder, weight_name=name, adapter_name="few_steps")
        pipeline.set_adapters(["few_steps"], [strength])
    return pipeline


def _reading(checkpoint: Checkpoint, dtype: "torch.dtype") -> dict[str, Any]:
    return {
        "variant": checkpoint.variant,
        "use_safetensors": True,
        "local_files_only": True,
        **dtype_argument(dtype),
    }


def _preprocessor(folder: Path) -> dict[str, Any]:
    config = folder / "feature_extractor" / "preprocessor_config.json"
    if not config.exists():
        return {}
    return {"feature_extractor": feature_extractor(json.loads(config.read_text(encoding="utf-8")))}
