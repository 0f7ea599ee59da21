"""What is right on this machine, what is wrong, and what to do about it."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from . import __version__, drives, hub
from .models import MODELS, Model
from .refusals import SET_A_TOKEN
from .reports import TOKENS, Check, Report, cleaned, line, looked_at

# The parameters of svd-xt's UNet, CLIP-H and VAE, counted on the meta device; two bytes in fp16
WEIGHTS_BYTES = 2 * (1_525_000_000 + 632_000_000 + 98_000_000)
ENCODERS = {"libx264": ".mp4", "libvpx-vp9": ".webm", "libwebp": ".webp", "gif": ".gif"}
# The halves of ipywidgets in the browser, by its major version: they count their own way
WIDGETS = {
    "7": {"jupyterlab_widgets": 1, "widgetsnbextension": 3},
    "8": {"jupyterlab_widgets": 3, "widgetsnbextension": 4},
}
Answer = tuple[str, str, str]  # state, found, cure
OFFLINE = ("remark", "offline mode is on", "Unset HF_HUB_OFFLINE, restart Python, and connect.")
MOVE_THE_CACHE = "Set HF_HOME to a folder on another disk, and restart Python."


def doctor() -> Report:
    """Look at the machine, and say what is right, what is wrong and what to do.

    >>> doctor()
    right   Python ...
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Report(tuple(cleaned(check) for row in CHECKS for check in looked_at(*row)))


def _output(*command: str) -> subprocess.CompletedProcess:
    to = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 10, "check": True}
    return subprocess.run(command, encoding="utf-8", errors="replace", **to)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except (importlib.metadata.PackageNotFoundError, KeyError):  # KeyError: half uninstalled
        return None


def _python() -> Iterator[Check]:
    cure = "" if sys.version_info >= (3, 11) else "Make an environment with Python 3.11 or newer."
    found = f"{platform.python_version()}, svdkit {__version__}"
    yield line("Python", found, cure, sick="wrong")


def _packages() -> Iterator[Check]:
    from packaging.requirements import Requirement

    unfit = []
    for wanted in map(Requirement, importlib.metadata.requires("svdkit") or []):
        version = _version(wanted.name)
        needed = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        if needed and not (version and wanted.specifier.contains(version, prereleases=True)):
            spec = f"{wanted.name}{wanted.specifier}"
            found = f"{version or 'missing'}; svdkit wants {spec}"
            unfit.append(Check(wanted.name, "wrong", found, f'pip install "{spec}"'))
    yield from unfit or [Check("packages", "right", "all that svdkit requires is here")]


def _torch() -> Iterator[Check]:
    import torch

    yield Check("torch", "right", torch.__version__)
    yield from looked_at("diffusers", _diffusers, "pip install -U diffusers transformers")
    yield from looked_at("GPU", _gpu, "Restart Python, then the machine; update torch and driver.")


def _diffusers() -> Iterator[Check]:
    from .upstream import import_diffusers

    found = import_diffusers().__version__  # fails where the versions do not go together
    yield Check("diffusers", "right", f"{found}, with transformers {_version('transformers')}")


def _gpu() -> Iterator[Check]:
    import torch

    from .devices import pick_device, pick_dtype
    from .memory import checked_memory, preset_for

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        device = pick_device()  # torch warns here of a driver that is too old
    if device == "cpu":
        yield _no_gpu("".join(f": {word.message}"[:200] for word in said[:1]))
    elif device == "mps":
        yield Check("GPU", "right", "mps: the Mac's own, which shares the RAM")
    else:
        yield _cuda_gpu(device)
    dtype = pick_dtype(None, device)
    ones = torch.ones(8, 8, device=device, dtype=dtype)
    (ones @ ones).sum().item()  # fails where torch was not built for this GPU
    yield Check("numbers", "right", f"{str(dtype).removeprefix('torch.')} on {device}")
    preset = preset_for(checked_memory("auto", device), device)
    yield Check("memory", "right", f"auto takes {preset.name} for svd-xt: {preset.summary}")


def _cuda_gpu(device: str) -> Check:
    import torch

    from .memory import PRESETS
    from .room import free_gpu_gib

    total = torch.cuda.get_device_properties(device).total_memory / 2**30
    free, driver = free_gpu_gib(device), next((gpu[1] for gpu in _nvidia_gpus()[0]), "unknown")
    least = min(preset.needs_gib for preset in PRESETS.values() if preset.peak_gib)
    found = f"{torch.cuda.get_device_name(device)}, {total:.1f} GiB, {free:.1f} GiB free, "
    found += f"driver {driver}, one of {torch.cuda.device_count()}"
    larger = "take a larger GPU; tiny runs on this one."
    cure = larger if total < least else "sk.unload(), and stop what else runs on it."
    return line("GPU", found, f"svd-xt needs {least:.1f} GiB: {cure}" if free < least else "")


