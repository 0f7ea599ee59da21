"""What a folder or a repository holds: whether it is a checkpoint, and which files to load."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .paths import shown, visible
from .refusals import damaged

# The pipelines of diffusers that svdkit loads, by what they are loaded for
PIPELINES = {
    "animate": ("StableVideoDiffusionPipeline",),
    "draw": ("StableDiffusionPipeline", "StableDiffusionXLPipeline"),
    "animate_prompt": ("AnimateDiffPipeline",),
}
# The parts without weights, and the files that they cannot do without: any of these sets
WEIGHTLESS = {
    "scheduler": [{"scheduler_config.json"}],
    "tokenizer": [{"tokenizer.json"}, {"vocab.json", "merges.txt"}],
    "tokenizer_2": [{"tokenizer.json"}, {"vocab.json", "merges.txt"}],
    "feature_extractor": [{"preprocessor_config.json"}],
}
# What messages call each use, and a model for it
EXAMPLES = {
    "animate": ("animating", "svd-xt"),
    "draw": ("drawing", "sd-1.5"),
    "animate_prompt": ("animating a prompt", "animatediff"),
    None: ("svdkit", "svd-xt"),
}
# Whose code may run: "stable_diffusion" is how diffusers' own safety checker names its library
LIBRARIES = ("diffusers", "transformers", "stable_diffusion")
# and which of their classes: an AutoModel would look for code in the folder, a pipeline for another
KINDS = re.compile(
    r"CLIP\w+|\w*Autoencoder\w*|\w*VAE|\w*UNet\w*|\w+Scheduler|MotionAdapter"
    r"|StableDiffusion(SafetyChecker|WatermarkDetector)"
)
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
WEIGHTS = re.compile(
    r"((?P<part>[^/]+)/)?(diffusion_pytorch_)?model(?P<half>\.fp16)?(-\d+-of-\d+)?\.safetensors"
)


@dataclass(frozen=True)
class Checkpoint:
    """The files of one checkpoint in diffusers' layout."""

    folder: Path
    variant: str | None
    """Which kind of weights to read: "fp16", or None for the plain ones."""
    revision: str | None = None
    """The commit on the hub that they are from."""


def is_for(verb: str, pipeline: Any) -> bool:
    """Whether a pipeline is of a kind that is good for a verb.

    >>> is_for("draw", "balloon")
    False
    """
    return any(kind.__name__ in PIPELINES[verb] for kind in type(pipeline).__mro__)


def check_kind(verb: str, pipeline: Any) -> None:
    """Make sure that a pipeline is good for a verb.

    >>> check_kind("draw", "balloon")
    Traceback (most recent call last):
    TypeError: The pipeline is a str; drawing needs a StableDiffusionPipeline or a ...
    """
    if not is_for(verb, pipeline):
        kinds, (doing, example) = PIPELINES[verb], EXAMPLES[verb]
        raise TypeError(
            f"The pipeline is a {type(pipeline).__name__}; {doing} needs a {' or a '.join(kinds)}, "
            f"such as load({example!r}), or a model's name."
        )


def from_folder(
    folder: Path, *, half: bool, verb: str | None = None, without: tuple[str, ...] = ()
) -> Checkpoint:
    """Look at a folder in diffusers' layout, and choose its half-precision weights or the plain.

    `verb` is what its pipeline has to be good for: a key of PIPELINES, or None for any. Parts that
    are named in `without` are not needed.

    >>> from_folder(Path("."), half=True)
    Traceback (most recent call last):
    ValueError: '.' is no pipeline of diffusers: ...
    """
    index = folder / "model_index.json"
    deep = index.exists()  # without an index it may be any folder, with anything below it
    files = folder.rglob("*") if deep else folder.iterdir()
    names = [file.relative_to(folder).as_posix() for file in files if file.is_file()]
    about = index_without(read_json(index), without) if deep else None
    check_pipeline(str(folder), names, about, verb)
    _check_shards(folder, belonging(names, about))
    return Checkpoint(folder, variant_of(belonging(names, about), half))


