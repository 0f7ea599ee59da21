"""A hub address or a folder → the files of one checkpoint, or an error that says what to do."""

import errno
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .paths import shown

PIPELINE = "StableVideoDiffusionPipeline"
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
STORAGE_TROUBLES = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
WEIGHTS = re.compile(
    r"(?P<part>[^/]+)/(diffusion_pytorch_)?model(?P<half>\.fp16)?(-\d+-of-\d+)?\.safetensors"
)
SET_A_TOKEN = """\
Set your token (made at https://huggingface.co/settings/tokens) and load again:
  Colab:   the key symbol on the left, "Add new secret", name HF_TOKEN, and let the notebook read it
  Kaggle:  Add-ons > Secrets > HF_TOKEN, then
           os.environ["HF_TOKEN"] = kaggle_secrets.UserSecretsClient().get_secret("HF_TOKEN")
  Jupyter: from huggingface_hub import login; login()
  shell:   export HF_TOKEN=hf_…      or: hf auth login"""


@dataclass(frozen=True)
class Checkpoint:
    """The files of one checkpoint in diffusers' layout."""

    folder: Path
    variant: str | None
    """Which kind of weights to read: "fp16", or None for the plain ones."""
    revision: str | None = None
    """The commit on the hub that they are from."""


def from_folder(folder: Path, *, half: bool) -> Checkpoint:
    """Look at a folder in diffusers' layout, and choose its half-precision weights or the plain.

    >>> from_folder(Path("."), half=True)
    Traceback (most recent call last):
    ValueError: '.' is no pipeline of diffusers: ...
    """
    index = folder / "model_index.json"
    deep = index.exists()  # without an index it may be any folder, with anything below it
    files = folder.rglob("*") if deep else folder.iterdir()
    names = [file.relative_to(folder).as_posix() for file in files if file.is_file()]
    _check(str(folder), names, _read_json(index) if deep else None)
    return Checkpoint(folder, _variant(names, half))


def from_hub(repo: str, *, half: bool, hint: str = "") -> Checkpoint:
    """Download what is needed of a checkpoint, or take it from the cache.

    Only configurations and safetensors are fetched, and of the weights only one precision.
    `hint` is said where there is no such address.
    """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    try:
        info = HfApi().model_info(repo, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        has_index = "model_index.json" in sizes
        index = hf_hub_download(repo, "model_index.json") if has_index else None
    except Exception as error:  # the libraries below have many; each is told in our words
        cached = cached_folder(repo)
        if cached is None:
            raise _teaching(repo, error, hint) from error
        found = from_folder(cached, half=half)
        return Checkpoint(cached, found.variant, cached.name)
    _check(repo, sizes, _read_json(Path(index)) if index else None)
    variant = _variant(sizes, half)
    wanted = _wanted(sizes, variant)
    _make_sure_of_room(repo, {name: sizes[name] for name in wanted})
    try:
        folder = Path(snapshot_download(repo, allow_patterns=wanted))
    except Exception as error:
        raise _teaching(repo, error, hint) from error
    return Checkpoint(folder, variant, folder.name)


def cached_folder(repo: str) -> Path | None:
    """Give the folder in which the hub's cache keeps a checkpoint, None where it keeps none.

    >>> cached_folder("nobody/nothing") is None
    True
    """
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(repo, "model_index.json")
    return Path(index).parent if isinstance(index, str) else None


def is_cached(repo: str) -> bool:
    """Whether the hub's cache keeps all of a checkpoint, in any precision.

    >>> is_cached("nobody/nothing")
    False
    """
    folder = cached_folder(repo)
    try:
        return folder is not None and bool(from_folder(folder, half=True))
    except (OSError, ValueError):
        return False


def hub_answers(repo: str) -> bool:
    """Whether the hub can be asked for a checkpoint, within five seconds.

    >>> hub_answers("not an address")
    False
    """
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(repo, timeout=5)
    except Exception:  # whatever is wrong, the answer is no
        return False
    return True


def _read_json(path: Path) -> dict[str, Any]:
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path.parent, f"{path.name} is no valid JSON: {shown(error)}") from error
    if not isinstance(index, dict):
        raise damaged(path.parent, f"{path.name} is no index: {index!r:.40}.")
    return index


def damaged(folder: Path, why: str) -> OSError:
    """Make the error for a checkpoint that is there and cannot be read.

    >>> str(damaged(Path("mine"), "no unet")).splitlines()[1]
    "Delete 'mine' and copy it there once more."
    """
    # …/models--owner--name/snapshots/<commit>: what to delete is the repository's whole folder
    in_cache = folder.parent.name == "snapshots"
    whole = folder.parent.parent if in_cache else folder
    again = "load again: it downloads anew" if in_cache else "copy it there once more"
    return OSError(
        f"The checkpoint in {shown(folder)!r} is damaged or incomplete: {why}\n"
        f"Delete {shown(whole)!r} and {again}."
    )


