"""Gallery: the static picture of a sweep, a labelled grid of players that needs no kernel."""

import base64
import html
import io
import os
import textwrap
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any

from PIL import Image

from .cards import Cell
from .drawing import SIZE, font, together, words
from .layouts import Layout, Table, in_words
from .miniatures import Miniature, miniature
from .paths import as_path, shown
from .replacing import is_our_picture, replaceable, save_picture
from .workshops import landing

MOST_PLAYING = 24  # players that start by themselves: more of them make a page stutter
HTML_BYTES, CELL_BYTES = 10_000_000, 600_000  # in base64, of all cells and of one
FALLBACK = (2000, 16000)  # pixels; a JPEG has 65535 at most
GREY = "#777"
GENERATOR = '<meta name="generator" content="svdkit">'
# What is in the page is all that it needs: a browser is told to run and to fetch nothing else
ALONE = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
POLICY = f'<meta http-equiv="Content-Security-Policy" content="{ALONE}">'
LEFT = "text-align:left;vertical-align:top;padding:3px 4px"
FAILED = "padding:6px;border:1px dashed #b55;font-size:85%;overflow-wrap:anywhere"


class Gallery:
    """The clips of a sweep as a grid of players, by what varies among them.

    `columns` and `rows` name the axes that run across and down; what else varies is folded into
    groups. `fps` plays all at one rate. `failures` are the values of cells that have no clip, each
    with its "error".

    >>> cells = [Cell(f"{fps}", {"fps": fps, "seed": 7}, {}, Path(f"{fps}.mp4")) for fps in (6, 12)]
    >>> Gallery(cells)
    Gallery(2 clips by fps)
    """

    def __init__(
        self,
        cells: Iterable[Cell],
        *,
        failures: Iterable[Mapping[str, Any]] = (),
        rows: str | None = None,
        columns: str | None = None,
        fps: float | None = None,
    ):
        failed = [dict(failure) for failure in failures]
        self.cells = tuple(cells)
        self.failures = tuple(failure for failure in failed if len(failure) > 1)
        self.unplaced = tuple(failure for failure in failed if len(failure) <= 1)
        for cell in self.cells:
            if not isinstance(cell, Cell):
                raise TypeError(f"{cell!r:.60} is no cell of a sweep; show_clips shows any clips.")
        is_number = isinstance(fps, Real) and not isinstance(fps, bool)
        if fps is not None and not (is_number and 0 < fps <= 1000):
            raise ValueError(f"fps is {fps!r}; playback needs a number above 0, up to 1000. Try 7.")
        self.fps = None if fps is None else float(fps)
        failed = ({k: v for k, v in cell.items() if k != "error"} for cell in self.failures)
        values = [*(cell.values for cell in self.cells), *failed]
        self.layout = Layout(values, rows=rows, columns=columns)

    def __repr__(self) -> str:
        told = f"{len(self.cells)} clip{'s' if len(self.cells) != 1 else ''}"
        failed = len(self.failures) + len(self.unplaced)
        told += f", {failed} failed" if failed else ""
        return f"Gallery({told}{' by ' if self.layout.axes else ''}{', '.join(self.layout.axes)})"

    def _repr_html_(self) -> str:
        # only tags and inline styles that JupyterLab lets pass in a notebook it does not trust
        lines = [shown(failure.get("error", "failed")) for failure in self.unplaced]
        below = "".join(f'<div style="{FAILED}">{_error(line)}</div>' for line in lines)
        if not self.layout.values:
            return f"<div>There are no clips yet.</div>{below}"
        groups, parts = self.layout.groups(), []
        counts = [
            sum(len(place) for table in tables for _, row in table.rows for place in row)
            for _, tables in groups
        ]
        for title, tables in groups:
            count = sum(counts) if parts else counts[0]  # folded groups may all be opened
            inside = "".join(self._table(table, count <= MOST_PLAYING) for table in tables)
            if title:
                heading = f'<summary style="padding:4px 0">{html.escape(title)}</summary>'
                inside = f"<details{'' if parts else ' open'}>{heading}{inside}</details>"
            parts.append(inside)
        return f'<div style="overflow-x:auto">{"".join(parts)}{below}</div>'

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        picture, stream = self.image(), io.BytesIO()
        picture.thumbnail(FALLBACK)
        picture.save(stream, "JPEG", quality=85)
        return {
            "text/plain": repr(self),
            "text/html": self._repr_html_(),
            "image/jpeg": base64.b64encode(stream.getvalue()).decode(),
        }

    def image(self, width: int = 160) -> Image.Image:
        """Draw the first frame of each clip in its place, `width` pixels wide, as one picture.

        >>> Gallery([]).image().mode
        'RGB'
        """
        if not 64 <= width <= 320:
            raise ValueError(f"width is {width}; a frame takes 64–320 pixels in a gallery.")
        parts = [] if self.layout.values else [words("There are no clips yet.", 3 * width)]
        for title, tables in self.layout.groups():
            drawn = [self._drawn(table, width) for table in tables]
            parts += [words(title, max(one.width for one in drawn), size=15)] if title else []
            parts += drawn
        return together([together(parts, down=True, gap=10)], edge=6)

    def save(self, path: str | os.PathLike, *, overwrite: bool = False) -> Path:
        """Save as a picture of first frames, .png, or as a page that plays anywhere, .html.

        What svdkit saved there before is replaced; a file from elsewhere only with
        `overwrite=True`. A file is whole or not there at all.

        >>> from tempfile import mkdtemp
        >>> Gallery([]).save(Path(mkdtemp(), "runs.html")).name
        'runs.html'
        """
        path = as_path(path)
        suffix = path.suffix.lower()
        if suffix not in (".png", ".html"):
            raise ValueError(
                f"{path.name!r} should end in .png, for a picture, or .html, for a page that "
                "plays; each clip saves its own video."
            )
        replaceable(path, _is_ours, overwrite=overwrite)
        if suffix == ".png":
            save_picture(self.image(), path)
            return path
        with landing(path) as draft:
            draft.write_text(self._page(path.stem), encoding="utf-8")
        return path

    @cached_property
    def _players(self) -> list[Miniature | str]:
        """What is shown in each place: a player, or why there is none."""
        most_bytes = min(CELL_BYTES, HTML_BYTES // max(1, len(self.cells))) * 3 // 4

        def player(cell: Cell) -> Miniature | str:
            try:
                return miniature(cell.path, most_bytes, self.fps)
            except Exception as error:  # one that was lost or broken since leaves the others be
                return f"{type(error).__name__}: {shown(error)}"

        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # ffmpeg does the work
            players = list(pool.map(player, self.cells))
        return players + [shown(failure.get("error", "failed")) for failure in self.failures]

    def _caption(self, number: int) -> str:
        return in_words(self.cells[number].metrics) if number < len(self.cells) else ""

    def _table(self, table: Table, plays: bool) -> str:
        width = min(240, 800 // len(table.columns))
        aside, across = self.layout.rows, self.layout.columns
        lines = []
        if across:
            span = f'<th colspan="{len(table.columns)}" style="{LEFT}">{html.escape(across)}</th>'
            lines.append(("<td></td>" if aside else "") + span)
        if across or aside:
            lines.append("".join(map(_heading, [aside] * bool(aside) + table.columns)))
        for heading, row in table.rows:
            line = _heading(heading) if aside else ""
            for place in row:
                players = "".join(self._player_html(number, width, plays) for number in place)
                line += f'<td style="{LEFT}">{players}</td>\n'
            lines.append(line)
        return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"

    def _player_html(self, number: int, width: int, plays: bool) -> str:
        player, label = self._players[number], html.escape(self.layout.label(number))
        if isinstance(player, str):
            style = f"width:{width - 14}px;{FAILED}"
            return f'<div style="{style}" title="{label}">{_error(player)}</div>'
        mp4, poster = (base64.b64encode(data).decode() for data in player[:2])
        starts = "autoplay" if plays else 'preload="metadata"'
        return (  # as video_tag has it
            f'<video src="data:video/mp4;base64,{mp4}" poster="data:image/jpeg;base64,{poster}" '
            f'width="{round(width / max(1, player.tall))}" controls loop muted {starts} '
            f'playsinline title="{label}"></video><div style="width:{width}px;font-size:85%">'
            f"{html.escape(self._caption(number))}</div>"
        )

    def _page(self, title: str) -> str:
        head = f'<meta charset="utf-8">{GENERATOR}{POLICY}<title>{html.escape(title)}</title>'
        body = f'<body style="font-family:sans-serif">{self._repr_html_()}</body>'
        return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n{body}</html>\n'

    def _drawn(self, table: Table, width: int) -> Image.Image:
        aside, across = self.layout.rows, self.layout.columns
        names = [aside or "", *(heading for heading, _ in table.rows)]
        margin = min(width, max(int(font(SIZE).getlength(name)) for name in names) + 8)
        lines = []
        if across:
            lines.append([words("", margin), words(across, width * len(table.columns), GREY)])
        if across or aside:
            headings = [words(heading, width) for heading in table.columns]
            lines.append([words(aside or "", margin, GREY), *headings])
        for heading, row in table.rows:
            places = (
                together([self._tile(n, width) for n in place] or [words("", width)], down=True)
                for place in row
            )
            lines.append([words(heading, margin), *places])
        lines = [line if aside else line[1:] for line in lines]
        return together([together(line, gap=4) for line in lines], down=True, gap=4)

    def _tile(self, number: int, width: int) -> Image.Image:
        player = self._players[number]
        if isinstance(player, str):
            tile = Image.new("RGB", (width, round(width * 0.6)), "#ddd")
            tile.paste(words(player, width - 12, paper="#ddd", most_lines=4), (6, 4))
            return tile
        side = width / max(1, player.tall)
        frame = Image.open(io.BytesIO(player.poster))
        frame = frame.resize((round(side), max(1, round(side * player.tall))))
        # a name and its number stay on one line
        caption = self._caption(number).replace(" ", "\xa0").replace("\xa0·\xa0", " · ")
        return together([frame, words(caption, width)], down=True, gap=2)


def _error(text: str) -> str:
    return html.escape(textwrap.shorten(text, 500))


def _heading(text: str) -> str:
    return f'<th style="{LEFT}">{html.escape(text)}</th>'


def _is_ours(path: Path) -> bool:
    if path.suffix.lower() == ".png":
        return is_our_picture(path)
    try:
        with path.open(encoding="utf-8") as stream:
            return GENERATOR in stream.read(1000)
    except (OSError, ValueError):
        return False
