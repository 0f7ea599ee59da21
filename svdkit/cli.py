"""svdkit demo | animate | sweep | rerun | models | plan | bench | doctor: a thin door."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .albums import pictures_in
from .arguments import parser
from .demonstration import demo
from .layouts import in_words, named, varying
from .models import MODELS
from .paths import as_path, shown, visible
from .prompts import PROMPT_MODELS
from .settings import LIMITS, Settings
from .storage import Bundle
from .tables import checked_measures
from .video import ENCODERS, check_format
from .web import is_address, shown_address


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives its exit code.

    >>> main(["models"])
    name ...
    0
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a console that has no × shows ?, and goes on
            stream.reconfigure(errors="replace")
    options = parser(COMMANDS).parse_args(arguments)
    try:
        return options.run(options)
    except BrokenPipeError:  # as with: svdkit models | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError, TypeError, RuntimeError, FloatingPointError) as error:
        print(f"svdkit: {visible(shown(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("svdkit: stopped; the clips saved so far are whole.", file=sys.stderr)
        return 130


def animate_pictures(options: argparse.Namespace) -> int:
    """Animate pictures, and folders of them; one that fails does not stop the others."""
    from . import animate
    from .animation import check_request
    from .pipelines import load_for

    settings = {name: getattr(options, name) for name in LIMITS}
    settings |= {"guidance": options.guidance, "quality": options.quality}
    # what is wrong is told now, and not after a download or ten minutes of work
    check_request(settings, seed=options.seed, how=options.how, focus=options.focus)
    pictures = _pictures(options.images)
    targets = _targets(pictures, options.out)
    for target in targets:
        check_format(target.suffix.lower(), settings["fps"] or Settings.fps)
        Bundle(target).check_free(overwrite=options.overwrite)
    pipeline = load_for("animate", options.model, memory=options.memory, device=options.device)
    failed = 0
    for picture, target in zip(pictures, targets, strict=True):
        try:
            clip = animate(
                picture,
                pipeline,
                seed=options.seed,
                how=options.how,
                focus=options.focus,
                **settings,
            )
            saved = clip.save(target, overwrite=options.overwrite)
            print(f"{_name(picture)} → {_name(saved)}  {clip!r}")
        except (OSError, ValueError, RuntimeError, FloatingPointError) as error:
            failed += 1
            print(f"svdkit: {_name(picture)}: {visible(shown(error))}", file=sys.stderr)
    if failed and len(pictures) > 1:
        print(f"svdkit: {failed} of {len(pictures)} pictures failed.", file=sys.stderr)
    return 1 if failed else 0


def sweep_pictures(options: argparse.Namespace) -> int:
    """Make a clip of every combination of settings, or go on with it; a page shows them all."""
    from . import Sweep, grid, sweep
    from .pipelines import load_for

    axes = {name: getattr(options, name) for name in (*LIMITS, "guidance", "quality", "seed")}
    # what is wrong is told now, and not after a download
    cells = grid(**{name: values for name, values in axes.items() if values is not None})
    pictures, metrics = _pictures(options.images), checked_measures(options.metrics)
    with _executor(options) as executor:
        pipeline = options.model
        if executor is None:
            pipeline = load_for(
                "animate", options.model, memory=options.memory, device=options.device
            )
        elif options.memory != "auto" or options.device:
            raise ValueError("--memory and --device are of this process; workers choose their own.")
        runs = sweep(pictures, pipeline, cells, options.out, executor=executor, metrics=metrics)
    axes = varying([cell.values for cell in runs])
    for cell in runs:
        asked = " · ".join(named(axis, cell.values[axis]) for axis in axes)
        told = " · ".join(filter(None, [asked, in_words(cell.metrics)]))
        print(f"{_name(cell.path)}  {_in_one_line(told)}")
    everything = Sweep.open(runs.folder)
    print(f"All at a glance: {_name(everything.save(runs.folder / 'sweep.html'))}")
    return 1 if runs.failures else 0


@contextmanager
def _executor(options: argparse.Namespace) -> Iterator[Any]:
    """Start what --workers or --scheduler ask for, and end it afterwards."""
    if options.workers is not None:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        if options.workers < 1:
            raise ValueError(f"--workers is {options.workers}; one at least is needed.")
        with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
            yield pool
    elif options.scheduler:
        try:
            from dask.distributed import Client
        except ImportError as error:
            raise RuntimeError(
                "--scheduler needs Dask: pip install 'svdkit[cluster]', or dask[distributed]."
            ) from error
        with Client(options.scheduler) as client:
            yield client.get_executor()
    else:
        yield None


def rerun_clip(options: argparse.Namespace) -> int:
    """Make a saved clip again; the exit code is 0 where it is identical."""
    from . import rerun

    if options.out:
        if options.out.suffix:
            check_format(options.out.suffix.lower(), Settings.fps)
        Bundle(options.out).check_free(overwrite=options.overwrite)
    again = rerun(options.clip, image=options.image, pipeline=options.model)
    print(f"{_name(options.clip)}: {again.verdict}")
    if again.clip and options.out:
        print(f"→ {_name(again.clip.save(options.out, overwrite=options.overwrite))}")
    return 0 if again.identical else 1


def examine(options: argparse.Namespace) -> int:
    """Say what is right and what is wrong with this machine."""
    from . import doctor

    report = doctor()
    print(report)
    return 0 if report.ok else 1


def plan_clip(options: argparse.Namespace) -> int:
    """Say what fits a GPU and how long it takes; the exit code is 1 where nothing fits."""
    from . import plan

    height, width = options.size
    names = ("gpu", "num_frames", "num_inference_steps", "arithmetic")
    chosen = {name: getattr(options, name) for name in names}
    planned = plan(options.model, **chosen, height=height, width=width)
    print(planned)
    return 0 if planned.best else 1


def compare_arithmetics(options: argparse.Namespace) -> int:
    """Measure stock against lean; what is measured on a GPU is kept for plans."""
    from .bench import measure
    from .comparisons import check_free

    if options.out:
        check_free(options.out, overwrite=options.overwrite)
    how = ("memory", "device", "dtype", "weights", "repeats", "clip", "num_inference_steps")
    chosen = {name: getattr(options, name) for name in (*how, "num_frames")}
    height, width = options.size
    measured = measure(options.model, **chosen, height=height, width=width)
    print(measured)
    if options.out:
        print(f"→ {shown(measured.save(options.out, overwrite=options.overwrite))}")
    if measured.on_gpu:
        print(f"Kept for svdkit plan: {shown(measured.keep())}")
    return 0 if measured.rows else 1


def list_models(options: argparse.Namespace) -> int:
    """Print the table of models."""
    rows = [("name", "frames", "size", "licence", "lives at", "notes")]
    every = (*MODELS.values(), *PROMPT_MODELS.values())
    for model in every:
        gate = " (gated)" if model.gated else ""
        size = f"{model.height}×{model.width}"
        where = f"{model.repo or 'svdkit'}{gate}"
        rows.append(
            (model.name, str(model.num_frames), size, model.licence.name, where, model.notes)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for *cells, notes in rows:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        print("  ".join([*padded, notes]))
    print()
    for licence in dict.fromkeys(model.licence for model in every):
        print(f"{licence}\n")
    return 0


def _pictures(images: list[str]) -> list[str | Path]:
    """List the pictures named, those in folders by name; web addresses stay what they are."""
    found: list[str | Path] = [image for image in images if is_address(image)]
    for image in (as_path(image) for image in images if not is_address(image)):
        if not image.is_dir():
            if not image.exists():
                raise FileNotFoundError(
                    f"{shown(image)!r} is not there; name a picture or a folder."
                )
            found.append(image)
            continue
        found += pictures_in(image)
    return found


def _name(picture: str | Path) -> str:
    """Call a picture or a clip by a line, whatever signs are in its name."""
    return _in_one_line(shown_address(picture) if isinstance(picture, str) else shown(picture))


def _in_one_line(text: str) -> str:
    return visible(text).replace("\n", "\\n")


def _targets(pictures: list[str | Path], out: Path) -> list[Path]:
    """Choose where each clip goes: the file named, or a file of its own in the folder named."""
    if out.suffix.lower() in ENCODERS:
        if len(pictures) > 1:
            raise ValueError(
                f"{shown(out)!r} is one file, and there are {len(pictures)} pictures; give a "
                "folder."
            )
        return [out]
    if out.suffix and not out.is_dir():
        raise ValueError(f"{shown(out)!r} ends in none of {', '.join(ENCODERS)}, and is no folder.")
    names = [urlsplit(p).path if isinstance(p, str) else p for p in pictures]
    targets = [out / f"{Path(name).stem or 'clip'}.mp4" for name in names]
    same = sorted({str(target) for target in targets if targets.count(target) > 1})
    if same:
        raise ValueError(f"Several pictures would become {same[0]!r}; rename one of them.")
    return targets


COMMANDS = {
    "demo": demo,
    "animate": animate_pictures,
    "sweep": sweep_pictures,
    "rerun": rerun_clip,
    "doctor": examine,
    "models": list_models,
    "plan": plan_clip,
    "bench": compare_arithmetics,
}
