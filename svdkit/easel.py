"""The easel: a picture in the browser, to drop another on, to frame, and to paint a mask on.

What ipywidgets do not have: files dropped or pasted, a point dragged about, a brush.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

PANEL = "svdkit-panel"  # the class of the element that an easel stands in, whose sliders it names
COUNTS = {"focus": (2,), "box": (0, 4)}  # of the numbers of each
SLACK = 0.01  # by which a pointer may be outside
TOOLS = ("frame", "box", "brush", "eraser")


class Easel(anywidget.AnyWidget):
    """A picture that answers to pointer, keys, files and web addresses.

    >>> Easel(tool="box").box
    []
    """

    # as texts: of files anywidget keeps a watch, and with it every easel there ever was
    _esm = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    _css = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")

    picture = traitlets.Bytes().tag(sync=True)
    """The whole picture, as JPEG or PNG."""
    label = traitlets.Unicode().tag(sync=True)
    """What the picture is, for those who do not see it."""
    crop = traitlets.List(traitlets.Float(), [0.0, 0.0, 1.0, 1.0]).tag(sync=True)
    """What the frame holds: left, top, right, bottom, in fractions of the picture."""
    focus = traitlets.List(traitlets.Float(), [0.5, 0.5]).tag(sync=True)
    """The point that the crop keeps in view."""
    tool = traitlets.Enum(TOOLS, "frame").tag(sync=True)
    """What the pointer does."""
    brush = traitlets.Float(0.08).tag(sync=True)
    """How wide brush and eraser are, in widths of the picture."""
    box = traitlets.List(traitlets.Float()).tag(sync=True)
    """The box drawn as a mask, as `crop`; empty where there is none."""
    painted = traitlets.CBytes().tag(sync=True)
    """The mask that the brush painted, as PNG, white where it did; empty where nothing is."""

    @traitlets.validate("focus", "box")
    def _checked(self, proposal: Any) -> list[float]:
        """Let in what is in the picture, and nothing else that a page may send."""
        name, ends = proposal["trait"].name, proposal["value"]
        if len(ends) not in COUNTS[name] or not all(-SLACK <= end <= 1 + SLACK for end in ends):
            raise traitlets.TraitError(f"{name} is {ends!s:.60}; it is fractions of the picture.")
        return ends

    def on_drop(self, told: Callable[[str, Any], object]) -> None:
        """Have a function told of what is dropped or pasted: a name, and bytes or a web address.

        >>> Easel().on_drop(print)
        """

        def heard(_: Any, message: Any, buffers: Any) -> None:
            kind = message.get("kind") if isinstance(message, dict) else None
            if kind == "file" and buffers:
                told(str(message.get("name") or "picture"), bytes(buffers[0]))
            elif kind == "address" and re.match("https?://", str(message.get("address")), re.I):
                address = str(message["address"])
                told(address.rsplit("/", 1)[-1] or "picture", address)

        self.on_msg(heard)
