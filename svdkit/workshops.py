"""Folders to work in beside the place where a file is to land, and the locks of that place."""

import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .paths import nameless, shown

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# a machine is often called after a person, and what a killed process left may be passed on
HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]
NAME = re.compile(r"\.saving-(?P<host>[\w.]+)-(?P<pid>\d+)-\w+")
STOP = ".stop-"
LONGEST_WORK = 24 * 3600  # seconds after which what another machine left is taken for left


def workshop(parent: Path) -> "tempfile.TemporaryDirectory[str]":
    """Make a folder to work in, on the same disk, that says whose it is and goes when it is done.

    >>> with workshop(Path(tempfile.mkdtemp())) as folder:
    ...     NAME.fullmatch(Path(folder).name)["pid"] == str(os.getpid())
    True
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=f".saving-{HOST}-{os.getpid()}-", dir=parent)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{shown(parent)!r} cannot be written to ({error.strerror}); choose another folder.",
        ) from nameless(error)


def remove_leftovers(parent: Path) -> list[str]:
    """Remove the workshops of processes that were killed, and give their names.

    >>> remove_leftovers(Path(tempfile.mkdtemp()))
    []
    """
    removed = []
    for mark in parent.glob(f"{STOP}*"):
        if _is_old(mark):
            with suppress(OSError):
                mark.unlink(missing_ok=True)
    for folder in parent.glob(".saving-*"):
        match = NAME.fullmatch(folder.name)
        if match and _is_left(folder, match["host"], int(match["pid"])):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder.name)
    return removed


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder for a moment, where its file system knows locks.

    >>> with locked(Path(tempfile.mkdtemp())):
    ...     pass
    """
    # where a stranger put a link or a pipe in its place, nothing is made elsewhere nor waited for
    how = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(folder / ".lock", "r+b", opener=lambda path, _: os.open(path, how, 0o666)) as stream:
        with suppress(OSError):  # some network drives have none; all lands by rename even there
            if fcntl:
                fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def ask_to_stop(folder: Path, call: str) -> None:
    """Ask the workers of a call, wherever they are, to begin nothing more in a folder.

    >>> folder = Path(tempfile.mkdtemp())
    >>> ask_to_stop(folder, "ab12")
    >>> is_asked_to_stop(folder, "ab12"), is_asked_to_stop(folder, "cd34")
    (True, False)
    """
    with suppress(OSError):
        (folder / f"{STOP}{call}").touch()


def is_asked_to_stop(folder: Path, call: str) -> bool:
    """Whether the workers of a call are to begin nothing more in a folder."""
    return (folder / f"{STOP}{call}").exists()


def _is_left(folder: Path, host: str, pid: int) -> bool:
    if _is_old(folder):
        return True
    # asking for a process on Windows, by os.kill, would end it
    return host == HOST and os.name == "posix" and not _is_running(pid)


def _is_old(path: Path) -> bool:
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > LONGEST_WORK
    return False


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs, and is another user's
        return True
    return True
