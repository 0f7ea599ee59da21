"""Longer clips: what joins what, what is kept from drifting, and what a folder keeps."""

import inspect
import json
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_settings import QUICK
from test_benchmarks import report_of

import svdkit as sk
from svdkit.chains import redo_extend
from svdkit.extensions import size_after_extend
from svdkit.frames import sha256_of_frames
from svdkit.matching import crisp, faded, joined, sharpness, toned
from svdkit.seams import seam_at
from svdkit.toyland.scenes import scene

FAST = {"num_inference_steps": 1, "num_frames": 4, "progress": False}
SMALL = {"overlap": 1, "progress": False}


@pytest.fixture(scope="session")
def short() -> sk.Clip:
    """A clip of tiny, made once."""
    return sk.animate(sk.sample_image(), "tiny", seed=7, fps=9, **FAST)


@pytest.fixture(scope="session")
def longer(short) -> sk.Clip:
    """The same clip, extended twice."""
    return sk.extend(short, "tiny", times=2, seed=3, **SMALL)


def requests_of(clip):
    return [step["request"] for step in clip.recipe["steps"]]


def test_an_extended_clip_begins_as_the_clip_and_goes_on(short, longer):
    assert len(longer) == len(short) + 2 * 2  # of 4 frames 2 stand for what was there
    start = requests_of(longer)[1]["start"]
    assert (longer.frames[: start + 1] == short.frames[: start + 1]).all()
    assert longer.frames.shape[1:] == short.frames.shape[1:]
    assert longer.fps == short.fps == 9
    assert longer.inputs == short.inputs


def test_the_clip_that_was_extended_is_as_it_was(short):
    before = sha256_of_frames(short.frames), json.dumps(short.recipe)
    sk.extend(short, "tiny", seed=3, **SMALL)
    assert (sha256_of_frames(short.frames), json.dumps(short.recipe)) == before


def test_each_extension_is_a_step_of_the_recipe(short, longer):
    first, *extensions = longer.recipe["steps"]
    assert first == short.recipe
    assert [step["request"]["verb"] for step in extensions] == ["extend", "extend"]
    assert len({step["request"]["seed"] for step in extensions}) == 2
    assert extensions[-1]["outcome"]["frames_sha256"] == sha256_of_frames(longer.frames)
    assert {"image_sha256", "fit"}.isdisjoint(extensions[0]["request"])


def test_an_extension_is_made_again_byte_for_byte_from_its_request(short, longer, tiny):
    clip = short
    for step in json.loads(json.dumps(longer.recipe["steps"]))[1:]:
        frames, height, width = size_after_extend(step["request"], clip.frames.shape[:3])
        clip = redo_extend(step["request"], tiny, [], [clip], False)
        assert clip.frames.shape[:3] == (frames, height, width)
        assert clip.recipe["steps"][-1] == step
    assert (clip.frames == longer.frames).all()


def test_extending_twice_by_one_is_the_same_as_once_by_two(short, longer):
    once = sk.extend(short, "tiny", seed=3, **SMALL)
    assert (sk.extend(once, "tiny", seed=3, **SMALL).frames == longer.frames).all()


def test_another_seed_makes_another_clip(short, longer):
    other = sk.extend(short, "tiny", seed=4, **SMALL)
    assert (other.frames[-1] != sk.extend(short, "tiny", seed=3, **SMALL).frames[-1]).any()


def test_a_seed_that_is_drawn_is_recorded(short, tiny):
    clip = sk.extend(short, tiny, **SMALL)
    assert (
        redo_extend(requests_of(clip)[-1], tiny, [], [short], False).frames == clip.frames
    ).all()


def test_what_is_not_given_is_taken_from_the_clip(short):
    made = requests_of(sk.extend(short, "tiny", seed=3, motion_bucket_id=200, **SMALL))[-1]
    other = {"motion_bucket_id": 200, "guidance": "triangle"}
    assert made["settings"] == short.recipe["request"]["settings"] | other


def test_a_clip_without_a_recipe_is_extended_with_the_settings_of_the_model(short):
    bare = sk.Clip(short.frames)
    (step,) = sk.extend(bare, "tiny", seed=3, **FAST | SMALL).recipe["steps"]
    assert step["request"]["settings"]["max_guidance_scale"] == 2.0


