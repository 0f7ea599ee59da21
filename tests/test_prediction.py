"""What a clip takes, counted without weights; the figures of SVD-XT are known from a prototype."""

import pytest
import torch

from svdkit.blueprints import GIB, Blueprint, blueprint_of, weights_gib
from svdkit.counting import Count, Kernel, count
from svdkit.gpus import GPUS, find_gpu
from svdkit.lean import Knobs
from svdkit.lean.stacks import ram
from svdkit.memory import PRESETS, Preset, Stock
from svdkit.models import MODELS
from svdkit.prediction import predict

SVD_XT = MODELS["svd-xt"]


def stages_of(preset, **more):
    prediction = predict(SVD_XT, PRESETS[preset], **more)
    return {stage.name: stage for stage in prediction.stages}


def empty(*shape, dtype=torch.float16):
    return torch.empty(shape, dtype=dtype, device="meta")


def test_what_is_let_go_of_counts_no_longer():
    def work():
        first = empty(1024)
        second = first.exp()
        del first
        third = second.exp()
        return second, third

    assert count(work).peak_bytes == 2 * 2048


def test_memory_is_given_out_in_whole_blocks():
    assert count(lambda: empty(1).exp()).peak_bytes == 2 * 512


def test_views_and_what_was_there_before_take_nothing():
    weight = empty(64, 64)
    counted = count(lambda: weight.t().view(64, 8, 8)[:, 1])
    assert counted == Count(0, 0, {})


def test_a_product_counts_its_operations_and_what_it_reads_and_writes():
    left, right = empty(8, 16), empty(16, 32)
    assert count(lambda: left @ right).kernels == {
        Kernel(2 * 8 * 16 * 32, 2 * (8 * 16 + 16 * 32 + 8 * 32)): 1
    }


def test_a_convolution_counts_as_torch_counts_it():
    from torch.utils.flop_counter import FlopCounterMode

    layer = torch.nn.Conv2d(4, 8, 3, padding=1, device="meta", dtype=torch.float16)
    picture = empty(2, 4, 16, 16)
    with FlopCounterMode(display=False) as told:
        layer(picture)
    assert count(lambda: layer(picture)).flops == told.get_total_flops()


def test_attention_takes_no_table_of_all_pairs():
    rows = empty(1, 2, 4096, 64)
    counted = count(lambda: torch.nn.functional.scaled_dot_product_attention(rows, rows, rows))
    assert counted.peak_bytes == 2 * 4096 * 64 * 2
    assert counted.flops == 4 * 2 * 4096 * 4096 * 64


def test_what_is_changed_in_place_takes_no_memory_but_work():
    def work(times):
        numbers = empty(1024)
        for _ in range(times):
            numbers += 1
        return numbers

    assert count(lambda: work(3)).peak_bytes == 2048
    assert count(lambda: work(3)).kernels == {Kernel(0, 4096): 3}


def test_what_waits_in_ram_is_not_on_the_gpu_and_what_goes_there_crosses():
    def work():
        numbers = empty(1024)
        waiting = ram((4, 1024), numbers)
        waiting[1].copy_(numbers)
        return waiting

    counted = count(work)
    assert (counted.peak_bytes, counted.ram_bytes) == (2048, 4 * 2048)
    assert counted.kernels == {Kernel(0, 2048, 2048): 1}


def test_equal_calls_count_alike_though_only_the_first_is_made_in_full():
    layer = torch.nn.GroupNorm(4, 64, device="meta", dtype=torch.float16)
    picture = empty(1, 64, 32, 32)
    once, twice = count(lambda: layer(picture)), count(lambda: (layer(picture), layer(picture)))
    assert once.repeated(2).kernels == twice.kernels
    # the first has let go of its means and deviations, a block each, as the second is made
    assert twice.peak_bytes == 2 * once.peak_bytes - 2 * 512


def test_counts_follow_one_another():
    both = Count(7, 0, {Kernel(1, 2): 1}) + Count(5, 3, {Kernel(1, 2): 1, Kernel(4, 4): 2})
    assert both == Count(7, 3, {Kernel(1, 2): 2, Kernel(4, 4): 2})


@pytest.mark.parametrize(
    ("preset", "stage", "gib"),
    [
        ("offload_models", "CLIP", 1.18),
        ("offload_models", "step", 10.58),
        ("offload_and_stream", "step", 7.28),
        ("offload_models", "decode", 9.24),
        ("all_on_gpu", "decode", 28.31),
    ],
)
def test_stock_peaks_are_those_of_the_prototype(preset, stage, gib):
    """It had a part and no others on the GPU, and of the VAE all of it."""
    drawn = blueprint_of(SVD_XT, "float16", "stock").gib
    alone = {"CLIP": drawn["clip"], "step": drawn["unet"], "decode": drawn["vae"]}[stage]
    taken = stages_of(preset, arithmetic="stock")[stage]
    peak = taken.peak_gib - taken.weights_gib + alone
    assert peak == pytest.approx(gib, rel=0.01)


def test_encoding_runs_in_fp32_and_takes_what_the_prototype_said():
    drawn = blueprint_of(SVD_XT, "float16", "stock")
    encode = stages_of("all_on_gpu", arithmetic="stock")["encode"]
    assert encode.dtype == "float32"
    peak = encode.count.peak_bytes / GIB + drawn.gib["encoder"]
    assert peak == pytest.approx(1.78, rel=0.01)
    assert stages_of("all_on_gpu", arithmetic="stock", dtype="bfloat16")["encode"].dtype == (
        "bfloat16"
    )


