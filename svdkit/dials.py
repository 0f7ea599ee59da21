"""The dials of the panel: a widget for each setting, and beside it what is unusual about it."""

import html
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .paths import shown
from .qualities import QUALITIES
from .settings import Settings

LARGEST_SEED = 2**53 - 1  # that a browser counts to
LABELS = {"description_width": "72px"}
WIDE, NARROW = {"width": "98%"}, {"width": "200px"}


@dataclass(frozen=True)
class Dial:
    """A slider, and the setting that it sets; two settings are the ends of a range.

    >>> DIALS[0].names
    ('motion_bucket_id',)
    """

    label: str
    names: tuple[str, ...]
    low: float
    high: float
    step: float
    hint: str


# The ranges are those worth trying; what a recipe has beyond them widens the slider.
DIALS = (
    Dial("motion", ("motion_bucket_id",), 0, 255, 1, "How much moves."),
    Dial("fps", ("fps",), 1, 60, 1, "Frames a second that the model imagines: more, smaller steps"),
    Dial("frames", ("num_frames",), 2, 50, 1, "How long the clip is."),
    Dial("steps", ("num_inference_steps",), 1, 100, 1, "The time a clip takes grows with them."),
    Dial(
        "guidance",
        ("min_guidance_scale", "max_guidance_scale"),
        0,
        10,
        0.1,
        "How strictly the first and the last frame follow the picture.",
    ),
    Dial("noise", ("noise_aug_strength",), 0, 1, 0.01, "More lets the clip leave the picture."),
)

NAMES = (*(name for dial in DIALS for name in dial.names), "quality")


class Dials:
    """The settings as widgets, that begin as `usual` has them.

    >>> dials = Dials(Settings(num_frames=14))
    >>> dials.set({"motion_bucket_id": 180})
    >>> dials.values["motion_bucket_id"], dials.values["max_guidance_scale"]
    (180, 3.0)
    """

    def __init__(self, usual: Settings, seed: int = 7):
        import ipywidgets as widgets

        self._changed: list[Callable[[], object]] = []
        self._telling = True
        begin = asdict(usual)
        self._sliders = {dial: _slider(dial, begin) for dial in DIALS}
        self._remarks = {dial: widgets.HTML() for dial in DIALS}
        self.quality = widgets.Dropdown(
            options=list(QUALITIES), description="quality", style=LABELS, layout=WIDE
        )
        self.seed = widgets.BoundedIntText(
            value=seed, min=0, max=LARGEST_SEED, description="seed", style=LABELS, layout=NARROW
        )
        self.dice = widgets.Button(
            description="another seed",
            icon="random",
            tooltip="Draw another seed: the same settings, another clip",
        )
        self.dice.on_click(self._roll)
        self._note = widgets.HTML()
        self.set(begin)
        for widget in (*self._sliders.values(), self.quality, self.seed):
            widget.observe(self._tell, names="value")
        rows = [row for dial in DIALS for row in (self._sliders[dial], self._remarks[dial])]
        seeds = widgets.HBox([self.seed, self.dice], layout={"flex_flow": "row wrap"})
        self.box = widgets.VBox([*rows, self.quality, self._note, seeds])

    @property
    def values(self) -> dict[str, Any]:
        """The settings by name, and the seed."""
        values: dict[str, Any] = {"quality": self.quality.value, "seed": self.seed.value}
        for dial, slider in self._sliders.items():
            ends = slider.value if len(dial.names) > 1 else (slider.value,)
            values |= dict(zip(dial.names, (_rounded(end, dial) for end in ends), strict=True))
        if QUALITIES[self.quality.value].steps:
            del values["num_inference_steps"]  # which the quality brings
        return values

    def set(self, values: Mapping[str, Any]) -> None:
        """Turn the dials to settings, also beyond the usual range; others stay where they are."""
        self._telling = False
        quality = QUALITIES.get(values.get("quality"))
        if quality and quality.steps:  # its own, and none of the slider's
            values = {name: values[name] for name in values if name != "num_inference_steps"}
        try:
            for dial, slider in self._sliders.items():
                ends = slider.value if len(dial.names) > 1 else (slider.value,)
                both = zip(dial.names, ends, strict=True)
                ends = tuple(end if values.get(n) is None else values[n] for n, end in both)
                slider.max = max(slider.max, *ends)
                slider.value = ends if len(ends) > 1 else ends[0]
            self.quality.value = values.get("quality") or self.quality.value
            if values.get("seed") is not None:
                self.seed.value = values["seed"]
        finally:
            self._telling = True
        self._tell()

    def on_change(self, told: Callable[[], object]) -> None:
        """Have a function called whenever a dial is turned."""
        self._changed.append(told)

    def remark(self, remarks: Iterable[tuple[tuple[str, ...], str]]) -> None:
        """Put each remark beside the dial of the settings that it is about."""
        told: dict[Dial, str] = dict.fromkeys(DIALS, "")
        for names, sentence in remarks:
            dial = next((dial for dial in DIALS if set(names) & set(dial.names)), None)
            if dial:
                told[dial] += note(sentence)
        for dial, text in told.items():
            if self._remarks[dial].value != text:
                self._remarks[dial].value = text

    def _tell(self, _: Any = None) -> None:
        if not self._telling:
            return
        quality = QUALITIES[self.quality.value]
        (steps,) = (s for dial, s in self._sliders.items() if "num_inference_steps" in dial.names)
        steps.disabled = bool(quality.steps)
        self._note.value = note(quality.summary) if quality.steps else ""
        for told in self._changed:
            told()

    def _roll(self, _: Any) -> None:
        self.seed.value = random.SystemRandom().randrange(2**32)


