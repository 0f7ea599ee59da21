"""A pool of ready-made examples that is renewed as training goes.

Painting and encoding a clip costs about as much as learning from it once. So each is learned from
several times, with other noise, before it leaves the pool. What is in the pool depends on the
step's number alone: a resumed run finds what it left. Processes that train together share out the
series: no two of them make the same chunk.
"""

from __future__ import annotations

import collections
from collections.abc import Callable

import torch

from . import together

Examples = tuple[torch.Tensor, ...]


class Pool:
    """The newest `depth` chunks of an endless series of examples; `make(number)` makes a chunk, one
    more `every` so many steps of this process. Steps are those of all processes, in turn.

    >>> pool = Pool(lambda number: (torch.full((4,), number),), every=2, depth=3)
    >>> pool.draw(step=0, n=2, dice=torch.Generator())[0].tolist()
    [0, 0]
    """

    def __init__(self, make: Callable[[int], Examples], every: int, depth: int) -> None:
        self.make, self.every, self.depth = make, every, depth
        self.chunks: collections.deque[Examples] = collections.deque(maxlen=depth)
        self.next = 0

    def draw(self, step: int, n: int, dice: torch.Generator) -> Examples:
        """`n` random examples of those in the pool at this step; steps only go forward.

        >>> pool = Pool(lambda number: (torch.zeros(4, 2), torch.ones(4)), every=1, depth=1)
        >>> pool.draw(0, 3, torch.Generator())[0].shape
        torch.Size([3, 2])
        """
        self.newest(step)
        size = len(self.chunks[0][0])
        which = torch.randint(len(self.chunks) * size, (n,), generator=dice).tolist()
        return tuple(
            torch.stack([self.chunks[i // size][field][i % size] for i in which])
            for field in range(len(self.chunks[0]))
        )

    def newest(self, step: int) -> Examples:
        """The newest chunk at this step, after the pool was renewed.

        >>> Pool(lambda number: (torch.tensor([number]),), every=2, depth=2).newest(5)
        (tensor([2]),)
        """
        newest = step // together.count() // self.every
        for number in range(max(self.next, newest - self.depth + 1), newest + 1):
            self.chunks.append(self.make(number * together.count() + together.rank()))
        self.next = newest + 1
        return self.chunks[-1]
