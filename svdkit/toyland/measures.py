"""The measures that the evaluation is made of; frames are tensors (frames, 3, height, width) in
−1…1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from ..clips import Clip
from ..metrics import flicker, motion
from .architectures import HEIGHT, NUM_FRAMES, WIDTH
from .laws import progress_of
from .scenes import Scene
from .staging import paint

PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "camera.png",
    "coins.png",
    "grass.png",
    "moon.png",
)


def to_frames(clip: np.ndarray) -> torch.Tensor:
    """A uint8 clip as (frames, 3, height, width) in −1…1.

    >>> to_frames(np.zeros((2, 8, 14, 3), np.uint8)).shape
    torch.Size([2, 3, 8, 14])
    """
    return torch.tensor(clip).movedim(-1, 1).float() / 127.5 - 1


def to_clip(frames: torch.Tensor) -> Clip:
    """Frames as a clip of svdkit, for its metrics.

    >>> to_clip(torch.zeros(2, 3, 8, 14))
    Clip(2 frames, 8×14, 7 fps, 0.3 s)
    """
    levels = ((frames.clamp(-1, 1) + 1) * 127.5).round().byte()
    return Clip(levels.movedim(1, -1).numpy())


def undue_drift(made: torch.Tensor, truth: torch.Tensor) -> float:
    """How much more, or less, the mean colour changes from the first frame to the last than it
    should, as a share of the whole range: a sun that sinks may darken the scene.

    >>> undue_drift(torch.zeros(3, 3, 8, 14), torch.zeros(3, 3, 8, 14))
    0.0
    """
    made, truth = (frames[-1].mean((1, 2)) - frames[0].mean((1, 2)) for frames in (made, truth))
    return float((made - truth).abs().max() / 2)


def best_pan_error(truth: torch.Tensor) -> float:
    """The squared error of the best that moving the first frame as a whole at one speed can do.

    >>> best_pan_error(torch.zeros(3, 3, 8, 14))
    0.0
    """
    n, _, height, width = truth.shape
    errors = []
    for across in np.linspace(-3, 3, 25):  # pixels a frame: birds begin at 2.1, carts at 2.3
        for down in np.linspace(-1.0, 1.0, 9):
            total = 0.0
            for t in range(n):
                rows = (torch.arange(height) - round(down * t)).clamp(0, height - 1)
                columns = (torch.arange(width) - round(across * t)).clamp(0, width - 1)
                moved = truth[0][:, rows][:, :, columns]
                total += float((moved - truth[t]).square().mean())
            errors.append(total / n)
    return min(errors)


def backwards(drawn: Scene, motion_bucket_id: float, fps: float) -> torch.Tensor:
    """The clip of the scene whose thing obeys its law the other way: balloons sink, carts go in
    reverse. Land, sky and sea are as they should be, and tell nothing of it.

    >>> from svdkit.toyland.scenes import scene
    >>> backwards(scene(seed=1), 127, 7).shape
    torch.Size([14, 3, 64, 112])
    """
    progress = progress_of(torch.tensor([motion_bucket_id]), torch.tensor([fps]), NUM_FRAMES)
    return paint(drawn.script, progress, HEIGHT, WIDTH, of_things=-progress)[0] * 2 - 1


def photographs() -> dict[str, Image.Image]:
    """Ordinary photographs, those that scikit-image brings along, cropped to `tiny`'s shape.

    >>> all(photo.size == (112, 64) for photo in photographs().values())
    True
    """
    try:
        import skimage
    except ImportError:
        return {}
    folder, photos = Path(skimage.__file__).parent / "data", {}
    for name in PHOTOS:
        if (folder / name).exists():
            photo = Image.open(folder / name).convert("RGB")
            wide = min(photo.width, photo.height * WIDTH / HEIGHT)
            left, top = (photo.width - wide) / 2, (photo.height - wide * HEIGHT / WIDTH) / 2
            whole = (left, top, left + wide, top + wide * HEIGHT / WIDTH)
            photos[name] = photo.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS, whole)
    return photos


def spearman(xs: list[float], ys: list[float]) -> float:
    """Rank correlation: 1 where the one always grows with the other.

    >>> spearman([1, 2, 3], [10, 20, 21])
    1.0
    """
    ranks = [np.argsort(np.argsort(values)) for values in (xs, ys)]
    return float(np.corrcoef(*ranks)[0, 1])


def moving(clips: list[torch.Tensor]) -> float:
    """The mean motion of clips in pixels of their width per frame.

    >>> moving([torch.zeros(4, 3, 64, 112)])
    0.0
    """
    return mean([clip.shape[-1] * motion(to_clip(clip)) for clip in clips])


def flickering(clips: list[torch.Tensor]) -> float:
    """The mean flicker of clips, as a share of white per frame.

    >>> flickering([torch.zeros(4, 3, 64, 112)])
    0.0
    """
    return mean([flicker(to_clip(clip)) for clip in clips])


@torch.no_grad()
def through_the_vae(vae: torch.nn.Module, frames: torch.Tensor, **how: int) -> torch.Tensor:
    """What is left of frames, (frames, 3, height, width) in −1…1, after encoding and decoding.

    >>> from .architectures import image_vae
    >>> through_the_vae(image_vae(), torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 3, 16, 16])
    """
    latents = vae.encode(frames.to(vae.device)).latent_dist.mode()
    return vae.decode(latents, **how).sample.float().clamp(-1, 1)


def mean(values: list) -> float:
    """The mean of numbers or of tensors of one number; of none it is 0.

    >>> mean([1, torch.tensor(2.0)])
    1.5
    """
    return sum(float(value) for value in values) / max(1, len(values))


def worn(clips: torch.Tensor, dice: torch.Generator) -> torch.Tensor:
    """Clips as soft and as grainy as made ones may be, so that a judge does not look at that.

    >>> worn(torch.zeros(2, 1, 3, 8, 14), torch.Generator()).shape
    torch.Size([2, 1, 3, 8, 14])
    """
    if float(torch.rand((), generator=dice)) < 0.5:
        size = clips.shape[-2:]
        flat = adaptive_avg_pool2d(clips.flatten(0, 1), (size[0] // 2, size[1] // 2))
        clips = interpolate(flat, size, mode="bilinear").unflatten(0, clips.shape[:2])
    grain = 0.15 * float(torch.rand((), generator=dice))
    return clips + grain * torch.randn(clips.shape, generator=dice).to(clips)