def test_guidance_is_a_curve_of_the_extensions_own(short):
    curved = sk.Clip(short.frames, recipe=json.loads(json.dumps(short.recipe)))
    curved.recipe["request"]["settings"]["guidance"] = [1.0, 2.0, 2.0, 1.0]
    longer = sk.extend(curved, "tiny", seed=3, num_frames=5, **SMALL)
    assert requests_of(longer)[-1]["settings"]["guidance"] == "triangle"
    given = sk.extend(curved, "tiny", seed=3, guidance=iter([1, 2, 3, 1]), **SMALL)
    assert requests_of(given)[-1]["settings"]["guidance"] == [1.0, 2.0, 3.0, 1.0]


def test_the_pipeline_is_given_back_as_it_was(short, tiny):
    tiny.set_progress_bar_config(desc="mine")
    kind, scheduler = type(tiny), dict(tiny.scheduler.config)
    sk.extend(short, tiny, seed=3, guidance="triangle", **SMALL)
    assert (type(tiny), dict(tiny.scheduler.config)) == (kind, scheduler)
    assert tiny._progress_bar_config == {"desc": "mine"}
    tiny.set_progress_bar_config()


def test_it_goes_on_from_the_sharpest_of_the_last_frames(short):
    frames = np.concatenate([short.frames, short.frames])
    for blurred in (4, 6, 7):
        frames[blurred] = frames[blurred].mean((0, 1))
    how = {"overlap": 2, "max_seam": None}
    clip = sk.extend(sk.Clip(frames), "tiny", seed=3, **FAST | how)
    assert requests_of(clip)[-1]["start"] == 5
    assert len(clip) == 9


def test_without_an_overlap_it_goes_on_from_the_last_frame(short):
    clip = sk.extend(short, "tiny", seed=3, overlap=0, progress=False)
    assert requests_of(clip)[-1]["start"] == 3
    assert (clip.frames[:4] == short.frames).all()
    assert len(clip) == 7


def test_of_a_short_extension_most_is_new_if_no_overlap_is_asked_for(short):
    for num_frames, overlap in [(2, 0), (4, 2), (6, 3)]:
        clip = sk.extend(short, "tiny", seed=3, num_frames=num_frames, progress=False)
        assert requests_of(clip)[-1]["overlap"] == overlap
    assert len(clip) >= len(short) + 2


def test_half_of_the_overlap_fades_at_least(short):
    frames = np.concatenate([short.frames, short.frames])
    softer = frames[:7].mean((1, 2), keepdims=True)
    frames[:6], frames[6] = softer[:6], (frames[6] + softer[6]) / 2
    fifth, sixth, last = (sharpness(frame.astype(np.float32)) for frame in frames[5:])
    assert fifth < sixth < last
    how = {"overlap": 2, "max_seam": None}
    clip = sk.extend(sk.Clip(frames), "tiny", seed=3, **FAST | how)
    assert requests_of(clip)[-1]["start"] == 6


def test_colours_drift_less_than_when_clips_are_merely_strung_together(picture, tiny):
    settings, drifts = QUICK | {"num_inference_steps": 4}, []
    for still in (picture, *(scene(seed).image for seed in (100, 101))):
        clip = naive = last = sk.animate(still, tiny, seed=7, **settings)
        for seed in range(3):
            last = sk.animate(last.last_frame, tiny, seed=seed, **settings)
            naive += last
        longer = sk.extend(clip, tiny, times=3, seed=1, overlap=2, progress=False)
        drifts.append((sk.drift(longer), sk.drift(naive)))
    extended, strung = np.mean(drifts, axis=0)
    assert extended < 0.5 * strung


def test_a_cast_is_taken_from_a_frame(picture):
    frame = np.asarray(picture.resize((112, 64)), np.float32)
    tinted = frame * (0.8, 0.9, 0.7) + (20, 5, 10)
    assert np.abs(toned(tinted, frame) - frame).max() < 1


def test_the_sky_keeps_its_colour_when_the_moon_before_it_is_gone():
    sky = np.random.default_rng(0).normal(40, 5, (64, 112, 3)).astype(np.float32)
    moonlit = sky.copy()
    moonlit[10:30, 50:70] = 230
    assert np.abs(toned(sky, moonlit) - sky).mean() < 0.5


def test_what_is_plain_is_matched_without_a_warning():
    plain = np.full((8, 8, 3), 90, np.float32)
    assert toned(plain, plain + 30).mean() == 120