def _no_gpu(why: str) -> Check:
    import torch

    gpus, trouble = _nvidia_gpus()
    if not gpus:
        cure = "tiny runs here. For svd-xt take a GPU; in Colab: Runtime > Change runtime type."
        return Check("GPU", "remark", f"none: the CPU calculates{trouble}", cure)
    name, driver = gpus[0]
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        cure = "Unset CUDA_VISIBLE_DEVICES, and restart Python."
        return Check("GPU", "remark", f"{name}, hidden: the CPU calculates", cure)
    if torch.version.cuda:
        cure = f"Update the driver to one for CUDA {torch.version.cuda}, and restart the machine."
        return Check("GPU", "wrong", f"{name}, driver {driver}: torch cannot use it{why}", cure)
    cure = "pip uninstall torch, then the command that https://pytorch.org/get-started/locally has "
    cure += "for your system and CUDA."
    return Check("GPU", "wrong", f"{name}, and torch {torch.__version__} is for CPUs only", cure)


def _nvidia_gpus() -> tuple[list[tuple[str, str]], str]:
    """Ask for the name and driver of each GPU of NVIDIA, whatever torch sees; or what fails."""
    command = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    if shutil.which(command[0]) is None:
        return [], ""
    try:
        rows = [line.split(", ") for line in _output(*command).stdout.splitlines()]
    except (OSError, subprocess.SubprocessError) as error:
        # no more than a remark: on a cluster's front door it is there without a GPU
        return [], f"; nvidia-smi fails ({type(error).__name__}): its driver may be broken"
    return [(row[0], row[1]) for row in rows if len(row) == 2], ""


def _ffmpeg() -> Iterator[Check]:
    from .ffmpeg import find_ffmpeg

    path = find_ffmpeg()
    said = _output(path, "-encoders")
    version = re.search(r"version (\S+)", said.stderr)
    here = {word for line in said.stdout.splitlines() for word in line.split()[1:2]}
    lacks = [f"{suffix} ({name})" for name, suffix in ENCODERS.items() if name not in here]
    found = f"{version[1] if version else 'unknown'} at {path}"
    found += f" cannot write {', '.join(lacks)}" if lacks else ""
    cure = "That of imageio-ffmpeg can: mediapy.set_ffmpeg(imageio_ffmpeg.get_ffmpeg_exe())"
    yield line("ffmpeg", found, cure if lacks else "", sick="wrong")


def _jupyter() -> Iterator[Check]:
    import ipywidgets

    widgets, lab, host = ipywidgets.__version__, _version("jupyterlab"), drives.host()
    where = host or (f"JupyterLab {lab}" if lab else "no JupyterLab")
    cure = 'pip install "svdkit[lab]"     unless another program, like VS Code, opens notebooks'
    yield line("Jupyter", f"ipywidgets {widgets}, {where}", "" if lab or host else cure)
    halves = WIDGETS.get(widgets.partition(".")[0], {})
    seen = {name: _version(name) or "missing" for name in halves}
    fit = all(seen[name].startswith(f"{major}.") for name, major in halves.items())
    if not fit and not host:  # whose front end is its own
        found = " and ".join(f"{name} {version}" for name, version in seen.items())
        found += f" do not go with ipywidgets {widgets}"
        cure = "pip install " + " ".join(f'"{name}=={major}.*"' for name, major in halves.items())
        yield Check("widgets", "wrong", found, f"{cure}\nThen restart JupyterLab.")


def _token() -> Iterator[Check]:
    from huggingface_hub import constants, get_token

    colab = drives.host() == "Colab"
    if get_token() is None:
        gated = ", ".join(model.name for model in MODELS.values() if model.gated)
        note = "; Colab shows its secrets to notebooks, not to commands" if colab else ""
        found = f"none, and gated models need one: {gated}{note}"
        yield Check("hub token", "remark", found, SET_A_TOKEN)
        return
    in_environment = any(os.environ.get(name, "").strip() for name in TOKENS)
    saved = os.path.exists(constants.HF_TOKEN_PATH)
    elsewhere = "saved by login" if saved else "a secret of Colab" if colab else "given"
    yield Check("hub token", "right", "set in the environment" if in_environment else elsewhere)


