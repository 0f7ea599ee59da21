"""Deeds that write files, done in forks that a fault strikes; run as a script of its own.

python small_faults.py DEED FAULT FOLDER prints what became of each, as JSON. Nothing here needs
torch, so that a process of one thread is forked.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import svdkit as sk
from svdkit.drawings import Drawing
from svdkit.frames import sha256_of_frames
from svdkit.galleries import Gallery
from svdkit.links import Links
from svdkit.shelves import Shelf
from svdkit.takes import Takes

TOUCHING = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}
TINY = {"model": "tiny", "source": "bundled", "scheduler": {}, "arithmetic": "lean"}
OLD, NEW = 40, 200  # grey levels


def grey(level: int, frames: int = 2, **recipe) -> sk.Clip:
    """Make a clip of one grey, with a recipe and a picture that belong to it alone."""
    pixels = np.full((frames, 16, 16, 3), level, np.uint8)
    recipe = {"request": {"seed": level}, "outcome": {}} | recipe
    return sk.Clip(pixels, 7, recipe, (Image.fromarray(pixels[0]),))


def about(clip: sk.Clip) -> str:
    """Say which of the two clips it is, whole and with all that belongs to it."""
    name = "old" if clip.frames.mean() < (OLD + NEW) / 2 else "new"
    level = {"old": OLD, "new": NEW}[name]
    assert len(clip) == {"old": 3, "new": 2}[name]
    assert clip.recipe["request"]["seed"] == level
    assert [picture.getpixel((0, 0)) for picture in clip.inputs] == [(level,) * 3]
    return name


class Saving:
    def __init__(self, folder: Path, name: str):
        self.place = folder / name

    def before(self):
        grey(OLD, 3).save(self.place)

    def act(self):
        grey(NEW).save(self.place)

    def look(self):
        return about(sk.Clip.open(self.place))


class Picture:
    """A drawing, or a page of a gallery, over an older one."""

    def __init__(self, folder: Path, name: str):
        self.place = folder / name

    def before(self):
        self.write(OLD)

    def act(self):
        self.write(NEW)

    def write(self, level):
        if self.place.suffix == ".html":
            Gallery([], failures=[{"error": f"{level} " + 90 * "x "}]).save(self.place)
        else:
            pixels = np.random.default_rng(0).integers(0, 9, (48, 48, 3), np.uint8)
            Drawing.of(pixels + np.uint8(level), {"request": {"seed": level}}).save(self.place)

    def look(self):
        if self.place.suffix == ".html":
            page = self.place.read_text()
            assert page.endswith("</html>\n")
            return "old" if f"{OLD} x x" in page else "new"
        with Image.open(self.place) as picture:
            name = "old" if np.asarray(picture).mean() < (OLD + NEW) / 2 else "new"
        seed = sk.metadata.read_metadata(self.place)["request"]["seed"]
        assert seed == {"old": OLD, "new": NEW}[name]
        return name


class Cell:
    """A cell of a sweep: its picture, an error first, and its clip."""

    def __init__(self, folder: Path, name: str):
        self.folder = folder

    def before(self):
        Shelf.start(self.folder, TINY).keep("0" * 16, grey(OLD, 3), {})

    def act(self):
        shelf = Shelf.start(self.folder, TINY)
        shelf.keep_picture(grey(NEW)[0], "kite")
        shelf.fail("1" * 16, {}, ValueError("kite"))
        shelf.keep("1" * 16, grey(NEW), {})

    def look(self):
        shelf = Shelf.open(self.folder)
        assert all(shelf.has(name) for name in shelf.names())
        clips = [sk.Clip.open(self.folder / f"{name}.mp4") for name in shelf.names()]
        assert [len(clip) for clip in clips] == [3, 2][: len(clips)]
        for picture in (self.folder / "inputs").glob("*.png"):
            shelf.picture(picture.stem)
        return ["none", "old", "new"][len(clips)]


class Link:
    """A link of a chain."""

    def __init__(self, folder: Path, name: str):
        self.folder = folder

    def before(self):
        self.keep("0" * 16, grey(OLD, 3))

    def act(self):
        self.keep("1" * 16, grey(NEW))

    def keep(self, name, clip):
        links = Links(self.folder)
        links.seed()
        outcome = {"frames_sha256": sha256_of_frames(clip.frames)}
        links.keep(name, sk.Clip(clip.frames, 7, clip.recipe | {"outcome": outcome}))

    def look(self):
        links = Links(self.folder)
        found = [links.find(name * 16, None) for name in "01"]
        return ["none", "old", "new"][sum(one is not None for one in found)]


class Take:
    """A clip of a panel."""

    def __init__(self, folder: Path, name: str):
        self.folder = folder

    def before(self):
        self.keep(OLD, 3)

    def act(self):
        self.keep(NEW, 2)

    def keep(self, level, frames):
        request = {"verb": "animate", "model": "tiny", "source": "bundled", "seed": level}
        clip = grey(level, frames, request=request | {"settings": {"fps": 7}})
        takes = Takes(self.folder)
        takes.keep(takes.add("kite", clip, picture="picture"))

    def look(self):
        takes = Takes(self.folder)
        known = {about(take.clip) for take in takes}
        return "new" if "new" in known else "old"


DEEDS = {
    **{f"kite{suffix}": Saving for suffix in (".mp4", ".webm", ".gif", ".webp", "")},
    **{"balloon.png": Picture, "page.html": Picture},
    **{"sweep": Cell, "chain": Link, "panel": Take},
}


def strike_at(number: int, folder: Path, strike) -> list[int]:
    """Have something done at the n-th time that a file in a folder is touched; counts them."""
    count = [0]

    def hook(event, arguments):
        if event not in TOUCHING or not isinstance(arguments[0], (str, os.PathLike)):
            return
        if str(arguments[0]).startswith(str(folder)):
            count[0] += 1
            if count[0] == number:
                strike()

    sys.addaudithook(hook)
    return count


def forked(deed) -> str:
    """Do something in a fork; "done", "killed", or the error that it met."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            deed()
            told = "done"
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(write, told.encode()[:4000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        told = stream.read().decode(errors="replace")
    os.waitpid(child, 0)
    return told or "killed"  # it had no time to tell


def outcome(deed, folder: Path, fault) -> dict[str, str]:
    """Do a deed in which a fault strikes; then look, do it again undisturbed, and look."""
    told = {"happened": forked(fault)}
    try:
        try:
            told["there"] = deed.look()
        except FileNotFoundError:
            told["there"] = "nothing"
        deed.act()
        told["again"] = deed.look()
    except Exception as error:
        told["again"] = f"{type(error).__name__}: {error}"
    left = [file.name for file in folder.rglob(".*") if file.name != ".lock"]
    return told | {"left": " ".join(left)}


def killed(deed, folder: Path, number: int):
    def fault():
        strike_at(number, folder, lambda: os.kill(os.getpid(), signal.SIGKILL))
        deed.act()

    return fault


def vanished(deed, folder: Path, number: int):
    def fault():
        strike_at(number, folder, lambda: shutil.rmtree(folder, ignore_errors=True))
        deed.act()

    return fault


def limited(deed, folder: Path, number: int):
    """No file may grow beyond so many bytes: on every machine, a kind of full disk."""
    most = [0, 60, 250, 1000, 2500, 6000][number - 1]

    def fault():
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        deed.act()

    return fault


def filled(deed, folder: Path, number: int):
    """The disk of the folder, or else of the temporary files, has a few kilobytes left."""
    free = [0, 4, 8, 12, 0, 4][number - 1]
    disk = folder if number <= 4 else Path(tempfile.gettempdir())

    def fault():
        about = os.statvfs(disk)
        size = about.f_bavail * about.f_frsize - 1024 * free
        with (disk / "full.bin").open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, max(1, size))
        try:
            deed.act()
        finally:
            (disk / "full.bin").unlink()

    return fault


def forbidden(deed, folder: Path, number: int):
    """The folder may only be read; root, who may do all, becomes nobody first."""

    def fault():
        if os.getuid() == 0:
            os.setgroups([])
            os.setuid(65534)
        deed.act()

    return fault


def mounted(place: Path) -> bool:
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    return not subprocess.run(mount, capture_output=True, check=False).returncode


FAULTS = {"kill": killed, "vanish": vanished, "limit": limited, "disk": filled, "read": forbidden}
MOST = {"limit": 6, "disk": 6, "read": 1, "vanish": 16}


def main(name: str, fault: str, room: str) -> list[dict[str, str]]:
    """Let a fault strike a deed in every way, each in a fresh folder."""
    told = []
    temporary = Path(room, "temporary")
    temporary.mkdir()
    tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
    number = 0
    while number < MOST.get(fault, 200):
        number += 1
        folder = Path(room, f"{number}")
        folder.mkdir()
        disks = [folder, temporary] if fault == "disk" else []
        if disks and not all(map(mounted, disks)):
            return []
        try:
            deed = DEEDS[name](folder, name)
            deed.before()
            deed.look()  # what is imported late can be by now
            if fault == "read":
                temporary.chmod(0o777)
                folder.chmod(0o555)
            told.append(outcome(deed, folder, FAULTS[fault](deed, folder, number)))
        finally:
            for disk in disks:
                subprocess.run(["umount", str(disk)], check=True)
        if fault == "kill" and told[-1]["happened"] == "done":
            break
        shutil.rmtree(folder, ignore_errors=True)
    return told


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
