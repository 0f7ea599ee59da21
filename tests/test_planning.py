"""Plans: what fits which card, from predictions and from what was measured."""

import json
import math
import re
import shutil

import pytest
from matplotlib.figure import Figure

from svdkit.blueprints import blueprint_of
from svdkit.gpus import GPUS, Gpu
from svdkit.measured import Measurement, bench_folder, measurements
from svdkit.memory import PRESETS, needed_gib
from svdkit.models import MODELS
from svdkit.planning import plan
from svdkit.prediction import predict

ROW = {
    "card": "Tesla T4",
    "model": "svd-xt",
    "preset": "offload_models",
    "arithmetic": "stock",
    "num_frames": 25,
    "height": 576,
    "width": 1024,
    "steps": 25,
    "peak_gib": 11.25,
    "seconds": 600.0,
    "date": "2026-11-20",
}


@pytest.fixture(autouse=True)
def bench(tmp_path, monkeypatch):
    """Give an empty folder of benches, and what writes into it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "svdkit" / "bench"
    folder.mkdir(parents=True)

    def write(*rows, name="bench.json"):
        (folder / name).write_text(json.dumps(list(rows)), encoding="utf-8")

    write.folder = folder
    return write


def stock(gpu="T4", **asked):
    """Plan in stock arithmetic, which is quick to count."""
    return plan("svd-xt", gpu=gpu, arithmetic="stock", **asked)


def row_of(planned, preset):
    return next(row for row in planned.rows if row.preset == preset)


def test_a_plan_tells_each_preset_that_uses_a_gpu():
    assert [row.preset for row in plan("tiny", gpu="T4").rows] == [
        name for name, preset in PRESETS.items() if preset.keeps != "none"
    ]
    assert "offload_in_turn" not in [row.preset for row in stock().rows]


def test_a_t4_holds_svd_xt_but_not_all_of_it_in_stock(bench):
    planned = stock()
    assert not row_of(planned, "all_on_gpu").fits
    assert planned.best.preset == planned.auto == "offload_models"
    assert planned.download_gib == pytest.approx(4.2, abs=0.1)
    assert "memory='auto' takes offload_models." in str(planned)


def test_what_fits_is_what_the_usable_memory_holds(bench):
    for gpu in ("8 GB", "T4", "A100 80GB"):
        planned = stock(gpu)
        for row in planned.rows:
            assert row.needs_gib == needed_gib(row.peak_gib)
            assert row.fits == (row.needs_gib <= planned.gpu.usable_gib)


def test_where_auto_takes_what_does_not_fit_the_plan_says_what_to_take(bench):
    planned = stock(num_frames=40)
    assert planned.auto == "offload_models"
    assert "memory='auto' takes offload_models; load with memory='offload_and_stream'." in str(
        planned
    )


def test_where_nothing_fits_the_plan_says_so(bench):
    planned = stock("2 GB")
    assert planned.best is None
    assert "Nothing fits" in str(planned)
    assert "With offload_layers at most" in str(planned)  # smaller ones do fit


def test_the_reach_is_where_one_more_does_not_fit(bench):
    planned = stock()
    (reach,) = planned.reaches

    def needs(**size):
        prediction = predict(MODELS["svd-xt"], PRESETS[reach.preset], arithmetic="stock", **size)
        return needed_gib(prediction.peak_gib)

    assert needs(num_frames=reach.num_frames) <= planned.gpu.usable_gib
    assert needs(num_frames=reach.num_frames + 1) > planned.gpu.usable_gib
    height, width = reach.size
    assert needs(height=height, width=width) <= planned.gpu.usable_gib
    assert needs(height=height + 64, width=width + 64) > planned.gpu.usable_gib
    assert math.isclose(width / height, 1024 / 576, rel_tol=0.05)


def test_a_card_of_which_only_the_memory_is_known_gets_no_time(bench):
    planned = stock("16 GB")
    assert planned.best.seconds is None
    assert planned.best.time == "–"
    assert "Predicted times" not in str(planned)


def test_a_card_may_be_described():
    mine = Gpu("mine", 3, 100, 10, 5)
    assert plan("tiny", gpu=mine).gpu is mine


def test_without_a_gpu_the_plan_is_for_the_free_one_of_colab_and_says_so():
    import torch

    if torch.cuda.is_available():
        assert plan("tiny").remark == ""
    else:
        assert plan("tiny").gpu is GPUS["T4"]
        assert "There is no CUDA GPU here" in str(plan("tiny"))


def test_what_is_planned_again_is_not_counted_again():
    first = str(stock())
    counted = len(blueprint_of(MODELS["svd-xt"], "float16", "stock")._counts)
    assert str(stock()) == first
    assert len(blueprint_of(MODELS["svd-xt"], "float16", "stock")._counts) == counted


def test_one_side_follows_the_other():
    assert plan("tiny", gpu="T4", height=32).size == (32, 56)
    assert stock(width=640).size == (384, 640)
    assert stock(height=1024, width=576).size == (1024, 576)


def test_a_folder_is_planned_by_its_own_configurations(tmp_path):
    from svdkit import load

    load("tiny", device="cpu").save_pretrained(tmp_path / "mine")
    own = plan(tmp_path / "mine", gpu="T4", height=64, width=112)
    assert (own.model, own.num_frames) == ("mine", 14)
    assert own.rows[0].peak_gib == plan("tiny", gpu="T4").rows[0].peak_gib


def test_a_model_of_ones_own_is_planned_at_the_size_it_was_made_for(tmp_path):
    mine = shutil.copytree(MODELS["tiny"].folder, tmp_path / "mine")
    planned, known = (plan(model, gpu="T4", reaches=False) for model in (mine, "tiny"))
    assert planned.model == "mine"
    assert (planned.size, planned.num_inference_steps) == (known.size, known.num_inference_steps)


def test_a_broken_configuration_is_named(tmp_path):
    shutil.copytree(MODELS["tiny"].folder, tmp_path / "mine")
    (tmp_path / "mine" / "unet" / "config.json").write_text("{ broken")
    with pytest.raises(OSError, match=r"damaged or incomplete.*config\.json is no valid JSON"):
        plan(tmp_path / "mine", gpu="T4")


def test_a_folder_without_a_model_is_refused(tmp_path):
    (tmp_path / "unet").mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no unet/config.json"):
        plan(tmp_path, gpu="T4")


def test_a_loaded_pipeline_is_planned_by_its_row():
    from svdkit import load

    assert plan(load("tiny", device="cpu"), gpu="T4").model == "tiny"


def test_an_address_that_is_not_here_is_planned_like_svd():
    planned = plan("somebody/a-finetune-of-svd", gpu="T4", arithmetic="stock")
    assert planned.model == "somebody/a-finetune-of-svd"
    assert planned.rows == stock().rows


@pytest.mark.parametrize(
    ("model", "asked", "error", "told"),
    [
        ("sd-turbo", {}, TypeError, "'sd-turbo' is for drawing"),
        (7, {}, TypeError, "7 is no Stable Video Diffusion"),
        ("tiny", {"gpu": "RTX 4095"}, ValueError, "Did you mean RTX 4090"),
        ("svd", {"height": 568, "width": 1016}, ValueError, "divide by 64. Try 576×1024"),
        ("tiny", {"num_frames": 1}, ValueError, "num_frames is 1"),
        ("tiny", {"arithmetic": "fast"}, ValueError, "lean, stock"),
        ("tiny", {"dtype": "int8"}, ValueError, "float16"),
    ],
)
def test_what_cannot_be_planned_is_refused(model, asked, error, told):
    with pytest.raises(error, match=told):
        plan(model, **{"gpu": "T4", **asked})


def test_the_page_of_a_plan_shows_in_a_notebook_that_is_not_trusted():
    page = plan("tiny", gpu="T4")._repr_html_()
    assert not re.search("<(script|style)", page)
    assert page.count("<tr>") == 1 + len(plan("tiny", gpu="T4").rows)
    assert page == plan("tiny", gpu="T4")._repr_html_()


def test_the_chart_has_a_bar_for_each_preset_and_a_line_for_the_card():
    from matplotlib import pyplot

    figure = stock().chart()
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    assert [label.get_text().split()[0] for label in axes.get_yticklabels()] == [
        row.preset for row in stock().rows
    ]
    assert axes.lines[0].get_xdata()[0] == GPUS["T4"].usable_gib
    assert figure.number not in pyplot.get_fignums()


def test_what_colabs_free_machine_has_not_ram_enough_for_is_said():
    long = plan("svd-xt", gpu="T4", num_frames=40)  # whose frames wait in RAM
    assert row_of(long, "offload_layers").ram_gib > 11.8
    assert "offload_layers takes" in str(long)
    assert "of Colab's free machine are not enough" in str(long)
    assert "of Colab's free machine are not enough" not in str(stock())


def test_what_was_measured_stands_in_the_place_of_what_is_predicted(bench):
    bench(ROW)
    planned = stock()
    row = row_of(planned, "offload_models")
    assert (row.peak_gib, row.seconds, row.time) == (11.25, 600.0, "10.0 min")
    assert row.source == "measured on Tesla T4 (2026-11-20)"
    assert row_of(planned, "offload_layers").source == "predicted"
    assert "measured on Tesla T4 (2026-11-20)" in str(planned)


@pytest.mark.parametrize(
    "other",
    [
        {"card": "NVIDIA L4"},
        {"card": "a card of which nobody knows"},
        {"model": "svd"},
        {"preset": "offload_layers"},
        {"arithmetic": "lean"},
        {"num_frames": 14},
        {"width": 512},
        {"dtype": "float32"},
        {"guided": False},
    ],
)
def test_what_was_measured_otherwise_does_not_count(bench, other):
    bench(ROW | other)
    assert row_of(stock(), "offload_models").source == "predicted"


def test_with_other_steps_only_the_memory_was_measured(bench):
    bench(ROW | {"steps": 10})
    row = row_of(stock(), "offload_models")
    assert row.peak_gib == 11.25
    assert row.seconds != 600
    assert row.source == "memory measured on Tesla T4 (2026-11-20), time predicted"


def test_the_newest_measurement_counts(bench):
    bench(ROW, name="a.json")
    bench(ROW | {"date": "2026-11-21", "seconds": 500.0}, name="b.json")
    bench(ROW | {"date": "2026-11-19", "seconds": 400.0}, name="c.json")
    assert row_of(stock(), "offload_models").seconds == 500


def test_one_row_is_a_file_too_and_may_say_more_than_is_needed(bench):
    (bench.folder / "one.json").write_text(json.dumps(ROW | {"torch": "2.13", "seconds": 600}))
    assert Measurement(**ROW) in measurements()


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        "7",
        "[[]]",
        "[" * 100_000,
        json.dumps({name: value for name, value in ROW.items() if name != "date"}),
        json.dumps(ROW | {"seconds": "long"}),
        json.dumps(ROW | {"peak_gib": -1}),
        json.dumps(ROW | {"seconds": float("nan")}),
        json.dumps(ROW | {"num_frames": True}),
    ],
    ids=range(9),
)
def test_a_broken_file_is_left_out_with_a_warning(bench, broken):
    bench(ROW)
    (bench.folder / "broken.json").write_text(broken)
    with pytest.warns(UserWarning, match=r"broken.json' is left out"):
        found = measurements()
    assert Measurement(**ROW) in found


def test_benches_are_kept_where_caches_are(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert bench_folder() == tmp_path / "svdkit" / "bench"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert bench_folder() == tmp_path / ".cache" / "svdkit" / "bench"
