"""Sweeps: nothing is made twice, nothing is lost, and what came out can be looked at."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import svdkit as sk
from svdkit.records import identity_of
from svdkit.shelves import Shelf

SMALL = {"num_inference_steps": 1, "num_frames": 3, "height": 32, "width": 56}
CELLS = sk.grid(motion_bucket_id=[20, 240], fps=[5, 20], **SMALL)


def swept(folder, cells=CELLS, image=None, pipeline="tiny", **how):
    image = sk.sample_image() if image is None else image
    return sk.sweep(image, pipeline, cells, folder, progress=False, **how)


def frames_of(runs):
    """Give what was recorded of each cell's frames."""
    return {cell.name: cell.clip.recipe["outcome"]["frames_sha256"] for cell in runs}


def times_of(folder):
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("*.mp4*")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return swept(tmp_path_factory.mktemp("sweeps") / "kite")


@pytest.fixture
def folder(runs, tmp_path):
    """A copy of a finished sweep, to do things to."""
    import shutil

    return shutil.copytree(runs.folder, tmp_path / "kite")


def test_a_cell_is_the_clip_that_animate_makes(runs):
    for cell, asked in zip(runs, CELLS, strict=True):
        clip = sk.animate(
            sk.sample_image(), "tiny", seed=cell.values["seed"], progress=False, **asked
        )
        outcome = clip.recipe["outcome"]
        assert cell.clip.recipe["outcome"]["frames_sha256"] == outcome["frames_sha256"]
        assert cell.metrics == {"motion": sk.motion(clip), "flicker": sk.flicker(clip)}


def test_cells_come_in_the_order_of_the_grid(runs):
    asked = [(cell["motion_bucket_id"], cell["fps"]) for cell in CELLS]
    assert [(c.values["motion_bucket_id"], c.values["fps"]) for c in runs] == asked
    assert [clip.fps for clip in runs.clips] == [fps for _, fps in asked]


def test_the_same_call_makes_nothing_again(runs, folder):
    before = times_of(folder)
    assert frames_of(swept(folder)) == frames_of(runs)
    assert times_of(folder) == before


def test_a_larger_grid_makes_only_what_is_new(runs, folder):
    before = times_of(folder)
    more = swept(folder, sk.grid(motion_bucket_id=[127, 240], fps=[5, 20], **SMALL))
    assert len(more) == 4
    assert len(sk.Sweep.open(folder)) == 6
    assert {name: when for name, when in times_of(folder).items() if name in before} == before


def test_what_names_no_seed_shares_one_that_is_kept(runs, folder):
    seeds = {cell.values["seed"] for cell in runs}
    assert seeds == {json.loads((folder / "sweep.json").read_text())["seed"]}
    assert {cell.values["seed"] for cell in swept(folder, sk.grid(fps=9, **SMALL))} == seeds


def test_equal_cells_are_one(tmp_path):
    cells = sk.grid(seed=1, fps=7, **SMALL) + sk.grid(seed=1, **SMALL)
    assert len(swept(tmp_path / "kite", cells)) == 1


