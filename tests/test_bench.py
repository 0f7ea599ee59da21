"""Stock against lean by the stopwatch: that it measures, and not what comes out here."""

import json
from dataclasses import replace

import numpy as np
import pytest

import svdkit as sk
from svdkit import lean
from svdkit.animation import resolved
from svdkit.bench import measure, smaller_chunks
from svdkit.cli import main
from svdkit.comparisons import Comparison
from svdkit.figures import Figures
from svdkit.gpus import find_gpu
from svdkit.measured import measurements, newest
from svdkit.origins import origin_of
from svdkit.planning import plan
from svdkit.settings import Settings
from svdkit.stopwatch import STAGES, Lap, TimedRun, timed_run

SMALL = {"num_frames": 2, "num_inference_steps": 4}
SETTINGS = Settings(64, 112, 2, num_inference_steps=2, decode_chunk_size=2)


@pytest.fixture(scope="module")
def compared():
    return measure("tiny", device="cpu", repeats=2, progress=False, **SMALL)


@pytest.fixture
def fitted(picture):
    return sk.fit(picture, 64, 112)


def on_a_t4(compared: Comparison) -> Comparison:
    """Give the same figures as a T4 would have them, whose memory is counted."""

    def counted(run: TimedRun, gib: float) -> TimedRun:
        return replace(run, laps=tuple(replace(lap, allocated_gib=gib) for lap in run.laps))

    stock, lean_ones = (
        replace(one, runs=tuple(counted(run, gib) for run in one.runs))
        for gib, one in zip((3.5, 2.5), compared.figures, strict=True)
    )
    about = {**compared.about, "card": "Tesla T4", "preset": "all_on_gpu"}
    return Comparison(about, (stock, lean_ones))


def test_both_are_measured_in_all_stages(compared):
    stock, lean_ones = compared.rows
    assert (stock["arithmetic"], lean_ones["arithmetic"]) == ("stock", "lean")
    for row in (stock, lean_ones):
        assert list(row["stages"]) == list(STAGES)
        assert row["stages"]["step"]["times"] == 4  # two of each run
        assert all(s["least_seconds"] <= s["median_seconds"] for s in row["stages"].values())
        assert row["peak_gib"] is None  # nothing counts the memory of a CPU
    assert compared.psnr >= 60


def test_a_row_tells_its_circumstances(compared):
    row = compared.rows[0]
    assert row["model"] == "tiny"
    assert (row["preset"], row["dtype"], row["weights"]) == ("cpu", "float32", "bundled")
    assert row["threads"] == 1
    assert row["versions"]["svdkit"] == sk.__version__
    told = "svdkit bench tiny --memory cpu --dtype float32 --frames 2 --size 64x112 --steps 4"
    assert row["command"] == f"{told} --repeats 2"


def test_a_clip_takes_as_long_as_its_stages_with_all_steps(compared):
    figures = compared.figures[0]
    run = figures.runs[1]
    stages = [figures.seconds_of(run, stage) for stage in STAGES]
    assert figures.seconds_of(run) == pytest.approx(sum(stages) + 2 * stages[2])  # 1 + 3 steps
    assert figures.row()["seconds_are"] == "the sum of the stages"


def test_pairs_are_compared_that_ran_one_after_the_other():
    """Other work slows the second pair down; what stock takes more is the same in both."""
    seconds = {"stock": (9.0, 4.0, 40.0), "lean": (9.0, 2.0, 20.0)}
    figures = [
        Figures(name, SETTINGS, tuple(TimedRun((Lap("decode", s),), 2, None) for s in each))
        for name, each in seconds.items()
    ]
    assert Comparison({}, tuple(figures)).ratios == {"decode": 2.0, "clip": 2.0}


def test_a_whole_clip_is_measured_if_asked():
    how = {"device": "cpu", "clip": True, "repeats": 1, "progress": False}
    (stock, _) = measure("tiny", **how, **SMALL).figures
    assert [lap.stage for lap in stock.runs[0].laps].count("step") == 3
    assert stock.seconds == pytest.approx(stock.runs[1].seconds)
    assert stock.row()["seconds_are"] == "of whole clips"


