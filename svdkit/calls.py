"""An animation written down as the call that makes it."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .images import FITTING
from .layouts import plain
from .models import find_model
from .paths import shown
from .settings import Settings

LONGEST_LINE = 88  # letters of code


def call_of(
    values: Mapping[str, Any],
    model: str | os.PathLike,
    *,
    picture: str = "picture",
    mask: str | None = None,
    pipeline: str = "",
) -> str:
    """Write down the call that animates a picture with such values, or moves what a mask holds.

    `values` are settings, how the picture is fitted, and the seed. Only what departs from the
    model's own settings is told, and always the seed. `picture` and `mask` are code, and so is
    `pipeline`, for a model whose name alone does not load it again.

    >>> print(call_of({"seed": 7, "fps": 7, "motion_bucket_id": 180}, "tiny"))
    sk.animate(picture, "tiny", motion_bucket_id=180, seed=7)
    >>> print(call_of({"seed": 7}, "tiny", picture='"kite.jpg"', mask="(0, 0, 0.5, 0.5)"))
    sk.cinemagraph("kite.jpg", (0, 0, 0.5, 0.5), "tiny", seed=7)
    """
    row = find_model(model) if isinstance(model, str) else None
    usual = asdict(Settings.of({}, row.defaults if row else {}))
    usual |= FITTING
    if row:
        usual |= {"height": row.height, "width": row.width, "num_frames": row.num_frames}
    values = {name: plain(value) for name, value in values.items()}
    if values.get("decode_chunk_size") == values.get("num_frames"):
        values.pop("decode_chunk_size", None)  # all at once, as is usual
    if values.get("quality", usual["quality"]) != usual["quality"]:
        values.pop("num_inference_steps", None)  # which the quality brings
    given = {name: values[name] for name in usual if values.get(name) is not None}
    told = {name: value for name, value in given.items() if value != usual[name]}
    told |= {"seed": values.get("seed")}
    arguments = [picture, *([mask] if mask else [])]
    arguments += [pipeline or written(shown(os.fspath(model)))]
    arguments += [f"{name}={written(value)}" for name, value in told.items()]
    verb = "sk.cinemagraph" if mask else "sk.animate"
    call = f"{verb}({', '.join(arguments)})"
    if len(call) > LONGEST_LINE:
        call = "".join([f"{verb}(\n", *(f"    {one},\n" for one in arguments), ")"])
    return call


def written(value: Any) -> str:
    """Write a value as code.

    >>> written("kite"), written((0.5, 0.2))
    ('"kite"', '(0.5, 0.2)')
    """
    is_plain = isinstance(value, str) and value.isprintable()
    # signs that turn the reading round, or end a line for some editors, are for repr to spell out
    return json.dumps(value, ensure_ascii=False) if is_plain else repr(value)
