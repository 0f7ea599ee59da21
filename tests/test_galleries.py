import base64
import html.parser
import io
import itertools
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import svdkit as sk
from svdkit import galleries, video
from svdkit.cards import Cell
from svdkit.galleries import Gallery
from svdkit.layouts import Layout

AXES = {
    "motion_bucket_id": (60, 180),
    "fps": (6, 12, 25),
    "seed": (7, 8),
    "image": ("kite", "boat"),
}
PASSES = {"div", "table", "tr", "th", "td", "details", "summary", "video"}


def grey(level, count=3, size=(64, 112)):
    return sk.Clip(np.full((count, *size, 3), level, np.uint8))


def cells_in(folder, **axes):
    """Save a clip for each combination of values, each of its own grey."""
    cells = []
    for number, chosen in enumerate(itertools.product(*axes.values())):
        values = {"image": "kite", "seed": 7, "how": "crop", "focus": [0.5, 0.5], "height": 64}
        values |= {
            "width": 112,
            "fps": 7,
            "decode_chunk_size": 14,
            **dict(zip(axes, chosen, strict=True)),
        }
        path = grey(10 + 10 * number).at(values["fps"]).save(folder / f"{number:016x}.mp4")
        cells.append(Cell(path.stem, values, {"motion": number / 1000, "flicker": None}, path))
    return cells


