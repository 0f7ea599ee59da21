"""Folders to work in beside the place where a file is to land, and the locks of that place."""

import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from weakref import WeakSet

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
NEW, OLD, NOTE = "new", "old", "moves.json"  # in a workshop, while files take their places
_open: "WeakSet[tempfile.TemporaryDirectory[str]]" = WeakSet()  # the workshops of this process
_opening = Lock()  # a thread that tidies up must not find one that is there, and not yet in _open


if hasattr(os, "register_at_fork"):  # a worker that is forked meanwhile must not find it taken
    os.register_at_fork(
        before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_opening.release
    )


def workshop(parent: Path) -> "tempfile.TemporaryDirectory[str]":
    """Make a folder to work in, on the same disk, that says whose it is and goes when it is done.

    >>> with workshop(Path(tempfile.mkdtemp())) as folder:
    ...     NAME.fullmatch(Path(folder).name)["pid"] == str(os.getpid())
    True
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with _opening:
            room = tempfile.TemporaryDirectory(prefix=f".saving-{HOST}-{os.getpid()}-", dir=parent)
            _open.add(room)
        return room
    except OSError as error:
        raise OSError(
            error.errno,
            f"{shown(parent)!r} cannot be written to ({error.strerror}); choose another folder.",
        ) from nameless(error)


@contextmanager
def landing(path: Path) -> Iterator[Path]:
    """Lend a draft of a file, which takes its place when it is written: whole, or not at all.

    >>> path = Path(tempfile.mkdtemp(), "kite.txt")
    >>> with landing(path) as draft:
    ...     _ = draft.write_text("whole")
    >>> path.read_text()
    'whole'
    """
    remove_leftovers(path.parent)
    with workshop(path.parent) as room:
        draft = Path(room, f"draft{path.suffix}")
        yield draft
        os.replace(draft, path)


def remove_leftovers(parent: Path) -> list[str]:
    """Remove the workshops of processes that were killed, and give their names.

    What was moved away there for a save that was never done comes back first.

    >>> remove_leftovers(Path(tempfile.mkdtemp()))
    []
    """
    removed = []
    with suppress(OSError), alone(parent):  # it may not be there, or may only be read
        for mark in parent.glob(f"{STOP}*"):
            if _is_old(mark):
                mark.unlink(missing_ok=True)
        for folder in parent.glob(".saving-*"):
            match = NAME.fullmatch(folder.name)
            is_left = match and _is_left(folder, match["host"], int(match["pid"]))
            if is_left and put_back(folder):
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder.name)
    return removed


def take_places(room: Path, entering: Sequence[Path], leaving: Iterable[Path]) -> None:
    """Move files from a workshop's "new" to their places around it, and others away to its "old".

    All are named as seen from the folder around. When the last one has entered it is done; what is
    broken off before is undone: here, or by the next start if the process was killed.

    >>> home = Path(tempfile.mkdtemp())
    >>> (home / "room" / "new").mkdir(parents=True)
    >>> _ = (home / "room" / "new" / "kite.txt").write_text("new")
    >>> take_places(home / "room", [Path("kite.txt")], [])
    >>> (home / "kite.txt").read_text()
    'new'
    """
    stamps = {str(name): _stamp(room / NEW / name) for name in entering}
    (room / "draft").write_text(json.dumps(stamps), encoding="utf-8")
    os.replace(room / "draft", room / NOTE)
    try:
        for name in leaving:
            (room / OLD / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(room.parent / name, room / OLD / name)
        for name in entering:
            os.replace(room / NEW / name, room.parent / name)
    except BaseException:
        put_back(room)
        raise


def put_back(room: Path) -> bool:
    """Undo what `take_places` had begun; False where a place is another file's by now.

    A workshop may be a stranger's, in a folder that came from elsewhere: files move between it and
    the folder around it, and nowhere else.

    >>> put_back(Path(tempfile.mkdtemp()))
    True
    """
    new, old, home = room / NEW, room / OLD, room.parent
    names = _names_in(room / NOTE)
    if not names or any(place.is_symlink() for place in (room, new, old)):
        return True
    if not (new / [*names][-1]).exists():
        return True  # it was done
    for name, stamp in names.items():
        if not (new / name).exists() and _stamp(home / name) == stamp:
            os.replace(home / name, new / name)
    waiting = [file for file in sorted(old.rglob("*")) if file.is_symlink() or not file.is_dir()]
    for file in waiting:
        place = home / file.relative_to(old)
        if not (os.path.lexists(place) or place.parent.is_symlink()):
            place.parent.mkdir(exist_ok=True)
            os.replace(file, place)
    return not any(map(os.path.lexists, waiting))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time move files in a folder, and leave nothing there.

    >>> with alone(Path(tempfile.mkdtemp())):
    ...     pass
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # as in `locked`
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder for a moment, where its file system knows locks.

    >>> with locked(Path(tempfile.mkdtemp())):
    ...     pass
    """
    place = folder / ".lock"
    # it leads nowhere else, and is no pipe at which one would wait
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        stream = os.fdopen(os.open(place, flags, 0o666), "rb")
    except OSError as error:
        raise OSError(
            error.errno,
            f"{shown(place)!r} cannot be used as a lock ({error.strerror}); move it away.",
        ) from error
    with stream:
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
    if host == HOST and pid == os.getpid():  # perhaps of its namesake before a restart
        with _opening:
            return folder.name not in {Path(room.name).name for room in _open}
    # asking for a process on Windows, by os.kill, would end it
    return host == HOST and os.name == "posix" and not _is_running(pid)


def _is_old(path: Path) -> bool:
    with suppress(OSError):  # of the future, too: one clock or the other was wrong
        return abs(time.time() - path.stat().st_mtime) > LONGEST_WORK
    return False


def _stamp(file: Path) -> list[int] | None:
    """Tell one file from another that took its place."""
    with suppress(OSError):
        about = file.lstat()
        return [about.st_size, about.st_mtime_ns]
    return None


def _names_in(note: Path) -> dict[str, list[int]]:
    """Read what was to move, which is beside the workshop, or in a folder beside it."""
    try:
        names = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    paths = [Path(name) for name in names] if isinstance(names, dict) else []
    is_near = all(len(path.parts) in (1, 2) and ".." not in path.parts for path in paths)
    is_near = is_near and not any(path.is_absolute() for path in paths)
    return names if is_near and paths else {}


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs, and is another user's
        return True
    return True
