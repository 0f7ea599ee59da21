"""How long to train, how fast, and on what."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Plan:
    """How long to train, over all sittings, and how fast: until `minutes` or `steps` are reached,
    whichever comes first.

    >>> Plan(steps=1000).rate(step=500, seconds=0)
    0.0005
    """

    minutes: float | None = None
    steps: int | None = None
    peak_rate: float = 5e-4
    warm_up: int = 100  # steps
    cool_down: float = 0.4  # the last share of the run, in which the rate falls to nothing
    average_over: int = 1000  # steps that the moving average of the weights looks back
    sitting: float | None = None  # minutes after which to pause, to be resumed later
    save_every: float = 120.0  # seconds
    draw_every: float | None = 300.0  # seconds or more, and at the end; None: never

    def __post_init__(self) -> None:
        if self.minutes is None and self.steps is None:
            raise ValueError(
                "neither minutes nor steps is given; a run needs an end. Try --minutes 30."
            )
        for name in ("minutes", "steps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}; a run takes more than 0. Try --minutes 30.")
        if not 0 <= self.cool_down <= 1 or self.warm_up < 0:
            raise ValueError(
                f"cool_down is {self.cool_down} and warm_up {self.warm_up}; the one is a share of "
                "the run, from 0 to 1, the other a number of steps, 0 or more; 0 is none."
            )

    def done(self, step: int, seconds: float) -> float:
        """The share of the run that lies behind: 1 at its end.

        >>> Plan(minutes=1).done(step=0, seconds=15)
        0.25
        """
        shares = [step / self.steps] if self.steps else []
        shares += [seconds / (60 * self.minutes)] if self.minutes else []
        return max(shares, default=1.0)

    def rate(self, step: int, seconds: float, first_step: int = 0) -> float:
        """The learning rate: a ramp up from `first_step`, a plateau, and a straight way down.

        >>> Plan(steps=1000).rate(step=900, seconds=0) < Plan(steps=1000).rate(step=500, seconds=0)
        True
        """
        left = (1 - self.done(step, seconds)) / (self.cool_down or 1e-9)
        risen = (step - first_step + 1) / (self.warm_up or 1)
        return self.peak_rate * min(1.0, risen, max(left, 0.01))


def device_and_precision() -> tuple[torch.device, torch.dtype | None]:
    """The best device here, and the type for mixed precision on it (None: train in fp32
    throughout).

    >>> device_and_precision()[0].type in {"cpu", "cuda", "mps"}
    True
    """
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        # A T4 emulates bf16, slowly; it would need fp16 and a loss scale, which these small models
        # are not worth.
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))  # of torchrun
        return device, torch.bfloat16 if torch.cuda.is_bf16_supported(
            including_emulation=False
        ) else None
    if torch.backends.mps.is_available():
        return torch.device("mps"), None
    fast = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()  # new in torch 2.5
    return torch.device("cpu"), torch.bfloat16 if fast else None