def test_frames_fade_without_a_jump():
    fade = faded(np.zeros((5, 1, 1, 3)), np.ones((6, 1, 1, 3)))[:, 0, 0, 0]
    assert np.diff(fade) == pytest.approx(np.full(5, 0.2))


def test_frames_that_part_fade_in_even_steps_all_the_same():
    apart = np.arange(6)[:, None, None, None]
    noise = np.random.default_rng(0).normal(100, 10, (8, 8, 3)).astype(np.float32)
    before = np.tile(noise, (5, 1, 1, 1))
    steps = np.diff(faded(before, noise + apart), axis=0).mean((1, 2, 3))
    assert steps.sum() == pytest.approx(5)
    assert steps.max() < 1.1 * steps.mean()  # at a steady pace the last were 1.8 times the mean


def test_frames_that_stay_the_same_fade_too():
    still = np.full((4, 8, 8, 3), 90, np.float32)
    assert (faded(still, np.concatenate([still, still[:1]])) == 90).all()


def test_a_join_begins_as_the_old_frame_and_ends_in_the_tone_of_the_first():
    noise = np.random.default_rng(0).normal(100, 10, (64, 112, 3))
    old = np.stack([noise, noise, noise + 20, noise + 20]).astype(np.uint8)
    new = np.stack([noise + 50] * 5).astype(np.uint8)
    levels = joined(old, 2, new).mean((1, 2, 3))
    assert len(levels) == 7
    assert levels[:3] == pytest.approx(old[:3].mean((1, 2, 3)))
    assert levels[-1] == pytest.approx(old[0].mean(), abs=1)
    assert np.abs(np.diff(levels[2:])).max() < 10


def test_a_blurred_frame_is_less_sharp(picture):
    from PIL import ImageFilter

    blurred = picture.filter(ImageFilter.GaussianBlur(2))
    assert sharpness(np.asarray(blurred)) < 0.5 * sharpness(np.asarray(picture))


def test_a_blurred_frame_gets_its_sharpness_back(picture):
    frame = np.asarray(picture.resize((112, 64)), np.float32)
    around = [np.roll(frame, way, axis) for way in (1, -1) for axis in (0, 1)]
    blurred = 0.6 * frame + 0.1 * sum(around)
    back = crisp(blurred, sharpness(frame))
    assert sharpness(back) == pytest.approx(sharpness(frame), rel=0.05)
    assert np.abs(back - frame).mean() < np.abs(blurred - frame).mean()
    assert (crisp(frame, sharpness(blurred)) == frame).all()  # what is sharp enough stays
    assert (crisp(np.full((8, 8, 3), 9.0), 100) == 9).all()


def test_a_seam_is_the_largest_step_in_mean_steps():
    levels = np.array([0, 1, 2, 3, 13, 14, 15, 16], np.uint8)
    film = sk.Clip(np.tile(levels[:, None, None, None], (1, 8, 8, 3)))
    assert seam_at(film, 3, 5) == pytest.approx(10 / (16 / 7))
    assert seam_at(film, 5, 6) == pytest.approx(1 / (16 / 7))


def test_joins_tells_of_each_extension_what_was_measured(short, longer, tmp_path):
    rows = sk.joins(longer)
    assert [row["join"] for row in rows] == [1, 2]
    assert [row["frames"] for row in rows] == [6, 8]
    assert rows[-1]["drift"] == pytest.approx(sk.drift(longer))
    assert rows[-1]["sharpness"] == pytest.approx(sk.drift(longer, "sharpness"))
    start = requests_of(longer)[2]["start"]
    assert rows[-1]["seam"] == pytest.approx(seam_at(longer, start, 6))
    assert sk.joins(short) == []
    assert rows._repr_html_().count("<tr>") == 3
    assert sk.joins(sk.Clip.open(longer.save(tmp_path / "kite.mp4"))) == rows


def test_joins_reads_a_strangers_recipe():
    odd = {"verb": "extend", "settings": {"num_frames": "<script>"}, "start": [1]}
    recipe = {"steps": [{"request": odd, "outcome": {"drift": "no", "seam": 1e300}}]}
    (row,) = sk.joins(sk.Clip(np.zeros((2, 8, 8, 3), np.uint8), recipe=recipe))
    assert {row.pop("join"), *row.values()} == {1, None}
    with pytest.raises(TypeError, match=r"Clip\.open"):
        sk.joins("kite.mp4")


