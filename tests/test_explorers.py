import html
import re

import ipywidgets
import numpy as np
import pytest
from small_settings import QUICK

import svdkit as sk
from svdkit.cards import Cell
from svdkit.explorers import as_code, explore


def every(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from every(child)


def called(widget, name):
    (found,) = (w for w in every(widget) if getattr(w, "description", "") == name)
    return found


def told(widget):
    return [w.value for w in every(widget) if type(w) is ipywidgets.HTML]


def players(widget):
    """The captions of the players that are shown."""
    return [html.unescape(c) for c in re.findall("<figcaption[^>]*>([^<]*)", "".join(told(widget)))]


def frames_of(level):
    frames = np.full((3, 64, 112, 3), level, np.uint8)
    frames[:, 10:20, 10:20] = 250
    return sk.Clip(frames)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Two by three clips of greys."""
    folder, cells = tmp_path_factory.mktemp("cells"), []
    for bucket in (60, 180):
        for seed in (7, 8, 9):
            number = len(cells)
            path = frames_of(20 * number).save(folder / f"{number:016x}.mp4")
            values = {"image": "<b>kite</b>", "seed": seed, "motion_bucket_id": bucket, "fps": 7}
            motion = [0.03, 0.01, 0.02, 0.05, None, 0.04][number]
            metrics = {"motion": motion, "flicker": 0.1 * number}
            cells.append(Cell(path.stem, values, metrics, path))
    return cells


def labels(widget, side="A"):
    return [label for label, _ in called(widget, side).options]


def test_all_clips_are_listed_with_what_sets_them_apart_and_what_was_measured(cells):
    widget = explore(cells, "tiny")
    assert len(labels(widget)) == 6
    assert labels(widget)[0] == "motion_bucket_id 60 · seed 7 · motion 0.03 · flicker 0"
    assert "6 of 6 clips" in told(widget)
    assert [caption[:30] for caption in players(widget)] == [
        "A: motion_bucket_id 60 · seed ",
        "B: motion_bucket_id 60 · seed ",
    ]


def test_a_choice_leaves_those_that_match(cells):
    widget = explore(cells, "tiny")
    called(widget, "motion_bucket_id").label = "180"
    assert len(labels(widget)) == 3
    assert all(label.startswith("motion_bucket_id 180") for label in labels(widget))
    called(widget, "seed").label = "8"
    assert [label[:30] for label in labels(widget, "B")] == ["motion_bucket_id 180 · seed 8 "]
    assert "1 of 6 clips" in told(widget)
    called(widget, "seed").label = "all"
    assert len(labels(widget)) == 3


def test_a_choice_keeps_what_is_looked_at_where_it_can(cells):
    widget = explore(cells, "tiny")
    called(widget, "A").value = 4
    called(widget, "motion_bucket_id").label = "180"
    assert called(widget, "A").value == 4
    assert called(widget, "B").value == 4  # the second of those that are left
    called(widget, "motion_bucket_id").label = "60"
    assert called(widget, "A").value == 0


def test_choices_that_leave_nothing_say_so(cells):
    widget = explore([cells[0], cells[4]], "tiny")
    called(widget, "motion_bucket_id").label = "180"
    called(widget, "seed").label = "7"
    called(widget, "difference").value = True
    assert labels(widget) == []
    assert any("No clip is left" in text for text in told(widget))
    called(widget, "seed").label = "8"
    assert len(players(widget)) == 3


def test_clips_are_sorted_by_any_number_and_those_without_come_last(cells):
    widget = explore(cells, "tiny")
    order = called(widget, "sort by")
    order.label = "most motion"
    assert [number for _, number in called(widget, "A").options] == [3, 5, 0, 2, 1, 4]
    assert labels(widget)[0] == "motion 0.05 · motion_bucket_id 180 · seed 7 · flicker 0.3"
    order.label = "least motion"
    assert [number for _, number in called(widget, "B").options] == [1, 2, 0, 5, 3, 4]
    order.label = "in order"
    assert [number for _, number in called(widget, "A").options] == list(range(6))


def test_two_clips_are_compared_on_demand(cells):
    widget = explore(cells, "tiny")
    assert len(players(widget)) == 2
    called(widget, "difference").value = True
    assert re.search(r"difference ×\d+: at most 2\d of 255", players(widget)[2])
    called(widget, "B").value = 0
    assert "no difference" in players(widget)[2]
    called(widget, "difference").value = False
    assert len(players(widget)) == 2


def test_the_player_shows_the_clip_that_is_chosen(cells):
    widget = explore(cells, "tiny")
    called(widget, "B").value = 5
    wanted = re.search('src="[^"]*"', cells[5].clip.player())[0]
    assert wanted in "".join(told(widget))


def test_what_cannot_be_read_or_compared_is_told_in_its_place(tmp_path):
    paths = [
        frames_of(3).save(tmp_path / "a.mp4"),
        sk.Clip(np.zeros((2, 16, 16, 3), np.uint8)).save(tmp_path / "b.mp4"),
        tmp_path / "gone.mp4",
    ]
    cells = [Cell(path.stem, {"seed": seed}, {}, path) for seed, path in enumerate(paths)]
    widget = explore(cells, "tiny")
    called(widget, "difference").value = True
    assert any("cannot be compared" in text for text in told(widget))
    called(widget, "B").value = 2
    assert any("FileNotFoundError" in text for text in told(widget))


def test_names_and_errors_are_text_and_no_html(cells):
    failure = cells[0].values | {"error": "OSError: <script>alert(1)</script>"}
    other = Cell("x", cells[0].values | {"image": "<script>"}, {}, cells[0].path)
    widget = explore([*cells, other], "tiny", [failure])
    called(widget, "A").value = 6
    source = "".join(told(widget))
    assert "<script>" not in source
    assert "<b>" not in source
    assert "1 failed" in source
    assert "&lt;script&gt;alert(1)" in source


def test_one_clip_and_none_are_explored_too(cells):
    assert labels(explore(cells[:1], "tiny")) == [f"{cells[0].name} · motion 0.03 · flicker 0"]
    assert "0 of 0 clips" in told(explore([], "tiny"))


def test_the_code_as_shown_makes_the_same_clip(made, picture, tmp_path, capsys):
    request = made.recipe["request"]
    values = {"image": "sample", "seed": request["seed"], **request["fit"], **request["settings"]}
    cell = Cell("ab12", values, {}, made.save(tmp_path / "ab12.mp4"))
    (source,) = (text for text in told(explore([cell], "tiny")) if "<pre" in text)
    code = html.unescape(re.search("<pre[^>]*>(.*)</pre>", source, re.DOTALL)[1])
    steps, count = QUICK["num_inference_steps"], QUICK["num_frames"]
    assert code == (
        f'sk.animate(picture, "tiny", num_frames={count}, num_inference_steps={steps}, seed=7)'
        "  # picture: 'sample'"
    )
    again = eval(code, {"sk": sk, "picture": picture})
    assert np.array_equal(again.frames, made.frames)


def test_code_tells_whatever_departs_from_the_defaults_and_runs(picture):
    """Everything at once: a portrait, padded, in chunks, with its own guidance."""
    asked = {"how": "pad", "focus": (0.5, 0.25), "height": 112, "width": 64, "num_frames": 4}
    asked |= {"fps": 9, "num_inference_steps": 1, "guidance": (1.0, 1.5, 2.0, 1.5)}
    asked |= {"decode_chunk_size": 2}
    clip = sk.animate(picture, "tiny", seed=3, progress=False, **asked)
    request = clip.recipe["request"]
    values = {"image": "a\nb", "seed": 3, **request["fit"], **request["settings"]}
    code = as_code(Cell("ab12", values, {}, None), "tiny")
    assert all(len(line) < 100 for line in code.splitlines())
    assert code.splitlines()[-1] == r")  # picture: 'a\nb'"
    again = eval(code, {"sk": sk, "picture": picture})
    assert np.array_equal(again.frames, clip.frames)


def test_code_for_a_model_of_no_row_tells_its_frame():
    values = {"seed": 3, "height": 320, "width": 512, "num_frames": 8, "decode_chunk_size": 8}
    code = as_code(Cell("ab12", values, {}, None), "someone/svd-tuned")
    assert code == (
        'sk.animate(picture, "someone/svd-tuned", height=320, width=512, num_frames=8, seed=3)'
    )


def test_no_title_can_slip_into_the_code():
    values = {"seed": 3, "image": "kite\nimport os\u2028'''"}
    assert len(as_code(Cell("ab12", values, {}, None), "tiny").splitlines()) == 1
