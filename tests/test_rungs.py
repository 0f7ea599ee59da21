"""The ladder of presets, downwards: the same clip on every rung, and no error where one is left."""

import gc
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path

import pytest
import torch
from small_settings import QUICK

import svdkit as sk
from svdkit import lean
from svdkit.architectures import build
from svdkit.memory import PRESETS, place, smaller_than
from svdkit.origins import Origin, origin_of, remember
from svdkit.rungs import next_rung, rung_below, step_down

GPU_RUNGS = ["all_on_gpu", *smaller_than(PRESETS["all_on_gpu"])]
FEW = {"height": 64, "width": 112, "num_frames": 3, "decode_chunk_size": 3, "progress": False}
FEW |= {"num_inference_steps": 2}
NO_MEMORY = "CUDA out of memory. Tried to allocate 20.00 GiB"


def placed(memory="cpu", arithmetic="lean"):
    """Give a pipeline as `load` would, on the CPU whatever the preset."""
    pipeline = build(sk.MODELS["tiny"], seed=3)
    place(pipeline, PRESETS[memory], "cpu", arithmetic)
    remember(pipeline, Origin("tiny", sk.MODELS["tiny"], preset=PRESETS[memory]))
    return pipeline


def frames_of(pipeline, **how):
    return sk.animate(sk.sample_image(), pipeline, seed=1, **FEW | how).frames


def differs(frames, others):
    """Give the largest difference, in grey levels of 255."""
    return abs(frames.astype(int) - others).max()


def scarce(pipeline, rungs, error=None, at=1):
    """Let a UNet run out of memory at its last layers with some presets, in its first steps."""
    runs = []

    def strike(*_):
        runs.append(origin_of(pipeline).preset.name)
        if runs[-1] in rungs and runs.count(runs[-1]) >= at:
            raise error or RuntimeError(NO_MEMORY)

    pipeline.unet.conv_out.register_forward_pre_hook(strike)
    return runs


def parts_of(pipeline):
    parts = pipeline.components.values()
    return [part for part in parts if isinstance(part, torch.nn.Module)]


def hooks_on(pipeline):
    """Name the kinds of hooks of offloading that are on a pipeline, and what they have wrapped."""
    modules = [module for part in parts_of(pipeline) for module in part.modules()]
    kinds = {
        "accelerate": any(hasattr(module, "_hf_hook") for module in modules),
        "diffusers": any(hasattr(module, "_diffusers_hook") for module in modules),
    }
    for module in modules:
        held = hasattr(module, "_hf_hook") or hasattr(module, "_diffusers_hook")
        assert held or "forward" not in vars(module), type(module)
    return {kind for kind, there in kinds.items() if there}


# From rung to rung


@pytest.mark.parametrize("arithmetic", ["lean", "stock"])
def test_every_rung_makes_the_same_clip_and_leaves_no_hook_behind(arithmetic):
    pipeline = placed("all_on_gpu", arithmetic)
    wanted = frames_of(pipeline)
    hooks = {"all_on_gpu": set(), "offload_layers": {"diffusers"}}
    passed = []
    while True:
        preset = origin_of(pipeline).preset.name
        passed.append(preset)
        assert hooks_on(pipeline) == hooks.get(preset, {"accelerate"})
        assert lean.is_lean(pipeline) == (arithmetic == "lean")
        if arithmetic == "lean":
            assert lean.knobs_of(pipeline) == PRESETS[preset].knobs
        assert differs(frames_of(pipeline), wanted) <= 1
        rung = next_rung(pipeline)
        if rung is None:
            break
        step_down(pipeline, rung)
    skipped = ["offload_in_turn"] if arithmetic == "stock" else []
    assert passed == [name for name in GPU_RUNGS if name not in skipped]
    assert origin_of(pipeline).before == tuple(passed[:-1])


def test_on_the_cpu_there_are_rungs_of_its_own():
    pipeline = placed("cpu")
    wanted = frames_of(pipeline)
    assert next_rung(pipeline).name == "cpu_in_slices"
    step_down(pipeline, next_rung(pipeline))
    assert differs(frames_of(pipeline), wanted) <= 1
    assert next_rung(pipeline) is None
    assert next_rung(placed("cpu", "stock")) is None


def test_weights_are_the_same_after_the_way_down():
    pipeline = placed("all_on_gpu")
    before = {name: weight.clone() for name, weight in pipeline.unet.state_dict().items()}
    step_down(pipeline, PRESETS["offload_models"])
    step_down(pipeline, PRESETS["offload_layers"])
    after = pipeline.unet.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


