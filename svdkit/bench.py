"""Stock against lean on this machine: both make the same clips, by turns, by the stopwatch.

There is no function `bench`: in Python it is `svdkit.bench.measure`, and `svdkit bench` in a shell.
"""

import os
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__, lean
from .animation import check_request, resolved
from .comparisons import Comparison
from .devices import pick_device
from .figures import Figures
from .images import fit, sample_image
from .limits import Limit
from .memory import ARITHMETICS, PRESETS, Preset
from .origins import origin_of
from .pipelines import load_for
from .progress import Bar
from .room import NotEnoughMemory, is_out_of_memory
from .rungs import free_memory
from .stopwatch import TimedRun, timed_run

if TYPE_CHECKING:
    import torch

STEPS = 3  # of a run that is not a whole clip: the first, and two like all the others
REPEATS = Limit(1, 1000, int, "3 is usual.")
SEED = 0  # of all clips


def measure(
    model: str | os.PathLike | None = None,
    *,
    memory: str = "auto",
    device: "str | torch.device | None" = None,
    dtype: "str | torch.dtype | None" = None,
    weights: str | None = None,
    repeats: int = 3,
    clip: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Comparison:
    """Measure what a clip takes in stock and in lean arithmetic, stage by stage.

    Without a model it is svd-xt with random weights on a CUDA GPU, and tiny elsewhere. `settings`
    are those of `animate`. A run goes through all stages with a few steps only; with `clip=True`
    it is a whole clip.

    >>> measured = measure("tiny", device="cpu", repeats=1, num_frames=2, progress=False)
    >>> [figures.arithmetic for figures in measured.figures]
    ['stock', 'lean']
    """
    repeats = REPEATS.checked("repeats", repeats)
    check_request(settings, seed=SEED, verb=measure)
    device = pick_device(device, memory)
    if model is None:
        on_gpu = device.startswith("cuda")
        model, weights = ("svd-xt", "random") if on_gpu else ("tiny", weights)
    chosen = {"memory": memory, "device": device, "dtype": dtype, "weights": weights}
    pipeline = load_for("animate", model, **chosen, progress=progress)
    origin = origin_of(pipeline)
    chosen["memory"] = origin.preset.name  # "auto" may choose another one for stock
    dtype = str(pipeline.unet.dtype).removeprefix("torch.")
    bench = _Bench(model, chosen, origin.preset, settings, clip, progress)
    bench.settings["lean"] = resolved(settings, pipeline, sample_image().size)
    del pipeline  # the RAM may not hold two at once
    turns = list(bench.turns(repeats))
    try:
        with Bar(total=len(turns), desc="measuring", unit="run", disable=not progress) as bar:
            for first, arithmetic in turns:
                bar.stage(arithmetic)
                bench.take(arithmetic, first=first)
                bar.update()
    finally:
        if bench.in_turn:
            bench.pipeline_in("lean")  # as load promises it
    about = {
        **circumstances(device),
        "model": origin.name,
        "weights": origin.source,
        "preset": origin.preset.name,
        "dtype": dtype,
        "repeats": repeats,
        "in_turn": bench.in_turn,
    }
    about["command"] = _command(about, bench.settings["lean"], clip)
    return Comparison(about, tuple(bench.figures()))


class _Bench:
    """The runs of a bench."""

    def __init__(
        self,
        model: Any,
        chosen: Mapping[str, Any],
        preset: Preset,
        values: Mapping,
        clip: bool,
        progress: bool,
    ):
        self.model, self.chosen, self.preset = model, chosen, preset
        self.values, self.clip, self.progress = values, clip, progress
        # offloading's hooks keep the methods that they find: there, each has a pipeline of its own
        self.in_turn = preset.keeps in ("all", "none")
        self.runs: dict[str, list[TimedRun]] = {name: [] for name in ("stock", "lean")}
        self.settings: dict[str, Any] = {}
        self.why: dict[str, str] = {}

    def turns(self, repeats: int) -> Iterator[tuple[bool, str]]:
        """Give (whether it is the first, arithmetic) of each run, in order."""
        if self.in_turn:  # so that heat, and whatever else the machine does, is the same for both
            yield from ((turn == 0, name) for turn in range(1 + repeats) for name in self.runs)
        else:  # lean is loaded already
            yield from ((turn == 0, name) for name in ARITHMETICS for turn in range(1 + repeats))

    def take(self, arithmetic: str, *, first: bool) -> None:
        """Run once, unless it did not fit before."""
        if arithmetic == "stock" and self.preset.stock is None:
            self.why["stock"] = f"memory={self.preset.name!r} is for lean arithmetic alone."
        if arithmetic in self.why:
            return
        if first:
            free_memory()
        try:
            self.runs[arithmetic].append(self._run(arithmetic))
        except (RuntimeError, MemoryError) as error:
            if not isinstance(error, NotEnoughMemory) and not is_out_of_memory(error):
                raise
            self.why[arithmetic] = str(error).splitlines()[0]
            self.runs[arithmetic] = []
        if arithmetic in self.why:
            free_memory()  # only here, after the error, nothing holds the tensors any more

    def pipeline_in(self, arithmetic: str) -> Any:
        """Load the pipeline that calculates in an arithmetic, or turn the one that is there."""
        loaded = "lean" if self.in_turn else arithmetic
        pipeline = load_for(
            "animate", self.model, arithmetic=loaded, **self.chosen, progress=self.progress
        )
        if self.in_turn and arithmetic == "stock":
            lean.restore(pipeline)
        elif self.in_turn:
            lean.apply(pipeline)
            lean.set_knobs(pipeline, self.preset.knobs)
        return pipeline

    def figures(self) -> Iterator[Figures]:
        """Give what was measured of each arithmetic."""
        for name, runs in self.runs.items():
            settings = self.settings.get(name, self.settings["lean"])
            yield Figures(name, settings, tuple(runs), self.why.get(name, ""))

    def _run(self, arithmetic: str) -> TimedRun:
        pipeline, picture = self.pipeline_in(arithmetic), sample_image()
        settings = resolved(self.values, pipeline, picture.size)
        self.settings[arithmetic] = settings
        before = self.runs[arithmetic][-1:]
        chunk = before[0].decode_chunk_size if before else settings.decode_chunk_size
        steps = settings.num_inference_steps if self.clip else STEPS
        return timed_run(
            pipeline,
            fit(picture, settings.height, settings.width),
            replace(settings, num_inference_steps=steps, decode_chunk_size=chunk),
            SEED,
            smaller_chunks=smaller_chunks(chunk) if arithmetic == "stock" else (),
        )


def smaller_chunks(chunk: int) -> list[int]:
    """List the frames at a time that stock presets decode where so many do not fit.

    >>> smaller_chunks(8)
    [4, 2]
    """
    rows = [preset.stock.decode_chunk_size for preset in PRESETS.values() if preset.stock]
    return [fewer for fewer in rows if fewer and fewer < chunk]


def circumstances(device: str) -> dict[str, Any]:
    """Tell on what, with what and when something was measured.

    >>> sorted(circumstances("cpu"))
    ['card', 'cpu', 'date', 'threads', 'versions']
    """
    import diffusers
    import torch

    on_gpu = device.startswith("cuda")
    return {
        "card": torch.cuda.get_device_name(device) if on_gpu else cpu_name(),
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "versions": {
            "svdkit": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
        },
        "date": datetime.now(UTC).date().isoformat(),
    }


def cpu_name() -> str:
    """Name the processor, as Linux tells it, or as Python does.

    >>> cpu_name() != ""
    True
    """
    try:
        told = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        told = None
    return told[1] if told else platform.processor() or platform.machine()


def _command(about: Mapping[str, Any], settings: Any, clip: bool) -> str:
    """Write down what measures this again."""
    words = ["svdkit bench", about["model"], f"--memory {about['preset']}"]
    words += ["--weights random"] if about["weights"] == "random" else []
    words += [f"--dtype {about['dtype']}", f"--frames {settings.num_frames}"]
    words += [f"--size {settings.height}x{settings.width}"]
    words += [f"--steps {settings.num_inference_steps}", f"--repeats {about['repeats']}"]
    return " ".join([*words, "--clip"] if clip else words)
