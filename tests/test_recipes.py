"""rerun: the same clip again, or how far from it and why, or what is missing."""

import json
import shutil
import subprocess
import threading

import pytest
import torch
from small_settings import QUICK

import svdkit as sk
from svdkit.casting import Missing
from svdkit.replay import Replay
from svdkit.residence import resident

QUIET = {"progress": False}


@pytest.fixture
def saved(made, tmp_path):
    return made.save(tmp_path / "kite.mp4")


def change(path, step=None, **values):
    """Change what the recipe beside a file says was asked."""
    beside = path.with_name(path.name + ".json")
    about = json.loads(beside.read_text())
    part = about if step is None else about["steps"][step]
    part["request"] |= values
    beside.write_text(json.dumps(about))


@pytest.mark.parametrize("name", ["kite.mp4", "kite.webm", "kite.gif", "kite.webp", "kite"])
def test_a_clip_comes_again_identical(made, tmp_path, name):
    again = sk.rerun(made.save(tmp_path / name), **QUIET)
    assert again.verdict.startswith("identical")
    assert again.identical
    assert (again.clip.frames == made.frames).all()
    assert again.why == ()
    lossless = name == "kite"
    assert (again.psnr == float("inf")) == lossless
    assert ("coding" in again.verdict) != lossless


def test_every_edit_is_repeated(made, tmp_path):
    other = sk.animate(sk.sample_image(), "tiny", seed=8, **QUICK)
    edited = (made[::-1] + other[1:3]).boomerang()[1:-1:2].smooth(fps=20).repeat(2).at(fps=5)
    again = sk.rerun(edited.save(tmp_path / "edited.mp4"), **QUIET)
    assert again.identical, again
    assert (again.clip.frames == edited.frames).all()
    assert again.clip.fps == 5


@pytest.mark.parametrize(
    "how", [slice(None, None, -1), slice(2, 0, -1), slice(-3, -1), slice(1, 9)]
)
def test_any_slice_is_repeated(made, tmp_path, how):
    assert sk.rerun(made[how].save(tmp_path / "part"), **QUIET).identical


def test_another_number_of_threads_is_told_from_identical(saved, edit_json):
    beside = saved.with_name("kite.mp4.json")
    outcome = json.loads(beside.read_text())["outcome"]
    assert outcome["threads"] == 1
    # whether the frames differ with the threads depends on the processor
    edit_json(beside, outcome=outcome | {"frames_sha256": "0" * 64})
    torch.set_num_threads(2)
    again = sk.rerun(saved, **QUIET)
    assert again.verdict.startswith("differs by")
    assert "threads were 1 and are 2 now" in again.verdict
    assert not again.identical
    torch.set_num_threads(1)
    assert "threads" not in sk.rerun(saved, **QUIET).verdict
    edit_json(beside, outcome=outcome | {"threads": 2})
    assert sk.rerun(saved, **QUIET).identical


def test_a_file_that_was_changed_since_is_told_from_its_coding(made, tmp_path):
    folder = made.save(tmp_path / "kite")
    made[2].rotate(180).save(folder / "frame_0002.png")
    again = sk.rerun(folder, **QUIET)
    assert again.verdict.startswith("identical")
    assert "the file was changed since" in again.verdict
    assert again.psnr < 30


def test_the_picture_is_asked_for_where_it_is_missing(made, tmp_path, saved):
    alone = shutil.copy(saved, tmp_path / "alone.mp4")
    again = sk.rerun(alone, **QUIET)
    assert again.verdict.startswith("missing: the picture")
    assert "image=" in again.verdict
    assert again.clip is None
    whole, fitted = sk.sample_image(), made.inputs[0]
    for picture in (whole, fitted):
        assert sk.rerun(alone, image=picture, **QUIET).identical


def test_the_whole_picture_is_fitted_as_it_was(tmp_path):
    picture = sk.sample_image().crop((0, 0, 500, 576))
    clip = sk.animate(picture, "tiny", seed=1, how="pad", focus=(0.2, 0.7), **QUICK)
    clip.save(tmp_path / "kite.mp4")
    (tmp_path / "kite.mp4.input.png").unlink()
    (tmp_path / "kite.mp4.json").unlink()
    assert sk.rerun(tmp_path / "kite.mp4", image=picture, **QUIET).identical


def test_another_picture_is_told(saved):
    again = sk.rerun(saved, image=sk.sample_image().rotate(180), **QUIET)
    assert again.verdict.startswith("differs by")
    assert "the picture is another one" in again.verdict