def test_several_pictures_are_each_stored_once(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, colour in (("blue", "navy"), ("green", "olive")):
        Image.new("RGB", (90, 60), colour).save(pictures / f"{name}.png")
    runs = swept(tmp_path / "runs", sk.grid(fps=[5, 20], **SMALL), image=pictures)
    told = [(cell.values["image"], cell.values["fps"]) for cell in runs]
    assert told == [("blue", 5), ("blue", 20), ("green", 5), ("green", 20)]
    assert len(list((runs.folder / "inputs").iterdir())) == 2
    assert (
        len(swept(tmp_path / "runs", sk.grid(image=[pictures / "blue.png"], fps=5, **SMALL))) == 1
    )


def test_a_cell_is_made_again_from_the_folder_alone(runs):
    assert sk.rerun(runs[0].path, progress=False).identical
    assert np.asarray(runs.clips[0].inputs[0]).shape == (32, 56, 3)


def test_a_sweep_opens_later_with_all_that_is_there(runs):
    code = (
        "import sys, svdkit as sk\n"
        f"runs = sk.Sweep.open({str(runs.folder)!r})\n"
        "print(runs, 'torch' in sys.modules, 'diffusers' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.split() == ["Sweep(4", "clips)", "False", "False"], printed.stderr


def test_what_fails_is_noted_and_the_others_go_on(tiny, tmp_path):
    def out_of_memory(unet, inputs):
        if inputs[0].shape[1] == 4:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")

    hook = tiny.unet.register_forward_pre_hook(out_of_memory)
    cells = sk.grid(seed=1, **SMALL | {"num_frames": [4, 3]})
    runs = swept(tmp_path / "kite", cells, pipeline=tiny)
    hook.remove()
    sk.unload()  # it has gone down the ladder of presets
    assert len(runs) == 1
    (failure,) = runs.failures
    assert failure["num_frames"] == 4
    assert failure["error"].startswith("NotEnoughMemory: Memory ran out at 4 frames of 32×56")
    assert repr(runs) == "Sweep(1 clip, 1 failed)"
    assert sk.Sweep.open(runs.folder).failures == runs.failures
    again = swept(runs.folder, cells)
    assert repr(again) == "Sweep(2 clips)"
    assert not list(runs.folder.glob("*.error.json"))


def test_a_table_a_plot_and_the_best(runs):
    rows = runs.table()
    rows = rows.to_dict("records") if hasattr(rows, "to_dict") else rows
    assert [row["motion"] for row in rows] == [cell.metrics["motion"] for cell in runs]
    assert list(rows[0])[:5] == ["cell", "motion_bucket_id", "fps", "motion", "flicker"]
    figure = runs.plot("motion", x="motion_bucket_id", by="fps")
    (axes,) = figure.axes
    assert {line.get_label() for line in axes.lines} == {"fps 5", "fps 20"}
    assert list(axes.lines[0].get_xdata()) == [20, 240]
    motions = [cell.metrics["motion"] for cell in runs]
    assert runs.best("motion").metrics["motion"] == max(motions)
    assert runs.best("motion", target=0).metrics["motion"] == min(motions)
    assert runs.best("motion", target=motions[2]).name == runs[2].name
    assert runs.best("seam").name in {cell.name for cell in runs}  # measured now, of the files


def test_a_table_shows_what_differs_and_what_was_measured(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # where it is not installed
    shown = runs.table()._repr_html_()
    assert re.findall(r"<th[^>]*>(\w+)</th>", shown) == [
        "cell",
        "motion_bucket_id",
        "fps",
        "motion",
        "flicker",
    ]
    assert shown.count("<tr>") == 5


def test_likeness_to_the_picture_is_a_metric_too(tmp_path):
    runs = swept(tmp_path / "kite", sk.grid(seed=1, **SMALL), metrics=["likeness"])
    clip = sk.animate(sk.sample_image(), "tiny", seed=1, progress=False, **SMALL)
    assert runs[0].metrics == {"likeness": sk.likeness(clip, sk.sample_image())}


def test_what_cannot_be_looked_at_is_told(runs):
    with pytest.raises(ValueError, match="Did you mean motion_bucket_id"):
        runs.plot("motion", x="motion_bucket")
    with pytest.raises(ValueError, match="'movement' is no metric"):
        runs.best("movement")


def test_the_chosen_one_is_finished_with_more_steps(runs, folder, tmp_path):
    runs = swept(folder)
    clip = runs.finalise(runs[1], num_inference_steps=2, progress=False)
    settings = clip.recipe["request"]["settings"]
    assert settings["num_inference_steps"] == 2
    assert settings["fps"] == 20
    assert clip.recipe["request"]["image_sha256"] == runs[1].image_sha256
    assert len(sk.Sweep.open(folder)) == 5
    opened = sk.Sweep.open(folder)
    (same,) = [cell for cell in opened if cell.name == runs[1].name]
    again = opened.finalise(same, num_inference_steps=2, progress=False)
    outcomes = [one.recipe["outcome"] for one in (clip, again)]
    assert outcomes[0]["frames_sha256"] == outcomes[1]["frames_sha256"]
    assert len(sk.Sweep.open(folder)) == 5
    with pytest.raises(ValueError, match="image="):
        runs.finalise(runs[1], height=64)
    with pytest.raises(ValueError, match="image="):
        runs.finalise(runs[1], how="pad")
    with pytest.raises(IndexError, match="cell is 99"):
        runs.finalise(99)
    for other in ("ab12", None, sk.Sweep.open(swept(tmp_path / "other").folder)[0]):
        with pytest.raises(ValueError, match="no cell of this sweep"):
            runs.finalise(other)
    larger = runs.finalise(runs[1], height=64, width=112, image=sk.sample_image(), progress=False)
    assert larger.frames.shape[1:3] == (64, 112)


def test_a_short_clip_has_no_flicker_and_is_a_clip(tmp_path):
    runs = swept(tmp_path / "kite", sk.grid(**SMALL | {"num_frames": 2}))
    assert runs[0].metrics["flicker"] is None
    assert runs[0].metrics["motion"] >= 0


def test_a_pipeline_of_ones_own_is_swept(tiny, tmp_path):
    runs = swept(tmp_path / "kite", sk.grid(seed=4, **SMALL), pipeline=tiny)
    assert frames_of(runs) == frames_of(swept(tmp_path / "kite", sk.grid(seed=4, **SMALL)))


def test_pictures_of_one_name_are_told_apart(tmp_path):
    for place, colour in (("a", "navy"), ("b", "olive")):
        (tmp_path / place).mkdir()
        Image.new("RGB", (56, 32), colour).save(tmp_path / place / "kite.png")
    images = [tmp_path / place / "kite.png" for place in "ab"]
    runs = swept(tmp_path / "runs", sk.grid(image=images, fps=[5, 20], **SMALL))
    titles = {cell.values["image"] for cell in runs}
    assert len(titles) == 2
    assert all(title.startswith("kite ") for title in titles)
    assert runs.show().layout.axes.keys() == {"fps", "image"}


def test_a_list_of_numbers_is_one_guidance_curve(tmp_path):
    runs = swept(tmp_path / "kite", sk.grid(guidance=[1.0, 1.5, 2.0], **SMALL))
    assert [cell.values["guidance"] for cell in runs] == [(1.0, 1.5, 2.0)]


# What must not be mixed or replaced


def test_clips_of_another_model_do_not_join(folder, checkpoint):
    before = times_of(folder)
    with pytest.raises(ValueError, match="holds clips of model 'tiny', and this is 'small-svd'"):
        swept(folder, pipeline=checkpoint)
    assert times_of(folder) == before


def test_clips_of_another_scheduler_do_not_join(folder):
    from diffusers import EulerDiscreteScheduler

    pipeline = sk.load("tiny", device="cpu", weights=None)
    usual = pipeline.scheduler
    pipeline.scheduler = EulerDiscreteScheduler.from_config(usual.config, use_karras_sigmas=False)
    try:
        with pytest.raises(ValueError, match="scheduler"):
            swept(folder, pipeline=pipeline)
    finally:
        pipeline.scheduler = usual


def test_clips_of_other_weights_do_not_join(copy_of, tmp_path):
    model = copy_of("mine")
    cells = sk.grid(seed=1, **SMALL)
    swept(tmp_path / "runs", cells, pipeline=model)
    pipeline = sk.load(model, device="cpu")
    pipeline.unet.conv_out.weight.data *= 2
    with pytest.raises(ValueError, match="other weights of 'mine'"):
        swept(tmp_path / "runs", sk.grid(seed=2, **SMALL), pipeline=pipeline)


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"thesis\.txt"):
        swept(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_call_that_came_to_nothing_does_not_claim_the_folder(tmp_path, checkpoint):
    with pytest.raises(FileNotFoundError):
        swept(tmp_path / "kite", image="nowhere.png")
    runs = swept(tmp_path / "kite", sk.grid(seed=1, **SMALL), pipeline=checkpoint)
    assert json.loads((runs.folder / "sweep.json").read_text())["model"] == "small-svd"


def test_a_folder_is_claimed_before_its_first_clip_is_done(tmp_path, tiny, checkpoint):
    """Another model comes by while the first clip is being made."""
    told = []

    def come_by(*_):
        with pytest.raises(ValueError, match="holds clips of model 'tiny'") as caught:
            Shelf.start(tmp_path / "kite", identity_of(checkpoint))
        told.append(caught.value)

    hook = tiny.unet.register_forward_pre_hook(come_by)
    assert len(swept(tmp_path / "kite", sk.grid(seed=1, **SMALL), pipeline=tiny)) == 1
    hook.remove()
    assert told


def test_no_clip_lands_in_a_folder_that_is_another_models_by_now(tmp_path, tiny, edit_json):
    hook = tiny.unet.register_forward_pre_hook(
        lambda *_: edit_json(tmp_path / "kite" / "sweep.json", model="svd")
    )
    with pytest.raises(ValueError, match="holds clips of model 'svd'"):
        swept(tmp_path / "kite", sk.grid(seed=1, **SMALL), pipeline=tiny)
    hook.remove()
    assert not list((tmp_path / "kite").glob("*.mp4*"))


def test_a_stored_picture_that_was_changed_is_told_and_not_used(folder):
    (file,) = (folder / "inputs").iterdir()
    for broken in (b"", Path(sk.__file__).with_name("toyland").joinpath("sample.png").read_bytes()):
        file.write_bytes(broken)
        with pytest.raises(ValueError, match="Move it away"):
            swept(folder, sk.grid(fps=9, **SMALL))
        assert file.read_bytes() == broken
    file.unlink()
    assert len(swept(folder, sk.grid(fps=9, **SMALL))) == 1


def note_of(folder, name, change):
    """Write a changed note of a cell, as an error or as its recipe."""
    cell = sk.Sweep.open(folder)[0]
    about = json.loads(cell.path.with_name(f"{cell.name}.mp4.json").read_text())
    change(about)
    for_error = name.endswith(".error.json")
    if for_error:
        cell.path.unlink()
        cell.path.with_name(f"{cell.name}.mp4.json").unlink()
    cell.path.with_name(name.format(cell.name)).write_text(json.dumps(about))


ODD = {
    "a path in place of a hash": lambda about: about["request"].update(image_sha256="../../secret"),
    "no request": lambda about: about.pop("request"),
    "a list as request": lambda about: about.update(request=[]),
    "a seed that is none": lambda about: about["request"].update(seed=[1, [2]]),
    "an unknown setting": lambda about: about["request"]["settings"].update(speed=1),
    "a dict as fps": lambda about: about["request"]["settings"].update(fps={"a": 1}),
    "no fit": lambda about: about["request"].pop("fit"),
    "a huge number": lambda about: about["outcome"]["metrics"].update(motion=10**400),
    "a word as metric": lambda about: about["outcome"]["metrics"].update(motion="lively"),
    "metrics that are none": lambda about: about["outcome"].update(metrics=5),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", ["{}.mp4.json", "{}.error.json"])
def test_a_strangers_note_is_told_and_harms_nothing(folder, odd, name):
    secret = folder.parent / "secret.png"
    Image.new("RGB", (56, 32), "red").save(secret)
    note_of(folder, name, ODD[odd])
    runs = sk.Sweep.open(folder)
    assert len(runs) == 3
    (failure,) = runs.failures
    assert failure["error"]
    assert "secret" not in failure.get("image", "")
    runs._repr_mimebundle_()
    runs.explore()
    runs.table()


def test_a_pipe_in_place_of_a_note_is_passed_over(folder):
    cell = sk.Sweep.open(folder)[0]
    for name in (f"{cell.name}.mp4.json", f"{'0' * 16}.error.json"):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
    assert len(sk.Sweep.open(folder)) == 3


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "kite").write_text("mine")
    with pytest.raises(OSError, match="kite"):
        swept(tmp_path / "kite")


@pytest.mark.parametrize("text", ["{", "[]", '{"model": "tiny"}', "\x00\xff"])
def test_a_broken_sweep_json_is_told_and_kept(folder, text):
    file = folder / "sweep.json"
    file.write_text(text, encoding="utf-8")
    for door in (swept, sk.Sweep.open):
        with pytest.raises(ValueError, match=r"sweep\.json"):
            door(folder)
    assert file.read_text(encoding="utf-8") == text


def test_a_broken_recipe_is_told_and_kept(folder):
    file = next(folder.glob("*.mp4.json"))
    file.write_text("{")
    before = times_of(folder)
    with pytest.raises(ValueError, match=file.name):
        swept(folder)
    opened = sk.Sweep.open(folder)
    assert len(opened) == 3
    assert file.name.split(".")[0] in opened.failures[0]["error"]
    assert times_of(folder) == before


def test_a_video_that_was_changed_is_told_and_kept(folder):
    file = next(folder.glob("*.mp4"))
    file.write_bytes(file.read_bytes()[:-100])
    before = times_of(folder)
    with pytest.raises(ValueError, match="was changed since"):
        swept(folder)
    assert times_of(folder) == before


def test_a_clip_that_was_deleted_is_made_again(runs, folder):
    next(folder.glob("*.mp4")).unlink()
    assert frames_of(swept(folder)) == frames_of(runs)


def test_a_video_without_its_mark_is_no_cell(runs, folder):
    next(folder.glob("*.mp4.json")).unlink()
    assert len(sk.Sweep.open(folder)) == 3
    assert frames_of(swept(folder)) == frames_of(runs)


def test_no_folder_of_a_sweep_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no sweep\.json"):
        sk.Sweep.open(tmp_path)


@pytest.mark.parametrize(
    ("cells", "kind", "told"),
    [
        ([], ValueError, "no cells"),
        ("fps", TypeError, "list of dicts"),
        ({"fps": 7}, TypeError, "list of dicts"),
        ([7], TypeError, "A cell is a dict"),
        ([{"fsp": 7}], TypeError, "Did you mean fps"),
        ([{"fps": 0}], ValueError, "fps is 0"),
    ],
)
def test_wrong_cells_are_told_before_anything_is_made(tmp_path, cells, kind, told):
    with pytest.raises(kind) as caught:
        swept(tmp_path / "kite", cells)
    assert told in str(caught.value)
    assert not (tmp_path / "kite").exists()


def test_a_sweep_without_a_picture_is_told(tmp_path):
    with pytest.raises(ValueError, match="no image"):
        sk.sweep(None, "tiny", CELLS, tmp_path / "kite")


def test_an_unknown_metric_is_told(tmp_path):
    with pytest.raises(ValueError, match="'speed' is no metric"):
        swept(tmp_path / "kite", metrics=["speed"])


def mounted(place, size):
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a small disk")
def test_a_folder_in_the_place_of_a_clip_is_told_and_stays(tmp_path):
    runs = swept(tmp_path / "runs", CELLS[:1])
    for file in (runs[0].path, runs[0].path.with_name(f"{runs[0].path.name}.json")):
        file.unlink()
    runs[0].path.mkdir()
    with pytest.raises(OSError, match=r"mp4' is in the way .* move it away, and call again"):
        swept(tmp_path / "runs", CELLS[:1])
    runs[0].path.rmdir()
    assert len(swept(tmp_path / "runs", CELLS[:1])) == 1


def test_a_full_disk_ends_the_sweep_and_keeps_what_is_done(tmp_path):
    disk = tmp_path / "disk"
    mounted(disk, "100k")
    try:
        with pytest.raises(OSError, match="No space left") as caught:
            swept(disk / "kite", sk.grid(seed=range(40), **SMALL))
        assert "kite" in str(caught.value)
        opened = sk.Sweep.open(disk / "kite")
        assert 0 < len(opened) < 40
        assert all(len(clip) == 3 for clip in opened.clips)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="cannot be written to"):
        swept(tmp_path / "kite")


# Killed, and going on

SCRIPT = """
import sys, torch, svdkit as sk
torch.set_num_threads(1)
small = {"num_inference_steps": 1, "num_frames": 3, "height": 32, "width": 56}
cells = sk.grid(seed=range(12), fps=[5, 20], **small)
sk.load("tiny", device="cpu")
print("ready", flush=True)
print(sk.sweep(sk.sample_image(), "tiny", cells, sys.argv[1], progress=False))
"""


def started(folder, script=SCRIPT):
    command = [sys.executable, "-c", script, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.timeout(900)
def test_a_sweep_killed_ten_times_ends_as_if_undisturbed(tmp_path):
    whole = started(tmp_path / "whole")
    begun = time.monotonic()
    assert whole.communicate()[0] == "Sweep(24 clips)\n"
    length = time.monotonic() - begun
    dice = random.Random(time.time_ns())
    kills = 0
    while kills < 10:
        process = started(tmp_path / "killed")
        time.sleep(dice.uniform(0, length / 6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        if (tmp_path / "killed" / "sweep.json").exists():
            for clip in sk.Sweep.open(tmp_path / "killed").clips:
                assert len(clip) == 3
    assert started(tmp_path / "killed").communicate()[0] == "Sweep(24 clips)\n"
    opened = sk.Sweep.open(tmp_path / "killed")
    assert frames_of(opened) == frames_of(sk.Sweep.open(tmp_path / "whole"))
    left = {file.name for file in (tmp_path / "killed").iterdir()}
    assert left == {file.name for file in (tmp_path / "whole").iterdir()}


def test_two_threads_may_sweep_with_one_pipeline(tiny, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        asked = [sk.grid(seed=seed, fps=[5, 20], **SMALL) for seed in (1, 2)]
        work = [pool.submit(swept, tmp_path / "kite", cells, None, tiny) for cells in asked]
        assert [repr(one.result()) for one in work] == 2 * ["Sweep(2 clips)"]


def test_an_interrupt_in_the_middle_of_a_clip_keeps_what_is_done(tiny, tmp_path):
    calls = []

    def interrupt(*_):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    hook = tiny.unet.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        swept(tmp_path / "kite", pipeline=tiny)
    hook.remove()
    done = sk.Sweep.open(tmp_path / "kite")
    assert len(done) == 2
    assert not done.failures
    assert len(swept(tmp_path / "kite", pipeline=tiny)) == 4


def test_a_cell_that_another_process_made_has_not_failed(folder):
    cell = sk.Sweep.open(folder)[0]
    shelf = Shelf.open(folder)
    shelf.fail(cell.name, cell.clip.recipe["request"], RuntimeError("out of memory"))
    assert not list(folder.glob("*.error.json"))


def test_two_processes_that_begin_at_once_share_one_seed(tmp_path):
    code = SCRIPT.replace("seed=range(12)", "motion_bucket_id=range(20, 32)")
    both = [started(tmp_path / "kite", code) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == 2 * ["Sweep(24 clips)\n"]
    opened = sk.Sweep.open(tmp_path / "kite")
    assert len(opened) == 24
    assert len({cell.values["seed"] for cell in opened}) == 1
    assert all(len(clip) == 3 for clip in opened.clips)