def _models() -> Iterator[Check]:
    from huggingface_hub import constants

    # what holds for every model: once it is known, the hub is asked no more
    said = [OFFLINE] if constants.HF_HUB_OFFLINE else []
    for model in MODELS.values():
        if not model.bundled:
            cure = f"Delete models--{model.repo.replace('/', '--')} in the cache, and load again."
            yield from looked_at(model.name, partial(_model, model, said), cure)


def _model(model: Model, said: list[Answer]) -> Iterator[Check]:
    if hub.is_cached(model.repo):
        yield Check(model.name, "right", "in the cache")
        return
    state, found, cure = said[0] if said else _asked(model, said)
    kept = "only partly" if hub.cached_folder(model.repo) else "not"
    yield Check(model.name, state, f"{kept} in the cache; {found}", cure)


def _asked(model: Model, said: list[Answer]) -> Answer:
    """Ask the hub whether it gives out this model, to the token that is set."""
    from huggingface_hub import get_hf_file_metadata, get_token, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

    page = f"https://huggingface.co/{model.repo}"
    try:
        # not HfApi: auth_check has no timeout, and model_info tells everyone of gated models
        get_hf_file_metadata(hf_hub_url(model.repo, "model_index.json"), timeout=5)
    except GatedRepoError:
        why = "your token's account has not been let in" if get_token() else "there is no token"
        return "remark", f"gated, and {why}", f"Accept its terms at {page}; log in with its token."
    except (EntryNotFoundError, RepositoryNotFoundError):
        return "remark", "the hub answers, and does not have it", f"Look for it at {page}."
    except Exception as error:  # its words are not shown: they may quote the token that was sent
        status = getattr(getattr(error, "response", None), "status_code", None)
        why = f"{type(error).__name__}{f', status {status}' if status else ''}"
        refused = ("wrong", f"the hub refuses your token ({why})", "Set a new one, or none.")
        silent = ("remark", f"the hub does not answer ({why})", "Connect; tiny needs no network.")
        unfit = isinstance(error, UnicodeError)  # a token with signs that no header takes
        said.append(refused if unfit or status in (401, 403) else silent)
        return said[0]
    return "right", f"{WEIGHTS_BYTES / 1e9:.1f} GB can be downloaded", ""


def _cache() -> Iterator[Check]:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    folder = next(path for path in (cache, *cache.parents) if os.path.lexists(path))
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        found = f"{cache} cannot be written: {error.strerror}"
        yield Check("cache", "wrong", found, f"Allow writing there. {MOVE_THE_CACHE}")
        return
    yield Check("cache", "right", str(cache))
    free = shutil.disk_usage(folder).free
    enough = free >= WEIGHTS_BYTES or hub.is_cached(MODELS["svd-xt"].repo)
    found = f"{free / 1e9:.1f} GB free, and svd-xt takes {WEIGHTS_BYTES / 1e9:.1f} GB"
    yield line("disk", found, "" if enough else MOVE_THE_CACHE)


def _results() -> Iterator[Check]:
    if (host := drives.host()) and not os.path.isdir(drives.MY_DRIVE):
        cure = "sk.keep() gives a folder that stays."
        yield Check("results", "remark", f"{host} lends this machine: its files go with it", cure)


def _ram() -> Iterator[Check]:
    import psutil

    ram = psutil.virtual_memory()
    found = f"{ram.total / 2**30:.1f} GiB, {ram.available / 2**30:.1f} GiB available"
    cure = f"The weights of svd-xt take {WEIGHTS_BYTES / 2**30:.1f} GiB: stop other programs."
    yield line("RAM", found, cure if ram.available < WEIGHTS_BYTES else "")


# What is looked at, in which order, and what cures a look that fails
CHECKS: tuple[tuple[str, Callable[[], Iterator[Check]], str], ...] = (
    ("Python", _python, ""),
    ("packages", _packages, "pip install svdkit"),
    ("torch", _torch, "pip install --force-reinstall torch"),
    ("ffmpeg", _ffmpeg, "pip install --force-reinstall imageio-ffmpeg"),
    ("Jupyter", _jupyter, "pip install --force-reinstall ipywidgets"),
    ("hub token", _token, "pip install huggingface-hub"),
    ("models", _models, "pip install huggingface-hub"),
    ("cache", _cache, "pip install huggingface-hub, or set HF_HOME to a writable folder."),
    ("results", _results, ""),
    ("RAM", _ram, "pip install psutil"),
)
