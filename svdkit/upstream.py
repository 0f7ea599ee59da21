"""What differs between versions of diffusers and transformers, in one place."""

import contextlib
import re
import warnings
from collections.abc import Iterator
from threading import Lock
from types import ModuleType
from typing import Any

from .progress import Bar

_lock = Lock()
_quiet: list[int] = []  # one for each that wants quiet
_loud: list[int] = []  # how loud the libraries were before


def import_diffusers() -> ModuleType:
    """Import diffusers with its Stable Video Diffusion pipeline, without idle warnings.

    >>> import_diffusers().StableVideoDiffusionPipeline.__name__
    'StableVideoDiffusionPipeline'
    """
    with quietly():  # such as "CLIPImageProcessor requires torchvision": svdkit uses Pillow's
        import diffusers

        # diffusers loads lazily: asking for the class is what imports it
        _ = diffusers.StableVideoDiffusionPipeline
    return diffusers


def pipeline_class(name: str) -> Any:
    """Import one of diffusers' pipelines, without idle warnings.

    >>> pipeline_class("StableDiffusionPipeline").__name__
    'StableDiffusionPipeline'
    """
    with quietly():
        return getattr(import_diffusers(), name)


def dtype_argument(dtype: Any) -> dict[str, Any]:
    """Name the dtype as `from_pretrained` of this diffusers wants it.

    >>> list(dtype_argument("float16"))[0] in ("dtype", "torch_dtype")
    True
    """
    import diffusers

    # 0.40 renamed the argument and deprecates the old name; older ones know only that
    version = tuple(int(number) for number in re.findall(r"\d+", diffusers.__version__)[:2])
    return {"dtype" if version >= (0, 40) else "torch_dtype": dtype}


def feature_extractor(config: dict[str, Any]) -> Any:
    """Make the CLIP preprocessor of a pipeline from its configuration.

    >>> feature_extractor({"size": {"shortest_edge": 224}}).size["shortest_edge"]
    224
    """
    try:  # transformers 5 splits the class in two, and the old name wants torchvision
        from transformers import CLIPImageProcessorPil as ImageProcessor
    except ImportError:
        from transformers import CLIPImageProcessor as ImageProcessor
    return ImageProcessor.from_dict(config)


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Show no progress bars of diffusers and transformers: svdkit has its own.

    >>> with without_bars():
    ...     pass
    """
    from diffusers.utils import logging as of_diffusers
    from huggingface_hub import utils as of_hub
    from transformers.utils import logging as of_transformers

    shown = [log for log in (of_diffusers, of_transformers) if log.is_progress_bar_enabled()]
    hub_is_quiet = of_hub.are_progress_bars_disabled()  # transformers decides for the hub, too
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Cannot (dis|en)able progress bars")
        for log in shown:
            log.disable_progress_bar()
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Cannot (dis|en)able progress bars")
            for log in shown:
                log.enable_progress_bar()
            if hub_is_quiet:
                of_hub.disable_progress_bars()


@contextlib.contextmanager
def parts_told(bar: Bar) -> Iterator[None]:
    """Tell a bar of each part of a pipeline that diffusers reads, in place of the libraries' bars.

    >>> with Bar(disable=True) as bar, parts_told(bar):
    ...     pass
    """
    from diffusers.utils import logging

    theirs = logging.tqdm

    def told(items: Any = None, **how: Any) -> Any:
        if not str(how.get("desc")).startswith("Loading pipeline"):  # but a part's files
            return theirs(items, **how)
        return _each_told(list(items), bar)

    with without_bars():
        logging.tqdm = told
        try:
            yield
        finally:
            logging.tqdm = theirs


def _each_told(parts: list[tuple[str, Any]], bar: Bar) -> Iterator[tuple[str, Any]]:
    bar.total = bar.n + len(parts)
    for part in parts:
        bar.stage(part[0])
        yield part
        bar.update()


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silence the warnings of diffusers and transformers: what matters of them svdkit says itself.

    >>> with quietly():
    ...     pass
    """
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    logs = (of_diffusers, of_transformers)
    with _lock:
        if not _loud:  # the first of several threads keeps what the last puts back
            _loud.extend(log.get_verbosity() for log in logs)
        _quiet.append(1)
        for log in logs:
            log.set_verbosity_error()
    try:
        yield
    finally:
        with _lock:
            _quiet.pop()
            if not _quiet:
                for log, verbosity in zip(logs, _loud, strict=True):
                    log.set_verbosity(verbosity)
                _loud.clear()
