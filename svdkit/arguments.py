"""The words of the command line, and what each may be."""

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import __version__
from .memory import PRESETS
from .models import MODELS
from .paths import as_path
from .qualities import QUALITIES
from .settings import GUIDANCE_SHAPES, LIMITS, Settings
from .video import ENCODERS

COMMANDS = ("demo", "animate", "sweep", "rerun", "doctor", "models", "plan", "bench")


def parser(commands: Mapping[str, Callable[[argparse.Namespace], int]]) -> argparse.ArgumentParser:
    """Make the parser; `commands` says which function each command runs.

    >>> parser({name: print for name in COMMANDS}).parse_args(["demo"]).seed
    7
    """
    top = argparse.ArgumentParser(prog="svdkit", description="A still image → a short clip.")
    top.add_argument("--version", action="version", version=f"svdkit {__version__}")
    added = top.add_subparsers(required=True, metavar="command")

    command = added.add_parser("demo", help="animate a sample picture; no GPU, no download")
    command.add_argument("-o", "--out", type=_path, default=Path("."), help="folder to write to")
    command.add_argument("--seed", type=int, default=7)
    command.set_defaults(run=commands["demo"])

    command = added.add_parser("animate", help="animate pictures, or folders of them")
    command.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a picture, a web address or a folder"
    )
    command.add_argument(
        "-o",
        "--out",
        type=_path,
        required=True,
        help=f"a file ending in {', '.join(ENCODERS)}; for several pictures a folder of mp4",
    )
    command.add_argument("--model", default="auto", help=f"auto, {', '.join(MODELS)}, …")
    command.add_argument("--memory", default="auto", help=f"auto, {', '.join(PRESETS)}")
    command.add_argument("--device", help="cuda, cuda:1, mps or cpu; by default the best there is")
    command.add_argument("--seed", type=int, help="drawn, and recorded, if not given")
    command.add_argument("--how", default="crop", help="crop, pad or stretch to the frame")
    command.add_argument(
        "--focus",
        type=_point,
        default=(0.5, 0.5),
        metavar="X,Y",
        help="what a crop keeps in view, as fractions",
    )
    command.add_argument("--guidance", default="linear", choices=GUIDANCE_SHAPES)
    command.add_argument("--quality", default="exact", choices=QUALITIES)
    command.add_argument("--overwrite", action="store_true", help="replace files of others too")
    _add_settings(command, lambda kind: {"type": kind, "metavar": kind.__name__.upper()})
    command.set_defaults(run=commands["animate"])

    command = added.add_parser(
        "sweep", help="make a clip of every combination of settings, or go on with it"
    )
    command.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a picture, a web address or a folder"
    )
    command.add_argument("-o", "--out", type=_path, required=True, help="the folder of the sweep")
    command.add_argument("--model", default="auto", help=f"auto, {', '.join(MODELS)}, …")
    command.add_argument("--seed", type=_several(int), metavar="INT,…", help="one seed, or several")
    command.add_argument(
        "--metrics", type=_several(str), default=["motion", "flicker"], metavar="NAME,…"
    )
    for name, known in (("guidance", GUIDANCE_SHAPES), ("quality", QUALITIES)):
        told = f"one of {', '.join(known)}, or several"
        command.add_argument(f"--{name}", type=_several(str), metavar="NAME,…", help=told)
    command.add_argument("--memory", default="auto", help=f"auto, {', '.join(PRESETS)}")
    command.add_argument("--device", help="cuda, cuda:1, mps or cpu; by default the best there is")
    where = command.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, metavar="N", help="so many processes of this machine")
    where.add_argument("--scheduler", metavar="ADDRESS", help="Dask's, like tcp://127.0.0.1:8786")
    _add_settings(command, lambda kind: {"type": _several(kind), "metavar": "VALUE,…"})
    command.set_defaults(run=commands["sweep"])

    command = added.add_parser("rerun", help="make a saved clip again, and say if it is the same")
    command.add_argument("clip", type=_path, metavar="CLIP", help="a video, or a folder of frames")
    command.add_argument("--image", help="its picture, where that is not beside it")
    command.add_argument(
        "--model",
        action="append",
        help="a model, where the recipe does not name one of svdkit's; once for each",
    )
    command.add_argument("-o", "--out", type=_path, help="where to save what comes out")
    command.add_argument("--overwrite", action="store_true", help="replace files of others too")
    command.set_defaults(run=commands["rerun"])

    command = added.add_parser("doctor", help="say what is right and wrong with this machine")
    command.set_defaults(run=commands["doctor"])

    command = added.add_parser("plan", help="say what fits which GPU, and how fast; no download")
    command.add_argument("model", nargs="?", default="svd-xt", metavar="MODEL")
    command.add_argument("--gpu", help="T4, 'RTX 4090', '8 GB', …; by default the one that is here")
    command.add_argument("--frames", type=int, dest="num_frames", metavar="N")
    command.add_argument("--size", type=_size, default=(None, None), metavar="HEIGHTxWIDTH")
    command.add_argument("--steps", type=int, dest="num_inference_steps", metavar="N")
    command.add_argument("--arithmetic", default="lean", help="lean or stock")
    command.set_defaults(run=commands["plan"])

    command = added.add_parser(
        "bench", help="measure stock against lean: how fast this machine is, and what it takes"
    )
    command.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help=f"{', '.join(MODELS)}, …; by default svd-xt with random weights, or tiny on a CPU",
    )
    command.add_argument("--memory", default="auto", help=f"auto, {', '.join(PRESETS)}")
    command.add_argument("--device", help="cuda, cuda:1, mps or cpu; by default the best there is")
    command.add_argument("--dtype", help="float16, bfloat16 or float32; by default the device's")
    command.add_argument("--weights", choices=["random"], help="random ones need no download")
    command.add_argument(
        "--steps", type=int, dest="num_inference_steps", metavar="N", help="of the whole clip"
    )
    command.add_argument("--frames", type=int, dest="num_frames", metavar="N")
    command.add_argument(
        "--size", type=_size, default=(None, None), metavar="HEIGHTxWIDTH", help="like 576x1024"
    )
    command.add_argument("--repeats", type=int, default=3, metavar="N", help="timed runs of each")
    command.add_argument("--clip", action="store_true", help="time whole clips, with all steps")
    command.add_argument("-o", "--out", type=_path, help="a JSON file to write the figures to")
    command.add_argument("--overwrite", action="store_true", help="replace files of others too")
    command.set_defaults(run=commands["bench"])

    command = added.add_parser("models", help="list the models, and what one may do with them")
    command.set_defaults(run=commands["models"])
    return top


def _add_settings(command: argparse.ArgumentParser, how: Callable[[type], dict[str, Any]]) -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(Settings)}
    for name, limit in LIMITS.items():
        default = "from the model" if defaults[name] is None else f"{defaults[name]:g}"
        told = f"{limit.low:g}–{limit.high:g}; default {default}"
        command.add_argument(f"--{name.replace('_', '-')}", help=told, **how(limit.kind))


def _several(kind: type) -> Callable[[str], list[Any]]:
    def values(text: str) -> list[Any]:
        try:
            return [kind(part) for part in text.split(",")]
        except ValueError as error:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no list; give values with commas between them, like 6,12"
            ) from error

    return values


def _path(text: str) -> Path:
    try:
        return as_path(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = map(int, text.replace("×", "x").split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size; give HEIGHTxWIDTH like 576x1024"
        ) from error
    return height, width


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = map(float, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no point; give X,Y like 0.5,0.2") from error
    return x, y
