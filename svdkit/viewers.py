"""Looking at the clips of a panel: one large, beside another, frame by frame; and the gallery."""

import base64
import html
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .clips import Clip
from .display import compare_clips
from .layouts import in_words
from .paths import as_path, shown
from .tables import UNITS, measured
from .takes import CODE_STYLE, Take
from .video import still

WIDTH = 448  # pixels of the player
ALONE = "nothing"
MEASURED = ("motion", "flicker", "drift", "likeness")
MOST_LINKED = 20_000_000  # bytes of a file that goes through the browser; larger ones are saved
CARD = {"width": "148px", "align_items": "center", "margin": "0 4px 4px 0"}


class Viewer:
    """The clip that is looked at, with what was measured of it, its code and its file.

    `failed` is told what went wrong; `reuse` is given a clip whose settings are wanted again.

    >>> viewer = Viewer(failed=print, reuse=print)
    >>> viewer.take is None
    True
    """

    def __init__(self, *, failed: Callable[[Exception], object], reuse: Callable[[Take], object]):
        import ipywidgets as widgets

        self._failed = failed
        self.take: Take | None = None
        self._settled = True
        self._takes: Sequence[Take] = ()
        self.player, self.facts, self.link = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.others = widgets.Dropdown(options=[(ALONE, 0)], description="compare with")
        self.others.style.description_width = "initial"
        self.frame = widgets.IntSlider(value=0, min=0, max=0, description="frame")
        self.picture = widgets.Image(format="jpeg", width=WIDTH)
        self._scrubber = widgets.Accordion([widgets.VBox([self.frame, self.picture])])
        self._scrubber.set_title(0, "Frame by frame")
        self._scrubber.selected_index = None
        self.path = widgets.Text(value="clip.mp4", description="save as", continuous_update=False)
        self.save = widgets.Button(
            description="save", icon="save", tooltip="Save where the kernel runs, with the recipe"
        )
        self.reuse = widgets.Button(
            description="use these settings",
            icon="undo",
            tooltip="Turn the dials to this clip's",
            layout={"width": "auto"},
        )
        self.code = widgets.HTML()
        self.save.on_click(self._save)
        self.reuse.on_click(lambda _: self.take and reuse(self.take))
        self.others.observe(self._play, names="value")
        self.frame.observe(self._turn, names="value")
        self._scrubber.observe(self._turn, names="selected_index")
        flow = {"flex_flow": "row wrap", "align_items": "center"}
        self.box = widgets.VBox(
            [
                self.player,
                self.facts,
                widgets.HBox([self.others, self.reuse], layout=flow),
                self._scrubber,
                self.code,
                widgets.HBox([self.path, self.save, self.link], layout=flow),
            ],
            layout={"display": "none"},
        )

    def show(self, take: Take, takes: Sequence[Take]) -> None:
        """Show a clip at once; what takes a moment follows with `measure`."""
        self.take, self._takes = take, takes
        options = [(ALONE, 0), *((other.name, other.number) for other in takes if other != take)]
        self._settled = False  # each of the changes below would play a clip on the way
        try:
            self.others.options, self.others.value = options, 0
        finally:
            self._settled = True
        self.facts.value = self.link.value = ""
        self.code.value = f'<pre style="{CODE_STYLE}">{html.escape(take.code)}</pre>'
        self.path.value = f"{Path(take.title).stem}-{take.number}.mp4".replace(" ", "-")
        self.frame.value, self.frame.max = 0, len(take.clip) - 1
        self.box.layout.display = ""
        self._play()
        self._turn()

    def measure(self) -> None:
        """Say what was measured of the clip, and link its file."""
        take = self.take
        told = measured(take.clip, MEASURED).items()
        known = {name: value for name, value in told if value is not None}
        units = "; ".join(UNITS[name] for name in known)
        link = _link(take)
        if take is self.take:  # and no other was chosen meanwhile
            self.facts.value = (
                f'<div title="{units}" style="line-height:1.35">{in_words(known)}</div>'
            )
            self.link.value = link

    def _play(self, _: Any = None) -> None:
        if not self._settled:
            return
        other = next((take for take in self._takes if take.number == self.others.value), None)
        try:
            if other:
                pair = (other.name, self.take.name)
                grid = compare_clips(other.clip, self.take.clip, titles=pair)
                self.player.value = "".join(_sized(clip, name) for name, clip in grid.clips.items())
            else:
                self.player.value = _sized(self.take.clip, self.take.name)
        except Exception as error:
            self._failed(error)

    def _turn(self, _: Any = None) -> None:
        if self.take and self._scrubber.selected_index == 0:
            self.picture.value = still(self.take.clip.frames[self.frame.value])

    def _save(self, _: Any) -> None:
        try:
            clip, path = self.take.clip, as_path(self.path.value)
            if path.exists() and _recipe_in(path) not in (None, clip.recipe):
                raise FileExistsError(
                    f"{path.name!r} holds another clip; save this one under another name."
                )
            path = clip.save(path)
        except Exception as error:
            self._failed(error)
        else:
            self.link.value = f"Saved: {html.escape(shown(path))}"


class Gallery:
    """The clips as small pictures; `chosen` is given the one that is clicked.

    >>> Gallery(chosen=print).box.children
    ()
    """

    def __init__(self, *, chosen: Callable[[Take], object]):
        import ipywidgets as widgets

        self._chosen = chosen
        self.box = widgets.HBox(layout={"flex_flow": "row wrap"})

    def add(self, take: Take) -> None:
        """Add the picture of a clip, newest first."""
        import ipywidgets as widgets

        picture = widgets.Image(value=take.poster, format="jpeg", width=128)
        button = widgets.Button(
            description=take.name, tooltip=f"Show clip {take.name}", layout={"width": "140px"}
        )
        button.on_click(lambda _: self._chosen(take))
        self.box.children = (widgets.VBox([picture, button], layout=CARD), *self.box.children)


def _sized(clip: Clip, title: str) -> str:
    height, width = clip.frames.shape[1:3]
    return clip.player(title, width=round(WIDTH * min(1, width / height)))


def _recipe_in(path: Path) -> dict[str, Any] | None:
    """Read the recipe of a file; None where it is none of ours, which saving will look after."""
    try:
        return Clip.open(path).recipe or None
    except (OSError, ValueError):
        return None


def _link(take: Take) -> str:
    """Give a link by which the browser saves the file, with its recipe inside."""
    name = f"{Path(take.title).stem}-{take.number}.mp4"
    if take.path and take.path.is_file():
        data = take.path.read_bytes()
    else:
        with tempfile.TemporaryDirectory() as folder:
            data = take.clip.save(Path(folder, "clip.mp4")).read_bytes()
    if len(data) > MOST_LINKED:
        return "(too large to download from here: save it)"
    source = base64.b64encode(data).decode()
    return (
        f'<a download="{html.escape(name)}" href="data:video/mp4;base64,{source}" '
        f'style="text-decoration:underline">download {html.escape(name)}</a> '
        f"({max(1, len(data) // 1000)} kB)"
    )
