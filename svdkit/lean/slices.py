"""Slices that bound the working memory."""

from collections.abc import Iterator


def slices(count: int, bytes_each: int, slice_mib: int | None, most: int | None = None) -> Iterator:
    """Cut `count` things into slices whose work takes about `slice_mib` in all; None: one slice.

    >>> list(slices(5, 2**20, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    >>> list(slices(5, 2**20, None))
    [slice(0, 5, None)]
    """
    step = count if slice_mib is None else max(1, (slice_mib << 20) // bytes_each)
    step = max(1, min(step, count, most or count))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