# A run that finds its way


@pytest.mark.parametrize("fails", range(1, len(GPU_RUNGS)))
def test_a_run_goes_down_as_far_as_it_has_to(fails):
    pipeline = placed("all_on_gpu")
    wanted = frames_of(pipeline)
    scarce(pipeline, GPU_RUNGS[:fails])
    clip = sk.animate(sk.sample_image(), pipeline, seed=1, **FEW)
    assert differs(clip.frames, wanted) <= 1
    outcome = clip.recipe["outcome"]
    assert outcome["memory"] == GPU_RUNGS[fails]
    assert outcome["memory_ran_out_with"] == GPU_RUNGS[:fails]


@pytest.mark.parametrize("quality", ["exact", "draft"])
def test_steps_that_were_made_already_are_made_again(quality):
    """Memory runs out at the second step, which is a shallow one of a draft."""
    pipeline, how = placed(), {"quality": quality, "num_inference_steps": None}
    wanted = frames_of(pipeline, **how)
    runs, seen = scarce(pipeline, ["cpu"], at=2), []
    again = frames_of(pipeline, **how, on_step=lambda step, *_: seen.append(step))
    assert differs(again, wanted) <= 1
    assert runs[:2] == 2 * ["cpu"]
    assert seen == [1, *range(1, 11)]
    assert pipeline.unet.run is None


def test_the_outcome_says_nothing_where_memory_sufficed():
    outcome = sk.animate(sk.sample_image(), placed(), seed=1, **FEW).recipe["outcome"]
    assert outcome["memory"] == "cpu"
    assert "memory_ran_out_with" not in outcome


def test_it_is_told_once_and_only_where_progress_is_wanted(capsys):
    for progress in (True, False):
        pipeline = placed()
        scarce(pipeline, ["cpu"])
        for _ in range(2):
            frames_of(pipeline, progress=progress)
        told = [line for line in capsys.readouterr().out.splitlines() if "Memory" in line]
        assert len(told) == progress
        if progress:
            assert told[0].startswith("Memory ran out with 'cpu': going on with 'cpu_in_slices'.")


def test_the_way_down_is_quiet_in_half_precision(capfd):
    """Diffusers warns of half precision on the CPU, where it only waits."""
    pipeline = build(sk.MODELS["tiny"], dtype=torch.float16)
    remember(pipeline, Origin("tiny", sk.MODELS["tiny"], preset=PRESETS["all_on_gpu"]))
    capfd.readouterr()
    for preset in ("offload_models", "offload_layers"):
        step_down(pipeline, PRESETS[preset])
    assert capfd.readouterr() == ("", "")


def test_what_the_failed_try_held_is_free_before_the_next():
    pipeline, held, alive = placed(), [], []
    unet = pipeline.unet

    def watch(*_):
        if origin_of(pipeline).preset.name == "cpu_in_slices":
            alive.append([each() is not None for each in held])

    def hold(_module, _given, out):
        if origin_of(pipeline).preset.name == "cpu":
            held.append(weakref.ref(out))

    unet.register_forward_pre_hook(watch)
    for part in (unet.conv_in, unet.time_embedding, unet.up_blocks[0].resnets[0]):
        part.register_forward_hook(hold)
    scarce(pipeline, ["cpu"])
    gc.disable()
    try:
        frames_of(pipeline, num_inference_steps=1)
    finally:
        gc.enable()
    assert alive == [3 * [False]]


def test_what_stands_behind_an_error_is_free_too():
    """The libraries wrap what they are told in errors of their own."""
    pipeline, held, alive = placed(), [], []

    def wrap(*_):
        alive.extend(each() is not None for each in held)
        if origin_of(pipeline).preset.name == "cpu":
            frames = torch.zeros(3)
            held.append(weakref.ref(frames))
            try:
                raise MemoryError(NO_MEMORY)
            except MemoryError:
                raise RuntimeError("it went wrong in a library")  # noqa: B904 - as they do

    pipeline.unet.conv_out.register_forward_pre_hook(wrap)
    frames_of(pipeline, num_inference_steps=1)
    assert set(alive) == {False}


# Where it ends