def _check_shards(folder: Path, names: Iterable[str]) -> None:
    """Make sure that weights in several files are all in safetensors, and in their own folder."""
    for name in names:
        if name.endswith(".index.json"):
            files = read_json(folder / name).get("weight_map")
            files = set(map(str, files.values())) if isinstance(files, dict) else set()
            odd = sorted(f for f in files if not WEIGHTS.fullmatch(f) or "/" in f)
            if odd:
                raise ValueError(
                    f"{name!r} in {shown(folder)!r} leads to {odd[0]!r:.80}, which is no file of "
                    "safetensors beside it; svdkit reads nothing else."
                )


def read_json(path: Path) -> dict[str, Any]:
    """Read an index of a pipeline; one that is broken says what to delete.

    >>> read_json(Path(__file__))
    Traceback (most recent call last):
    OSError: The checkpoint in ... is damaged or incomplete: ...
    """
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path.parent, f"{path.name} is no valid JSON: {shown(error)}") from error
    if not isinstance(index, dict):
        raise damaged(path.parent, f"{path.name} is no index: {index!r:.40}.")
    return index


def index_without(index: dict[str, Any], parts: tuple[str, ...]) -> dict[str, Any]:
    """Leave parts of a pipeline out of its index.

    >>> index_without({"vae": [], "safety_checker": []}, ("safety_checker",))
    {'vae': []}
    """
    return {name: kind for name, kind in index.items() if name not in parts}


def check_pipeline(
    where: str, names: Iterable[str], index: dict[str, Any] | None, verb: str | None
) -> None:
    """Refuse what is no pipeline for the verb in safetensors, and say what it is instead.

    >>> check_pipeline("mine", [], {"_class_name": "FluxPipeline"}, "draw")
    Traceback (most recent call last):
    ValueError: 'mine' is a FluxPipeline; drawing needs a StableDiffusionPipeline or a ...
    """
    names = list(names)
    if index is None:
        raise ValueError(
            f"{shown(where)!r} is no pipeline of diffusers: there is no model_index.json. "
            f"{_seen(names)}"
        )
    fit = PIPELINES[verb] if verb else sum(PIPELINES.values(), ())
    if index.get("_class_name") not in fit:
        doing, example = EXAMPLES[verb]
        raise ValueError(
            f"{shown(where)!r} is a {visible(index.get('_class_name')):.80}; {doing} needs a "
            f"{', a '.join(fit[:-1])}{' or a ' if fit[1:] else ''}{fit[-1]}, such as {example!r}."
        )
    for part, (library, kind) in _parts(index).items():
        if library not in LIBRARIES or not KINDS.fullmatch(str(kind)):
            wanted = visible(f"{library}.{kind} for its {part}")
            raise ValueError(
                f"{shown(where)!r} wants {wanted:.120}: code of its own, which svdkit does not "
                "run. Save it with diffusers' own classes."
            )
    for part in _parts(index):
        files = {name.split("/", 1)[1] for name in names if name.startswith(f"{part}/")}
        if part not in WEIGHTLESS:
            _check_weights(where, sorted(files), f"its {part}")
        elif not any(needed <= files for needed in WEIGHTLESS[part]):
            needed = " and ".join(sorted(WEIGHTLESS[part][-1]))
            raise damaged(Path(where), f"its {part} lacks {needed}.")


def _check_weights(where: str, weights: list[str], what: str) -> None:
    if any(name.endswith(".safetensors") for name in weights):
        return
    if any(name.endswith(PICKLES) for name in weights):
        raise ValueError(
            f"{shown(where)!r} keeps {what} as a pickle, which can run any code when it is "
            "opened; svdkit reads safetensors only. Convert it where you trust it: "
            "pipeline.save_pretrained(folder, safe_serialization=True)."
        )
    raise damaged(Path(where), f"there are no weights for {what}.")


