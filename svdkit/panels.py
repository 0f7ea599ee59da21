"""panel: the interactive one. Choose a picture, turn the dials, animate, look, compare, keep."""

import html
import os
from typing import TYPE_CHECKING, Any

from .animation import check_request, resolved_for
from .calls import call_of, written
from .clips import Clip
from .dials import LARGEST_SEED, NAMES, Dials
from .easel import PANEL
from .engines import Engine
from .forecasts import Forecast
from .framing import frame_for
from .gpus import present_gpu
from .images import FITTING, ImageLike
from .jobs import Latest
from .makers import Maker, Order
from .pickers import Picker, title_of
from .remarks import remarks_on
from .settings import Settings, changed
from .takes import CODE_STYLE, Take, Takes
from .verdicts import Pace
from .viewers import Gallery, Viewer

if TYPE_CHECKING:
    from diffusers import StableVideoDiffusionPipeline
    from PIL import Image

COLUMN = {"flex": "1 1 380px", "max_width": "520px", "margin": "0 16px 0 0"}
BEYOND = ("guidance", "decode_chunk_size")  # settings that have no dial
VIEW = "application/vnd.jupyter.widget-view+json"
FLOW = {"flex_flow": "row wrap", "align_items": "center"}


def panel(
    pipeline: "str | os.PathLike | StableVideoDiffusionPipeline" = "auto",
    *,
    image: ImageLike | None = None,
    folder: str | os.PathLike | None = None,
) -> "Panel":
    """Open the panel: a picture, the settings, and every clip made of them, without more code.

    It works in the background, so that other cells can run meanwhile. With `image` it opens with
    that picture; with a `folder` each clip is written there, and those of earlier days are shown
    again. `panel.clips` has them all.

    >>> from svdkit import load
    >>> opened = panel(load("tiny", device="cpu"))
    >>> opened
    Panel(tiny, 0 clips)
    >>> opened.close()
    """
    return Panel(pipeline, image=image, folder=folder)


