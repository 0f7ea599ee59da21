"""Paths and messages as people write them, and as others may read them."""

import errno
import os
import re
from pathlib import Path


class HomePath(type(Path())):
    """A path that shows itself with ~ for the home, as a notebook publishes what a cell gives.

    >>> HomePath(os.path.expanduser("~"), "kite.mp4")
    Path('~/kite.mp4')
    """

    def __repr__(self) -> str:
        return f"Path({shown(self)!r})"


def as_path(path: str | os.PathLike) -> Path:
    """Take a path as people write it, with ~ for their home.

    >>> as_path("~nobody-of-that-name/kite.mp4").name
    'kite.mp4'
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{path!r} is no path; give a str or a pathlib.Path, like 'kite.mp4'.")
    if not os.fspath(path):
        raise ValueError("The path is empty; give one like 'kite.mp4'.")
    if "\0" in str(path):
        raise ValueError(f"The path {str(path)!r} has a NUL in it, which no file can have.")
    if re.match("https?://", str(path), re.IGNORECASE):
        raise ValueError("A web address is no path; save what is there, and give its path.")
    place = os.path.expanduser(path)  # Path.expanduser raises where there is no such home
    try:
        os.lstat(place)
    except (OSError, ValueError) as error:  # ValueError: of half a character
        if isinstance(error, ValueError) or error.errno == errno.ENAMETOOLONG:
            raise ValueError(
                f"No file can be called {str(path)[-60:]!r}; choose a name."
            ) from nameless(error)
    return HomePath(place)


def without_folders(text: object) -> str:
    """Write a message that goes into a file: of absolute paths in it only the names are left.

    >>> without_folders("'/data/alice/kite.png' is broken; see https://example.org/a/b")
    "'…/kite.png' is broken; see https://example.org/a/b"
    """
    return re.sub(r"(?<![\w./~:…-])(?:[A-Za-z]:)?(?:[/\\][^/\\\s'\"]+)+(?=[/\\])", "…", shown(text))


def is_file(path: Path) -> bool:
    """Whether it is a file, and no pipe that one would wait at, nor a name that none can have.

    >>> is_file(Path("nowhere" * 100))
    False
    """
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def shown(text: object) -> str:
    """Write a path, or a message with paths in it, for others to read: ~ stands for the home.

    What a notebook prints is published with it, and the name of a home is often a person's.

    >>> shown(Path.home() / "kite.mp4")
    '~/kite.mp4'
    """
    text = str(text)
    home = os.path.expanduser("~")
    for name in {home, os.path.realpath(home)} - {os.sep}:  # which is home in some containers
        text = re.sub(rf"(?<![\w/\\.~-])(file://)?{re.escape(name)}(?![\w.-])", r"\1~", text)
    return text


def visible(text: object) -> str:
    """Write a stranger's text so that a terminal shows it, and obeys nothing that is in it.

    >>> visible("kite\x1b[2J\\u202e.jpg")
    'kite\\\\x1b[2J\\\\u202e.jpg'
    """
    return "".join(
        sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in str(text)
    )


def nameless(error: BaseException) -> BaseException:
    """Take the home out of the words of an error, and of what caused it: tracebacks show them all.

    >>> str(nameless(OSError(2, "No such file", str(Path.home() / "kite.mp4"))))
    "[Errno 2] No such file: '~/kite.mp4'"
    """
    link: BaseException | None = error
    while link is not None:
        link.args = tuple(shown(arg) if isinstance(arg, (str, Path)) else arg for arg in link.args)
        for name in ("filename", "filename2"):
            if isinstance(getattr(link, name, None), (str, Path)):
                setattr(link, name, shown(getattr(link, name)))
        link = link.__cause__ or link.__context__
    return error
