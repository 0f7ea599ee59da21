"""rerun: a recipe → the clip again, and how near it comes to the one that was saved."""

import html
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from . import video
from .casting import Missing
from .clips import Clip
from .frames import psnr, sha256_of_frames, size_of
from .images import ImageLike
from .notes import steps_of
from .paths import as_path, shown
from .replay import Replay

if TYPE_CHECKING:
    from .casting import Given

SLACK = 0.5  # dB by which a file may be further from a clip than its own coding explains


@dataclass(frozen=True)
class Rerun:
    """What came of making a clip again.

    >>> Rerun(None, "missing: the picture")
    Rerun(missing: the picture)
    """

    clip: Clip | None
    """The clip made anew; None where something is missing."""
    verdict: str
    """One sentence that begins with identical, differs or missing."""
    psnr: float | None = None
    """How near the saved file's own frames are to the new ones, in dB; inf where they are equal."""
    why: tuple[str, ...] = field(default=())
    """What is not as it was when the clip was saved."""

    @property
    def identical(self) -> bool:
        """Whether every byte of every frame is as it was recorded.

        >>> Rerun(None, "missing: the picture").identical
        False
        """
        return self.verdict.startswith("identical")

    def __repr__(self) -> str:
        return f"Rerun({self.verdict})"

    def _repr_html_(self) -> str:
        player = self.clip.player("made again") if self.clip else ""
        return f"<p>{html.escape(self.verdict)}</p>{player}"


def rerun(
    path: str | os.PathLike,
    *,
    image: ImageLike | None = None,
    pipeline: "Given | Sequence[Given] | None" = None,
    progress: bool = True,
) -> Rerun:
    """Make a saved clip again from its recipe, and say whether it is the same.

    The picture is taken from beside the file, or is `image`, fitted as it was. The model is the
    one that the recipe names if it is one of svdkit's; any other is asked for, as `pipeline`: a
    loaded one, a name, a hub address or a folder, or a list of these where steps have several.

    >>> from tempfile import mkdtemp
    >>> from svdkit import animate, sample_image
    >>> clip = animate(sample_image(), "tiny", num_inference_steps=1, progress=False)
    >>> rerun(clip.save(Path(mkdtemp(), "kite.mp4")), progress=False).identical
    True
    """
    path = as_path(path)
    if path.suffix == ".json" and path.with_suffix("").is_file():
        path = path.with_suffix("")  # the recipe beside a video means the video
    saved = Clip.open(path)
    try:
        if not saved.recipe:
            raise Missing(f"{shown(path)!r} has no recipe, neither inside it nor beside it")
        replay = Replay(saved.recipe, saved.inputs, image, pipeline, progress)
        size = replay.size
        if size != saved.frames.shape[:3]:
            wanted = f"{size[0]} frames of {size[1]}×{size[2]}"
            held = f"{len(saved)} frames of {size_of(saved.frames)}"
            return Rerun(None, f"differs: the recipe makes {wanted}, and the file holds {held}.")
        clip = replay.clip().at(saved.fps)
    except Missing as missing:
        return Rerun(None, f"missing: {str(missing).rstrip('.')}.")
    return _compared(saved, clip, path, tuple(replay.changes))


def _compared(saved: Clip, clip: Clip, path: Path, changes: Sequence[str]) -> Rerun:
    """Judge the new clip by the recorded hash, and tell what coding lost from what changed."""
    told = steps_of(saved.recipe)[-1].get("outcome", {}).get("frames_sha256")
    near, coded = psnr(saved.frames, clip.frames), _coding_loss(clip, path)
    known = coded is not None
    if sha256_of_frames(clip.frames) == told:
        verdict = "identical: every frame is as it was recorded"
        if known and near < coded - SLACK:
            lost = f"only {coded:.1f}" if coded < math.inf else "nothing"
            verdict += (
                f"; but the file's own frames are {near:.1f} dB from them, and its coding loses "
                f"{lost}: the file was changed since"
            )
        elif near < math.inf:
            verdict += f"; the file itself is {near:.1f} dB from them"
            verdict += ", which its coding loses" if known else ""
    elif near == math.inf:
        verdict = "identical: every frame is as in the file, though the recipe records others"
    else:
        coding = f" ({coded:.1f} dB by its coding alone)" if known and coded < math.inf else ""
        because = f": {'; '.join(changes)}" if changes else ", and nothing recorded says why"
        verdict = f"differs by {near:.1f} dB from the file's own frames{coding}{because}"
    return Rerun(clip, f"{verdict}.", near, changes)


def _coding_loss(clip: Clip, path: Path) -> float | None:
    """Measure in dB how far a file of this kind is from the frames that are put into it.

    None where svdkit does not write such files, and cannot know.
    """
    if path.is_dir():
        return math.inf
    suffix = path.suffix.lower()
    if suffix not in video.ENCODERS:
        return None
    return psnr(video.coded(clip.frames, 10, suffix), clip.frames)  # at whatever rate