def test_without_guidance_the_unet_takes_half():
    guided, alone = (
        stages_of("offload_models", arithmetic="stock", guided=guided)["step"].count
        for guided in (True, False)
    )
    assert alone.peak_bytes / GIB == pytest.approx(3.71, rel=0.01)
    assert alone.flops == pytest.approx(guided.flops / 2, rel=0.01)


@pytest.mark.parametrize(
    ("stage", "tera"), [("CLIP", 0.34), ("encode", 2.6), ("step", 159.9), ("decode", 173.6)]
)
def test_stock_arithmetic_is_as_much_work_as_was_counted_layer_by_layer(stage, tera):
    flops = stages_of("all_on_gpu", arithmetic="stock")[stage].count.flops
    assert flops / 1e12 == pytest.approx(tera, rel=0.02)


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "cpu"])
@pytest.mark.parametrize("arithmetic", ["lean", "stock"])
def test_the_peaks_in_the_table_of_presets_are_those_predicted(name, arithmetic):
    preset = PRESETS[name]
    if arithmetic == "stock" and preset.stock is None:
        with pytest.raises(ValueError, match="needs arithmetic='lean'"):
            predict(SVD_XT, preset, arithmetic=arithmetic)
        return
    told = (preset if arithmetic == "lean" else preset.stock).peak_gib
    assert predict(SVD_XT, preset, arithmetic=arithmetic).peak_gib == pytest.approx(told, abs=0.3)


def test_each_preset_takes_less_of_the_gpu_than_the_one_before():
    peaks = [predict(SVD_XT, preset).peak_gib for preset in PRESETS.values()]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[-1] == 0


def test_lean_arithmetic_is_less_work_and_leaves_weights_in_ram():
    lean, stock = (
        stages_of("all_on_gpu", arithmetic=arithmetic)["step"] for arithmetic in ("lean", "stock")
    )
    assert lean.count.flops < 0.95 * stock.count.flops
    assert stock.weights_gib - lean.weights_gib == pytest.approx(0.37, abs=0.01)


def test_frames_that_wait_in_ram_cost_ram_and_time_but_no_gpu_memory():
    store, spill = (
        Preset("it", "", print, "all", knobs=Knobs(decode=decode), stock=Stock())
        for decode in ("store", "spill")
    )
    stored, spilled = (predict(SVD_XT, preset).stages[-1] for preset in (store, spill))
    assert spilled.peak_gib < stored.peak_gib
    assert (stored.count.ram_bytes, spilled.count.ram_bytes > 2 * GIB) == (0, True)
    assert sum(kernel.crossed * often for kernel, often in spilled.count.kernels.items()) > 0


def test_the_weights_are_the_size_of_the_download():
    prediction = predict(SVD_XT, PRESETS["offload_models"])
    # 1525 M, 632 M and 98 M parameters of two bytes each
    assert prediction.download_gib == pytest.approx(2 * 2255e6 / GIB, rel=0.01)
    assert prediction.loaded_gib == prediction.download_gib
    assert predict(MODELS["tiny"], PRESETS["all_on_gpu"]).download_gib == 0


def test_the_blueprint_of_tiny_has_the_weights_of_tiny():
    from svdkit import load

    pipeline = load("tiny", device="cpu")
    drawn = Blueprint(MODELS["tiny"], "float32", "stock")
    assert drawn.gib["unet"] == pytest.approx(weights_gib(pipeline.unet, parked=True))
    assert drawn.gib["vae"] == pytest.approx(weights_gib(pipeline.vae))


def test_a_card_of_twice_the_speed_takes_no_longer_and_an_unknown_one_nobody_knows_how_long():
    prediction = predict(SVD_XT, PRESETS["all_on_gpu"])
    assert prediction.seconds_on(GPUS["H200"]) < prediction.seconds_on(GPUS["H100"])
    assert prediction.seconds_on(GPUS["H100"]) < prediction.seconds_on(GPUS["T4"])
    assert prediction.seconds_on(find_gpu("16 GB")) is None


def test_more_steps_take_longer_and_no_more_memory():
    few, many = (
        predict(SVD_XT, PRESETS["all_on_gpu"], num_inference_steps=steps) for steps in (10, 20)
    )
    assert few.peak_gib == many.peak_gib
    step = few.stages[2].seconds_on(GPUS["T4"])
    assert many.seconds_on(GPUS["T4"]) == pytest.approx(few.seconds_on(GPUS["T4"]) + step)


def test_layers_come_and_go_anew_in_each_of_the_two_passes_of_a_step():
    steps = stages_of("offload_layers")["step"]
    weights = blueprint_of(SVD_XT, "float16", "lean").gib["unet"]
    assert steps.carried_gib == pytest.approx(2 * 2 * 25 * weights, rel=0.01)


@pytest.mark.parametrize(
    ("asked", "told"),
    [({"arithmetic": "fast"}, "lean, stock"), ({"dtype": "int8"}, "float16, bfloat16, float32")],
)
def test_what_cannot_be_is_refused(asked, told):
    with pytest.raises(ValueError, match=told):
        predict(MODELS["tiny"], PRESETS["all_on_gpu"], **asked)
