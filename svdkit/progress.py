"""Progress in one style: a line that says what is done, how far it is, and how long it takes.

In a terminal it is tqdm's bar. A notebook shows the same line as text, and not as a widget, of
which nothing is left where the notebook is opened without its kernel. A pipe or a file gets one
line for each bar that has ended, which says the same everywhere.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import Timer
from typing import Any

from tqdm.std import tqdm

INTERVALS = {"notebook": 0.2, "terminal": 0.1, "log": 0.1}  # seconds between two drawings

PATIENCE = 0.5  # seconds that may pass without a bar

_open: ContextVar["Bar | None"] = ContextVar("open", default=None)
_listener: ContextVar[Callable[[str], object] | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Callable[[str], object]) -> Iterator[None]:
    """Have a function told of the lines of bars that begin in this thread; they show nowhere else.

    >>> lines = []
    >>> with heard_by(lines.append), Bar(range(3), desc="counting", unit="number") as bar:
    ...     numbers = list(bar)
    >>> print(lines[-1])
    counting: 3 numbers in ...
    """
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


class Bar(tqdm):
    """A bar with tqdm's arguments; one that begins inside another takes its line meanwhile.

    With a `delay` it shows itself only if it is not over within so many seconds.

    >>> with Bar(range(3), desc="counting", total=3, unit="number", file=sys.stdout) as bar:
    ...     numbers = list(bar)
    counting: 3 numbers in ...
    """

    monitor_interval = 0  # no thread that looks after it, as every update looks at the clock
    around: "Bar | None" = None
    """The bar whose line it takes."""
    _over = _stopped = False
    _timer: Timer | None = None
    _handle: Any = None

    def __init__(self, *args: Any, disable: bool = False, file: Any = None, **how: Any):
        outer = _open.get()
        if outer is not None and not outer.disable:
            self.around = outer
        self._listener = _listener.get()
        self._place = "notebook" if self._listener else _place_of(file)
        # tqdm draws in terminals alone; and left out, its TQDM_DISABLE is heeded
        how |= {"gui": self._place != "terminal" or self.around is not None}
        how |= {"disable": True} if disable else {}
        how = {"mininterval": INTERVALS[self._place], "miniters": 0} | how
        super().__init__(*args, file=file, **how)
        if self.disable:
            return
        if self.delay > 0:
            self._timer = Timer(self.delay, self._appear)
            self._timer.daemon = True
            self._timer.start()
        elif self.gui:
            self.refresh()

    def stage(self, what: str = "") -> None:
        """Say what is being done at the moment, at the end of the line."""
        if self.disable:
            return
        self.postfix = what
        if self._time() >= self.start_t + self.delay:
            self.refresh()

    def reach(self, n: float) -> None:
        """Go on to a number, if it is not there yet."""
        if not self.disable and n > self.n:
            self.update(n - self.n)

    def steps(
        self, method: Callable[..., Any], iterable: Iterable | None = None, total: int | None = None
    ) -> "Steps":
        """Take the place of a pipeline's `progress_bar`, which is given first and left alone."""
        return Steps(self, iterable, total)

    def refresh(self, nolock: bool = False, lock_args: Any = None) -> bool:
        """Draw the line anew."""
        with self.get_lock():  # which tqdm would keep locked where an interrupt strikes
            if not self.disable:
                self.display()
        return not self.disable

    def clear(self, nolock: bool = False) -> None:
        """Make room in the terminal for what is printed meanwhile."""
        if not self.disable and not self.gui:
            super().clear(nolock)

    def display(self, msg: str | None = None, pos: int | None = None) -> Any:
        """Show the line, or a message, where such bars are shown."""
        if self.around is not None:
            return self.around.display(None if self._over else str(self))
        line = msg if msg is not None else self._last_line() if self._over else str(self)
        if self._place == "terminal":
            return super().display(line, pos)
        if self._listener:
            self._listener(line)
            return True
        with suppress(Exception):  # what cannot be shown, perhaps in a thread, stops no work
            if self._place == "notebook":
                self._show(line)
            elif self._over and line:
                self.fp.write(f"{line}\n")
                self.fp.flush()
        return True

    def close(self) -> None:
        """End the bar, and say what it came to."""
        if getattr(self, "disable", True):
            return
        if self._timer:
            self._timer.cancel()
        self._over = True
        has_appeared = self.last_print_t >= self.start_t + self.delay
        super().close()
        if self.gui and has_appeared:
            with self.get_lock():
                self.display("" if self.leave is False and self.around is None else None)

    @property
    def format_dict(self) -> dict[str, Any]:
        """What tqdm makes the line of."""
        return super().format_dict | ({} if self.around is None else {"prefix": self._called()})

    def __enter__(self) -> "Bar":
        if not self.disable:
            _open.set(self)
        return self

    def __exit__(self, kind: type | None, error: Any, traceback: Any) -> None:
        if _open.get() is self:
            _open.set(self.around)
        self._stopped = kind is not None
        super().__exit__(kind, error, traceback)

    def _appear(self) -> None:
        self.last_print_t = self._time()
        with suppress(BaseException):  # what a listener raises is for the thread of the work
            self.refresh()

    def _show(self, line: str) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display({"text/plain": line}, raw=True, display_id=True)
        else:
            self._handle.update({"text/plain": line}, raw=True)

    def _called(self) -> str:
        name, outer = self.desc.removesuffix(": "), self.around
        if outer is None:  # which is false while it has nothing to count
            return name
        return f"{outer._called()} {outer.n}{f'/{outer.total}' if outer.total else ''}, {name}"

    def _last_line(self) -> str:
        seconds = self.format_dict["elapsed"]
        took = f"{seconds:.1f} s" if seconds < 60 else self.format_interval(seconds)
        if self._stopped:
            whole = f" of {self._counted(self.total)}" if self.total else ""
            return f"{self._called()}: stopped at {self._number(self.n)}{whole} after {took}"
        told = f"{self._called()}: {self._counted(self.n - self.initial)} in {took}"
        return f"{told}, {self._number(self.initial)} were there" if self.initial else told

    def _number(self, n: float) -> str:
        return self.format_sizeof(n, self.unit, self.unit_divisor) if self.unit_scale else str(n)

    def _counted(self, n: float) -> str:
        if self.unit_scale:
            return self._number(n)
        return f"{n} {self.unit}{'' if n == 1 else 's'}"