def test_each_extension_is_told_in_one_line(short, capsys):
    clip = sk.extend(short, "tiny", times=2, seed=3, overlap=1, progress=True)
    lines = [line for line in capsys.readouterr().out.splitlines() if "Extension" in line]
    assert [line.split(":")[0] for line in lines] == ["Extension 1 of 2", "Extension 2 of 2"]
    assert f"seam {sk.joins(clip)[0]['seam']:.2f}" in lines[0]
    sk.extend(short, "tiny", seed=3, **SMALL)
    assert not capsys.readouterr().out


def test_what_drifts_too_far_is_left_out_and_said_so(short, longer, capsys):
    drifts = [row["drift"] for row in sk.joins(longer)]
    assert sk.extend(short, "tiny", seed=3, max_drift=0, **SMALL) is short
    assert "left out" in capsys.readouterr().out
    most = max(drifts) + 1e-6
    kept = sk.extend(short, "tiny", times=2, seed=3, max_drift=most, **SMALL)
    assert (kept.frames == longer.frames).all()
    assert not capsys.readouterr().out


@pytest.fixture(scope="module")
def six() -> sk.Clip:
    """A clip that leaves two frames to start from where `overlap` is 3."""
    return sk.animate(sk.sample_image(), "tiny", seed=7, **FAST | {"num_frames": 6})


THREE = {"seed": 3, "overlap": 3}


def test_a_join_that_shows_is_tried_from_other_frames_and_the_smoothest_is_kept(
    six, tiny, tmp_path, capsys
):
    first = sk.extend(six, tiny, max_seam=None, progress=False, **THREE)
    kept = sk.extend(six, tiny, max_seam=0, folder=tmp_path, progress=True, **THREE)
    assert "the smoothest of 2" in capsys.readouterr().out
    tried = [sk.Clip.open(tmp_path / name) for name in links_in(tmp_path)]
    assert len({requests_of(film)[-1]["start"] for film in tried}) == 2
    seams = [sk.joins(film)[-1]["seam"] for film in tried]
    assert sk.joins(first)[-1]["seam"] in seams
    assert sk.joins(kept)[-1]["seam"] == min(seams) < max(seams)
    # one that is smooth enough is kept at once
    enough = sk.extend(six, tiny, max_seam=max(seams), progress=False, **THREE)
    assert (enough.frames == first.frames).all()
    # what was tried is taken from the folder, and what was kept is made again from its recipe
    hook = tiny.unet.register_forward_pre_hook(refuse)
    try:
        again = sk.extend(six, tiny, max_seam=0, folder=tmp_path, progress=False, **THREE)
    finally:
        hook.remove()
    assert (again.frames == kept.frames).all()
    redone = redo_extend(requests_of(kept)[-1], tiny, [], [six], False)
    assert (redone.frames == kept.frames).all()


def test_what_a_link_says_of_its_join_is_not_taken_for_true(six, tiny, tmp_path):
    kept = sk.extend(six, tiny, max_seam=0, folder=tmp_path, progress=False, **THREE)
    for name in links_in(tmp_path):
        (recipe,) = (tmp_path / name).glob("*.json")
        told = json.loads(recipe.read_text())
        del told["steps"][-1]["outcome"]["seam"]
        told["steps"][-1]["outcome"]["drift"] = "none"
        recipe.write_text(json.dumps(told))
    again = sk.extend(six, tiny, max_seam=0, folder=tmp_path, progress=True, **THREE)
    assert (again.frames == kept.frames).all()


def test_a_smoother_join_that_drifts_too_far_does_not_end_a_chain(six, tiny, tmp_path):
    sk.extend(six, tiny, max_seam=0, folder=tmp_path, progress=False, **THREE)
    rows = [sk.joins(sk.Clip.open(tmp_path / name))[-1] for name in links_in(tmp_path)]
    least = min(rows, key=lambda row: row["drift"])
    assert least["drift"] < max(row["drift"] for row in rows)
    asked = {"max_seam": 0, "max_drift": least["drift"], "folder": tmp_path, "progress": False}
    kept = sk.extend(six, tiny, **asked, **THREE)
    assert requests_of(kept)[-1]["start"] == least["start"]


def test_a_join_of_more_than_one_and_a_half_mean_steps_is_tried_again():
    assert inspect.signature(sk.extend).parameters["max_seam"].default == 1.5