def test_a_video_without_a_recipe_lacks_one(clip, tmp_path):
    again = sk.rerun(clip.save(tmp_path / "filmed.mp4"), **QUIET)
    assert again.verdict.startswith("missing:")
    assert "no recipe" in again.verdict


def test_a_clip_joined_to_a_filmed_one_lacks_the_recipe_of_that(made, tmp_path):
    filmed = sk.Clip(made.frames)
    for joined in (filmed + made, made + filmed):
        again = sk.rerun(joined.save(tmp_path / "joined.mp4"), **QUIET)
        assert again.verdict.startswith("missing: the recipe of a part")
    assert sk.rerun(filmed[1:].save(tmp_path / "cut.mp4"), **QUIET).verdict.startswith("missing")


def test_a_model_that_svdkit_does_not_know_is_asked_about_and_not_loaded(saved, checkpoint):
    for name, source in [
        ("evil/model", "hub"),
        (str(checkpoint), "folder"),
        ("tiny", "folder"),
        ("tiny", "unknown"),
        ("../..", "hub"),
    ]:
        change(saved, model=name, source=source)
        again = sk.rerun(saved, **QUIET)
        assert again.verdict.startswith("missing: the model"), again
        assert "pipeline=" in again.verdict


def test_a_pipeline_of_ones_own_can_be_given(checkpoint, tmp_path):
    clip = sk.animate(sk.sample_image(), checkpoint, seed=7, height=64, width=112, **QUICK)
    saved = clip.save(tmp_path / "own.mp4")
    assert sk.rerun(saved, **QUIET).verdict.startswith("missing: the model")
    assert sk.rerun(saved, pipeline=checkpoint, **QUIET).identical
    other = sk.rerun(saved, pipeline="tiny", **QUIET)
    assert other.verdict.startswith("differs")
    assert "the weights are other ones" in other.verdict


def test_another_scheduler_is_told(made, saved, tiny):
    from diffusers import EulerDiscreteScheduler

    theirs = tiny.scheduler
    try:
        tiny.scheduler = EulerDiscreteScheduler.from_config(theirs.config, sigma_max=300.0)
        changed = sk.animate(sk.sample_image(), tiny, seed=7, **QUICK)
        assert changed.recipe["request"]["scheduler"]["sigma_max"] == 300
        again = sk.rerun(saved, pipeline=tiny, **QUIET)
    finally:
        tiny.scheduler = theirs
    assert again.verdict.startswith("differs")
    assert "the scheduler is another one" in again.verdict


def test_other_versions_are_told(saved, edit_json):
    beside = saved.with_name("kite.mp4.json")
    outcome = json.loads(beside.read_text())["outcome"]
    outcome["versions"]["torch"] = "1.0"
    outcome["frames_sha256"] = "0" * 64
    edit_json(beside, outcome=outcome)
    again = sk.rerun(saved, **QUIET)
    assert again.verdict.startswith("differs by")
    assert "torch was 1.0 and is" in again.verdict


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"settings": 7}, "settings"),
        ({"settings": {"fps": 0}}, "fps is 0"),
        ({"settings": {"fsp": 7}}, "fsp"),
        ({"settings": {}}, "height"),
        ({"seed": "7; import os"}, "seed"),
        ({"seed": -1}, "seed"),
        ({"model": None}, "model"),
        ({"image_sha256": "../../etc/passwd"}, "image_sha256"),
        ({"fit": {"how": "eval"}}, "how is 'eval'"),
        ({"fit": {"focus": "x"}}, "focus"),
    ],
)
def test_a_strangers_values_are_checked(saved, values, said):
    change(saved, **values)
    with pytest.raises((ValueError, TypeError), match=said):
        sk.rerun(saved, **QUIET)


@pytest.mark.parametrize(
    "request_",
    [{"verb": "eval"}, {"verb": None}, {}, {"edit": "exec"}, {"edit": ["x"]}, {"edit": 0}],
)
def test_what_svdkit_cannot_repeat_is_missing(request_):
    with pytest.raises(Missing, match="a svdkit that knows"):
        Replay({"request": request_}).clip()


