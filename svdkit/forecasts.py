"""The panel's memory menu, and what the next clip will take with it."""

import html

from .dials import LABELS, WIDE
from .engines import Engine
from .gpus import Gpu
from .jobs import Latest
from .paths import shown
from .planning import plan
from .settings import Settings
from .verdicts import Pace, labels, time_in_words, verdict

NO_GPU = "Without a GPU everything stays in RAM"


class Forecast:
    """The presets of an engine, with what a plan for the card says of them.

    >>> forecast = Forecast(Engine("tiny"), card=None)
    >>> forecast.menu.value
    'auto'
    """

    def __init__(self, engine: Engine, card: Gpu | None):
        import ipywidgets as widgets

        self._engine, self._card = engine, card
        self._thinking = Latest()
        self._pace: Pace | None = None
        self._settings: Settings | None = None
        self._planned: Settings | None = None
        self.menu = widgets.Dropdown(
            options=engine.presets,
            value=engine.preset or None,
            description="memory",
            disabled=len(engine.presets) < 2,
            style=LABELS,
            layout=WIDE,
        )
        self.verdict = widgets.HTML()
        self.menu.observe(lambda _: self._settings and self.think(self._settings), names="value")
        self.box = widgets.VBox([self.menu, self.verdict])

    def learn(self, pace: Pace) -> None:
        """Take note of what a clip took."""
        self._pace = pace
        self.think(self._settings or pace.settings)

    def think(self, settings: Settings) -> None:
        """Work out in the background what a clip with resolved settings will take."""
        self._settings = settings
        seconds = self._pace and self._pace.seconds_for(settings)
        if self._card is None:
            time = "how long a clip takes is known after the first one"
            if self._pace:
                time = "the time of another quality is not known yet"
            if seconds is not None:
                time = f"about {time_in_words(seconds)}, going by the last clip"
            self._say(f"{NO_GPU}; {time}.")
            return
        if self._planned != settings:
            self._say("Working out what fits …")
        self._thinking.ask(lambda: self._plan(settings, self.menu.value, seconds))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything is worked out, and say whether it is."""
        return self._thinking.wait(timeout)

    def _plan(self, settings: Settings, preset: str, seconds: float | None) -> None:
        try:
            planned = plan(
                self._engine.model,
                gpu=self._card,
                num_frames=settings.num_frames,
                height=settings.height,
                width=settings.width,
                num_inference_steps=settings.num_inference_steps,
                max_guidance_scale=settings.max_guidance_scale,
                arithmetic=self._engine.arithmetic,
                dtype=self._engine.dtype,
                reaches=False,
                progress=False,
            )
        except Exception as error:  # a thread's errors are seen by nobody
            self._say(f"No forecast: {shown(error)}")
            return
        self._planned = settings
        told = labels(planned, self._engine.presets)
        options = [(told[name], name) for name in self._engine.presets]
        if list(self.menu.options) != options:
            chosen = self.menu.value
            self.menu.options = options
            self.menu.value = chosen
        more = ""
        if self._engine.is_far:
            more = f" {planned.download_gib:.1f} GiB to download, once."
        self._say(verdict(planned, preset, seconds) + more)

    def _say(self, text: str) -> None:
        style = "margin-left:80px;line-height:1.35"
        told = f'<div role="status" style="{style}">{html.escape(text)}</div>'
        if self.verdict.value != told:
            self.verdict.value = told
