"""Making a clip in the background of a panel: Animate, Cancel, how far it is, what it will be."""

import html
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .animation import animate
from .cinemagraphs import cinemagraph
from .clips import Clip
from .dials import alarm
from .engines import Engine
from .jobs import Job, Stopped
from .notes import steps_of
from .progress import heard_by
from .settings import settings_in
from .verdicts import Pace, time_in_words

if TYPE_CHECKING:
    from PIL import Image

_makers: "WeakSet[Maker]" = WeakSet()
PREVIEWS = 8  # of a clip while it is made
PREVIEW_WIDTH = 448  # pixels


@dataclass(frozen=True)
class Order:
    """All that a click asks for, so that the dials are free to be turned meanwhile."""

    picture: "Image.Image"
    title: str
    picture_code: str
    mask: Any
    mask_code: str | None
    memory: str
    values: dict[str, Any]
    """Settings, seed and how the picture is fitted."""

    def make(self, pipeline: Any, on_step: Callable[..., Any]) -> Clip:
        """Make the clip."""
        how = {"progress": False, "on_step": on_step, **self.values}
        if self.mask is None:
            return animate(self.picture, pipeline, **how)
        return cinemagraph(self.picture, self.mask, pipeline, **how)


class Maker:
    """Makes one clip at a time: `order` says of what, `made` is given it and its pace.

    >>> maker = Maker(Engine("tiny"), order=lambda: None, made=print)
    >>> maker.is_running
    False
    """

    def __init__(
        self,
        engine: Engine,
        *,
        order: Callable[[], Order],
        made: Callable[[Order, Clip, Pace | None], object],
    ):
        import ipywidgets as widgets

        self._engine, self._order, self._made = engine, order, made
        self._job: Job | None = None
        _makers.add(self)
        self.go = widgets.Button(
            description="Animate", icon="play", button_style="primary", tooltip="Make the clip"
        )
        self.stop = widgets.Button(
            description="Cancel", icon="stop", disabled=True, tooltip="Stop at the next step"
        )
        self.bar = widgets.FloatProgress(min=0, max=1, layout={"width": "98%"})
        self.status = widgets.HTML()
        self.preview = widgets.Image(format="png", width=PREVIEW_WIDTH, layout={"display": "none"})
        self.go.on_click(lambda _: self.begin())
        self.stop.on_click(lambda _: self.cancel())

    @property
    def is_running(self) -> bool:
        """Whether a clip is being made."""
        return self._job is not None and self._job.is_running

    def begin(self) -> None:
        """Begin what is ordered now, unless a clip is being made already."""
        if self.is_running:
            return
        for other in list(_makers):  # of a cell that was run again, say, and is seen no more
            if other.is_running and other._engine.shares_with(self._engine):
                self._job, self.stop.disabled = other._job, False
                self.tell("Another panel is making a clip with this model. Cancel stops it.")
                return
        try:
            order = self._order()
        except Exception as error:
            self.fail(error)
        else:
            self._job = Job(lambda job: self._work(order, job))

    def cancel(self) -> None:
        """Have the clip that is being made stop at its next step."""
        if self.is_running:
            self._job.stop()
            self.tell("Stopping at the next step …")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait so many seconds for the clip that is being made, and say whether it is done."""
        return self._job is None or self._job.wait(timeout)

    def tell(self, text: str) -> None:
        """Say how it is going."""
        self.status.value = f'<div role="status">{html.escape(text)}</div>'

    def fail(self, error: BaseException) -> None:
        """Say what went wrong, in words."""
        self.status.value = alarm(error)

    def _work(self, order: Order, job: Job) -> None:
        self._job = job  # begin() may not have come to it yet
        self.go.disabled, self.stop.disabled = True, False
        self.bar.value, self.bar.bar_style = 0, ""
        steps = _Steps(self, job)
        try:
            self.tell(f"Loading {self._engine.name} …")
            with heard_by(lambda line: (job.go_on(), self.tell(line))):
                pipeline = self._engine.ready(order.memory)
            job.go_on()
            self.tell("Looking at the picture …")
            steps.begin()
            clip = order.make(pipeline, steps.on_step)
            self.bar.value, self.bar.bar_style = 1, "success"
            self.tell(f"Done in {time_in_words(steps.seconds)}.")
            self._made(order, clip, steps.pace(clip))
        except Stopped:
            self.bar.bar_style = "warning"
            self.tell(f"Stopped after {steps.done} of {steps.total or 'its'} steps: no clip.")
        except Exception as error:
            self.bar.bar_style = "danger"
            self.fail(error)
        finally:
            self.preview.layout.display = "none"
            self.go.disabled, self.stop.disabled = False, True


class _Steps:
    """Counts the steps of one clip, by the clock."""

    def __init__(self, maker: Maker, job: Job):
        self._maker, self._job = maker, job
        self.done = self.total = 0
        self.begin()

    def begin(self) -> None:
        self._began = self._first = self._last = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    @property
    def each(self) -> float:
        """Seconds of a step; the first takes longer, as something is always done once."""
        if self.done < 2:
            return self._last - self._began
        return (self._last - self._first) / (self.done - 1)

    def on_step(self, step: int, total: int, preview: Callable[[], "Image.Image"]) -> None:
        self._job.go_on()
        self.done, self.total, self._last = step, total, time.perf_counter()
        if step == 1:
            self._first = self._last
        maker = self._maker
        maker.bar.value = step / (total + 1)  # the rest is the decoding
        left = time_in_words(self.each * (total - step))
        ahead = f"{left} left, then the decoding" if step < total else "decoding the frames"
        maker.tell(f"Step {step} of {total}: {ahead}")
        first_sight = step > 1 or total == 1  # after one step a guess is noise
        if first_sight and (step == total or step % max(1, total // PREVIEWS) == 0):
            maker.preview.value = _enlarged(preview())
            maker.preview.layout.display = ""

    def pace(self, clip: Clip) -> Pace | None:
        """What it took, from which follows what another will take."""
        if not self.done:
            return None
        settings = settings_in(steps_of(clip.recipe)[-1]["request"])
        other = max(0.0, self.seconds - self.each * self.done)
        return Pace(settings, self.each, other)


def _enlarged(preview: "Image.Image") -> bytes:
    height = max(1, round(PREVIEW_WIDTH * preview.height / preview.width))
    stream = io.BytesIO()
    preview.resize((PREVIEW_WIDTH, height)).save(stream, "PNG")
    return stream.getvalue()