def links_in(folder):
    return sorted(file.name for file in folder.iterdir() if len(file.name) == 16)


def refuse(*_):
    raise AssertionError("the model was run")


def test_what_is_in_the_folder_is_taken_and_only_the_rest_is_made(short, longer, tiny, tmp_path):
    once = sk.extend(short, tiny, seed=3, folder=tmp_path / "long", **SMALL)
    assert len(links_in(tmp_path / "long")) == 1
    hook = tiny.unet.register_forward_pre_hook(refuse)
    try:
        again = sk.extend(short, tiny, seed=3, folder=tmp_path / "long", **SMALL)
        with pytest.raises(AssertionError, match="was run"):
            sk.extend(short, tiny, times=2, seed=3, folder=tmp_path / "long", **SMALL)
    finally:
        hook.remove()
    assert (again.frames == once.frames).all()
    assert again.recipe == once.recipe
    twice = sk.extend(short, tiny, times=2, seed=3, folder=tmp_path / "long", **SMALL)
    assert (twice.frames == longer.frames).all()
    assert len(links_in(tmp_path / "long")) == 2


def test_a_link_opens_as_the_clip_so_far(short, tmp_path):
    clip = sk.extend(short, "tiny", seed=3, folder=tmp_path, **SMALL)
    opened = sk.Clip.open(tmp_path / links_in(tmp_path)[0])
    assert (opened.frames == clip.frames).all()
    assert opened.recipe == clip.recipe
    assert len(opened.inputs) == 1


def test_a_folder_keeps_the_seed_that_was_drawn(short, tmp_path):
    once = sk.extend(short, "tiny", folder=tmp_path, **SMALL)
    twice = sk.extend(short, "tiny", times=2, folder=tmp_path, **SMALL)
    assert requests_of(twice)[1] == requests_of(once)[1]
    assert len(links_in(tmp_path)) == 2
    seed = json.loads((tmp_path / "chain.json").read_text())["seed"]
    assert requests_of(sk.extend(short, "tiny", seed=seed, **SMALL)) == requests_of(once)


def test_several_chains_share_a_folder(short, longer, tmp_path):
    sk.extend(short[::-1], "tiny", seed=3, folder=tmp_path, **SMALL)
    sk.extend(short, "tiny", seed=3, folder=tmp_path, motion_bucket_id=9, **SMALL)
    clip = sk.extend(short, "tiny", times=2, seed=3, folder=tmp_path, **SMALL)
    assert len(links_in(tmp_path)) == 4
    assert (clip.frames == longer.frames).all()


def test_the_same_frames_with_another_recipe_keep_it(short, tmp_path):
    sk.extend(short, "tiny", seed=3, folder=tmp_path, **SMALL)
    other = sk.Clip(short.frames, fps=20, recipe={"request": short.recipe["request"]})
    clip = sk.extend(other, "tiny", seed=3, folder=tmp_path, **SMALL)
    assert len(links_in(tmp_path)) == 1
    assert (clip.fps, clip.inputs) == (20, ())
    assert "outcome" not in clip.recipe["steps"][0]


def test_what_was_changed_in_the_folder_is_an_error_and_stays(short, tmp_path):
    sk.extend(short, "tiny", seed=3, folder=tmp_path, **SMALL)
    (name,) = links_in(tmp_path)
    frames = [tmp_path / name / f"frame_000{n}.png" for n in (0, 1)]
    shutil.copy(*frames)
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"{name}.*Move it away"):
            sk.extend(short, "tiny", seed=3, folder=tmp_path, **SMALL)
        frames[1].unlink(missing_ok=True)
    (tmp_path / "chain.json").write_text('{"seed": "7"}')
    with pytest.raises(ValueError, match=r"chain\.json.*Move it away"):
        sk.extend(short, "tiny", folder=tmp_path, **SMALL)


def test_what_other_weights_made_is_not_taken(short, tiny, tmp_path):
    import torch

    sk.extend(short, tiny, seed=3, folder=tmp_path, **SMALL)
    weight = tiny.unet.conv_out.bias
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight += 0.1
        with pytest.raises(ValueError, match="other weights"):
            sk.extend(short, tiny, seed=3, folder=tmp_path, **SMALL)
    finally:
        with torch.no_grad():
            weight.copy_(before)


