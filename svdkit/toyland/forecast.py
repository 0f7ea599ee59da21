"""What more training would bring, judged by how the loss of a run fell: a line through logarithms
of steps and losses, drawn on ("Scaling Laws for Neural Language Models", Kaplan et al., 2020).
"""

from __future__ import annotations

import numpy as np

FARTHER = (2, 10)  # times the steps
BINS = 12  # a single step's loss says little: its noise levels were thrown by dice
LEAST = 3 * BINS  # lines of the log


def foreseen(lines: list[dict]) -> dict[str, float]:
    """The losses to expect at several times the steps of a run, from the lines of its log; none
    where these do not tell, as they are too few or their losses too scattered.

    Lines of the warm-up and of the cool-down are left out: there the loss follows the rate.

    >>> fell = [{"step": n, "rate": 1e-3, "loss": 4 * n**-0.5} for n in range(100, 1700, 25)]
    >>> {name: round(loss, 3) for name, loss in foreseen(fell).items()}
    {'loss_by_now': 0.097, 'loss_at_2_times_the_steps': 0.068, 'loss_at_10_times_the_steps': 0.03}
    """
    told = [line for line in lines if {"step", "loss", "rate"} <= line.keys()]
    peak = max((line["rate"] for line in told), default=0.0)
    even = [(line["step"], line["loss"]) for line in told if line["rate"] == peak]
    if len(even) < LEAST:
        return {}
    bins = [np.mean(part, axis=0) for part in np.array_split(np.array(even), BINS)]
    steps, losses = np.log(np.array(bins)).T
    (slope, level), spread = np.polyfit(steps, losses, 1, cov=True)
    if slope > -2 * float(spread[0, 0]) ** 0.5:  # it may as well not have fallen
        return {}

    def at(times: float) -> float:
        return float(np.exp(level + slope * np.log(even[-1][0] * times)))

    later = {f"loss_at_{times}_times_the_steps": at(times) for times in FARTHER}
    return {"loss_by_now": at(1)} | later