@pytest.mark.parametrize(
    "request_",
    [
        {"edit": "repeat", "times": 10**9},
        {"edit": "repeat", "times": "2"},
        {"edit": "smooth", "fps": 10**6, "from_fps": 7},
        {"edit": "smooth", "fps": "7", "from_fps": 7},
        {"edit": "smooth", "fps": 14, "from_fps": None},
        {"edit": "slice", "start": "0", "stop": 1, "step": 1},
        {"edit": "slice", "start": 9, "stop": 9, "step": 1},
    ],
)
def test_an_edit_that_cannot_be_is_told(made, request_):
    steps = [made.recipe, {"request": request_}]
    with pytest.raises((ValueError, TypeError)):
        Replay({"steps": steps}, made.inputs, progress=False).clip()


def test_a_recipe_cannot_ask_for_ever_more_frames(made):
    steps = [made.recipe, *[{"request": {"edit": "boomerang"}}] * 30]
    with pytest.raises(ValueError, match="4 GB at most"):
        Replay({"steps": steps}, made.inputs, progress=False).clip()


def test_the_verdict_shows_as_text(saved, edit_json):
    beside = saved.with_name("kite.mp4.json")
    outcome = json.loads(beside.read_text())["outcome"]
    outcome["versions"]["torch"] = "<script>alert(1)</script>"
    outcome["frames_sha256"] = "0" * 64
    edit_json(beside, outcome=outcome)
    shown = sk.rerun(saved, **QUIET)._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert "<video src=" in shown


def test_a_picture_that_was_lost_or_broken_can_be_given(saved, tmp_path):
    beside = tmp_path / "kite.mp4.input.png"
    for harm in (lambda: beside.write_bytes(b"junk"), beside.unlink, beside.mkdir):
        harm()
        assert sk.Clip.open(saved).inputs == ()
        assert sk.rerun(saved, **QUIET).verdict.startswith("missing: the picture")
        assert sk.rerun(saved, image=sk.sample_image(), **QUIET).identical


def test_each_step_is_taken_with_its_own_model(made, tmp_path):
    other = sk.load("tiny", dtype="bfloat16")
    coarse = sk.animate(sk.sample_image(), other, seed=7, num_inference_steps=1, num_frames=2)
    again = sk.rerun((made + coarse).save(tmp_path / "both.mp4"), **QUIET)
    assert again.identical, again


@pytest.mark.parametrize("step", [0, 1])
def test_every_step_that_names_a_strange_model_is_asked_about(made, tmp_path, step):
    joined = (made + made).save(tmp_path / "both.mp4")
    change(joined, step, model="evil/model", source="hub")
    assert sk.rerun(joined, **QUIET).verdict.startswith("missing: the model")


def test_of_several_pictures_a_given_one_takes_the_place_of_a_lost_one_only(made, tmp_path):
    other = sk.sample_image().rotate(180)
    both = made + sk.animate(other, "tiny", seed=1, **QUICK)
    path = both.save(tmp_path / "both.mp4")
    assert sk.rerun(path, image=sk.sample_image(), **QUIET).identical
    (tmp_path / "both.mp4.input.png").unlink()
    assert sk.rerun(path, **QUIET).verdict.startswith("missing: the picture")
    assert sk.rerun(path, image=sk.sample_image(), **QUIET).identical


def test_the_clip_made_again_remembers_how_its_picture_was_fitted(tmp_path):
    tall = sk.sample_image().crop((100, 0, 400, 576))
    how = {"how": "pad", "focus": (0.1, 0.2), "height": 64, "width": 112}
    path = sk.animate(tall, "tiny", seed=1, **how, **QUICK).save(tmp_path / "tall.mp4")
    again = sk.rerun(path, **QUIET).clip.save(tmp_path / "again.mp4")
    (tmp_path / "again.mp4.input.png").unlink()
    assert sk.rerun(again, image=tall, **QUIET).identical


def without_work(recipe, pictures=()):
    """Follow a recipe so far that all is checked; making anything would need a pipeline."""
    return Replay(recipe, pictures, pipeline="tiny", progress=False).size


@pytest.mark.parametrize(
    "request_",
    [
        {"edit": "repeat", "times": 0},
        {"edit": "repeat", "times": 10**400},
        {"edit": "slice", "start": 0},
        {"edit": "slice", "start": 0, "stop": 2, "step": 0},
        {"edit": "smooth", "fps": 10**400, "from_fps": 7},
        {"edit": "smooth", "fps": 7, "from_fps": 7},
    ],
)
def test_a_wrong_edit_is_told_before_anything_is_made(made, request_):
    with pytest.raises(ValueError, match="The recipe"):
        without_work({"steps": [made.recipe, {"request": request_}]}, made.inputs)


