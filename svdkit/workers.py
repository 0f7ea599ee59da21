"""Making the cells of a sweep: here, or wherever an executor runs them.

A job is plain data, and its cells share a picture, a seed and noise_aug_strength. The worker loads
the model by its name, and keeps it for the next job.
"""

import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .addresses import address_of, find
from .animation import animate
from .cells import Order
from .clips import Clip
from .paths import shown
from .pipelines import load_for
from .records import fingerprint_of_weights, identity_of
from .shelves import Shelf
from .tables import measured
from .workshops import ask_to_stop, is_asked_to_stop

if TYPE_CHECKING:
    from diffusers import StableVideoDiffusionPipeline
    from PIL import Image

MOST_JOBS = 64  # more would do nothing for the balance, and read the pictures more often
POLL_SECONDS = 0.2
# A pipeline makes one clip at a time: threads that share it take turns.
_turns: "WeakKeyDictionary[Any, Lock]" = WeakKeyDictionary()


def jobs_of(
    orders: Iterable[Order], shelf: Shelf, model: str, measures: Sequence[str]
) -> list[dict[str, Any]]:
    """Pack orders into jobs of plain data; many enough to keep several workers busy to the end."""
    import torch

    orders = list(orders)
    groups: dict[tuple, list[Order]] = {}
    for order in orders:
        what = (order.image_sha256, order.seed, order.settings["noise_aug_strength"])
        groups.setdefault(what, []).append(order)
    most = -(-len(orders) // MOST_JOBS)
    parts = [group[i : i + most] for group in groups.values() for i in range(0, len(group), most)]
    common = {
        "folder": str(shelf.folder),
        "model": model,
        "measures": list(measures),
        "threads": torch.get_num_threads(),
        "call": uuid.uuid4().hex,  # also since Dask takes equal calls for one
    }
    return [common | {"orders": [asdict(order) for order in part]} for part in parts]


def named_for_all(model: str | os.PathLike) -> str:
    """Give a name of a model by which every worker loads the same one.

    >>> named_for_all("tiny")
    'tiny'
    """
    row, folder = find(model)  # "auto" is what suits this machine
    return row.name if row else str(folder or address_of(model))


def run_job(job: Mapping[str, Any]) -> int:
    """Make the cells of one job, and give the number of those that failed.

    It imports by name and takes plain data, so that any executor can send it anywhere.
    """
    import torch

    torch.set_num_threads(job["threads"])
    pipeline = load_for("animate", job["model"], progress=False)
    shelf = Shelf.open(job["folder"])
    waiting = (
        Order(**order)
        for order in job["orders"]
        if not is_asked_to_stop(shelf.folder, job["call"])  # looked at before each cell
    )
    return sum(not made for made in make(waiting, pipeline, shelf, job["measures"]))


def make(
    orders: Iterable[Order],
    pipeline: "StableVideoDiffusionPipeline",
    shelf: Shelf,
    measures: Sequence[str],
) -> Iterator[bool]:
    """Make cells one after another, and tell of each whether it is there now.

    What the model cannot do is noted, and the others go on; a folder that takes no more ends it.
    """
    check_same(pipeline, shelf)

    def store(name: str, clip: Clip) -> None:
        shelf.keep(name, clip, measured(clip, measures))

    opened: tuple[str, Any] = ("", None)
    with ThreadPoolExecutor(1) as beside:  # a clip is measured and coded while the next is made
        storing: Future | None = None
        for order in orders:
            if shelf.has(order.name):  # another process was quicker
                yield True
                continue
            if opened[0] != order.image_sha256:
                opened = (order.image_sha256, shelf.picture(order.image_sha256))
            try:
                clip = animated(order, opened[1], pipeline)
            except Exception as error:  # of whatever kind: the next setting may do
                shelf.fail(order.name, asdict(order), error)
                yield False
                continue
            if storing:
                storing.result()
                yield True
            storing = beside.submit(store, order.name, clip)
        if storing:
            storing.result()
            yield True


def check_same(pipeline: "StableVideoDiffusionPipeline", shelf: Shelf) -> None:
    """Make sure that a pipeline is the one whose clips are on the shelf."""
    shelf.check_identity(identity_of(pipeline))
    dtype = str(pipeline.unet.dtype).removeprefix("torch.")
    shelf.check_weights(dtype, fingerprint_of_weights(pipeline))


def animated(
    order: Order,
    picture: "Image.Image",
    pipeline: "StableVideoDiffusionPipeline",
    *,
    progress: bool = False,
) -> Clip:
    """Make the clip that is ordered, of its fitted picture."""
    how = {**order.fit, **order.settings}
    with _turns.setdefault(pipeline, Lock()):
        return animate(picture, pipeline, seed=order.seed, progress=progress, **how)


def check_executor(executor: Any) -> None:
    """Make sure that jobs can be given to an executor; None stands for this process.

    >>> check_executor(None)
    """
    if executor is None:
        return
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(
            f"executor is {executor!r:.60}; it is None, or has submit(function, job), like a "
            "ProcessPoolExecutor or dask.distributed.Client(…).get_executor()."
        )
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise ValueError(
            "The pool forks its workers, in which torch hangs. Make it with "
            "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))."
        )


def run_on(executor: Any, jobs: Sequence[Mapping[str, Any]], shelf: Shelf) -> Iterator[int]:
    """Send jobs to an executor, and tell now and then how many cells are done or have failed.

    An interrupt takes back what has not begun, and asks the workers to finish with their cell.
    """
    names = {order["name"] for job in jobs for order in job["orders"]}
    futures: list[Any] = []
    failed = 0
    try:
        for job in jobs:
            futures.append(_submitted(executor, job, shelf))
        pending = futures
        while pending:
            time.sleep(POLL_SECONDS)
            done = [future for future in pending if future.done()]
            pending = [future for future in pending if future not in done]
            failed += sum(_result_of(future, shelf) for future in done)
            yield len(names.intersection(shelf.names())) + failed
    except BaseException:
        ask_to_stop(shelf.folder, jobs[0]["call"])
        for future in futures:
            with suppress(Exception):
                future.cancel()
        raise


def _submitted(executor: Any, job: Mapping[str, Any], shelf: Shelf) -> Any:
    try:
        return executor.submit(run_job, job)
    except RuntimeError as error:  # broken already, or shut down
        raise _broken(error, shelf) from error


def _result_of(future: Any, shelf: Shelf) -> int:
    try:
        return future.result()
    except (BrokenExecutor, CancelledError) as error:
        raise _broken(error, shelf) from error
    except Exception as error:
        if type(error).__module__.split(".")[0] in ("builtins", "svdkit"):  # from the job itself
            raise
        # each executor has its own words for a worker that is gone
        raise _broken(error, shelf) from error


def _broken(error: Exception, shelf: Shelf) -> RuntimeError:
    return RuntimeError(
        f"The executor gave up ({type(error).__name__}: {shown(error)}). The "
        f"{len(shelf.names())} cells that are done stay in {shown(shelf.folder)!r}; make the same "
        "call again, with a new executor, for the rest. Workers that die every time run out of "
        "memory, or are started by a script without `if __name__ == '__main__':`."
    )
