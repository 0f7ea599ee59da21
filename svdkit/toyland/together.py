"""Training in several processes at once, one to each GPU or core, as torchrun starts them:

    torchrun --nproc-per-node 2 -m svdkit.toyland.train svd --minutes 60 --resume

Each process learns from examples of its own; all take the same step, on the mean of what they
found. The first one keeps the time, the log and the checkpoints. Alone, a process does as ever.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable

import torch
from torch import distributed


def join(device: torch.device) -> None:
    """Meet the other processes, if torchrun started any.

    >>> join(torch.device("cpu"))
    """
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)


def _leave() -> None:
    """End the group before Python ends: its threads may still hold a tensor when the last step is
    done, and one that lets go of it later aborts the process.
    """
    if distributed.is_initialized():
        distributed.destroy_process_group()


def count() -> int:
    """How many processes train together.

    >>> count()
    1
    """
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is; the first one is 0.

    >>> rank()
    0
    """
    return distributed.get_rank() if distributed.is_initialized() else 0


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Give every process the mean of all their gradients.

    >>> average_gradients(torch.nn.Linear(1, 1).parameters())
    """
    if count() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= count()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def of_the_first(value: float, device: torch.device) -> float:
    """Give every process the first one's value: clocks differ, and all have to end together.

    >>> of_the_first(2.5, torch.device("cpu"))
    2.5
    """
    if count() == 1:
        return value
    told = torch.tensor([value], dtype=torch.float64, device=device)
    distributed.broadcast(told, 0)
    return float(told)
