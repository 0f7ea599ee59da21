"""What a clip will take, in a few words: by the plan of a card, and by the clip before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .plans import Plan, PlannedRow
from .settings import Settings


@dataclass(frozen=True)
class Pace:
    """What a clip took, from which follows about what another one will.

    >>> settings = Settings(64, 112, 14)
    >>> pace = Pace(settings, step_seconds=0.5, other_seconds=1.5)
    >>> pace.seconds_for(settings), pace.seconds_for(Settings(64, 112, 7, num_inference_steps=10))
    (14.0, 3.25)
    """

    settings: Settings
    """Resolved ones."""
    step_seconds: float
    """Each denoising step."""
    other_seconds: float
    """Encoding, decoding and the rest."""

    def seconds_for(self, settings: Settings) -> float | None:
        """Tell about how long other settings will take; None where the quality is another one."""
        if settings.quality != self.settings.quality:
            return None
        pixels = _pixels(settings) / _pixels(self.settings)
        passes = _passes(settings) / _passes(self.settings)
        steps = self.step_seconds * settings.num_inference_steps * passes
        return (steps + self.other_seconds) * pixels


def verdict(plan: Plan, preset: str, seconds: float | None = None) -> str:
    """Say whether a clip fits a card with a preset, what it needs, and how long it will take.

    `seconds` is what is known better than by the plan.

    >>> from svdkit.planning import plan
    >>> print(verdict(plan("svd-xt", gpu="T4"), "auto", 130))
    Fits: all_on_gpu needs 12.5 of the 14.7 GiB of the T4; about 2 min.
    """
    row = _row(plan, preset)
    need = f"{row.preset} needs {row.needs_gib:.1f} of the {plan.gpu.usable_gib:.1f} GiB"
    time = f"; {_time(row, seconds)}" if row.fits else ""
    if row.fits:
        return f"Fits: {need} of the {plan.gpu.name}{time}."
    best = plan.best
    cure = f"{best.preset} fits." if best else "Take fewer frames, or another model."
    return f"Too large: {need} of the {plan.gpu.name}. {cure}"


def labels(plan: Plan, presets: Mapping[str, Any]) -> dict[str, str]:
    """Give each preset's label in a menu, with what it needs.

    >>> from svdkit.planning import plan
    >>> labels(plan("svd-xt", gpu="T4"), ["auto", "offload_layers"])
    {'auto': 'auto: all_on_gpu', 'offload_layers': 'offload_layers: 2.4 GiB, ≥ 3.1 min'}
    """
    told = {}
    for name in presets:
        row = _row(plan, name)
        told[name] = f"auto: {row.preset}"
        if name != "auto":
            told[name] = f"{name}: {row.needs_gib:.1f} GiB, {row.time if row.fits else 'too large'}"
    return told


def time_in_words(seconds: float) -> str:
    """Say how long something takes, roughly.

    >>> time_in_words(3.4), time_in_words(130)
    ('3 s', '2 min')
    """
    for limit, unit, name in ((1, 1, "s"), (90, 1, "s"), (5400, 60, "min")):
        if seconds < limit:
            return f"{max(1, round(seconds / unit))} {name}"
    return f"{seconds / 3600:.1f} h"


def _row(plan: Plan, preset: str) -> PlannedRow:
    wanted = plan.auto if preset == "auto" else preset
    return next(row for row in plan.rows if row.preset == wanted)


def _time(row: PlannedRow, seconds: float | None) -> str:
    if seconds is not None:
        return f"about {time_in_words(seconds)}"
    return "how long is not known" if row.seconds is None else f"it takes {row.time}"


def _pixels(settings: Settings) -> int:
    return settings.num_frames * settings.height * settings.width


def _passes(settings: Settings) -> int:
    return 2 if settings.max_guidance_scale > 1 else 1