def note(text: str) -> str:
    """Write a remark as HTML, small and in any theme.

    >>> note("fps < 5")
    '<div style="font-size:85%;line-height:1.35;opacity:.85;margin-left:80px">fps &lt; 5</div>'
    """
    style = "font-size:85%;line-height:1.35;opacity:.85;margin-left:80px"
    return f'<div style="{style}">{html.escape(text)}</div>'


def alarm(error: BaseException) -> str:
    """Write what went wrong as HTML, in words.

    >>> alarm(ValueError("fps is 0"))[-15:]
    '>fps is 0</div>'
    """
    text = shown(error) or type(error).__name__
    if not isinstance(error, (ValueError, TypeError, OSError, RuntimeError)):
        text = f"{type(error).__name__}: {text}"  # whose text may not say what happened
    style = "border-left:4px solid #d93025;padding:2px 8px;line-height:1.35"
    return f'<div role="alert" style="{style}">{html.escape(text)}</div>'


def _slider(dial: Dial, begin: Mapping[str, Any]) -> Any:
    import ipywidgets as widgets

    values = tuple(begin[name] for name in dial.names)
    whole = isinstance(dial.step, int)
    kind = widgets.IntSlider if whole else widgets.FloatSlider
    if len(values) > 1:
        kind = widgets.FloatRangeSlider
    return kind(
        value=values if len(values) > 1 else values[0],
        min=dial.low,
        max=max(dial.high, *values),
        step=dial.step,
        description=dial.label,
        readout_format="d" if whole else ".2f" if dial.step < 0.1 else ".1f",
        style=LABELS,
        layout=WIDE,
        **hint(kind, dial.hint),
    )


def hint(kind: type, text: str) -> dict[str, str]:
    """Give a tooltip under the name that this version of ipywidgets has for it.

    >>> import ipywidgets
    >>> list(hint(ipywidgets.IntSlider, "How much moves.").values())
    ['How much moves.']
    """
    return {"tooltip" if hasattr(kind, "tooltip") else "description_tooltip": text}


def _rounded(value: float, dial: Dial) -> float:
    return value if isinstance(dial.step, int) else round(value, 6)