class Page(html.parser.HTMLParser):
    """The tables of a page, row by row: the text and the videos of each of their places."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.titles, self.tables, self.opened = set(), [], [], []
        self.inside = None
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        attributes = dict(attributes)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.inside = {"text": "", "videos": []}
            self.tables[-1][-1].append(self.inside)
        elif tag == "video":
            self.inside["videos"].append(attributes)
        elif tag == "details":
            self.opened.append("open" in attributes)
        elif tag == "summary":
            self.inside = {"text": ""}
            self.titles.append(self.inside)

    def handle_data(self, data):
        if self.inside:
            self.inside["text"] += data


def shown(gallery):
    return Page(gallery._repr_html_())


def texts(row):
    return [place["text"].strip() for place in row]


def mp4_of(tag):
    return base64.b64decode(tag["src"].removeprefix("data:video/mp4;base64,"))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """24 cells by four axes."""
    return cells_in(tmp_path_factory.mktemp("sweep"), **AXES)


def test_every_clip_stands_where_its_headings_say(sweep):
    page = shown(Gallery(sweep))
    titles = [title["text"] for title in page.titles]
    assert titles == ["seed 7 · kite", "seed 7 · boat", "seed 8 · kite", "seed 8 · boat"]
    found = 0
    for title, table in zip(titles, page.tables, strict=True):
        seed, image = re.fullmatch(r"seed (\d) · (\w+)", title).groups()
        assert texts(table[0]) == ["", "motion_bucket_id"]
        assert texts(table[1]) == ["fps", "60", "180"]
        for heading, *places in table[2:]:
            for bucket, place in zip((60, 180), places, strict=True):
                wanted = {"seed": int(seed), "image": image, "motion_bucket_id": bucket}
                wanted["fps"] = int(heading["text"])
                (cell,) = (cell for cell in sweep if wanted.items() <= cell.values.items())
                (tag,) = place["videos"]
                assert mp4_of(tag) == cell.path.read_bytes()
                assert place["text"].strip() == f"motion {cell.metrics['motion']:g} · flicker –"
                assert f"fps {wanted['fps']}" in tag["title"]
                found += 1
    assert found == len(sweep)


def test_groups_are_folded_but_the_first(sweep):
    assert shown(Gallery(sweep)).opened == [True, False, False, False]


def test_rows_and_columns_can_be_chosen(sweep):
    page = shown(Gallery(sweep, columns="image", rows="seed"))
    assert texts(page.tables[0][0]) == ["", "image"]
    assert texts(page.tables[0][1]) == ["seed", "kite", "boat"]
    assert [title["text"] for title in page.titles][:2] == [
        "motion_bucket_id 60 · fps 6",
        "motion_bucket_id 60 · fps 12",
    ]


def test_rows_alone_can_be_chosen(tmp_path):
    (table,) = shown(Gallery(cells_in(tmp_path, fps=(6, 12)), rows="fps")).tables
    assert [texts(row)[0] for row in table] == ["fps", "6", "12"]


def test_one_axis_needs_no_groups_and_no_rows(tmp_path):
    page = shown(Gallery(cells_in(tmp_path, seed=(9, 10, 8))))
    assert page.titles == []
    assert texts(page.tables[0][1]) == ["8", "9", "10"]


def test_many_columns_go_on_below(tmp_path):
    page = shown(Gallery(cells_in(tmp_path, seed=range(10))))
    assert [texts(table[1]) for table in page.tables] == [list("01234"), list("56789")]


def test_one_clip_needs_no_headings(tmp_path):
    page = shown(Gallery(cells_in(tmp_path, fps=(6,))))
    assert [len(row) for row in page.tables[0]] == [1]


def test_what_follows_from_the_rest_is_no_axis(tmp_path):
    """A portrait makes its own frame, and a small card its own chunks."""
    cells = cells_in(tmp_path, image=("kite", "boat"), fps=(6, 12))
    for cell in cells[2:]:
        cell.values.update(height=112, width=64, decode_chunk_size=2)
    assert list(Layout([cell.values for cell in cells]).axes) == ["fps", "image"]
    assert texts(shown(Gallery(cells, rows="height")).tables[0][1])[0] == "height"


def test_how_a_picture_was_fitted_can_be_an_axis(tmp_path):
    cells = cells_in(tmp_path, how=("crop", "pad"), focus=([0.5, 0.5], [0.0, 1.0]))
    (table,) = shown(Gallery(cells)).tables
    assert texts(table[0]) == ["", "how"]
    assert [texts(row)[0] for row in table[1:]] == ["focus", "0.5, 0.5", "0, 1"]


def test_clips_that_nothing_sets_apart_stand_together(tmp_path):
    cells = cells_in(tmp_path, fps=(6, 12))
    ((row,),) = shown(Gallery([cells[0], cells[0]])).tables
    assert len(row[0]["videos"]) == 2


def test_failures_stand_where_their_clips_would(sweep):
    lost = sweep[3]  # at the first bucket and fps, but the last seed and picture
    failure = lost.values | {"error": "NotEnoughMemory: Memory ran out.", "decode_chunk_size": None}
    gallery = Gallery([cell for cell in sweep if cell is not lost], failures=[failure])
    page = shown(gallery)
    assert page.titles[3]["text"] == "seed 8 · boat"
    assert texts(page.tables[3][2])[:2] == ["6", "NotEnoughMemory: Memory ran out."]
    assert page.tables[3][2][1]["videos"] == []
    assert sum(len(place["videos"]) for t in page.tables for row in t for place in row) == 23
    assert repr(gallery).startswith("Gallery(23 clips, 1 failed by motion_bucket_id, fps")


@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_a_clip_that_cannot_be_read_leaves_the_others_be(tmp_path, damage):
    first, second = cells_in(tmp_path, fps=(6, 12))
    if damage == "gone":
        first.path.unlink()
    else:
        first.path.write_bytes(first.path.read_bytes()[:-900])
    if damage == "cut":
        first.path.with_name(first.path.name + ".json").unlink()
        first.path.write_bytes(first.path.read_bytes()[:300])
    gallery = Gallery([first, second])
    broken, whole = shown(gallery).tables[0][2]
    assert first.path.name in broken["text"]
    assert "Error" in broken["text"]
    assert str(tmp_path) not in broken["text"]
    assert mp4_of(whole["videos"][0]) == second.path.read_bytes()
    assert gallery.image().width > 300


def test_only_what_an_untrusted_notebook_shows_is_used(sweep):
    gallery = Gallery(sweep, failures=[sweep[0].values | {"error": "x", "seed": 99}])
    assert shown(gallery).tags <= PASSES


def test_titles_and_errors_are_text_and_no_html(tmp_path):
    evil = '"><script>alert(1)</script>\n<b onclick=x>'
    cells = cells_in(tmp_path, image=(evil, "boat"), seed=(1, 2), fps=(3, 4))
    gallery = Gallery(cells, failures=[cells[0].values | {"error": f"OSError: {evil}", "seed": 5}])
    page = shown(gallery)
    assert page.tags <= PASSES
    assert any(evil in title["text"] for title in page.titles)
    assert gallery.image().height > 100
    saved = gallery.save(tmp_path / "<script>alert(2)<script>.html")
    assert "<script>alert" not in saved.read_text(encoding="utf-8")


def test_displaying_changes_nothing_and_costs_once(tmp_path, monkeypatch):
    gallery = Gallery(cells_in(tmp_path, fps=(6, 12)))
    first = gallery._repr_mimebundle_()
    monkeypatch.setattr(galleries, "miniature", None)
    assert gallery._repr_mimebundle_() == first
    picture = Image.open(io.BytesIO(base64.b64decode(first["image/jpeg"])))
    assert picture.width <= 2000


def test_two_galleries_of_one_sweep_are_equal(sweep):
    assert Gallery(sweep[:4], fps=3)._repr_html_() == Gallery(sweep[:4], fps=3)._repr_html_()


def test_all_play_at_one_rate_where_that_is_asked(tmp_path):
    cells = cells_in(tmp_path, fps=(6, 12))
    (table,) = shown(Gallery(cells, fps=6)).tables
    tags = [place["videos"][0] for place in table[2]]
    assert mp4_of(tags[0]) == cells[0].path.read_bytes()
    (tmp_path / "played.mp4").write_bytes(mp4_of(tags[1]))
    frames, fps = video.decode(tmp_path / "played.mp4")
    assert (len(frames), fps) == (3, 6)
    assert abs(frames.astype(int) - cells[1].clip.frames).max() <= 2


def test_a_hundred_small_clips_are_light(tmp_path, made):
    first = made.save(tmp_path / "first.mp4")
    cells = []
    for number in range(100):
        path = Path(shutil.copy(first, tmp_path / f"{number:016x}.mp4"))
        values = {"seed": number // 20, "fps": number % 5, "motion_bucket_id": number // 5 % 4}
        cells.append(Cell(path.stem, values, {"motion": 0.02}, path))
    source = Gallery(cells)._repr_html_()
    assert source.count("<video") == 100
    assert len(source) < 3_000_000
    assert source.count("autoplay") == 20  # those of the one group that is unfolded


def test_a_hundred_large_textured_clips_stay_under_15_mb(tmp_path, monkeypatch):
    """Ten of them, with a tenth of the bytes that a hundred share: as much for each."""
    monkeypatch.setattr(galleries, "HTML_BYTES", galleries.HTML_BYTES // 10)
    generator = np.random.default_rng(3)
    frames = generator.integers(60, 190, (25, 72, 128, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    first = sk.Clip(frames).save(tmp_path / "first.mp4")
    assert first.stat().st_size > galleries.CELL_BYTES
    cells = [
        Cell(
            f"{number}", {"seed": number}, {}, Path(shutil.copy(first, tmp_path / f"{number}.mp4"))
        )
        for number in range(10)
    ]
    gallery = Gallery(cells)
    assert len(gallery._repr_html_()) < 15_000_000 / 10
    assert len(video.decode(first)[0]) == 25
    (tmp_path / "small.mp4").write_bytes(gallery._players[0].mp4)
    small, fps = video.decode(tmp_path / "small.mp4")
    assert (len(small), fps) == (25, 7)
    assert small.shape[2] / small.shape[1] == pytest.approx(1024 / 576, rel=0.02)


def test_portraits_are_no_taller_than_landscapes_are_wide(tmp_path):
    path = grey(90, size=(112, 64)).save(tmp_path / "a.mp4")
    gallery = Gallery([Cell("a", {}, {}, path)])
    (tag,) = shown(gallery).tables[0][0][0]["videos"]
    assert int(tag["width"]) * 112 / 64 <= 241
    assert gallery.image(160).width < 200


def test_the_picture_has_a_frame_in_every_place(tmp_path):
    cells = cells_in(tmp_path, motion_bucket_id=(60, 180), fps=(6, 12))
    cells[1].path.unlink()
    failure = cells[3].values | {"error": "ValueError: no"}
    pixels = np.asarray(Gallery(cells[:3], failures=[failure]).image(width=160)).astype(int)
    flat = {level: (abs(pixels - level).max(2) <= 2).sum() for level in (10, 30, 221)}
    assert flat[10] > 0.95 * 160 * 91
    assert flat[30] > 0.95 * 160 * 91
    assert flat[221] > 1.5 * 160 * 96  # two grey tiles with few words
    right_of = np.argwhere((abs(pixels - 30).max(2) <= 2)[:, :]).min(0)
    left = np.argwhere((abs(pixels - 10).max(2) <= 2)[:, :]).min(0)
    assert right_of[1] > left[1] + 150
    assert abs(right_of[0] - left[0]) <= 2


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_what_svdkit_saved_is_replaced_and_nothing_else(tmp_path, suffix):
    gallery = Gallery(cells_in(tmp_path, fps=(6, 12)))
    path = tmp_path / "new" / f"runs{suffix}"
    assert gallery.save(path) == path
    first = path.read_bytes()
    gallery.save(path)
    assert path.read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    other = tmp_path / path.name
    other.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"is there already and is not what svdkit saved"):
        gallery.save(other)
    assert other.read_bytes() == b"mine"
    gallery.save(other, overwrite=True)
    assert other.read_bytes() == first


def test_a_picture_of_others_is_not_replaced(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        Gallery([]).save(tmp_path / "a.png")


def test_a_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    gallery = Gallery([])
    path = gallery.save(tmp_path / "a.html")
    before = path.read_bytes()
    monkeypatch.setattr(Gallery, "_page", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        gallery.save(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_saved_page_plays_in_a_browser(sweep, tmp_path, chromium):
    path = Gallery(sweep).save(tmp_path / "runs of Ü.html")
    page = chromium.new_page()
    page.goto(path.as_uri())
    every = "[...document.querySelectorAll('details[open] video')]"
    plays = f"{every}.length == 6 && {every}.every(v => !v.paused && v.currentTime > 0)"
    while not page.evaluate(plays):  # the page lets no script wait in it
        page.wait_for_timeout(100)
    assert page.title() == "runs of Ü"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    boxes = page.evaluate(f"{every}.map(v => v.getBoundingClientRect().toJSON())")
    assert len({(round(box["x"]), round(box["y"])) for box in boxes}) == 6
    assert {round(box["width"]) for box in boxes} == {240}
    page.close()


def test_a_gallery_of_nothing_says_so():
    gallery = Gallery([])
    assert repr(gallery) == "Gallery(0 clips)"
    assert "no clips yet" in gallery._repr_html_()
    assert gallery._repr_mimebundle_()["image/jpeg"]


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (
            lambda cells: Gallery(cells, rows="sed"),
            TypeError,
            r"Did you mean seed\?.*varies: motion",
        ),
        (lambda cells: Gallery(cells, rows=3), TypeError, "rows is 3, and no cell has that"),
        (
            lambda cells: Gallery(cells, columns="how"),
            ValueError,
            "the same in all cells. What var",
        ),
        (lambda cells: Gallery(cells, columns="fps", rows="fps"), ValueError, "both 'fps'"),
        (lambda cells: Gallery(cells, fps=0), ValueError, "fps is 0; playback needs"),
        (lambda cells: Gallery(cells, fps="7"), ValueError, "fps is '7'"),
        (lambda cells: Gallery([grey(3)]), TypeError, "is no cell of a sweep; show_clips"),
        (
            lambda cells: Gallery(cells).image(width=3),
            ValueError,
            "width is 3; a frame takes 64–320",
        ),
        (lambda cells: Gallery(cells).save("a.mp4"), ValueError, r"'a\.mp4' should end in \.png"),
        (lambda cells: Gallery(cells).save("runs"), ValueError, "'runs' should end in"),
    ],
)
def test_what_cannot_be_shown_is_told(sweep, call, kind, said):
    with pytest.raises(kind, match=said):
        call(sweep)


def test_a_folder_is_no_place_to_save_in(tmp_path):
    (tmp_path / "a.html").mkdir()
    with pytest.raises(IsADirectoryError, match="choose another name"):
        Gallery([]).save(tmp_path / "a.html", overwrite=True)
