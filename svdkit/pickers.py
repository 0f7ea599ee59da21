"""Choosing the picture of the panel, what of it the frame holds, and which part is to move."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .calls import written
from .dials import LABELS, WIDE, alarm
from .drawings import opened
from .easel import Easel
from .images import FIT_WAYS, ImageLike, crop_box, sample_image
from .paths import shown
from .web import is_address, shown_address

SHOWN_SIDE = 896  # pixels of the picture in the browser
MOST_FILES = 60  # of the working folder that the menu lists
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".heic", ".avif", ".bmp", ".gif", ".tif", ".tiff"}
SAMPLE = "sample picture"
FIRST_BOX = (0.25, 0.25, 0.75, 0.75)  # to be drawn larger, smaller or elsewhere
# What is to move, and what the pointer does on the easel then
PARTS = (("everything", "frame"), ("a box", "box"), ("by brush", "brush"), ("eraser", "eraser"))


class Picker:
    """The picture that is chosen; `frame_of` says which frame (height, width) a size gets.

    `changed` is called when anything did.

    >>> picker = Picker(lambda size: (64, 112), changed=lambda: None)
    >>> picker.picture.size, picker.code, picker.mask
    ((1024, 576), 'sk.sample_image()', None)
    """

    def __init__(
        self,
        frame_of: Callable[[tuple[int, int]], tuple[int, int]],
        *,
        changed: Callable[[], object],
    ):
        import ipywidgets as widgets

        self._frame_of = frame_of
        self._changed: Callable[[], object] = lambda: None  # until all is there
        self._sources: dict[str, tuple[ImageLike, str]] = {
            SAMPLE: (sample_image(), "sk.sample_image()"),
            **{path.name: (path, written(path.name)) for path in _pictures_here()},
        }
        self.title, self._settled = "", True
        self.easel, self.notice = Easel(), widgets.HTML()
        self.easel.on_drop(
            lambda name, source: self.add(title_of(source if is_address(source) else name), source)
        )
        self.menu = widgets.Dropdown(
            options=list(self._sources), description="picture", style=LABELS, layout=WIDE
        )
        self.address = widgets.Text(
            placeholder="a path or a web address, then Enter",
            description="or open",
            continuous_update=False,
            style=LABELS,
            layout=WIDE,
        )
        self.how = widgets.Dropdown(
            options=FIT_WAYS, description="fit", style=LABELS, layout={"width": "200px"}
        )
        self.across, self.down = (
            widgets.FloatSlider(
                value=0.5, min=0, max=1, step=0.01, description=name, style=LABELS, layout=WIDE
            )
            for name in ("across", "down")
        )
        self.frame = widgets.HTML()
        self.part = widgets.ToggleButtons(
            options=PARTS, description="moves", style=LABELS | {"button_width": "auto"}
        )
        self.sides, self.heights = (
            widgets.FloatRangeSlider(
                value=(0, 1), min=0, max=1, step=0.01, description=name, style=LABELS, layout=WIDE
            )
            for name in ("box across", "box down")
        )
        self.brush = widgets.FloatSlider(
            value=0.08, min=0.01, max=0.4, step=0.01, description="brush", style=LABELS, layout=WIDE
        )
        self.wipe = widgets.Button(description="clear", icon="trash", tooltip="Clear the mask")
        self._boxing = widgets.VBox([self.sides, self.heights])
        self._painting = widgets.VBox([self.brush, self.wipe])
        self._watch()
        self._open(SAMPLE)
        self._turn_to_part()
        self._changed = changed
        framing = widgets.VBox([self.how, self.across, self.down])
        masking = widgets.VBox([self.part, self._boxing, self._painting])
        choosing = [self.menu, self.address, self.notice, self.easel, self.frame]
        self.box = widgets.VBox([*choosing, framing, masking])

    @property
    def code(self) -> str:
        """The picture as code; "picture" where only the browser knows it."""
        return self._sources[self.title][1]

    @property
    def fitting(self) -> dict[str, Any]:
        """How the picture is fitted, as `animate` takes it."""
        return {"how": self.how.value, "focus": (self.across.value, self.down.value)}

    @property
    def mask(self) -> Any:
        """What is to move, as `cinemagraph` takes it; None for everything."""
        tool = self.part.value
        if tool == "frame":
            return None
        mask = tuple(self.easel.box) if tool == "box" else bytes(self.easel.painted)
        if not mask:
            raise ValueError(
                "Nothing would move: paint what is to move on the picture with the brush, or draw "
                "a box, or let everything move."
            )
        return mask

    def add(self, title: str, source: ImageLike) -> bool:
        """Put a picture into the menu, and choose it; one that cannot be opened is told of."""
        try:
            self.put(title, source)
        except Exception as error:
            self.notice.value = alarm(error)
            return False
        return True

    def put(self, title: str, source: ImageLike) -> None:
        """Put a picture into the menu, and choose it."""
        self._sources[title] = (opened(source), _code_of(source))
        self._settled = False  # new options choose the first of them
        try:
            self.menu.options, self.menu.value = list(self._sources), title
        finally:
            self._settled = True
        self._open(title)

    def frame_as(self, how: str, focus: tuple[float, float]) -> None:
        """Frame the picture in a way that `fit` knows."""
        self.how.value = how
        self.across.value, self.down.value = focus

    def reframe(self, _: Any = None) -> None:
        """Show what the frame holds now."""
        height, width = self._frame_of(self.picture.size)
        left, top, right, bottom = 0.0, 0.0, *self.picture.size
        if self.how.value == "crop":
            focus = (self.across.value, self.down.value)
            left, top, right, bottom = crop_box(self.picture.size, height, width, focus)
        sides = (*self.picture.size, *self.picture.size)
        crop = [end / side for end, side in zip((left, top, right, bottom), sides, strict=True)]
        self.easel.crop = crop
        self.easel.focus = [self.across.value, self.down.value]
        for slider in (self.across, self.down):
            slider.disabled = self.how.value == "stretch"
        self.frame.value = (
            f'<div style="line-height:1.35">{self.picture.width}×'
            f"{self.picture.height} pixels; frames of {height}×{width}</div>"
        )
        self._changed()

    def _watch(self) -> None:
        self.menu.observe(self._chosen, names="value")
        self.address.observe(self._typed, names="value")
        for widget in (self.how, self.across, self.down):
            widget.observe(self.reframe, names="value")
        self.easel.observe(self._focused, names="focus")
        self.easel.observe(self._boxed, names="box")
        self.easel.observe(lambda _: self._changed(), names="painted")
        for widget in (self.sides, self.heights):
            widget.observe(self._slid, names="value")
        self.brush.observe(lambda change: setattr(self.easel, "brush", change["new"]), "value")
        self.part.observe(self._turn_to_part, names="value")
        self.wipe.on_click(lambda _: setattr(self.easel, "painted", b""))

    def _chosen(self, change: Any) -> None:
        if not self._settled or change["new"] == self.title:
            return
        try:
            self._open(change["new"])
        except Exception as error:
            self.menu.value = self.title
            self.notice.value = alarm(error)

    def _open(self, title: str) -> None:
        self.picture = opened(self._sources[title][0])
        self.title, self.notice.value = title, ""
        shown = self.picture.copy()
        shown.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
        stream = io.BytesIO()
        shown.save(stream, "JPEG", quality=88)
        self.easel.box = list(FIRST_BOX) if self.part.value == "box" else []
        self.easel.painted = b""
        self.easel.label = f"The picture: {title}"
        self.easel.picture = stream.getvalue()
        self.reframe()

    def _typed(self, change: Any) -> None:
        text = change["new"].strip().strip("\"'")  # as file managers copy a path
        if text and self.add(title_of(text), text):
            self.address.value = ""  # so that it can be typed again

    def _focused(self, change: Any) -> None:
        self.across.value, self.down.value = (round(part, 3) for part in change["new"])

    def _boxed(self, change: Any) -> None:
        box = [round(float(end), 3) for end in change["new"]]
        self.easel.box = box
        if box:
            self.sides.value, self.heights.value = (box[0], box[2]), (box[1], box[3])
        self._changed()

    def _slid(self, _: Any) -> None:
        (left, right), (top, bottom) = self.sides.value, self.heights.value
        if self.part.value == "box" and left < right and top < bottom:
            self.easel.box = [round(end, 3) for end in (left, top, right, bottom)]

    def _turn_to_part(self, _: Any = None) -> None:
        tool = self.part.value
        self.easel.tool = tool
        if tool == "box" and not self.easel.box:
            self.easel.box = list(FIRST_BOX)
        self._boxing.layout.display = "" if tool == "box" else "none"
        self._painting.layout.display = "" if tool in ("brush", "eraser") else "none"
        self._changed()


def title_of(source: ImageLike) -> str:
    """Name a picture for the panel by its file, without the way to it or what an address asks for.

    >>> title_of("photos/kite.png"), title_of("https://example.com/boat.jpg?signature=c2lnbmVk")
    ('kite.png', 'boat.jpg')
    """
    if not isinstance(source, (str, os.PathLike)):
        return "picture"
    text = shown_address(source) if is_address(source) else os.fspath(source)
    return os.path.basename(text.rstrip("/")) or "picture"


def _code_of(source: ImageLike) -> str:
    """Write a picture as code, which a notebook publishes: no home, no login and no key."""
    if is_address(source):
        text = source.strip()
        return written(text) if shown_address(text) == text else "picture"
    is_path = isinstance(source, (str, os.PathLike))
    return written(shown(os.fspath(source))) if is_path else "picture"


def _pictures_here() -> Iterator[Path]:
    here = (
        path
        for path in sorted(Path().iterdir())
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    return (path for path, _ in zip(here, range(MOST_FILES), strict=False))
