"""The panel from the kernel's side; tests/browser has it in a real browser."""

import gc
import html
import re
import threading
import time
import weakref

import ipywidgets
import numpy as np
import pytest
from PIL import Image

import svdkit as sk
from svdkit.engines import Engine
from svdkit.forecasts import Forecast

SECONDS = 240  # for a clip of tiny on a busy machine
FEW = {"num_inference_steps": 2, "num_frames": 4}


def every(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from every(child)


def called(panel, name):
    """The widget of this label."""
    (found,) = (w for w in every(panel.box) if getattr(w, "description", "") == name)
    return found


def told(panel):
    """All words that the panel shows."""
    texts = (widget.value for widget in every(panel.box) if isinstance(widget, ipywidgets.HTML))
    return html.unescape(re.sub("<[^>]*>", " ", " ".join(texts)))


def living():
    """How many widgets there are."""
    of_8 = getattr(ipywidgets.widgets.widget, "_instances", None)
    return len(ipywidgets.Widget.widgets if of_8 is None else of_8)


def codes(panel):
    texts = (widget.value for widget in every(panel.box) if isinstance(widget, ipywidgets.HTML))
    found = re.findall("<pre[^>]*>(.*?)</pre>", "\n".join(texts), re.DOTALL)
    return [html.unescape(code) for code in found]


def players(panel):
    texts = (widget.value for widget in every(panel.box) if isinstance(widget, ipywidgets.HTML))
    return [text for text in texts if "<video" in text]


@pytest.fixture
def panel(tiny):
    panel = sk.panel(tiny)
    called(panel, "steps").value, called(panel, "frames").value = 2, 4
    yield panel
    panel.close()


@pytest.fixture
def opens(tiny):
    """Open panels, and close them in the end."""
    opened = []

    def open_panel(pipeline=tiny, **how):
        opened.append(sk.panel(pipeline, **how))
        called(opened[-1], "steps").value, called(opened[-1], "frames").value = 2, 4
        return opened[-1]

    yield open_panel
    for each in opened:
        each.close()


def animated(panel):
    called(panel, "Animate").click()
    assert panel.wait(SECONDS)
    return panel.clip


def until(happened, seconds=SECONDS):
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.01)
    assert happened()


def test_a_click_makes_the_clip_that_the_code_makes(panel):
    called(panel, "motion").value, called(panel, "seed").value = 200, 3
    called(panel, "show the code").value = True
    clip = animated(panel)
    assert len(clip) == 4
    assert panel.clips == [clip]
    assert len(players(panel)) == 1
    (code,) = set(codes(panel))  # of the dials, and of the clip
    again = eval(code, {"sk": sk})
    assert np.array_equal(again.frames, clip.frames)
    assert clip.recipe["request"]["settings"]["motion_bucket_id"] == 200


def test_a_panel_by_name_opens_at_once_and_loads_when_asked():
    sk.unload()
    panel = sk.panel("tiny")
    assert not panel._engine.is_loaded
    called(panel, "steps").value, called(panel, "frames").value = 1, 2
    assert len(animated(panel)) == 2
    panel.close()


def test_loading_is_told_of_and_can_be_cancelled(hub_of, checkpoint):
    hub_of({"somebody/small-svd": checkpoint})
    panel = sk.panel("somebody/small-svd")

    def stop(change):
        if "Loading somebody/small-svd" in change["new"]:
            panel.cancel()

    panel._maker.status.observe(stop, names="value")
    called(panel, "Animate").click()
    assert panel.wait(SECONDS)
    assert "Stopped after 0" in told(panel)
    panel.close()


def test_a_wrong_model_is_told_of_when_the_panel_opens():
    with pytest.raises(ValueError, match="no model"):
        sk.panel("tinny")
    with pytest.raises(TypeError, match="is for drawing"):
        sk.panel("sd-turbo")


def test_other_cells_run_meanwhile_and_cancel_stops_at_the_next_step(panel):
    called(panel, "steps").value = 50
    called(panel, "Animate").click()
    assert panel.is_running
    until(lambda: "Step 1" in told(panel))
    called(panel, "Cancel").click()
    assert panel.wait(SECONDS)
    assert "Stopped after" in told(panel)
    assert panel.clips == []
    called(panel, "steps").value = 1
    assert len(animated(panel)) == 4  # and the pipeline works