class Panel:
    """What `panel` opens: it displays itself; `clips` are the clips made in it, oldest first.

    >>> opened = Panel("tiny")
    >>> opened.settings["num_inference_steps"], opened.is_running
    (10, False)
    >>> opened.close()
    """

    def __init__(
        self,
        pipeline: Any = "auto",
        *,
        image: ImageLike | None = None,
        folder: str | os.PathLike | None = None,
    ):
        import ipywidgets as widgets

        self._displays: list[Any] = []
        self._background = Latest()
        self._engine = Engine(pipeline)
        self._takes = Takes(folder)
        self._dials = Dials(resolved_for({}, self._engine.model))
        self._forecast = Forecast(self._engine, present_gpu())
        self._maker = Maker(self._engine, order=self._ordered, made=self._made)
        self._viewer = Viewer(failed=self._maker.fail, reuse=self._reuse)
        self._gallery = Gallery(chosen=self._look_at)
        self._picker = Picker(self._frame_of, changed=self._turned)
        self._code = widgets.HTML()
        self._shows_code = widgets.ToggleButton(
            description="show the code", icon="code", tooltip="The call that does the same"
        )
        for take in self._takes:
            self._gallery.add(take)
        if image is not None:
            self._picker.put(title_of(image), image)
        self._dials.on_change(self._turned)
        self._shows_code.observe(self._turned, names="value")
        self._turned()
        maker = self._maker
        buttons = widgets.HBox([maker.go, maker.stop, self._shows_code], layout=FLOW)
        doing = [self._forecast.box, buttons, self._code, maker.bar, maker.status, maker.preview]
        about = widgets.HTML(self._engine.about)
        left = widgets.VBox([about, self._picker.box, self._dials.box], layout=COLUMN)
        right = widgets.VBox([*doing, self._viewer.box, self._gallery.box], layout=COLUMN)
        self.box = widgets.HBox([left, right], layout={"flex_flow": "row wrap"})
        self.box.add_class(PANEL)
        """The ipywidget."""

    def __repr__(self) -> str:
        count = len(self._takes)
        return f"Panel({self._engine.name}, {count} clip{'s' if count != 1 else ''})"

    def _ipython_display_(self) -> None:
        """Show the widget, and below it what stays in the notebook when the kernel is gone."""
        from IPython.display import display

        # the widget as ipywidgets show it; their own words for where it cannot be are nobody's
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        without = f"{self!r}: the panel itself needs a kernel; run its cell again."
        display({VIEW: view, "text/plain": without}, raw=True)
        self._displays.append(display(self._kept(), raw=True, display_id=True))

    @property
    def clips(self) -> list[Clip]:
        """The clips made so far, oldest first, without those whose files were thrown away."""
        return [take.clip for take in self._takes if take.is_there]

    @property
    def clip(self) -> Clip | None:
        """The clip that is looked at; None before the first one."""
        return self._viewer.take.clip if self._viewer.take else None

    @property
    def picture(self) -> "Image.Image":
        """The picture that is chosen."""
        return self._picker.picture

    @property
    def mask(self) -> Any:
        """What is to move, as `cinemagraph` takes it; None for everything."""
        return self._picker.mask

    @property
    def settings(self) -> dict[str, Any]:
        """What the dials say, as `animate` takes it."""
        return {**self._dials.values, **self._picker.fitting}

    @property
    def code(self) -> str:
        """The call that makes the clip that the dials ask for."""
        return self._call()

    def set(self, **settings: Any) -> None:
        """Turn dials from code: settings as `animate` takes them, the seed, `how` and `focus`.

        >>> opened = Panel("tiny")
        >>> opened.set(motion_bucket_id=180, seed=3)
        >>> opened.code
        'sk.animate(sk.sample_image(), "tiny", motion_bucket_id=180, seed=3)'
        >>> opened.close()
        """
        seed = settings.pop("seed", None)
        fitting = {name: settings.pop(name, now) for name, now in self._picker.fitting.items()}
        asked = {name: value for name, value in self._dials.values.items() if name != "seed"}
        given = {name: value for name, value in settings.items() if value is not None}
        check_request(changed(asked, given), seed=seed, **fitting)
        for name, value in {**settings, "seed": seed}.items():
            if name not in (*NAMES, "seed"):
                raise ValueError(f"{name} has no dial; the panel has {', '.join(NAMES)}, seed.")
            if name == "seed" and (value or 0) > LARGEST_SEED:
                raise ValueError(f"seed is {value}; the panel knows 0–{LARGEST_SEED}.")
        self._dials.set({**settings, "seed": seed})
        self._picker.frame_as(**fitting)

    @property
    def is_running(self) -> bool:
        """Whether a clip is being made."""
        return self._maker.is_running

    def animate(self) -> None:
        """Begin a clip in the background, as the button does."""
        self._maker.begin()

    def cancel(self) -> None:
        """Stop the clip that is being made at its next step, as the button does."""
        self._maker.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait so many seconds for the clip that is being made, and say whether it is done."""
        return self._maker.wait(timeout)

    def close(self) -> None:
        """Stop what goes on, and take the widgets away; the clips stay."""
        self.cancel()
        self.wait()
        self._forecast.wait()
        self._background.wait()
        _close(self.box)

    def _frame_of(self, size: tuple[int, int]) -> tuple[int, int]:
        return frame_for(size, self._engine.model)

    def _resolved(self) -> Settings:
        values = {name: value for name, value in self._dials.values.items() if name != "seed"}
        return resolved_for(values, self._engine.model, self.picture.size)

    def _turned(self, _: Any = None) -> None:
        """Keep up with the dials: remarks, the forecast, the code."""
        settings = self._resolved()
        self._dials.remark(remarks_on(settings, self._engine.row) if self._engine.row else ())
        self._forecast.think(settings)
        code = ""
        if self._shows_code.value:
            style, call = CODE_STYLE, html.escape(self._call())
            code = f'<pre style="{style}">{call}</pre>'
        if self._code.value != code:
            self._code.value = code

    def _call(self) -> str:
        try:
            mask = self._mask_code(self.mask)
        except ValueError as error:
            return f"# {error}"
        code = {"picture": self._picker.code, "mask": mask, "pipeline": self._engine.code}
        call = call_of(self.settings, self._engine.name, **code)
        names = [name for name in ("picture", "mask") if code[name] == name]
        told = ", ".join(f"{name}: this panel's .{name}" for name in names)
        return f"{call}  # {told}" if told else call

    @staticmethod
    def _mask_code(mask: Any) -> str | None:
        if mask is None:
            return None
        return "mask" if isinstance(mask, bytes) else written(mask)

    def _ordered(self) -> Order:
        mask = self.mask
        return Order(
            picture=self.picture,
            title=self._picker.title,
            picture_code=self._picker.code,
            mask=mask,
            mask_code=self._mask_code(mask),
            memory=self._forecast.menu.value,
            values=self.settings,
        )

    def _made(self, order: Order, clip: Clip, pace: Pace | None) -> None:
        """Show a clip first, and then do what takes a moment."""
        picture, mask = order.picture_code, order.mask_code
        take = self._takes.add(order.title, clip, picture=picture, mask=mask)
        try:
            self._viewer.show(take, self._takes)
            self._gallery.add(take)
        finally:  # whatever happens on the screen
            self._keep(take)
        for shown in self._displays:
            shown.update(self._kept(), raw=True)
        self._viewer.measure()
        if pace:
            self._forecast.learn(pace)

    def _keep(self, take: Take) -> None:
        try:
            self._takes.keep(take)
        except Exception as error:  # a full disk, say; the clip is there all the same
            self._maker.fail(error)

    def _look_at(self, take: Take) -> None:
        try:
            self._viewer.show(take, self._takes)
        except Exception as error:
            self._maker.fail(error)
        else:
            self._background.ask(self._viewer.measure)

    def _reuse(self, take: Take) -> None:
        self._dials.set(take.values)
        fitting = {name: take.values.get(name, usual) for name, usual in FITTING.items()}
        self._picker.frame_as(**fitting)
        usual, told = Settings(), {**self._dials.values, **self._picker.fitting}
        left = [
            name
            for name, value in take.values.items()
            if name in BEYOND and value not in (None, getattr(usual, name))
        ]
        left += ["seed"] if told["seed"] != take.values["seed"] else []
        left += ["its mask"] if take.is_masked else []
        rest = f", but for {', '.join(left)}, which only its code has" if left else ""
        self._maker.tell(f"The dials say what clip {take.name} was made with{rest}.")

    def _kept(self) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._takes.kept()}


def _close(widget: Any) -> None:
    """Close a widget and all that it is made of, which ipywidgets would keep for ever."""
    parts = (getattr(widget, name, None) for name in ("layout", "style"))
    for part in (*getattr(widget, "children", ()), *filter(None, parts)):
        _close(part)
    widget.close()