def test_what_another_dtype_made_is_made_anew(short, tmp_path):
    def extended(dtype, folder=None):
        svd = sk.load("tiny", device="cpu", dtype=dtype)
        return sk.extend(short, svd, seed=3, folder=folder, **SMALL)

    precise = extended("float32", tmp_path)
    coarse = extended("bfloat16", tmp_path)
    assert coarse.recipe["steps"][-1]["outcome"]["dtype"] == "bfloat16"
    assert (coarse.frames == extended("bfloat16").frames).all()
    assert (extended("float32", tmp_path).frames == precise.frames).all()


def test_a_cinemagraph_is_extended_as_it_was_made_and_its_still_is_given_up(picture, capsys):
    made = {"num_frames": 4, "num_inference_steps": 1, "motion_bucket_id": 33, "fps": 12}
    living = sk.cinemagraph(picture, (0, 0, 0.5, 0.5), "tiny", seed=7, progress=False, **made)
    longer = sk.extend(living, "tiny", overlap=1, seed=3)
    settings = requests_of(longer)[-1]["settings"]
    assert {name: settings[name] for name in made} == made
    assert "Remark: an extension moves the whole picture" in capsys.readouterr().out
    sk.extend(sk.Clip(living.frames), "tiny", seed=3, **SMALL | {"progress": True})
    assert "Remark" not in capsys.readouterr().out


SCRIPT = """
import sys, torch, svdkit as sk
torch.set_num_threads(1)
clip, tiny = sk.Clip.open(sys.argv[1]), sk.load("tiny", device="cpu")
print("ready", flush=True)
clip = sk.extend(clip, tiny, times=6, folder=sys.argv[2], overlap=1, progress=False)
print(clip, flush=True)
"""