def _check(where: str, names: Iterable[str], index: dict[str, Any] | None) -> None:
    """Refuse what is no SVD pipeline in safetensors, and say what it is instead."""
    names = list(names)
    if index is None:
        raise ValueError(
            f"{shown(where)!r} is no pipeline of diffusers: there is no model_index.json. "
            f"{_seen(names)}"
        )
    if index.get("_class_name") != PIPELINE:
        raise ValueError(
            f"{shown(where)!r} is a {index.get('_class_name')}; animating needs a {PIPELINE}, "
            "such as 'svd-xt'."
        )
    for part, (library, kind) in _parts(index).items():
        if library not in ("diffusers", "transformers"):
            raise ValueError(
                f"{shown(where)!r} wants {library}.{kind} for its {part}: code of its own, which "
                "svdkit does not run. Save it with diffusers' own classes."
            )
    for part in ("unet", "vae", "image_encoder"):
        weights = [name for name in names if name.startswith(f"{part}/")]
        if any(name.endswith(".safetensors") for name in weights):
            continue
        if any(name.endswith(PICKLES) for name in weights):
            raise ValueError(
                f"{shown(where)!r} keeps its {part} as a pickle, which can run any code when it is "
                "opened; svdkit reads safetensors only. Convert it where you trust it: "
                "pipeline.save_pretrained(folder, safe_serialization=True)."
            )
        raise damaged(Path(where), f"there are no weights for its {part}.")


def _seen(names: list[str]) -> str:
    single_files = [name for name in names if "/" not in name and name.endswith(".safetensors")]
    if not names:
        return "It is empty."
    if any("lora" in name.lower() for name in single_files):
        return "It is a LoRA, which the SVD pipeline does not support."
    if "config.json" in names:
        return "It is a single model, a part of a pipeline perhaps; the folder above has the index."
    if single_files:
        return (
            f"It holds single files ({single_files[0]}), from which diffusers cannot load SVD; "
            "take the repository that has the folders unet/, vae/ and image_encoder/."
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
            part = sorted_out.setdefault(match["part"], {})
            part.setdefault("fp16" if match["half"] else None, []).append(name)
    return sorted_out


def _variant(names: Iterable[str], half: bool) -> str | None:
    parts = _weights(names).values()
    some_half = any("fp16" in part for part in parts)
    all_plain = all(None in part for part in parts)
    return "fp16" if some_half and (half or not all_plain) else None


def _wanted(names: Iterable[str], variant: str | None) -> list[str]:
    configs = [n for n in names if n.count("/") <= 1 and n.endswith((".json", ".txt"))]
    weights = (part.get(variant) or part[None] for part in _weights(names).values())
    return configs + [name for part in weights for name in part]


def _make_sure_of_room(repo: str, sizes: dict[str, int]) -> None:
    from huggingface_hub import constants, try_to_load_from_cache

    here = (try_to_load_from_cache(repo, name) for name in sizes)
    missing = sum(
        size for size, path in zip(sizes.values(), here, strict=True) if not isinstance(path, str)
    )
    cache = Path(constants.HF_HUB_CACHE)
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if missing > free:
        raise OSError(
            f"{repo} takes {missing / 1e9:.1f} GB, and the disk of {shown(cache)!r} has "
            f"{free / 1e9:.1f} GB left; make room, or set HF_HOME to a folder on a larger disk."
        )
    if missing > 1e8:
        print(f"Downloading {missing / 1e9:.1f} GB of {repo} into {shown(cache)}, once.")


def _teaching(repo: str, error: Exception, hint: str) -> Exception:
    """Turn any failure of the hub into an error that says what to do."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    page = f"https://huggingface.co/{repo}"
    if isinstance(error, GatedRepoError):
        if get_token():
            return PermissionError(
                f"{repo} is gated, and your token's account has not been let in. Accept its terms "
                f"at {page} with that account; if it is a fine-grained token, allow it to read "
                "gated repositories."
            )
        return PermissionError(
            f"{repo} is gated: it needs an account that accepted its terms, and a token.\n"
            f"Accept the terms at {page}. {SET_A_TOKEN}"
        )
    if status in (401, 403) and not isinstance(error, RepositoryNotFoundError):
        return PermissionError(
            f"The hub refused your token for {repo} (status {status}): it is mistyped, expired or "
            f"not allowed to read. {SET_A_TOKEN}"
        )
    if isinstance(error, OSError) and error.errno in STORAGE_TROUBLES:
        return OSError(
            error.errno,
            f"{repo} cannot be kept in {shown(constants.HF_HUB_CACHE)!r} ({error.strerror}); make "
            "room or allow writing there, or set HF_HOME to another folder.",
        )
    if isinstance(error, RepositoryNotFoundError):
        return ValueError(
            f"There is no {repo!r} on the hub, or it is private and no token of yours opens it."
            f"{hint} Look for it at {page}."
        )
    return ConnectionError(
        f"The hub cannot be asked for {repo}, and it is not in the cache "
        f"({type(error).__name__}: {(shown(error).splitlines() or ['no answer'])[0]}). "
        f"Connect{', and unset HF_HUB_OFFLINE' if constants.HF_HUB_OFFLINE else ''}; 'tiny' needs "
        "no network."
    )
