"""Frames and how they were made ⇄ the files of one clip."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__, video
from .frames import check_size, checked_frames
from .images import open_image
from .metadata import MADE_BY_AI, png_metadata, read_metadata, with_metadata
from .notes import ABOUT_THE_FILE, check_about, plain_recipe, steps_of
from .paths import is_file, shown
from .storage import Bundle, fingerprint
from .workshops import remove_leftovers

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

INSIDE = ("fps", "frames")  # what a file can say of itself, without knowing what is beside it
Contents = tuple["np.ndarray", float, dict[str, Any], tuple["Image.Image", ...]]


def write(
    path: Path,
    frames: "np.ndarray",
    fps: float,
    recipe: dict[str, Any],
    pictures: Sequence["Image.Image"],
    *,
    overwrite: bool = False,
) -> Path:
    """Write a clip as a video, or as a folder of frames, with all that belongs to it.

    >>> import numpy as np, tempfile
    >>> path = Path(tempfile.mkdtemp(), "dark.webp")
    >>> write(path, np.zeros((2, 16, 16, 3), np.uint8), 7, {}, []).name
    'dark.webp'
    """
    from PIL import Image

    suffix = path.suffix.lower()
    if suffix and suffix not in video.ENCODERS:
        raise ValueError(
            f"{path.name!r} ends in {path.suffix!r}; a clip is saved as "
            f"{', '.join(video.ENCODERS)}, or under a name without a dot as a folder of PNG frames."
        )
    about = recipe | {"svdkit": __version__, "file": {"fps": fps, "frames": [*frames.shape[:3]]}}
    if any("model" in step.get("request", {}) for step in steps_of(recipe)):
        about["digital_source_type"] = MADE_BY_AI
    counts = {"frames": len(frames), "pictures": len(pictures)}
    with Bundle(path).draft(**counts, overwrite=overwrite) as draft:
        if suffix:
            encoded = video.encode(frames, fps, suffix)
            draft.path.write_bytes(with_metadata(encoded, suffix, about))
        else:
            draft.path.mkdir()
            note = png_metadata(about)
            for number, frame in enumerate(frames):
                Image.fromarray(frame).save(draft.frame(number), pnginfo=note)
        for number, picture in enumerate(pictures):
            picture.save(draft.picture(number))
        about["file"] |= {"pictures": len(pictures), "sha256": draft.fingerprints()}
        draft.recipe.write_text(json.dumps(about, indent=2), encoding="utf-8")
    return path


def read(path: Path) -> Contents:
    """Read what `write` wrote, or any video: its frames, playback fps, recipe and pictures.

    What stands beside a video goes before what stands inside it; a video of others has neither. A
    picture that is lost or broken is left out: the clip is there without it.

    >>> import numpy as np, tempfile
    >>> path = Path(tempfile.mkdtemp(), "dark.webp")
    >>> _ = write(path, np.zeros((2, 16, 16, 3), np.uint8), 7, {}, [])
    >>> [frames, fps, recipe, pictures] = read(path)
    >>> len(frames), fps
    (2, 7)
    """
    bundle = Bundle(path)
    if not is_file(bundle.recipe):  # a save is replacing this clip, or was killed while it did
        remove_leftovers(bundle.path.parent)
    if not path.exists():
        raise FileNotFoundError(f"{shown(path)!r} is not there; give the path of a saved clip.")
    if not (is_file(path) or path.is_dir()):  # at a pipe one would wait for ever
        raise ValueError(f"{shown(path)!r} is no file and no folder, and so no saved clip.")
    about = bundle.read()
    file = about.get("file", {})
    frames, fps = _frames(bundle, file)
    if not about:
        about = _embedded(bundle, frames)
        file = about.get("file", {})
    _, height, width = file.get("frames", frames.shape[:3])
    frames = frames[:, :height, :width]  # a video of odd size is stored one pixel larger
    recipe = {key: value for key, value in about.items() if key not in ABOUT_THE_FILE}
    files = [bundle.picture(number) for number in range(file.get("pictures", 0))]
    files += _shared_pictures(path.parent, recipe) if not files else []
    return frames, file.get("fps", fps), recipe, tuple(_readable(files))


def _frames(bundle: Bundle, file: dict[str, Any]) -> tuple["np.ndarray", float]:
    """Read the frames, and make sure that they are those that the recipe tells of."""
    count, height, width = file.get("frames") or (None, None, None)
    if not bundle.is_folder:
        told = file.get("sha256", {}).get("")  # the video is the part with no name of its own
        if told and told != fingerprint(bundle.path):
            raise _other_recipe(bundle, "it was changed since, or the recipe is another video's")
        frames, fps = video.decode(bundle.path)
        if count and not _are(frames, count, height, width):
            raise _other_recipe(bundle, f"{count} frames of {height}×{width} are not there")
        return frames, fps
    if count is not None:
        _check_there(map(bundle.frame, range(count)), bundle)  # told of a million it stops at one
    files = bundle.frames()[:count]
    if not files:
        raise ValueError(f"The folder {shown(bundle.path)!r} holds no frames: no frame_0000.png.")
    _check_there(files, bundle)
    return checked_frames(list(_within_bounds(map(open_image, files), len(files)))), 7


def _embedded(bundle: Bundle, frames: "np.ndarray") -> dict[str, Any]:
    """Read what a file says of itself; {} where it was cut or scaled since, and it is not true."""
    about = read_metadata(bundle.frame(0) if bundle.is_folder else bundle.path)
    try:
        check_about(about)
        plain_recipe({key: value for key, value in about.items() if key not in ABOUT_THE_FILE})
    except (ValueError, TypeError):
        return {}
    facts = {key: value for key, value in about.get("file", {}).items() if key in INSIDE}
    size = facts.get("frames")
    return about | {"file": facts} if size and _are(frames, *size) else {}


def shared_picture(folder: Path, sha: str) -> Path:
    """Give the place of a fitted picture that several clips of a folder share, by its sha256.

    >>> shared_picture(Path("runs"), "ab12").as_posix()
    'runs/inputs/ab12.png'
    """
    return folder / "inputs" / f"{sha}.png"


def _shared_pictures(folder: Path, recipe: dict[str, Any]) -> Iterator[Path]:
    for step in steps_of(recipe):
        sha = step.get("request", {}).get("image_sha256")
        if isinstance(sha, str) and re.fullmatch("[0-9a-f]{64}", sha):  # and no path to elsewhere
            yield shared_picture(folder, sha)


def _readable(files: Sequence[Path]) -> Iterator["Image.Image"]:
    for file in files:
        with suppress(OSError, ValueError):
            yield from _within_bounds([open_image(file)], len(files))


def _within_bounds(pictures: Iterable["Image.Image"], count: int) -> Iterator["Image.Image"]:
    """Give pictures as long as so many of their size are no more than a clip takes."""
    for picture in pictures:
        check_size(count, picture.height, picture.width)
        yield picture


def _are(frames: "np.ndarray", count: int, height: int, width: int) -> bool:
    even = (count, height + height % 2, width + width % 2)
    return frames.shape[:3] in ((count, height, width), even)


def _check_there(files: Iterable[Path], bundle: Bundle) -> None:
    missing = next((file.name for file in files if not file.is_file()), None)
    if missing:
        raise _other_recipe(bundle, f"{missing} is missing")


def _other_recipe(bundle: Bundle, why: str) -> ValueError:
    return ValueError(
        f"{shown(bundle.path)!r} is not what its recipe tells of: {why}. Move "
        f"{shown(bundle.recipe)!r} away to open what is there."
    )