def test_the_pipeline_that_load_keeps_is_lean_again_afterwards(compared):
    assert lean.is_lean(sk.load("tiny", device="cpu"))


def test_random_weights_say_so():
    how = {"device": "cpu", "weights": "random", "repeats": 1, "progress": False}
    compared = measure("tiny", **how, **SMALL)
    assert compared.rows[0]["weights"] == "random"
    assert "--weights random" in compared.rows[0]["command"]
    assert "tiny, random weights, float32" in str(compared)


def test_each_run_encodes_anew(tiny, fitted):
    seen = []
    hook = tiny.image_encoder.register_forward_hook(lambda *_: seen.append(True))
    try:
        for _ in range(2):
            timed_run(tiny, fitted, SETTINGS)
    finally:
        hook.remove()
    assert len(seen) == 2


def test_a_timed_run_makes_the_clip_that_animate_makes(tiny, fitted):
    how = {"num_frames": 2, "num_inference_steps": 2}
    run = timed_run(tiny, fitted, resolved(how, tiny, fitted.size), seed=7)
    clip = sk.animate(fitted, tiny, seed=7, progress=False, **how)
    assert np.array_equal(run.frames, clip.frames)


def test_frames_that_do_not_fit_at_once_are_decoded_a_few_at_a_time(tiny, fitted):
    """A decoder that has no room for more than two frames stands for a small GPU."""
    import torch

    def no_room(module, arguments, keywords):
        if len(arguments[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    settings = replace(SETTINGS, num_frames=5, decode_chunk_size=5)
    hook = tiny.vae.decoder.register_forward_pre_hook(no_room, with_kwargs=True)
    try:
        run = timed_run(tiny, fitted, settings, smaller_chunks=[4, 2])
        with pytest.raises(sk.NotEnoughMemory):
            timed_run(tiny, fitted, settings, smaller_chunks=[4])
    finally:
        hook.remove()
    assert run.decode_chunk_size == 2
    assert [lap.stage for lap in run.laps] == list(STAGES)


def test_a_preset_that_does_not_fit_is_not_left_for_another(tiny, fitted):
    import torch

    def no_room(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    before = origin_of(tiny)
    hook = tiny.unet.register_forward_pre_hook(no_room)
    try:
        with pytest.raises(sk.NotEnoughMemory):
            timed_run(tiny, fitted, SETTINGS)
    finally:
        hook.remove()
    assert origin_of(tiny) == before


def test_only_fewer_frames_are_tried():
    assert smaller_chunks(25) == [8, 4, 2]
    assert smaller_chunks(2) == []


def test_what_does_not_fit_is_told_and_the_other_is_measured(compared):
    stock, lean_ones = compared.figures
    half = Comparison(compared.about, (replace(stock, runs=(), why="Memory ran out."), lean_ones))
    assert "stock does not fit: Memory ran out." in str(half)
    assert [row["arithmetic"] for row in half.rows] == ["lean"]
    assert half.psnr is None


def test_another_clip_is_told(compared):
    stock, lean_ones = compared.figures
    few = replace(stock, settings=replace(stock.settings, num_frames=25))
    assert "stock decoded 2 frames at a time" in str(Comparison(compared.about, (few, lean_ones)))


def test_the_table_compares(compared):
    told = str(on_a_t4(compared))
    assert "tiny, float32, 2 frames of 64×112, all_on_gpu, on Tesla T4" in told
    header, *lines = told.splitlines()[2:9]
    assert header.count("stock/lean") == 2
    assert "stock GiB  lean GiB" in header
    assert [line.split("  ")[0] for line in lines[:5]] == [s.replace("_", " ") for s in STAGES]
    assert lines[5].split()[-3:] == ["3.50", "2.50", "1.40"]


def test_plans_find_what_was_measured_on_a_gpu(compared, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measured = on_a_t4(compared)
    assert measured.keep() == measured.keep()
    wanted = {"model": "tiny", "preset": "all_on_gpu", "num_frames": 2, "height": 64, "width": 112}
    for row in measured.rows:
        wanted |= {"arithmetic": row["arithmetic"], "steps": 4, "dtype": "float32", "guided": True}
        found = newest(measurements(), find_gpu("T4"), **wanted)
        assert (found.peak_gib, found.seconds) == (row["peak_gib"], row["seconds"])
        assert found.date == row["date"]
    planned = plan("tiny", gpu="T4", num_frames=2, num_inference_steps=4, dtype="float32")
    assert "measured on Tesla T4" in str(planned)


def test_plans_do_not_take_what_decoded_fewer_frames_at_a_time(compared, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stock, lean_ones = on_a_t4(compared).figures
    stock = replace(stock, runs=tuple(replace(run, decode_chunk_size=1) for run in stock.runs))
    Comparison(on_a_t4(compared).about, (stock, lean_ones)).keep()
    kept = [row.arithmetic for row in measurements() if row.model == "tiny"]
    assert kept == ["lean"]


def test_equal_clips_are_written_as_json_has_it():
    run = timed_run(sk.load("tiny", device="cpu"), sk.sample_image(), SETTINGS)
    both = [Figures(name, SETTINGS, (run, run)) for name in ("stock", "lean")]
    about = {"model": "tiny", "weights": "", "dtype": "", "preset": "", "card": "", "in_turn": True}
    same = Comparison(about, tuple(both))
    assert json.loads(json.dumps(same.rows, allow_nan=False))[0]["equal"]
    assert "The two clips are equal." in str(same)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"repeats": 0}, "repeats is 0"),
        ({"repeats": "many"}, "repeats is 'many'"),
        ({"num_frames": 0}, "num_frames is 0"),
        ({"frames": 3}, "measure has no 'frames'"),
        ({"weights": "mine"}, "weights is 'mine'"),
        ({"memory": "al_on_gpu"}, "Did you mean all_on_gpu"),
        ({"dtype": "float12"}, "dtype is 'float12'"),
        ({"model": "sd-turbo"}, "'sd-turbo' is for drawing"),
    ],
)
def test_what_is_wrong_is_told(wrong, says):
    with pytest.raises((ValueError, TypeError), match=says):
        measure(**{"model": "tiny", "device": "cpu", "progress": False} | wrong)


def test_in_a_shell_it_is_printed_and_saved(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "mine.json"
    small = ["--device", "cpu", "--frames", "2", "--size", "64x112", "--repeats", "1"]
    for _ in range(2):  # its own file is replaced
        assert main(["bench", "tiny", *small, "-o", str(out)]) == 0
    assert "stock/lean" in capsys.readouterr().out
    assert [row["arithmetic"] for row in json.loads(out.read_text())] == ["stock", "lean"]
    assert not (tmp_path / "cache").exists()  # plans are about GPUs


def test_in_a_shell_files_of_others_stay(tmp_path, capsys):
    for name, contents in (("mine.json", '{"svdkit": 1}'), ("list.json", "[]")):
        (tmp_path / name).write_text(contents)
        assert main(["bench", "tiny", "-o", str(tmp_path / name)]) == 1
        assert "is there already" in capsys.readouterr().err
        assert (tmp_path / name).read_text() == contents
    assert main(["bench", "tiny", "-o", str(tmp_path / "mine.csv")]) == 1
    assert "should end in .json" in capsys.readouterr().err


def test_in_a_shell_a_size_is_height_by_width(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "tiny", "--size", "64"])
    assert "'64' is no size; give HEIGHTxWIDTH like 576x1024" in capsys.readouterr().err


def test_a_stage_that_was_not_measured_is_left_out():
    assert list(Figures("lean", SETTINGS, ()).laps) == []
    assert Lap("step", 1.0).reserved_gib is None
