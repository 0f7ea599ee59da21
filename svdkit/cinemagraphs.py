"""cinemagraph: a still of which one part moves."""

import math
import numbers
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .animation import check_request, ready
from .clips import Clip
from .drawings import steps_behind
from .frames import check_size, frozen, sha256_of_frames
from .images import ImageLike, fit, fitting_in, open_image
from .masks import MaskLike, feathered, fit_mask, open_mask
from .records import outcome_of, request_of
from .running import OnStep, Steering, run
from .settings import Settings, holding, settings_in

if TYPE_CHECKING:
    import os

    import torch
    from diffusers import StableVideoDiffusionPipeline
    from PIL import Image

FEATHERS_ACROSS = 32  # of a feather's width would fill the frame's shorter side
MOST_FEATHER = 256
MOST_SHOWN = 60  # characters of a stranger's value in a message
SHA = re.compile("[0-9a-f]{64}")

# What a request has to say, besides its settings
VALUES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "seed": (lambda seed: type(seed) is int and 0 <= seed < 2**63, "a whole number from 0"),
    "feather": (lambda width: _is_feather(width), f"a whole number, 0–{MOST_FEATHER}"),
    "image_sha256": (lambda sha: _is_sha(sha), "the sha256 of the fitted picture"),
    "mask_sha256": (lambda sha: _is_sha(sha), "the sha256 of the fitted mask"),
}


def cinemagraph(
    image: ImageLike,
    mask: MaskLike,
    pipeline: "str | os.PathLike | StableVideoDiffusionPipeline" = "auto",
    *,
    feather: int | None = None,
    seed: int | None = None,
    progress: bool = True,
    on_step: OnStep | None = None,
    how: str = "crop",
    focus: tuple[float, float] = (0.5, 0.5),
    **settings: Any,
) -> Clip:
    """Animate one part of a picture, white in the mask; the rest stays the still, byte for byte.

    The mask is a picture or an array of the picture's shape, a box (left, top, right, bottom) or a
    list of points (x, y), both in fractions of the picture or in its pixels; it is fitted like the
    picture. Its edge is softened over `feather` pixels of the frame, outwards. All else is as in
    `animate`.

    >>> from svdkit import sample_image
    >>> kwargs = {"seed": 7, "num_inference_steps": 2, "progress": False}
    >>> clip = cinemagraph(sample_image(), (0, 0, 0.5, 0.5), "tiny", **kwargs)
    >>> bool((clip.frames[:, 40:, 70:] == clip.frames[0, 40:, 70:]).all())
    True
    """
    if feather is not None and not _is_feather(feather):
        raise ValueError(
            f"feather is {feather!r:.{MOST_SHOWN}}; it is a whole number of pixels, "
            f"0–{MOST_FEATHER}, or None for what suits the frame."
        )
    fitting = {"how": how, "focus": focus}
    settings = holding(settings)
    check_request(settings, seed=seed, on_step=on_step, verb=cinemagraph, **fitting)
    whole = open_image(image)
    steps = steps_behind(image, whole)
    white = open_mask(mask, whole.size)
    pipeline, asked, seed = ready(pipeline, settings, whole.size, seed, progress)
    frame = (asked.height, asked.width)
    picture, white = fit(whole, *frame, **fitting), fit_mask(white, *frame, **fitting)
    if not white.getextrema()[1]:
        raise ValueError(
            f"Of the picture's {whole.width}×{whole.height} pixels the frame of {frame[1]}×"
            f"{frame[0]} shows none that the mask holds: nothing would move. Give focus=(x, y), "
            "the point that the crop keeps in view, or how='pad', or a larger mask."
        )
    if feather is None:
        feather = math.ceil(min(frame) / FEATHERS_ACROSS)
    return _made(pipeline, picture, white, asked, seed, feather, fitting, steps, progress, on_step)


def size_after_cinemagraph(request: Mapping[str, Any], *sizes: Any) -> tuple[int, int, int]:
    """Check what a recipe asks for, and give the frames, height and width that it makes.

    >>> size_after_cinemagraph({"settings": {"fps": 0}})
    Traceback (most recent call last):
    ValueError: The recipe's settings: fps is 0; 1–240 is allowed. Try 7; clip.at(fps=…) changes \
the playback alone.
    """
    settings = settings_in(request)
    for name, (is_right, wanted) in VALUES.items():
        value = request.get(name)
        if not is_right(value):
            raise ValueError(f"The recipe's {name} is {value!r:.{MOST_SHOWN}}; it is {wanted}.")
    size = (settings.num_frames or 0, settings.height or 0, settings.width or 0)
    if not all(size):
        raise ValueError("The recipe's settings leave height, width or num_frames open.")
    fitting_in(request)
    check_size(*size)
    return size


