"""What more training would bring: as much again, at best, as the last doubling of the steps has
brought; or, of a model that was taken up and trained on, as the steps since then have brought.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

LEAST = 20  # lines of the log about each half
# Each line's loss is smoothed over some before it: so many of them tell as much as one that is not.
SMOOTHED = 9
TRIED = 32  # steps at most on which two states of a network are compared


def logged(path: Path) -> list[dict]:
    """The lines of a log; one that was cut, as by a full disk, is left out.

    >>> logged(Path("nowhere"))
    []
    """
    lines = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            lines.append(json.loads(line))
    return lines


def last_doubling(lines: list[dict]) -> dict[str, float]:
    """The mean loss over the last quarter of a log's steps, over the steps half as far, and how far
    their difference can be trusted (one standard error); nothing where the lines are too few.

    Lines of the warm-up and of the cool-down are left out: there the loss follows the rate.

    >>> fell = [{"step": n, "rate": 1e-3, "loss": 4 * n**-0.5} for n in range(100, 4000, 25)]
    >>> {name: round(loss, 3) for name, loss in last_doubling(fell).items()}
    {'loss_at_half_the_steps': 0.096, 'loss_by_now': 0.068, 'give_or_take': 0.003}
    """
    told = [line for line in lines if math.isfinite(line.get("loss", math.nan)) and "rate" in line]
    peak = max((line["rate"] for line in told), default=0.0)
    even = np.array([(line["step"], line["loss"]) for line in told if line["rate"] == peak])
    if not len(even):
        return {}
    steps, losses = even.T
    last = steps[-1]
    parts = [losses[(steps > part * 0.75 * last) & (steps <= part * last)] for part in (0.5, 1.0)]
    if min(len(part) for part in parts) < LEAST:
        return {}
    spread = math.sqrt(sum(float(part.var()) * SMOOTHED / len(part) for part in parts))
    half, now = (float(part.mean()) for part in parts)
    return {"loss_at_half_the_steps": half, "loss_by_now": now, "give_or_take": spread}


@torch.no_grad()
def since_taken_up(
    networks: torch.nn.Module, before: dict, now: dict, losses: Iterable[Callable[[], float]]
) -> dict[str, float]:
    """The mean loss with the weights of `before` and with those of `now`, and how far their
    difference can be trusted (one standard error); nothing where there are fewer than two losses.

    Both are asked the same: the same clips through the same noise. The networks stay as they are.

    >>> one = torch.nn.Linear(1, 1, bias=False)
    >>> before, now = {"weight": torch.ones(1, 1)}, {"weight": torch.zeros(1, 1)}
    >>> since_taken_up(one, before, now, 2 * [lambda: 2 + float(one.weight)])
    {'loss_as_taken_up': 3.0, 'loss_by_now': 2.0, 'give_or_take': 0.0}
    """
    kept = {name: weight.clone() for name, weight in networks.state_dict().items()}
    pairs = []
    try:
        for loss in losses:
            pair = []
            for weights in (before, now):
                networks.load_state_dict(weights)
                pair.append(loss())
            pairs.append(pair)
    finally:  # also when interrupted
        networks.load_state_dict(kept)
    if len(pairs) < 2:
        return {}
    old, new = np.array(pairs).T
    spread = float((old - new).std(ddof=1)) / math.sqrt(len(pairs))
    means = {"loss_as_taken_up": float(old.mean()), "loss_by_now": float(new.mean())}
    return means | {"give_or_take": spread}
