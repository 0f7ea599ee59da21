"""Make the gallery at the top of the README: real runs of the small models on a CPU, as WebP.

    python tests/benchmarks/gallery.py --out tests/benchmarks/results/gallery

The call that stands under a picture is the one that made it. Beside the pictures the script writes
`gallery.json`: each call, what it was given and the recipe of what came out. The scenes were
chosen among those that suit `tiny`; nothing else was done to the clips but to enlarge them.
"""

import argparse
import json
import sys
import tempfile
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from circumstances import circumstances
from PIL import Image

import svdkit as sk
from svdkit.toyland.scenes import scene
from svdkit.video import encode

TIMES, GAP = 3, 6  # a frame is enlarged so often; pixels between frames side by side
GREY = 128  # of the gap: neither a light page nor a dark one shows it as a bar
SCENES = {
    "balloon": ("a red balloon over green hills at dusk", 1),
    "sea": ("the sea by day", 2),
    "moon": ("the moon over green hills at night", 0),
}


@dataclass(frozen=True)
class Piece:
    """One picture of the gallery: its title, and the call that makes it, word for word."""

    name: str
    title: str
    call: str
    models: str = "tiny"

    @property
    def file(self) -> str:
        """Where the picture lands, in the gallery's folder."""
        return f"{self.name}.webp"

    @property
    def given(self) -> list[str]:
        """The scenes that the call names."""
        return [name for name in SCENES if f"({name}," in self.call]


PIECES = (
    Piece(
        "animate",
        "A still, and the clip of it",
        'sk.animate(balloon, "tiny", motion_bucket_id=90, seed=7)',
    ),
    Piece(
        "cinemagraph",
        "Only the water moves",
        'sk.cinemagraph(sea, (0, 0.5, 1, 1), "tiny", seed=7)',
    ),
    Piece(
        "sweep",
        "Motion bucket 20, 127 and 240",
        'sk.sweep(moon, "tiny", sk.grid(motion_bucket_id=[20, 127, 240], seed=7), "runs/moon")',
    ),
    Piece(
        "loop",
        "A loop: the end meets the beginning",
        'sk.loop(sea, "tiny", motion_bucket_id=180, seed=7)',
    ),
    Piece(
        "extend",
        "Longer, by two extensions",
        'sk.extend(sk.animate(moon, "tiny", motion_bucket_id=60, seed=7), "tiny", times=2, seed=7)',
    ),
    Piece(
        "animate_prompt",
        "From words alone",
        'sk.animate_prompt("the moon over the sea at night", via="animatediff", '
        'model="tiny-animatediff", seed=7)',
        "tiny-animatediff",
    ),
)


def scenes() -> dict[str, Image.Image]:
    """Paint the pictures that the calls name."""
    return {name: scene(seed, caption).image for name, (caption, seed) in SCENES.items()}


def called(piece: Piece) -> list[tuple[sk.Clip, float]]:
    """Make the call of a piece, in a folder of its own: the clip and its motion, or a sweep's."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        made = eval(piece.call, {"sk": sk} | scenes())
        if isinstance(made, sk.Clip):
            return [(made, sk.motion(made))]
        return [(cell.clip, cell.metrics["motion"]) for cell in made]


def enlarged(frames: np.ndarray) -> np.ndarray:
    """Make frames larger, smoothly."""
    size = (TIMES * frames.shape[2], TIMES * frames.shape[1])
    larger = (Image.fromarray(f).resize(size, Image.Resampling.BICUBIC) for f in frames)
    return np.stack([np.asarray(frame) for frame in larger])


def shown(clips: list[sk.Clip]) -> np.ndarray:
    """Put clips side by side, or one clip beside the still that it was made from, if any."""
    length = len(clips[0])
    tiles = [clip.frames for clip in clips]
    if len(clips) == 1:
        stills = (np.asarray(still) for still in clips[0].inputs[:1])
        tiles = [np.repeat(still[None], length, 0) for still in stills] + tiles
    gap = np.full((length, TIMES * tiles[0].shape[1], GAP, 3), GREY, np.uint8)
    spaced = [part for tile in tiles for part in (gap, enlarged(tile))]
    return np.concatenate(spaced[1:], 2)


def about(piece: Piece, made: list[tuple[sk.Clip, float]]) -> dict:
    """Tell how a piece was made."""
    return {
        "file": piece.file,
        "title": piece.title,
        "call": piece.call,
        "models": piece.models,
        "scenes": {
            name: dict(zip(("caption", "seed"), SCENES[name], strict=True)) for name in piece.given
        },
        "clips": [
            {"frames": len(clip), "motion": round(motion, 5), "recipe": dict(clip.recipe)}
            for clip, motion in made
        ],
    }


def main(arguments: list[str]) -> None:
    """Make every piece, and write the pictures and what made them."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # the frames depend on it in their last digits
    report = circumstances(__file__, arguments) | {"pieces": []}
    for piece in PIECES:
        made = called(piece)
        clips = [clip for clip, _ in made]
        picture = encode(shown(clips), clips[0].fps, ".webp")
        (options.out / piece.file).write_bytes(picture)
        report["pieces"].append(about(piece, made))
        print(f"{piece.file}: {len(picture) / 1e3:.0f} kB", flush=True)
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    (options.out / "gallery.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
