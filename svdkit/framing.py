"""Which frame a picture gets, and what of the picture that leaves."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .addresses import address_of, find
from .hub import cached_folder
from .images import ImageLike, check_fit, crop_box, fit, natural_frame, open_image
from .models import MODELS, Model, built_like
from .origins import origin_of
from .settings import Settings

if TYPE_CHECKING:
    from diffusers import StableVideoDiffusionPipeline
    from PIL import Image

NATIVE = (576, 1024)  # of a model that is built like none of MODELS: the defaults of diffusers
LEFT_OUT = 0.3  # how bright the part of a picture is shown that a crop leaves out
SHOWN_HEIGHT = 256
GAP = 8


def show_fit(
    image: ImageLike,
    model: "str | os.PathLike | StableVideoDiffusionPipeline" = "auto",
    *,
    how: str = "crop",
    focus: tuple[float, float] = (0.5, 0.5),
    height: int | None = None,
    width: int | None = None,
) -> "Image.Image":
    """Show what a model will see of a picture, before an expensive run.

    The whole picture stands on the left, dark where a crop leaves it out; the frame that the model
    gets stands on the right. The arguments are those of `animate`. Nothing is loaded for it.

    >>> from svdkit import sample_image
    >>> show_fit(sample_image(), "tiny", focus=(0.5, 0.2)).height
    256
    """
    from PIL import Image

    check_fit(how, focus)
    picture = open_image(image)
    frame = frame_for(picture.size, model, Settings(height=height, width=width))
    seen = fit(picture, *frame, how, focus)
    seen = seen.resize((max(1, round(seen.width * SHOWN_HEIGHT / seen.height)), SHOWN_HEIGHT))
    whole = picture
    if how == "crop":
        box = tuple(round(side) for side in crop_box(picture.size, *frame, focus))
        whole = picture.point(lambda value: int(value * LEFT_OUT))
        whole.paste(picture.crop(box), box[:2])
    whole.thumbnail((2 * seen.width, SHOWN_HEIGHT))
    sheet = Image.new("RGB", (whole.width + GAP + seen.width, SHOWN_HEIGHT), "white")
    sheet.paste(whole, (0, (SHOWN_HEIGHT - whole.height) // 2))
    sheet.paste(seen, (whole.width + GAP, 0))
    return sheet


def frame_for(
    size: tuple[int, int],
    model: "str | os.PathLike | StableVideoDiffusionPipeline",
    settings: Settings | None = None,
) -> tuple[int, int]:
    """Choose (height, width) for a picture of size (width, height), as the settings allow.

    A landscape, portrait or square frame, as suits the picture; where one side is given, the other
    follows in proportion.

    >>> frame_for((3000, 4000), "svd-xt"), frame_for((3000, 4000), "svd-xt", Settings(height=512))
    ((1024, 576), (512, 256))
    """
    settings = settings or Settings()
    row, unet, vae = architecture_of(model)
    step = sides_divide_by(unet, vae)
    native = (row.height, row.width) if row else NATIVE
    height, width = natural_frame(size, *native, multiple=step)
    if settings.height or settings.width:
        return in_proportion(settings, width / height, step)
    return height, width


def sides_divide_by(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
    """Say what sides divide by: each level of the VAE and the UNet but the first halves them.

    >>> [sides_divide_by(*architecture_of(model)[1:]) for model in ("svd-xt", "tiny")]
    [64, 8]
    """
    return 2 ** (len(vae["block_out_channels"]) + len(unet["down_block_types"]) - 2)


def in_proportion(settings: Settings, aspect: float, step: int) -> tuple[int, int]:
    """Give (height, width): the sides that are set, and one that is open as `aspect` has it.

    >>> in_proportion(Settings(width=1024), 16 / 9, step=64)
    (576, 1024)
    """
    height, width = settings.height, settings.width
    height = height or max(step, round(width / aspect / step) * step)
    width = width or max(step, round(height * aspect / step) * step)
    return height, width


def architecture_of(
    model: "str | os.PathLike | StableVideoDiffusionPipeline",
) -> tuple[Model | None, Mapping[str, Any], Mapping[str, Any]]:
    """Find the row of a model, and the configurations of its UNet and its VAE, without loading it.

    One that is in no row, such as a model of your own, gets the row that it is built like.

    >>> architecture_of("svd-xt")[1]["num_frames"]
    25
    """
    if not isinstance(model, (str, os.PathLike)):
        row = origin_of(model).model or built_like(model.unet.config)
        return row, model.unet.config, model.vae.config
    row, folder = find(model)
    if not row and not folder:
        folder = cached_folder(address_of(model))
    known = row or MODELS["svd-xt"]  # a checkpoint that is not here yet is built like SVD
    unet, vae = (_config(folder, part) or known.config_of(part) for part in ("unet", "vae"))
    return row or built_like(unet), unet, vae


def _config(folder: Path | None, part: str) -> dict[str, Any]:
    try:
        return json.loads((folder / part / "config.json").read_text("utf-8")) if folder else {}
    except (OSError, ValueError):  # loading it will say what is wrong
        return {}