def test_a_second_click_begins_no_second_clip(panel):
    called(panel, "Animate").click()
    job = panel._maker._job
    called(panel, "Animate").click()
    assert panel._maker._job is job
    panel.wait(SECONDS)
    assert len(panel.clips) == 1


def test_thirty_rounds_of_animate_and_cancel_leave_nothing_behind(panel):
    called(panel, "steps").value = 50

    def round_of():
        called(panel, "Animate").click()
        until(lambda: "Step 1" in told(panel))
        called(panel, "Cancel").click()
        assert panel.wait(SECONDS)

    round_of()
    gc.collect()
    widgets, threads = living(), threading.active_count()
    objects = len(gc.get_objects())
    for _ in range(30):
        round_of()
    gc.collect()
    assert living() == widgets
    assert threading.active_count() <= threads
    assert len(gc.get_objects()) < objects + 2000


def test_a_closed_panel_leaves_no_widget_and_no_thread(tiny):
    sk.panel(tiny).close()
    widgets, threads = living(), threading.active_count()
    sk.panel(tiny).close()
    assert living() == widgets
    assert threading.active_count() <= threads  # one of an earlier test may end meanwhile


def test_an_error_is_told_in_the_panel_in_words(panel, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    before = panel.picture
    called(panel, "or open").value = str(tmp_path / "broken.png")
    assert "broken.png" in told(panel)
    assert panel.picture is before
    called(panel, "or open").value = "nowhere.png"
    assert "nowhere.png" in told(panel)
    called(panel, "moves").value = "brush"
    called(panel, "Animate").click()
    assert "Nothing would move" in told(panel)
    assert not panel.is_running
    called(panel, "moves").value = "frame"
    assert len(animated(panel)) == 4


def test_a_picture_comes_from_a_path_or_the_browser(panel, tmp_path):
    path = tmp_path / "tall.png"
    Image.new("RGB", (60, 100), "teal").save(path)
    called(panel, "or open").value = str(path)
    assert panel.picture.size == (60, 100)
    assert "frames of 112×64" in told(panel)
    panel._picker.easel._handle_custom_msg(
        {"kind": "file", "name": "kite.png"}, [memoryview(path.read_bytes())]
    )
    assert called(panel, "picture").value == "kite.png"
    panel._picker.easel._handle_custom_msg({"kind": "file", "name": "no.png"}, [b"nothing"])
    assert "no picture" in told(panel)
    assert called(panel, "picture").value == "kite.png"


def test_the_focus_moves_the_frame_over_the_picture(opens):
    panel = opens(image=Image.new("RGB", (400, 100), "teal"))
    easel = panel._picker.easel
    before = list(easel.crop)
    easel.focus = [0.1, 0.5]  # as the pointer does it
    assert called(panel, "across").value == 0.1
    assert easel.crop[0] < before[0]
    called(panel, "across").value = 0.9  # as the keys do it
    assert easel.focus[0] == 0.9
    assert easel.crop[2] == pytest.approx(1)
    assert panel.settings["focus"] == (0.9, 0.5)


def test_a_box_makes_a_cinemagraph(panel):
    called(panel, "moves").value = "box"
    assert panel.mask == (0.25, 0.25, 0.75, 0.75)
    panel._picker.easel.box = [0.0, 0.0, 0.5001, 1.0]  # as drawn with the pointer
    assert called(panel, "box across").value == (0, 0.5)
    called(panel, "show the code").value = True
    clip = animated(panel)
    (code,) = set(codes(panel))
    assert "(0.0, 0.0, 0.5, 1.0)" in code
    assert np.array_equal(eval(code, {"sk": sk}).frames, clip.frames)
    assert (clip.frames[:, :, 70:] == clip.frames[0, :, 70:]).all()


def test_what_the_brush_painted_moves(panel):
    mask = np.zeros((288, 512, 4), np.uint8)
    mask[:, :256] = 255
    called(panel, "moves").value = "brush"
    panel._picker.easel.set_state({"painted": memoryview(still_with_alpha(mask))})  # as it comes
    clip = animated(panel)
    assert clip.recipe["request"]["verb"] == "cinemagraph"
    assert (clip.frames[:, :, 70:] == clip.frames[0, :, 70:]).all()
    called(panel, "clear").click()
    called(panel, "Animate").click()
    assert "Nothing would move" in told(panel)


def still_with_alpha(rgba):
    import io

    stream = io.BytesIO()
    Image.fromarray(rgba).save(stream, "PNG")
    return stream.getvalue()


def test_unusual_settings_are_remarked_on_beside_their_dial(panel):
    called(panel, "fps").value = 40
    rows = [w for w in every(panel.box) if isinstance(w, ipywidgets.VBox)]
    (box,) = (row for row in rows if called(panel, "fps") in row.children)
    place = box.children.index(called(panel, "fps"))
    assert "fps 40 is outside 5–30" in box.children[place + 1].value
    called(panel, "fps").value = 7
    assert "outside" not in told(panel)


def test_a_quality_with_steps_of_its_own_locks_the_steps(panel):
    called(panel, "quality").value = "draft"
    assert called(panel, "steps").disabled
    clip = animated(panel)
    assert clip.recipe["request"]["settings"]["num_inference_steps"] == 10


def test_the_steps_of_a_quality_are_forgotten_with_it(panel):
    panel.set(num_inference_steps=12)
    panel.set(quality="fast", num_inference_steps=10)
    panel.set(quality="exact")
    assert panel.settings["num_inference_steps"] == 12


def test_dials_are_turned_from_code_as_animate_takes_them(panel):
    panel.set(motion_bucket_id=180, max_guidance_scale=4, seed=12)
    assert called(panel, "motion").value == 180
    assert panel.settings["max_guidance_scale"] == 4
    assert "motion_bucket_id=180" in panel.code
    panel.set(how="pad", focus=(0.5, 0))
    assert 'how="pad"' in panel.code
    assert "focus=(0.5, 0.0)" in panel.code
    panel.set(how="crop")
    assert panel.settings["focus"] == (0.5, 0)
    for wrong, message in (
        ({"motion_bucket_id": 300}, "motion_bucket_id is 300; 0–255"),
        ({"motion": 3}, "has no 'motion'"),
        ({"height": 64}, "height has no dial"),
        ({"how": "squeeze", "seed": 3}, "how is 'squeeze'; it is one of crop, pad"),
        ({"seed": 2**60}, "seed is 1152921504606846976"),
        ({"min_guidance_scale": 9}, "min_guidance_scale 9 is above"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            panel.set(**wrong)
    assert called(panel, "motion").value == 180


def test_the_dice_draws_another_seed(panel):
    before = called(panel, "seed").value
    called(panel, "another seed").click()
    assert called(panel, "seed").value != before


def test_two_clips_are_compared_and_settings_come_back(panel):
    called(panel, "motion").value = 20
    animated(panel)
    called(panel, "motion").value = 200
    second = animated(panel)
    assert panel.clip is second
    others = called(panel, "compare with")
    others.value = 1
    assert players(panel)[0].count("<video") == 3
    called(panel, "1 · sample picture").click()
    assert panel.clip is panel.clips[0]
    called(panel, "use these settings").click()
    assert called(panel, "motion").value == 20


def test_every_frame_can_be_looked_at(panel):
    animated(panel)
    (accordion,) = (w for w in every(panel.box) if isinstance(w, ipywidgets.Accordion))
    accordion.selected_index = 0
    slider, picture = accordion.children[0].children
    assert slider.max == 3
    first = picture.value
    slider.value = 3
    assert picture.value != first


def test_a_clip_is_saved_and_linked_with_its_recipe(panel, tmp_path):
    clip = animated(panel)
    called(panel, "save as").value = str(tmp_path / "kite.mp4")
    called(panel, "save").click()
    assert sk.Clip.open(tmp_path / "kite.mp4").recipe == clip.recipe
    assert "Saved" in told(panel)
    (tmp_path / "other.mp4").write_bytes(b"somebody's")
    called(panel, "save as").value = str(tmp_path / "other.mp4")
    called(panel, "save").click()
    assert (tmp_path / "other.mp4").read_bytes() == b"somebody's"
    assert "overwrite" in told(panel)


def test_a_folder_keeps_every_clip_for_tomorrow(opens, tmp_path):
    first = opens(folder=tmp_path / "clips")
    animated(first)
    animated(first)
    assert sorted(path.name for path in (tmp_path / "clips").glob("*.mp4")) == [
        "001-sample-picture.mp4",
        "002-sample-picture.mp4",
    ]
    (tmp_path / "clips" / "003-broken.mp4").write_bytes(b"no video")
    tomorrow = opens(folder=tmp_path / "clips")
    assert len(tomorrow.clips) == 2
    called(tomorrow, "1 · sample-picture").click()
    assert len(tomorrow.clip) == 4
    animated(tomorrow)
    assert (tmp_path / "clips" / "003-broken.mp4").read_bytes() == b"no video"
    assert len(list((tmp_path / "clips").glob("*.mp4"))) == 4


def test_what_the_notebook_keeps_needs_no_kernel(panel):
    assert "No clip" in panel._kept()["text/html"]
    animated(panel)
    kept = panel._kept()["text/html"]
    assert kept.count('<video src="data:') == 1
    assert "sk.animate(sk.sample_image()" in html.unescape(kept)
    assert not re.search("<script|<style", kept)


def test_memory_is_moved_to_another_preset(panel):
    called(panel, "memory").value = "cpu_in_slices"
    clip = animated(panel)
    assert clip.recipe["outcome"]["memory"] == "cpu_in_slices"
    called(panel, "memory").value = "cpu"
    assert animated(panel).recipe["outcome"]["memory"] == "cpu"


def test_without_a_gpu_the_forecast_goes_by_the_last_clip(panel):
    assert "known after the first one" in told(panel)
    animated(panel)
    assert re.search(r"about \d+ (s|min), going by the last clip", told(panel))
    called(panel, "quality").value = "fast"
    assert "not known yet" in told(panel)


def test_with_a_gpu_the_forecast_is_the_plan_for_it():
    from svdkit.animation import resolved_for

    class OnGpu(Engine):
        """As it is where there is a GPU: only the menu of presets differs."""

        def __init__(self, name):
            super().__init__(name)
            self.device = "cuda"

    forecast = Forecast(OnGpu("tiny"), sk.GPUS["T4"])
    forecast.think(resolved_for({}, "tiny"))
    assert forecast.wait(SECONDS)
    told = r"Fits: all_on_gpu needs 0\.\d of the 14\.7 GiB of the T4"
    assert re.search(told, forecast.verdict.value)
    assert forecast.menu.options[0] == ("auto: all_on_gpu", "auto")
    assert forecast.menu.value == "auto"


def test_a_pipeline_from_elsewhere_keeps_its_own_memory(tiny):
    from diffusers import StableVideoDiffusionPipeline

    own = StableVideoDiffusionPipeline(**tiny.components)
    panel = sk.panel(own)
    assert called(panel, "memory").disabled
    panel.close()


def test_nothing_that_was_saved_before_is_replaced(opens, tmp_path):
    first = opens()
    clip = animated(first)
    for panel in (first, first, opens()):
        if panel is not first:
            panel.set(seed=8)
            animated(panel)
        called(panel, "save as").value = str(tmp_path / "kite.mp4")
        called(panel, "save").click()
    assert "holds another clip" in told(panel)
    assert sk.Clip.open(tmp_path / "kite.mp4").recipe == clip.recipe


def test_a_clip_that_was_replaced_in_the_folder_is_read_anew(opens, tmp_path):
    import shutil

    animated(opens(folder=tmp_path / "clips"))
    shutil.rmtree(tmp_path / "clips")
    panel = opens(folder=tmp_path / "clips")
    panel.set(seed=8)
    assert animated(panel).recipe["request"]["seed"] == 8


def test_a_clip_that_went_missing_does_not_keep_the_others(opens, tmp_path):
    panel = opens(folder=tmp_path / "clips")
    animated(panel)
    animated(panel)
    next((tmp_path / "clips").glob("001*.mp4")).unlink()
    kept = opens(folder=tmp_path / "clips")._kept()["text/html"]
    assert kept.count("<video") == 1
    assert [len(clip) for clip in panel.clips] == [4]
    panel._viewer.take = panel._takes[0]
    with pytest.raises(FileNotFoundError, match=r"001-sample-picture\.mp4' is not there any more"):
        _ = panel.clip
    panel._takes[1]._kept = None
    assert "<video" in panel._kept()["text/html"]


def test_two_panels_share_a_folder_and_lose_nothing(tiny, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    from svdkit.takes import Takes

    quick = {"num_inference_steps": 1, "num_frames": 2, "progress": False}
    clips = [sk.animate(sk.sample_image(), tiny, seed=seed, **quick) for seed in range(4)]
    both = [Takes(tmp_path / "clips") for _ in clips]
    takes = [t.add("x" * 300, c, picture="picture") for t, c in zip(both, clips, strict=True)]
    with ThreadPoolExecutor() as threads:
        paths = list(threads.map(lambda t, take: t.keep(take), both, takes))
    assert len(set(paths)) == 4
    assert [take.clip.recipe for take in takes] == [clip.recipe for clip in clips]


def test_a_folder_that_cannot_be_is_told_of_when_the_panel_opens(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="cannot be written to"):
        sk.panel(tiny, folder=tmp_path / "file")
    monkeypatch.chdir(tmp_path)
    panel = sk.panel(tiny, folder="clips")
    monkeypatch.chdir("/")
    assert panel._takes.folder == tmp_path / "clips"
    panel.close()


def test_a_picture_that_is_not_there_is_told_of_when_the_panel_opens(tiny):
    with pytest.raises(FileNotFoundError, match=r"nope\.png"):
        sk.panel(tiny, image="nope.png")


def test_the_code_says_pipeline_where_a_name_would_load_another(opens):
    stock = sk.load("tiny", device="cpu", arithmetic="stock")
    panel = opens(stock)
    clip = animated(panel)
    code = codes(panel)[0]
    assert "pipeline," in code
    again = eval(code, {"sk": sk, "pipeline": stock})
    assert np.array_equal(again.frames, clip.frames)


def test_the_code_of_a_painted_clip_runs_on_what_the_clip_holds(panel):
    called(panel, "moves").value = "brush"
    mask = np.zeros((288, 512, 4), np.uint8)
    mask[:, :256] = 255
    panel._picker.easel.painted = still_with_alpha(mask)
    clip = animated(panel)
    scope = {"sk": sk, "clip": clip}
    *first, last = codes(panel)[-1].split("\n", 1)
    exec("\n".join(first), scope)
    assert np.array_equal(eval(last, scope).frames, clip.frames)


def test_settings_that_are_used_again_bring_their_framing(opens):
    panel = opens(image=Image.new("RGB", (400, 100), "teal"))
    called(panel, "fit").value, called(panel, "across").value = "pad", 0.2
    animated(panel)
    called(panel, "fit").value, called(panel, "across").value = "crop", 0.7
    called(panel, "use these settings").click()
    assert panel.settings["how"] == "pad"
    assert panel.settings["focus"] == (0.2, 0.5)
    assert "The dials say" in told(panel)


def test_a_file_that_cannot_be_opened_leaves_the_menu_where_it_was(opens, tmp_path, monkeypatch):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "folder.png").mkdir()
    monkeypatch.chdir(tmp_path)
    panel = opens()
    assert list(called(panel, "picture").options) == ["sample picture", "broken.png"]
    called(panel, "picture").value = "broken.png"
    assert called(panel, "picture").value == "sample picture"
    assert "broken.png" in told(panel)


def test_a_closed_panel_is_let_go_of(tiny):
    panel = sk.panel(tiny)
    gone = weakref.ref(panel)
    panel.close()
    del panel
    gc.collect()
    assert gone() is None


def test_the_forecast_stays_with_the_dials(panel):
    animated(panel)
    panel.set(num_frames=40, num_inference_steps=80)
    panel._forecast.learn(panel._forecast._pace)
    assert panel._forecast._settings.num_frames == 40


def test_a_panel_that_was_opened_anew_can_stop_what_the_old_one_began(opens):
    old, new = opens(), opens()
    old.set(num_inference_steps=80)
    old.animate()
    until(lambda: "Step 1" in told(old))
    called(new, "Animate").click()
    assert "Another panel is making a clip" in told(new)
    called(new, "Cancel").click()
    assert old.wait(SECONDS)
    assert "Stopped after" in told(old)
    assert len(animated(new)) == 4


def test_a_clip_of_a_drawing_knows_the_prompt_that_drew_it(opens, tmp_path):
    drawing = sk.draw("a kite over the sea by day", "tiny-sd", num_inference_steps=1, seed=1)
    drawing.save(tmp_path / "kite.png")
    panel = opens(image=drawing)
    clips = [animated(panel)]
    called(panel, "or open").value = str(tmp_path / "kite.png")
    clips.append(animated(panel))
    for clip in clips:
        assert [step["request"]["verb"] for step in clip.recipe["steps"]] == ["draw", "animate"]
    assert sk.rerun(clips[0].save(tmp_path / "kite.mp4"), progress=False).identical
