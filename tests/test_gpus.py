"""The table of graphics cards, and finding one in it."""

import pytest

from svdkit.gpus import GPUS, Gpu, as_reported, find_gpu, present_gpu


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("t4", "T4"),
        ("Tesla T4", "T4"),
        ("NVIDIA T4", "T4"),
        ("Tesla P100-PCIE-16GB", "P100"),
        ("Tesla V100-SXM2-32GB", "V100 32GB"),
        ("a100", "A100 40GB"),
        ("a100-80gb", "A100 80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100 40GB"),
        ("NVIDIA A100 80GB PCIe", "A100 80GB"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H200", "H200"),
        ("RTX 4090", "RTX 4090"),
        ("rtx4090", "RTX 4090"),
        ("4070 ti super", "RTX 4070 Ti Super"),
        ("NVIDIA GeForce RTX 3080 Ti", "RTX 3080 Ti"),
        ("NVIDIA GeForce RTX 4060 Ti 16 GB", "RTX 4060 Ti 16GB"),
        ("RTX 3060", "RTX 3060 8GB"),
    ],
)
def test_a_card_goes_by_its_usual_names(name, found):
    assert find_gpu(name).name == found


@pytest.mark.parametrize("name", GPUS)
def test_each_card_is_found_by_its_own_name(name):
    assert find_gpu(name) is GPUS[name]


@pytest.mark.parametrize("name", GPUS)
def test_each_card_computes_faster_in_half_precision_and_holds_less_than_its_box_says(name):
    gpu = GPUS[name]
    assert gpu.fp16_tflops > gpu.fp32_tflops > 0
    assert gpu.bandwidth_gb_s > 0
    assert 0.88 * gpu.memory_gib < gpu.usable_gib < gpu.memory_gib


@pytest.mark.parametrize(
    ("name", "tflops"), [("RTX 2060", 25.8), ("RTX 3090", 71), ("RTX 4090", 165.2)]
)
def test_tensor_cores_of_geforce_cards_are_as_fast_as_the_white_papers_say(name, tflops):
    """Of fp16 that adds up in fp32; the last two stand in FACTS too, as those of T4 and A100."""
    assert GPUS[name].fp16_tflops == pytest.approx(tflops, rel=0.01)


@pytest.mark.parametrize(
    ("name", "low", "high"), [("T4", 14.56, 14.76), ("L40S", 44.53, 44.53), ("H200", 139, 140)]
)
def test_usable_memory_is_what_torch_was_read_to_report(name, low, high):
    assert low * 0.99 <= GPUS[name].usable_gib <= high * 1.01


def test_a_size_is_a_card_of_which_only_the_memory_is_known():
    gpu = find_gpu("8 GB")
    assert (gpu.memory_gib, gpu.bandwidth_gb_s, gpu.tflops("float16")) == (8, None, None)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("RTX 4095", "Did you mean RTX 4090"),
        ("RTX 4090 48GB", "It comes with 24 GB"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "There are: T4"),
        ("", "There are: T4"),
    ],
)
def test_an_unknown_card_is_refused_with_what_there_is(name, told):
    with pytest.raises(ValueError, match=told):
        find_gpu(name)


def test_what_is_no_name_is_refused():
    with pytest.raises(TypeError, match="give one like 'T4'"):
        find_gpu(16)


def test_the_card_that_is_here_has_the_memory_that_it_reports():
    gpu = as_reported("NVIDIA GeForce RTX 4060 Ti", 15.6, bf16=True)
    assert (gpu.name, gpu.usable_gib) == ("RTX 4060 Ti 16GB", 15.6)
    assert as_reported("NVIDIA GeForce RTX 4060 Ti", 7.6).name == "RTX 4060 Ti 8GB"


@pytest.mark.parametrize(
    ("name", "reported"),
    [
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 15.7),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", 19.5),
        ("NVIDIA A100-SXM4-40GB", 19.5),
        ("NVIDIA Grid of Tomorrow", 95.0),
    ],
)
def test_of_another_card_that_is_here_only_the_memory_is_known(name, reported):
    assert as_reported(name, reported) == Gpu(name, reported, reported_gib=reported)


def test_bfloat16_is_slow_where_it_is_emulated():
    assert GPUS["T4"].tflops("bfloat16") == GPUS["T4"].fp32_tflops
    assert GPUS["A100 40GB"].tflops("bfloat16") == GPUS["A100 40GB"].fp16_tflops


def test_here_there_is_a_card_or_none():
    import torch

    assert (present_gpu() is None) is not torch.cuda.is_available()
