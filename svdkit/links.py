"""The folder of a chain: each link of it, once made, is whole and stays.

chain.json    the seed, for what names none
<link>/       a clip so far, as a folder of frames, called by the hash of what made it
"""

import hashlib
import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .clips import Clip
from .frames import sha256_of_frames
from .notes import json_in, steps_of
from .paths import as_path, is_file, shown
from .workshops import locked, remove_leftovers, workshop

if TYPE_CHECKING:
    import numpy as np

ABOUT = "chain.json"


def name_of(request: Mapping[str, Any], before: Clip) -> str:
    """Give the hash by which a link is called: of what was asked, and the frames it goes on from.

    >>> import numpy as np
    >>> name_of({"seed": 7}, Clip(np.zeros((2, 8, 8, 3), np.uint8)))
    '3deb43ab15c981bb'
    """
    told = json.dumps([request, sha256_of_frames(before.frames)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


class Links:
    """The folder of a chain, or of several: what is of another clip or model has other names.

    >>> from tempfile import mkdtemp
    >>> links = Links(mkdtemp())
    >>> links.seed() == links.seed()
    True
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = as_path(folder).absolute()
        with workshop(self.folder):  # which makes the folder, and says so where it cannot
            remove_leftovers(self.folder)

    def seed(self) -> int:
        """Give the seed of the folder, drawn when it is first asked for."""
        file = self.folder / ABOUT
        with workshop(self.folder) as room, locked(self.folder):
            if not is_file(file):
                about = {"svdkit": __version__, "seed": random.SystemRandom().randrange(2**32)}
                draft = Path(room, ABOUT)
                draft.write_text(json.dumps(about, indent=2), encoding="utf-8")
                os.replace(draft, file)
        try:
            about = json_in(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise self._changed(file, f"is no valid JSON ({shown(error)})") from error
        seed = about.get("seed") if isinstance(about, dict) else None
        if type(seed) is not int or not 0 <= seed < 2**63:
            raise self._changed(file, "does not say the seed of a chain")
        return seed

    def find(self, name: str, weights: str | None) -> tuple["np.ndarray", dict[str, Any]] | None:
        """Give the frames of a link and the step that made them; None where it is not there yet.

        `weights` is the fingerprint of those that would make it now, None where they are out of
        reach. What was changed since, or is of other weights, is an error, and stays.
        """
        place = self.folder / name
        if not place.exists():
            return None
        try:
            clip = Clip.open(place)
        except (OSError, ValueError) as error:
            raise self._changed(place, f"cannot be read any more ({shown(error)})") from error
        step = (steps_of(clip.recipe) or [{}])[-1]
        outcome = step.get("outcome", {})
        if outcome.get("frames_sha256") != sha256_of_frames(clip.frames):
            raise self._changed(place, "is not what its recipe tells of")
        told = outcome.get("weights")
        if told and weights and told != weights:
            raise ValueError(
                f"{shown(place)!r} was made by other weights of this model; choose another folder."
            )
        return clip.frames, step

    def keep(self, name: str, clip: Clip) -> None:
        """Store a link: whole or not at all, and never over one that is there."""
        with locked(self.folder):
            if not (self.folder / name).exists():
                clip.save(self.folder / name)

    def _changed(self, place: Path, why: str) -> ValueError:
        return ValueError(
            f"{shown(place)!r} {why}: it was changed since. Move it away, and make the same call "
            "again."
        )