def redo_cinemagraph(
    request: Mapping[str, Any],
    pipeline: "StableVideoDiffusionPipeline",
    pictures: "list[Image.Image]",
    clips: list[Clip],
    progress: bool,
) -> Clip:
    """Make a cinemagraph again: `pictures` are the fitted picture and the fitted mask.

    >>> from svdkit import load, sample_image
    >>> kwargs = {"seed": 7, "num_frames": 2, "num_inference_steps": 1, "progress": False}
    >>> clip = cinemagraph(sample_image(), (0, 0, 0.5, 0.5), "tiny", **kwargs)
    >>> request = clip.recipe["request"]
    >>> again = redo_cinemagraph(request, load("tiny"), list(clip.inputs), [], progress=False)
    >>> bool((again.frames == clip.frames).all())
    True
    """
    picture, white = pictures
    values = (settings_in(request), request["seed"], request["feather"], fitting_in(request))
    return _made(pipeline, picture, white.convert("L"), *values, [], progress, None)


def _made(
    pipeline: Any,
    picture: "Image.Image",
    white: "Image.Image",
    settings: Settings,
    seed: int,
    feather: int,
    fitting: Mapping[str, Any],
    steps: list[dict[str, Any]],
    progress: bool,
    on_step: OnStep | None,
) -> Clip:
    if white.size != picture.size:
        raise ValueError(f"The fitted mask is {white.size}, and the picture {picture.size}.")
    share = feathered(white, feather)
    held = _Held(pipeline, picture, share)
    around = {"_encode_vae_image": held.encoded, "prepare_latents": held.begun}
    steering = Steering(around, held.after_step)
    frames = run(pipeline, picture, settings, seed, progress, on_step, steering)
    still = np.asarray(picture)
    for frame in frames:  # one by one: in floats all at once would take four times the clip
        mixed = still + share[..., None] * (frame.astype(np.float32) - still)
        frame[:] = np.where(share[..., None] > 0, mixed.round(), still)
    mask = white.convert("RGB")
    step = {
        "request": request_of(pipeline, picture, settings, seed=seed, **fitting)
        | {"verb": "cinemagraph", "mask_sha256": sha256_of_frames(np.asarray(mask))}
        | {"feather": int(feather)},
        "outcome": outcome_of(pipeline, frames),
    }
    recipe = {"steps": [*steps, step]} if steps else step
    return Clip(frozen(frames), settings.fps, recipe, (picture, mask))


class _Held:
    """The still, held fast in the latents wherever nothing moves.

    After each step the latents there are the still's own with the noise of that step's level, as in
    "RePaint" (Lugmayr et al., 2022), so that what moves is drawn to fit what rests. The noise is
    the run's own: where nothing moves, the sampler takes it to the still on a straight line.
    """

    still: "torch.Tensor"
    noise: "torch.Tensor"
    moving: "torch.Tensor"

    def __init__(self, pipeline: Any, picture: "Image.Image", share: np.ndarray):
        self.pipeline, self.picture, self.share = pipeline, picture, share

    def encoded(self, encode: Callable[..., "torch.Tensor"], image: Any, **how: Any) -> Any:
        """Encode the picture without noise too, now that the VAE is ready to encode."""
        clean = self.pipeline.video_processor.preprocess(self.picture)
        latents = encode(clean, **how | {"do_classifier_free_guidance": False})
        self.still = latents.unsqueeze(1) * self.pipeline.vae.config.scaling_factor
        return encode(image, **how)

    def begun(self, prepare: Callable[..., "torch.Tensor"], *args: Any, **how: Any) -> Any:
        """Keep the noise that the run begins with, and see what of its latents will move."""
        import torch

        latents = prepare(*args, **how)
        self.noise = latents / self.pipeline.scheduler.init_noise_sigma
        self.still = self.still.to(latents).expand_as(latents)
        height, width = latents.shape[-2:]
        blocks = self.share.reshape(height, self.share.shape[0] // height, width, -1)
        self.moving = torch.from_numpy(blocks.max((1, 3)) > 0).to(latents.device)
        return latents

    def after_step(self, pipeline: Any, step: int, latents: "torch.Tensor") -> Any:
        """Put the still back, with as much noise as the next step expects."""
        import torch

        scheduler = pipeline.scheduler
        following = scheduler.timesteps[step + 1 : step + 2]
        still = self.still
        if len(following):
            still = scheduler.add_noise(still, self.noise, following)
        return torch.where(self.moving, latents, still.to(latents.dtype))


def _is_feather(value: Any) -> bool:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and 0 <= value <= MOST_FEATHER


def _is_sha(value: Any) -> bool:
    return isinstance(value, str) and bool(SHA.fullmatch(value))