class Steps:
    """The steps of a pipeline: the middle of a bar, which begins before and ends after them.

    >>> with Bar(desc="animating", unit="step", file=sys.stdout) as bar:
    ...     for step in Steps(bar, range(2)):
    ...         pass
    animating: 2 steps in ...
    """

    def __init__(self, bar: Bar, iterable: Iterable | None = None, total: int | None = None):
        self.bar, self.iterable = bar, iterable
        self.total = len(iterable) if total is None and hasattr(iterable, "__len__") else total

    def __enter__(self) -> Bar:
        if not self.bar.disable:
            self.bar.total = self.total and self.bar.n + self.total
            self.bar.last_print_t = self.bar._time()  # what was before them says nothing of them
            self.bar.stage()
        return self.bar

    def __exit__(self, kind: type | None, *error: Any) -> None:
        if kind is None:
            self.bar.stage("decoding")

    def __iter__(self) -> Iterator[Any]:
        with self:
            for item in self.iterable:
                yield item
                self.bar.update()


def counting_into(bar: Bar, arrived: Callable[[], int]) -> type[tqdm]:
    """Make the kind of bar that the hub's library wants: it shows nothing, and counts bytes for us.

    Older versions count whole files alone; `arrived` then says how many bytes are there.

    >>> with Bar(desc="downloading", unit="B", unit_scale=True, file=sys.stdout) as bar:
    ...     counting_into(bar, lambda: 0)(total=3000, unit="B").update(2000)
    downloading: 2.00kB in ...
    """

    class Counting(tqdm):
        monitor_interval = 0

        def __init__(self, iterable: Iterable | None = None, **how: Any):
            super().__init__(iterable, total=how.get("total"), disable=True)
            self.of_bytes = how.get("unit") == "B"

        def update(self, n: float | None = 1) -> None:
            with self.get_lock():  # several files arrive at a time
                self.n += n or 0
                bar.reach(self.n if self.of_bytes else arrived())

        def __iter__(self) -> Iterator[Any]:
            for item in self.iterable:
                yield item
                self.update()

    return Counting


def _place_of(file: Any) -> str:
    """Say where a bar will be shown: in a notebook, in a terminal, or in a log."""
    shell_of = getattr(sys.modules.get("IPython"), "get_ipython", None)
    if file is None and shell_of and getattr(shell_of(), "kernel", None) is not None:
        return "notebook"
    file = sys.stderr if file is None else file
    try:  # one without a size, as containers have it, would show nothing
        lines = os.get_terminal_size(file.fileno()).lines if file.isatty() else 0
    except (AttributeError, OSError, ValueError):
        lines = 0
    return "terminal" if lines else "log"