def test_a_recipe_that_leads_nowhere_is_told_before_anything_is_made(made):
    with pytest.raises(Missing, match="one clip of 40"):
        without_work({"steps": [made.recipe] * 40}, made.inputs)
    with pytest.raises(Missing, match="recipe of a part"):
        without_work({"steps": [made.recipe, {"request": {"edit": "join"}}]}, made.inputs)


def test_a_strangers_giant_is_refused_before_it_is_made(saved, made):
    settings = made.recipe["request"]["settings"]
    change(saved, settings=settings | {"height": 4096, "width": 4096, "num_frames": 1000})
    with pytest.raises(ValueError, match="4 GB at most"):
        sk.rerun(saved, **QUIET)
    change(saved, settings=settings | {"num_frames": 400})
    again = sk.rerun(saved, **QUIET)
    assert again.verdict.startswith("differs: the recipe makes 400 frames of 64×112")
    assert again.clip is None


def test_a_focus_beyond_all_numbers_is_told(saved):
    change(saved, fit={"how": "crop", "focus": [10**400, 0]})
    with pytest.raises(ValueError, match="focus"):
        sk.rerun(saved, **QUIET)


def test_another_arithmetic_is_told(saved, edit_json):
    change(saved, arithmetic="abacus")
    beside = saved.with_name("kite.mp4.json")
    outcome = json.loads(beside.read_text())["outcome"] | {"frames_sha256": "0" * 64}
    edit_json(beside, outcome=outcome)
    assert "the arithmetic is another one" in sk.rerun(saved, **QUIET).verdict


def test_a_container_that_svdkit_does_not_write_is_not_called_changed(saved, tmp_path, made):
    from svdkit.ffmpeg import find_ffmpeg

    copy = tmp_path / "copy.mkv"
    command = [find_ffmpeg(), "-v", "error", "-i", saved, "-c", "copy", "-map_metadata", "0", copy]
    subprocess.run(command, check=True)
    again = sk.rerun(copy, image=made.inputs[0], **QUIET)
    assert again.identical
    assert "changed" not in again.verdict
    assert "inf" not in again.verdict


def test_frames_that_are_there_and_recorded_otherwise_are_told_so(made, tmp_path, edit_json):
    folder = made.save(tmp_path / "kite")
    outcome = made.recipe["outcome"] | {"frames_sha256": "0" * 64}
    edit_json(folder / "recipe.json", outcome=outcome)
    assert "though the recipe records others" in sk.rerun(folder, **QUIET).verdict


def test_a_model_out_of_reach_is_missing(saved):
    change(saved, model="svd-xt", source="hub")
    again = sk.rerun(saved, **QUIET)
    assert again.verdict.startswith("missing: the model svd-xt: The hub cannot be asked")


def test_random_weights_are_drawn_at_nobodys_word_but_ones_own(saved):
    own = sk.load("tiny", weights="random", device="cpu")
    clip = sk.animate(sk.sample_image(), own, seed=7, **QUICK)
    random = clip.save(saved.with_name("random.mp4"))
    sk.unload()
    again = sk.rerun(random, **QUIET)
    assert again.verdict.startswith("missing: the model: its weights were drawn at random")
    assert resident("cpu") is None
    assert sk.rerun(random, pipeline=own, **QUIET).identical


def test_a_strangers_text_comes_out_as_text(saved, edit_json):
    beside = saved.with_name("kite.mp4.json")
    outcome = json.loads(beside.read_text())["outcome"]
    outcome |= {"device": "x\n\x1b[31mEVIL", "frames_sha256": "0" * 64}
    edit_json(beside, outcome=outcome)
    verdict = sk.rerun(saved, **QUIET).verdict
    assert "EVIL" in verdict
    assert verdict.isprintable()


def test_the_recipe_beside_a_video_means_the_video(saved):
    assert sk.rerun(saved.with_name("kite.mp4.json"), **QUIET).identical


def test_three_threads_may_begin_at_once(saved):
    sk.unload()
    verdicts = []

    def run():
        try:
            verdicts.append(sk.rerun(saved, **QUIET).verdict)
        except RuntimeError as error:
            verdicts.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any(verdict.startswith("identical") for verdict in verdicts)
    assert all(v.startswith("identical") or "animating already" in v for v in verdicts), verdicts