def test_when_the_last_rung_fails_too_it_is_told_and_the_pipeline_works():
    pipeline = placed()
    wanted = frames_of(pipeline)
    runs = scarce(pipeline, ["cpu", "cpu_in_slices"])
    with pytest.raises(sk.NotEnoughMemory, match=r"memory='cpu_in_slices'\. Try fewer"):
        frames_of(pipeline)
    assert runs == ["cpu", "cpu_in_slices"]
    pipeline.unet.conv_out._forward_pre_hooks.clear()
    assert differs(frames_of(pipeline), wanted) <= 1


def test_the_last_error_names_what_happened():
    pipeline = placed()
    scarce(pipeline, ["cpu", "cpu_in_slices"])
    with pytest.raises(sk.NotEnoughMemory) as caught:
        frames_of(pipeline)
    assert str(caught.value.__cause__) == NO_MEMORY


@pytest.mark.parametrize("make_lean", [False, True])
def test_a_pipeline_of_ones_own_is_not_moved(make_lean):
    pipeline, calls = build(sk.MODELS["tiny"]), []
    if make_lean:
        lean.apply(pipeline)

    def strike(*_):
        calls.append(1)
        raise RuntimeError(NO_MEMORY)

    pipeline.unet.conv_out.register_forward_pre_hook(strike)
    with pytest.raises(sk.NotEnoughMemory, match=r"at 3 frames of 64×112\. Try") as caught:
        frames_of(pipeline)
    assert calls == [1]
    assert next_rung(pipeline) is None
    assert ("arithmetic='lean'" in str(caught.value)) != make_lean


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), KeyboardInterrupt(), OSError(28)])
def test_what_is_no_matter_of_memory_ends_the_run(error):
    pipeline = placed()
    runs = scarce(pipeline, ["cpu"], error)
    with pytest.raises(type(error)):
        frames_of(pipeline)
    assert runs == ["cpu"]
    assert origin_of(pipeline).preset.name == "cpu"


def test_where_there_is_no_ladder_nothing_is_below():
    assert rung_below(PRESETS["all_on_gpu"], "cuda:1").name == "offload_models"
    assert rung_below(PRESETS["offload_layers"], "cuda") is None
    assert rung_below(PRESETS["all_on_gpu"], "mps") is None
    assert rung_below(None, "cuda") is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process's memory")
def test_real_memory_that_runs_out_is_enough_in_slices():
    """In a process of its own, which may take little more memory than it has.

    The limit lies between what the clip takes: 490 MB at once, 180 MB in slices.
    """
    code = """
        import resource, sys
        sys.path.insert(0, sys.argv[1])
        import torch
        import svdkit as sk
        from small_svd import stock_pipeline
        from svdkit.memory import PRESETS, place
        from svdkit.origins import Origin, remember

        torch.set_num_threads(1)

        def placed(memory):
            pipeline = stock_pipeline(block_out_channels=(64, 64))
            place(pipeline, PRESETS[memory], "cpu")
            remember(pipeline, Origin("small", preset=PRESETS[memory]))
            return pipeline

        def animated(pipeline, num_frames):
            how = {"height": 32, "width": 32, "num_inference_steps": 1, "progress": False}
            clip = sk.animate(sk.sample_image(), pipeline, seed=1, num_frames=num_frames, **how)
            return clip.recipe["outcome"]

        pipeline, other = placed("cpu"), placed("cpu_in_slices")
        first = animated(pipeline, 2)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 330_000_000, resource.RLIM_INFINITY))
        long = animated(pipeline, 120)
        short = animated(pipeline, 2)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        free = animated(other, 120)
        print(first["memory"], long["memory"], long["memory_ran_out_with"])
        print(long["frames_sha256"] == free["frames_sha256"], short["memory"])
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(Path(__file__).parent)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.stdout.splitlines() == [
        "cpu cpu_in_slices ['cpu']",
        "True cpu_in_slices",
    ], run.stderr


def test_load_gives_the_pipeline_that_went_down(picture):
    sk.unload()
    pipeline = sk.load("tiny", device="cpu")
    wanted = sk.animate(picture, pipeline, seed=1, **QUICK)
    scarce(pipeline, ["cpu"])
    again = sk.animate(picture, "tiny", seed=1, **QUICK)
    assert differs(again.frames, wanted.frames) <= 1
    assert sk.load("tiny", device="cpu") is pipeline
    assert origin_of(pipeline).preset.name == "cpu_in_slices"
    sk.unload()
    assert origin_of(sk.load("tiny", device="cpu")).preset.name == "cpu"
