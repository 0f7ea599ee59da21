"""A hub address or a folder → the files of one checkpoint, or an error that says what to do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .checkpoints import (
    Checkpoint,
    belonging,
    check_pipeline,
    check_single,
    from_folder,
    index_without,
    read_json,
    variant_of,
    wanted_of,
)
from .paths import shown
from .refusals import teaching

LARGE = 1e8  # bytes, of which it is said where they go


def from_hub(
    repo: str,
    *,
    half: bool,
    hint: str = "",
    verb: str | None = None,
    without: tuple[str, ...] = (),
    progress: bool = False,
) -> Checkpoint:
    """Download what is needed of a checkpoint, or take it from the cache.

    Only configurations and safetensors are fetched, and of the weights only one precision.
    `hint` is said where there is no such address; `verb` and `without` are as in `from_folder`.
    """
    from huggingface_hub import hf_hub_download

    try:
        sizes = _sizes(repo)
        has_index = "model_index.json" in sizes
        with _without_its_bars():
            index = hf_hub_download(repo, "model_index.json") if has_index else None
    except Exception as error:
        # the libraries below have many; each is told in our words, as theirs quote tokens and keys
        cached = cached_folder(repo)
        if cached is None:
            raise teaching(repo, error, hint) from None
        found = from_folder(cached, half=half, verb=verb, without=without)
        return Checkpoint(cached, found.variant, cached.name)
    about = index_without(read_json(Path(index)), without) if index else None
    check_pipeline(repo, sizes, about, verb)
    names = belonging(sizes, about)
    return _fetched(repo, sizes, names, variant_of(names, half), hint, progress=progress)


def model_from_hub(
    repo: str, *, half: bool, extra: tuple[str, ...] = (), progress: bool = False
) -> Checkpoint:
    """Download a single model, such as a motion adapter, or take it from the cache.

    `extra` names files beside it that are needed as well.
    """
    from huggingface_hub import try_to_load_from_cache

    try:
        sizes = _sizes(repo)
    except Exception as error:
        config = try_to_load_from_cache(repo, "config.json")
        if not isinstance(config, str):
            raise teaching(repo, error, "") from None
        folder = Path(config).parent
        names = [file.name for file in folder.iterdir()]
        check_single(str(folder), names, extra)
        return Checkpoint(folder, variant_of(names, half), folder.name)
    names = [name for name in sizes if "/" not in name]
    check_single(repo, names, extra)
    return _fetched(repo, sizes, names, variant_of(names, half), "", extra, progress=progress)


def _sizes(repo: str) -> dict[str, int]:
    """Ask the hub which files a repository has, and how large they are."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(repo, files_metadata=True)
    return {file.rfilename: file.size or 0 for file in info.siblings or []}


def _fetched(
    repo: str,
    sizes: dict[str, int],
    names: list[str],
    variant: str | None,
    hint: str,
    extra: tuple[str, ...] = (),
    *,
    progress: bool = False,
) -> Checkpoint:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import are_progress_bars_disabled

    from .progress import Bar, counting_into  # which the doctor, who looks at the cache, can lack

    wanted = {name: sizes[name] for name in (*wanted_of(names, variant), *extra)}
    missing = _missing(repo, wanted)
    _make_sure_of_room(repo, missing)
    shows = progress and missing > 0 and not are_progress_bars_disabled()
    if progress and missing > LARGE:
        print(f"Downloading {missing / 1e9:.1f} GB of {repo} into {_shown_cache()}, once.")
    size = {"total": missing, "unit": "B", "unit_scale": True}
    try:
        with Bar(desc=f"downloading {repo}", disable=not shows, **size) as bar, _without_its_bars():
            counting = counting_into(bar, lambda: missing - _missing(repo, wanted))
            folder = Path(snapshot_download(repo, allow_patterns=list(wanted), tqdm_class=counting))
    except Exception as error:
        raise teaching(repo, error, hint) from None
    return Checkpoint(folder, variant, folder.name)


@contextmanager
def _without_its_bars() -> Iterator[None]:
    """Let the hub's library show no bars of its own, unless the environment insists on them."""
    from huggingface_hub import constants
    from huggingface_hub import utils as of_hub

    if of_hub.are_progress_bars_disabled() or constants.HF_HUB_DISABLE_PROGRESS_BARS is False:
        yield
        return
    of_hub.disable_progress_bars()
    try:
        yield
    finally:
        of_hub.enable_progress_bars()


def cached_folder(repo: str) -> Path | None:
    """Give the folder in which the hub's cache keeps a checkpoint, None where it keeps none.

    >>> cached_folder("nobody/nothing") is None
    True
    """
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(repo, "model_index.json")
    return Path(index).parent if isinstance(index, str) else None


def is_cached(repo: str, without: tuple[str, ...] = ()) -> bool:
    """Whether the hub's cache keeps all of a checkpoint, in any precision, but the parts `without`.

    >>> is_cached("nobody/nothing")
    False
    """
    folder = cached_folder(repo)
    try:
        return folder is not None and bool(from_folder(folder, half=True, without=without))
    except (OSError, ValueError):
        return False


def model_is_cached(repo: str, extra: tuple[str, ...] = ()) -> bool:
    """Whether the hub's cache keeps all of a single model, and the files `extra` beside it.

    >>> model_is_cached("nobody/nothing")
    False
    """
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repo, "config.json")
    if not isinstance(config, str):
        return False
    try:
        check_single(repo, [file.name for file in Path(config).parent.iterdir()], extra)
    except (OSError, ValueError):
        return False
    return True


def check_reach(repo: str) -> None:
    """Make sure that a checkpoint can be had: from the cache, or else from a hub that has it.

    >>> check_reach("nobody/nothing")
    Traceback (most recent call last):
    ConnectionError: ...
    """
    if is_cached(repo):
        return
    try:
        _sizes(repo)
    except Exception as error:  # as in from_hub
        raise teaching(repo, error, "") from None


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


def _missing(repo: str, sizes: dict[str, int]) -> int:
    """Count the bytes of files that the cache does not have."""
    from huggingface_hub import try_to_load_from_cache

    here = (try_to_load_from_cache(repo, name) for name in sizes)
    return sum(
        size for size, path in zip(sizes.values(), here, strict=True) if not isinstance(path, str)
    )


def _make_sure_of_room(repo: str, missing: int) -> None:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if missing > free:
        raise OSError(
            f"{repo} takes {missing / 1e9:.1f} GB, and the disk of {_shown_cache()!r} has "
            f"{free / 1e9:.1f} GB left; make room, or set HF_HOME to a folder on a larger disk."
        )


def _shown_cache() -> str:
    from huggingface_hub import constants

    return shown(Path(constants.HF_HUB_CACHE))