def started(clip, folder):
    command = [sys.executable, "-c", SCRIPT, str(clip), str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.timeout(900)
def test_a_chain_killed_at_random_ends_as_if_undisturbed(short, tmp_path):
    clip, whole, killed = (tmp_path / name for name in ("clip", "whole", "killed"))
    short.save(clip)
    process, begun = started(clip, whole), time.monotonic()
    assert process.communicate()[0].startswith("Clip(16 frames")
    length = time.monotonic() - begun
    killed.mkdir()
    shutil.copy(whole / "chain.json", killed)  # the seed of the undisturbed one
    dice = random.Random(time.time_ns())
    done = 0
    for _ in range(6):
        process = started(clip, killed)
        time.sleep(dice.uniform(0, length / 3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        names = links_in(killed)
        assert len(names) >= done  # nothing that was done is lost
        done = len(names)
        for name in names:
            assert (sk.Clip.open(killed / name).frames == sk.Clip.open(whole / name).frames).all()
    assert started(clip, killed).communicate()[0].startswith("Clip(16 frames")
    left = {file.name for file in killed.iterdir()}
    assert left == {file.name for file in whole.iterdir()}
    assert not [name for name in left if name.startswith(".saving")]
    for name in links_in(whole):
        hashes = [sha256_of_frames(sk.Clip.open(way / name).frames) for way in (whole, killed)]
        assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("asked", "kind", "told"),
    [
        ({"times": 0}, ValueError, "times is 0"),
        ({"times": -1}, ValueError, "times is -1"),
        ({"times": 2.5}, ValueError, "times is 2.5"),
        ({"times": True}, ValueError, "times is True"),
        ({"times": 10**30}, ValueError, "GB"),
        ({"overlap": -1}, ValueError, "overlap is -1; it is a whole number, 0–2"),
        ({"overlap": 3}, ValueError, "overlap is 3; it is a whole number, 0–2"),
        ({"overlap": 1.5}, ValueError, "overlap is 1.5"),
        ({"overlap": True}, ValueError, "overlap is True"),
        ({"overlap": 2, "num_frames": 3}, ValueError, "0–1, for a clip of 4 frames and 3 new"),
        ({"overlap": "3"}, ValueError, "overlap is '3'"),
        ({"max_drift": -1}, ValueError, "max_drift is -1"),
        ({"max_drift": float("nan")}, ValueError, "max_drift is nan"),
        ({"max_drift": "0.1"}, ValueError, "max_drift is '0.1'"),
        ({"max_seam": "1.5"}, ValueError, "max_seam is '1.5'; it is mean steps, like 1.5, or None"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"seed": 1.5}, TypeError, "seed is 1.5"),
        ({"fps": 0}, ValueError, "fps is 0"),
        ({"tims": 2}, TypeError, "extend has no 'tims'. Did you mean times"),
        ({"motion": 2}, TypeError, "motion_bucket_id"),
        ({"height": 128}, ValueError, "height is 128, and an extension has the size"),
        ({"guidance": [1, 2]}, ValueError, "guidance has 2 numbers"),
        ({"guidance": "flat"}, ValueError, "guidance is 'flat'"),
        ({"pipeline": 7}, TypeError, "The pipeline is a int"),
        ({"folder": ""}, ValueError, "The path is empty"),
        ({"folder": 7}, TypeError, "7 is no path"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_for_is_said(short, asked, kind, told):
    asked = {"pipeline": "tiny", "seed": 3, **SMALL} | asked
    with pytest.raises(kind) as error:
        sk.extend(short, asked.pop("pipeline"), **asked)
    assert told in str(error.value)


def test_what_cannot_be_extended_is_said(short):
    with pytest.raises(TypeError, match=r"clip is 'kite\.mp4'; it is a Clip"):
        sk.extend("kite.mp4", "tiny")
    with pytest.raises(ValueError, match="one frame"):
        sk.extend(short[:1], "tiny")
    with pytest.raises(ValueError, match=r"63×112.*divide by 8"):
        sk.extend(sk.Clip(short.frames[:, 1:]), "tiny")
    odd = {"request": {"verb": "animate", "settings": {"fps": [7]}}}
    with pytest.raises(ValueError, match="settings: fps is"):
        sk.extend(sk.Clip(short.frames, recipe=odd), "tiny")


def test_another_kind_of_pipeline_is_refused(short):
    with pytest.raises(TypeError, match="StableVideoDiffusionPipeline"):
        sk.extend(short, sk.load("tiny-sd", device="cpu"), **SMALL)
    with pytest.raises((TypeError, ValueError), match="tiny-sd"):
        sk.extend(short, "tiny-sd", **SMALL)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": None},
        {"settings": {"fps": 7}},
        {"settings": {"num_frames": 4, "height": 64, "width": 112, "dance": 1}},
        {"settings": {"num_frames": float("nan"), "height": 64, "width": 112}},
        {"settings": {"num_frames": 4, "height": 64, "width": 112, "guidance": {"a": 1}}},
        {"settings": {"num_frames": 4, "height": 72, "width": 112}},
        {"settings": {"height": 64, "width": 112}},
        {"settings": {"num_frames": 2, "height": 64, "width": 112}},
        {"start": -1},
        {"start": 4},
        {"start": "0"},
        {"start": True},
        {"start": 2.0},
        {"start": 10**400},
        {"overlap": 0},
        {"overlap": 10**9},
        {"overlap": None},
        {"overlap": ["x" * 10**6]},
        {"seed": -1},
        {"seed": 2**63},
        {"seed": "7"},
    ],
    ids=lambda change: f"{change}"[:60],
)
def test_a_strangers_request_is_checked_before_anything_is_made(change):
    settings = {"num_frames": 4, "height": 64, "width": 112}
    sound = {"settings": settings, "seed": 7, "start": 2, "overlap": 1}
    assert size_after_extend(sound, (4, 64, 112)) == (6, 64, 112)
    with pytest.raises(ValueError) as error:
        size_after_extend(sound | change, (4, 64, 112))
    assert len(str(error.value)) < 400


def test_the_benchmark_measures_both_ways(tmp_path):
    small = ["--pictures", "1", "--times", "1", "--steps", "1"]
    report = report_of(tmp_path, "chaining.py", *small)
    (row,) = report["pictures"]
    assert row["extended"]["frames"] < row["strung"]["frames"] == 28
    assert len(row["extended"]["seams"]) == len(row["strung"]["seams"]) == 1
    assert report["means"]["strung"]["drift"] == row["strung"]["drift"]
    assert report["cpu"]


def test_an_extension_of_no_clip_or_of_too_much_is_an_error():
    settings = {"num_frames": 1000, "height": 4096, "width": 4096}
    request = {"settings": settings, "seed": 7, "start": 2, "overlap": 1}
    for sizes in [(), ((4, 64, 112), (4, 64, 112)), ((4, 4096, 4096),)]:
        with pytest.raises(ValueError):
            size_after_extend(request, *sizes)
