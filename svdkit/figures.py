"""The figures of clips that were made by the stopwatch: seconds and GPU memory, stage by stage."""

import statistics
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .settings import Settings
from .stopwatch import STAGES, Lap, TimedRun

DIGITS = 4  # of a second or a GiB; the clock tells no more


@dataclass(frozen=True)
class Figures:
    """What clips in one arithmetic took.

    >>> run = TimedRun((Lap("encode", 1.0), Lap("step", 2.0), Lap("decode", 4.0)), 14, None)
    >>> Figures("lean", Settings(num_inference_steps=10), (run, run)).seconds
    25.0
    """

    arithmetic: str
    settings: Settings
    """Those of a whole clip; the runs may have fewer steps."""
    runs: tuple[TimedRun, ...]
    """The first warmed up: it counts for memory, and not for time."""
    why: str = ""
    """Why there are no runs."""

    @cached_property
    def laps(self) -> dict[str, list[Lap]]:
        """The laps that count for time, by stage."""
        every = [lap for run in self.runs[1:] for lap in run.laps]
        by_stage = {name: [lap for lap in every if lap.stage == name] for name in STAGES}
        return {name: laps for name, laps in by_stage.items() if laps}

    @property
    def medians(self) -> dict[str, float]:
        """The median seconds of each stage."""
        return {
            name: statistics.median(lap.seconds for lap in laps) for name, laps in self.laps.items()
        }

    @property
    def is_whole(self) -> bool:
        """Whether the runs were whole clips."""
        steps = sum(lap.stage in ("first_step", "step") for lap in self.runs[-1].laps)
        return steps == self.settings.num_inference_steps

    @property
    def seconds(self) -> float:
        """The seconds of a clip with all its steps."""
        return statistics.median(map(self.seconds_of, self.runs[1:]))

    def seconds_of(self, run: TimedRun, stage: str | None = None) -> float:
        """Give the seconds of a stage of a run, or those of a clip with all its steps."""
        stages = {name: [lap.seconds for lap in run.laps if lap.stage == name] for name in STAGES}
        means = {name: statistics.mean(seconds) for name, seconds in stages.items() if seconds}
        if stage:
            return means[stage]
        if "step" not in means and "first_step" in means:  # a run of one step stands for all
            means["step"] = means.pop("first_step")
        often = {"step": self.settings.num_inference_steps - ("first_step" in means)}
        return sum(often.get(name, 1) * seconds for name, seconds in means.items())

    @property
    def peak_gib(self) -> float | None:
        """The peak of the GPU memory that tensors took; None where nothing counts it."""
        return max(filter(None, (lap.allocated_gib for lap in self.runs[0].laps)), default=None)

    def peaks_of(self, stage: str) -> tuple[float | None, float | None]:
        """Give the peaks of a stage: of what tensors took, and of what torch held."""
        laps = [lap for lap in self.runs[0].laps if lap.stage == stage]
        kinds = ([lap.allocated_gib for lap in laps], [lap.reserved_gib for lap in laps])
        return tuple(max(filter(None, gib), default=None) for gib in kinds)

    def row(self) -> dict[str, Any]:
        """Give what the row of JSON has of these figures."""
        settings, stages = self.settings, {}
        for name, laps in self.laps.items():
            allocated, reserved = self.peaks_of(name)
            stages[name] = {
                "median_seconds": rounded(self.medians[name]),
                "least_seconds": rounded(min(lap.seconds for lap in laps)),
                "times": len(laps),
                "peak_allocated_gib": rounded(allocated),
                "peak_reserved_gib": rounded(reserved),
            }
        held = [lap.reserved_gib for lap in self.runs[0].laps if lap.reserved_gib is not None]
        return {
            "arithmetic": self.arithmetic,
            "num_frames": settings.num_frames,
            "height": settings.height,
            "width": settings.width,
            "steps": settings.num_inference_steps,
            "guided": settings.max_guidance_scale > 1,
            "decode_chunk_size": self.runs[-1].decode_chunk_size,
            "peak_gib": rounded(self.peak_gib),
            "peak_reserved_gib": rounded(max(held, default=None)),
            "seconds": rounded(self.seconds),
            "seconds_are": "of whole clips" if self.is_whole else "the sum of the stages",
            "stages": stages,
        }


def rounded(number: float | None) -> float | None:
    """Round seconds or GiB to what can be known of them.

    >>> rounded(1.23456789), rounded(None)
    (1.2346, None)
    """
    return None if number is None else round(number, DIGITS)