def check_single(where: str, names: list[str], extra: tuple[str, ...]) -> None:
    """Refuse what is no single model in safetensors with all that goes with it.

    >>> check_single("mine", ["config.json", "model.bin"], ())
    Traceback (most recent call last):
    ValueError: 'mine' keeps it as a pickle, which can run any code when it is opened; ...
    """
    if "config.json" not in names:
        raise ValueError(f"{shown(where)!r} is no model of diffusers: there is no config.json.")
    _check_weights(where, [n for n in names if WEIGHTS.fullmatch(n) or n.endswith(PICKLES)], "it")
    for name in extra:
        if name not in names:
            raise ValueError(f"{shown(where)!r} has no {name}, which goes with it.")


def belonging(names: Iterable[str], index: dict[str, Any]) -> list[str]:
    """Pick the files of the pipeline's own parts: repositories keep older parts beside them.

    >>> parts = {"vae": ["diffusers", "AutoencoderKL"]}
    >>> belonging(["vae/config.json", "vae_1_0/config.json"], parts)
    ['vae/config.json']
    """
    own = _parts(index)
    heads = {name: name.split("/")[0] for name in names}
    return [
        name
        for name, head in heads.items()
        if head in own or (head == name and not WEIGHTS.fullmatch(name))
    ]


def _seen(names: list[str]) -> str:
    single_files = [name for name in names if "/" not in name and name.endswith(".safetensors")]
    if not names:
        return "It is empty."
    if any("lora" in name.lower() for name in single_files):
        return "It is a LoRA, which is no pipeline by itself."
    if "config.json" in names:
        return "It is a single model, a part of a pipeline perhaps; the folder above has the index."
    if single_files:
        return (
            f"It holds single files ({single_files[0]}), and svdkit loads pipelines; take the "
            "repository that has the folders unet/, vae/ …"
        )
    return f"It holds {', '.join(sorted(names)[:3])}."


def _parts(index: dict[str, Any]) -> dict[str, list[str]]:
    """Pick the parts of a pipeline out of its index: those that name a library and a class."""
    return {
        name: kind
        for name, kind in index.items()
        if isinstance(kind, list) and len(kind) == 2 and all(kind)
    }


def _weights(names: Iterable[str]) -> dict[str, dict[str | None, list[str]]]:
    """Sort the weight files by part, then by variant."""
    sorted_out: dict[str, dict[str | None, list[str]]] = {}
    for name in names:
        if match := WEIGHTS.fullmatch(name):
            part = sorted_out.setdefault(match["part"] or "", {})
            part.setdefault("fp16" if match["half"] else None, []).append(name)
    return sorted_out


def variant_of(names: Iterable[str], half: bool) -> str | None:
    """Choose which weights to read: "fp16" or, None, the plain ones.

    >>> variant_of(["unet/model.safetensors", "unet/model.fp16.safetensors"], half=True)
    'fp16'
    """
    parts = _weights(names).values()
    some_half = any("fp16" in part for part in parts)
    all_plain = all(None in part for part in parts)
    return "fp16" if some_half and (half or not all_plain) else None


def wanted_of(names: Iterable[str], variant: str | None) -> list[str]:
    """List the files to fetch: configurations, and the weights of one precision.

    >>> wanted_of(["unet/config.json", "unet/model.safetensors", "unet/model.bin"], None)
    ['unet/config.json', 'unet/model.safetensors']
    """
    configs = [n for n in names if n.count("/") <= 1 and n.endswith((".json", ".txt"))]
    weights = (part.get(variant) or part[None] for part in _weights(names).values())
    return configs + [name for part in weights for name in part]


def bytes_of_weights(checkpoint: Checkpoint, without: tuple[str, ...] = ()) -> int:
    """Count the bytes of the weights that are read of a checkpoint.

    >>> bytes_of_weights(Checkpoint(Path("nowhere"), None))
    0
    """
    folder = checkpoint.folder
    files = [file for pattern in ("*", "*/*") for file in folder.glob(pattern) if file.is_file()]
    names = [file.relative_to(folder).as_posix() for file in files]
    if "model_index.json" in names:
        index = index_without(read_json(folder / "model_index.json"), without)
        names = belonging(names, index)
    read = [name for name in wanted_of(names, checkpoint.variant) if name.endswith(".safetensors")]
    return sum((folder / name).stat().st_size for name in read)
