"""Work in the background: on a thread of its own, stopped when asked, and the newest goes first."""

from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Event, Thread
from typing import Any

PAUSE = 0.3  # seconds that a slider may rest before its question is answered


class Stopped(BaseException):
    """The work was asked to stop; no `except Exception` on its way keeps it from that.

    >>> issubclass(Stopped, Exception)
    False
    """


class Job:
    """Work that goes on in the background, and can be asked to stop.

    The work is given the job, and asks it from time to time whether to go on.

    >>> job = Job(lambda job: job.go_on())
    >>> job.wait(), job.is_running
    (True, False)
    """

    def __init__(self, work: Callable[["Job"], object]):
        self._work, self._asked_to_stop = work, Event()
        # a kernel that shuts down does not wait for it
        self._thread = Thread(target=self._run, name="svdkit-job", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it is still at work."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ask the work to stop, wherever it next asks whether to go on."""
        self._asked_to_stop.set()

    def go_on(self, *_: Any) -> None:
        """Go on, unless the job was asked to stop: then raise `Stopped`."""
        if self._asked_to_stop.is_set():
            raise Stopped

    def wait(self, timeout: float | None = None) -> bool:
        """Wait so many seconds until the work is done, and say whether it is."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with suppress(Stopped):
            self._work(self)


class Latest:
    """Answers the newest of many questions in the background, once they pause; skips the others.

    >>> latest, answers = Latest(), []
    >>> for number in range(100):
    ...     latest.ask(lambda number=number: answers.append(number))
    >>> latest.wait(), answers[-1]
    (True, 99)
    """

    def __init__(self, pause: float = PAUSE):
        self._pause = pause
        self._changed = Condition()
        self._question: Callable[[], object] | None = None
        self._thread: Thread | None = None

    def ask(self, question: Callable[[], object]) -> None:
        """Ask something; what was asked before and not begun yet is forgotten."""
        with self._changed:
            self._question = question
            self._changed.notify_all()
            if self._thread is None:
                self._thread = Thread(target=self._run, name="svdkit-latest", daemon=True)
                self._thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is left to answer, and say whether it is so."""
        thread = self._thread
        if thread:
            thread.join(timeout)
        return self._thread is None

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._changed.wait(self._pause):
                    pass  # another question came meanwhile
                question, self._question = self._question, None
                if question is None:
                    self._thread = None
                    return
            try:
                question()
            except BaseException:
                self._thread = None  # so that the next question finds somebody to answer it
                raise
