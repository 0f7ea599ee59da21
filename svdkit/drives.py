"""Folders that outlast a rented notebook machine: on Drive in Colab, in the output on Kaggle."""

import importlib.util
import os
from pathlib import Path

from .paths import as_path, shown
from .workshops import workshop

MY_DRIVE = Path("/content/drive/MyDrive")  # where Colab's own button mounts it, too
OUTPUT = Path("/kaggle/working")
FORBIDDEN = {"", ".", ".."}

HOW_IT_LASTS = {
    "Colab": "It is on your Drive, to which Colab uploads in the background. "
    "Before you delete the runtime: "
    "from google.colab import drive; drive.flush_and_unmount()",
    # As announced with Kaggle's "Persistence", and its limit on what a notebook puts out
    "Kaggle": "Save Version keeps it as the output of that version, 20 GB in all. To find it here "
    "in the next session, set Persistence to files, in the settings, before this one ends.",
}
WEIGHTS_NOTE = (
    "svd-xt takes 4.5 GB there; a free Drive has 15 GB for everything. The file passes through "
    "this machine's disk, which needs the room as well."
)


def keep(folder: str | os.PathLike = "svdkit", *, weights: bool = False) -> Path:
    """Make a folder that outlasts this machine, and give its path, for sweeps, panels and clips.

    In Colab it is on your Drive, which Colab asks you to open; on Kaggle in the notebook's output;
    anywhere else in the current folder, so that a notebook runs everywhere. With `weights=True`
    models are downloaded into it, too, from now on; ask for that before the first `load`.

    >>> from contextlib import chdir
    >>> from tempfile import mkdtemp
    >>> with chdir(mkdtemp()):
    ...     print(keep() / "kite")  # sweep(…, folder=this) goes on there after a disconnect
    svdkit/kite
    """
    place, where = _place(_checked(folder)), host()
    if place.exists() and not place.is_dir():
        raise NotADirectoryError(f"{shown(place)!r} is a file; choose another name.")
    with workshop(place):  # which says what to do where nothing can be written
        pass
    if where:
        print(f"{shown(place)} stays. {HOW_IT_LASTS[where]}")
    if weights:
        print(f"Models go into {shown(_download_into(place))}. {WEIGHTS_NOTE}")
    return place


def host() -> str | None:
    """Tell whose notebook machine this is: "Kaggle", "Colab", or None for any other.

    >>> host() in ("Kaggle", "Colab", None)
    True
    """
    # Kaggle first: its image is made from Colab's, with what that one is told by (so kagglehub)
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
        return "Kaggle"
    try:
        return "Colab" if importlib.util.find_spec("google.colab") else None
    except (ImportError, ValueError):
        return None


def _checked(folder: str | os.PathLike) -> str:
    name = str(as_path(folder))
    if name in FORBIDDEN or "/" in name or "\\" in name:
        raise ValueError(
            f"folder is {os.fspath(folder)!r}; it is one name, without slashes, like 'svdkit'. For "
            "a folder inside it, sk.keep('svdkit') / 'kite'."
        )
    return name


def _place(name: str) -> Path:
    places = {"Colab": _drive, "Kaggle": lambda: OUTPUT, None: Path}
    return places[host()]() / name


def _drive() -> Path:
    """Mount the Drive unless it is, and give the folder of what is its user's own."""
    if os.path.isdir(MY_DRIVE):  # which takes a mount that broke off for none; Path.is_dir raises
        return MY_DRIVE
    try:
        from google.colab import drive

        drive.mount(str(MY_DRIVE.parent))
        MY_DRIVE.stat()
    except Exception as error:  # a refusal, a closed window, a time-out: Colab has a class for each
        said = (shown(error).splitlines() or ["no answer"])[0]
        raise PermissionError(
            f"Drive was not mounted at {MY_DRIVE.parent} ({type(error).__name__}: {said}). "
            "Run the cell again, and allow all that the window asks for, with the account that is "
            "open in Colab; only a notebook's cell can mount it, no command. To go on without it, "
            "give folders like 'runs/kite': they go when this machine goes."
        ) from error
    return MY_DRIVE


def _download_into(place: Path) -> Path:
    """Let the hub's library, here and in processes that begin later, keep models in a folder.

    Not by HF_HOME: a token that is saved would then go onto a drive that may be shared.
    """
    from huggingface_hub import constants

    cache = (place / "hub").absolute()
    os.environ["HF_HUB_CACHE"] = constants.HF_HUB_CACHE = str(cache)
    # Drive has no symbolic links; files are then moved to where links would be, which is fine
    os.environ["HF_HUB_DISABLE_SYMLINKS_WARNING"] = "1"
    constants.HF_HUB_DISABLE_SYMLINKS_WARNING = True
    return cache
