import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch
from diffusers import StableVideoDiffusionPipeline
from PIL import Image
from small_settings import QUICK

import svdkit as sk
from svdkit import residence
from svdkit.animation import resolved_for
from svdkit.architectures import build
from svdkit.upstream import dtype_argument

FP32 = dtype_argument(torch.float32)
TINYS = {"max_guidance_scale": sk.MODELS["tiny"].defaults["max_guidance_scale"]}


def stock(pipeline, picture, seed, **settings):
    """Call diffusers itself, with the same fitted picture, generator and chunk."""
    pipeline.set_progress_bar_config(disable=True)
    settings = {"height": 64, "width": 112, "decode_chunk_size": 4, **TINYS, **settings}
    generator = torch.Generator("cpu").manual_seed(seed)
    frames = pipeline(sk.fit(picture, 64, 112), generator=generator, **settings).frames[0]
    return np.stack([np.asarray(frame) for frame in frames])


@pytest.mark.parametrize(
    "settings",
    [
        {"num_frames": 4, "num_inference_steps": 3},
        {"num_frames": 5, "num_inference_steps": 2, "motion_bucket_id": 30, "fps": 12,
         "noise_aug_strength": 0.3, "decode_chunk_size": 2},
        {"num_frames": 3, "num_inference_steps": 2, "min_guidance_scale": 1.0,
         "max_guidance_scale": 1.0},
    ],
    ids=["defaults", "all other knobs", "no guidance"],
)  # fmt: skip
def test_frames_equal_those_of_diffusers_bit_for_bit(picture, settings):

    theirs = StableVideoDiffusionPipeline.from_pretrained(sk.MODELS["tiny"].folder, **FP32)
    wanted = stock(theirs, picture, seed=11, **settings)
    settings = {"decode_chunk_size": 4} | settings
    ours = sk.load("tiny", device="cpu", arithmetic="stock")
    clip = sk.animate(picture, ours, seed=11, progress=False, **settings)
    assert np.array_equal(clip.frames, wanted)
    assert clip.recipe["request"]["arithmetic"] == "stock"
    # the lean way, which is the usual one, rounds otherwise
    lean = sk.animate(picture, "tiny", seed=11, progress=False, **settings)
    error = np.square(lean.frames.astype(float) - wanted).mean()
    assert error == 0 or 10 * np.log10(255**2 / error) >= 60
    assert lean.recipe["request"]["arithmetic"] == "lean"


def test_the_same_seed_gives_the_same_clip_and_another_does_not(picture):
    first, again, other = (sk.animate(picture, "tiny", seed=s, **QUICK) for s in (1, 1, 2))
    assert np.array_equal(first.frames, again.frames)
    assert first.recipe == again.recipe
    assert not np.array_equal(first.frames, other.frames)


def test_a_seed_not_given_is_drawn_and_recorded(picture):
    first, second = (sk.animate(picture, "tiny", **QUICK) for _ in range(2))
    seeds = [clip.recipe["request"]["seed"] for clip in (first, second)]
    assert seeds[0] != seeds[1]
    again = sk.animate(picture, "tiny", seed=seeds[0], **QUICK)
    assert np.array_equal(first.frames, again.frames)


def test_watching_a_clip_being_made_does_not_change_it(picture, made):
    seen = []
    watched = sk.animate(
        picture, "tiny", seed=7, on_step=lambda *told: seen.append((*told[:2], told[2]())), **QUICK
    )
    assert [(step, total) for step, total, _ in seen] == [(1, 2), (2, 2)]
    assert {preview.size for *_, preview in seen} == {(28, 16)}
    assert np.array_equal(watched.frames, made.frames)


def test_every_knob_reaches_the_model(picture, made):
    for changes in (
        {"motion_bucket_id": 20},
        {"fps": 20},
        {"noise_aug_strength": 0.5},
        {"max_guidance_scale": 5},
        {"num_inference_steps": 3},
        {"decode_chunk_size": 1},
        {"guidance": "triangle"},
        {"guidance": [3, 3, 2, 1]},
    ):
        other = sk.animate(picture, "tiny", seed=7, **QUICK | changes)
        assert not np.array_equal(other.frames, made.frames), changes


def test_a_curve_that_is_linear_gives_the_linear_clip(picture):
    linear = sk.animate(picture, "tiny", seed=7, **QUICK | {"num_frames": 3})
    same = sk.animate(picture, "tiny", seed=7, guidance=[1, 1.5, 2], **QUICK | {"num_frames": 3})
    assert np.array_equal(linear.frames, same.frames)


def test_the_recipe_tells_the_request_and_the_outcome(made):
    request, outcome = made.recipe["request"], made.recipe["outcome"]
    assert request["model"] == "tiny"
    assert request["settings"] == {
        "height": 64, "width": 112, "num_frames": 4, "num_inference_steps": 2,
        "min_guidance_scale": 1.0, "max_guidance_scale": 2.0, "fps": 7, "motion_bucket_id": 127,
        "noise_aug_strength": 0.02, "decode_chunk_size": 4, "guidance": "linear",
        "quality": "exact",
    }  # fmt: skip
    assert outcome["device"] == "cpu"
    assert outcome["threads"] == 1
    assert outcome["versions"]["torch"] == torch.__version__


def test_the_recipe_alone_makes_the_clip_again(made):
    request = made.recipe["request"]
    settings = request["settings"] | {"seed": request["seed"], "progress": False}
    again = sk.animate(made.inputs[0], request["model"], **settings)
    assert np.array_equal(again.frames, made.frames)


def test_the_recipe_names_no_folder_of_this_machine(checkpoint, picture):
    clip = sk.animate(picture, checkpoint, seed=1, height=64, width=112, **QUICK)
    assert clip.recipe["request"]["model"] == "small-svd"
    assert str(checkpoint.parent) not in str(clip.recipe)


@pytest.mark.parametrize(
    ("size", "frame"),
    [((300, 160), (64, 112)), ((160, 300), (112, 64)), ((200, 200), (88, 88)), ((1, 1), (88, 88))],
)
def test_a_picture_gets_a_frame_of_its_shape(picture, size, frame):
    clip = sk.animate(picture.resize(size), "tiny", seed=1, **QUICK | {"num_frames": 2})
    assert clip.frames.shape[1:3] == frame


def test_one_side_given_the_other_follows(picture):
    clip = sk.animate(picture, "tiny", seed=1, height=32, **QUICK | {"num_frames": 2})
    assert clip.frames.shape[1:3] == (32, 56)


def test_a_pipeline_is_left_as_it_was(picture):
    mine = build(sk.MODELS["tiny"])
    mine.set_progress_bar_config(desc="mine")
    kind, bar = type(mine), dict(mine._progress_bar_config)
    sk.animate(picture, mine, guidance="triangle", height=64, width=112, **QUICK)
    assert type(mine) is kind
    assert mine._progress_bar_config == bar


class StopError(Exception):
    pass


@pytest.mark.parametrize("stop", [KeyboardInterrupt, StopError])
def test_an_interrupt_between_steps_leaves_the_pipeline_usable(picture, made, stop):
    def on_step(*_):
        raise stop

    with pytest.raises(stop):
        sk.animate(picture, "tiny", guidance="triangle", on_step=on_step, **QUICK)
    again = sk.animate(picture, "tiny", seed=7, **QUICK)
    assert np.array_equal(again.frames, made.frames)


def animate_until_interrupted(picture, sending):
    sending.start()
    sk.animate(picture, "tiny", num_inference_steps=50, num_frames=4, progress=False)
    time.sleep(1)


@pytest.mark.usefixtures("no_collector")
def test_a_kernel_interrupt_at_any_moment_leaves_the_pipeline_usable(picture, made):
    """A real SIGINT, as the stop button of Jupyter sends it, at moments from start to end."""
    sk.load("tiny")
    for delay in (0.02, 0.1, 0.2, 0.4):
        sending = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            animate_until_interrupted(picture, sending)
        again = sk.animate(picture, "tiny", seed=7, **QUICK)
        assert np.array_equal(again.frames, made.frames)


def test_an_interrupt_while_the_vae_is_in_fp32_leaves_it_in_fp16(picture):
    """Diffusers turns a half-precision VAE with force_upcast to fp32 while it encodes."""
    pipeline = build(sk.MODELS["tiny"], dtype=torch.float16)
    pipeline.vae.register_to_config(force_upcast=True)
    settings = {"height": 16, "width": 16, "num_frames": 2, "num_inference_steps": 1, "seed": 1}
    settings["progress"] = False
    wanted = sk.animate(picture, pipeline, **settings)
    met = []

    def interrupt(module, inputs):
        met.append(module.conv_in.weight.dtype)
        raise KeyboardInterrupt

    hook = pipeline.vae.encoder.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        sk.animate(picture, pipeline, **settings)
    hook.remove()
    assert met == [torch.float32]
    assert pipeline.vae.dtype == torch.float16
    assert np.array_equal(sk.animate(picture, pipeline, **settings).frames, wanted.frames)


def test_frames_that_are_not_numbers_are_an_error_that_explains(picture):
    broken = build(sk.MODELS["tiny"])
    broken.vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"NaN.*64×112 in float32.*dtype='bfloat16'"):
        sk.animate(picture, broken, height=64, width=112, **QUICK)


def blackened():
    pipeline = build(sk.MODELS["tiny"])
    pipeline.vae.decoder.time_conv_out.weight.zero_()
    pipeline.vae.decoder.time_conv_out.bias.fill_(-5)
    return pipeline


def test_black_frames_of_a_picture_that_is_not_black_are_a_warning(picture):
    with pytest.warns(UserWarning, match="All frames are black at 64×112") as caught:
        sk.animate(picture, blackened(), height=64, width=112, **QUICK)
    ours = next(warning for warning in caught if "black" in str(warning.message))
    assert ours.filename == __file__


def test_black_frames_of_a_black_picture_are_not(picture):
    dark = picture.point(lambda value: 0)
    assert not sk.animate(dark, blackened(), height=64, width=112, **QUICK).frames.any()


def test_running_out_of_memory_says_what_to_try():
    """In a process of its own, which may take little more memory than it has."""
    code = """
        import resource, svdkit as sk
        pipeline = sk.load("tiny", device="cpu")
        sk.animate(sk.sample_image(), pipeline, num_frames=2, num_inference_steps=1, progress=False)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2)
        try:
            sk.animate(sk.sample_image(), pipeline, height=1024, width=1024, num_frames=100)
        except sk.NotEnoughMemory as error:
            print(error)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert "Memory ran out with 'cpu': going on with 'cpu_in_slices'" in run.stdout, run.stderr
    assert "Memory ran out at 100 frames of 1024×1024 with memory='cpu_in_slices'" in run.stdout
    assert "Try fewer frames, or a smaller height and width." in run.stdout


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"motion_bucket": 100}, TypeError, "Did you mean motion_bucket_id"),
        ({"motion_bucket_id": 300}, ValueError, "300; 0–255"),
        ({"prgress": False}, TypeError, "Did you mean progress"),
        ({"sead": 3}, TypeError, "Did you mean seed"),
        ({"focus": (3, 3)}, ValueError, r"focus is \(3, 3\)"),
        ({"on_step": 3}, TypeError, "on_step is 3"),
        ({"guidance": []}, ValueError, "guidance is empty"),
        ({"height": 100}, ValueError, "height is 100; it must divide by 8. Try 96"),
        ({"width": 60}, ValueError, "width is 60"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"seed": 1.5}, TypeError, "seed is 1.5"),
        ({"seed": "seven"}, TypeError, "seed is 'seven'"),
        ({"how": "zoom"}, ValueError, "'zoom'"),
        ({"guidance": [1, 2]}, ValueError, "2 numbers for 4 frames"),
        ({"guidance": 3}, TypeError, "guidance is 3"),
        ({"pipeline": "svd-tx"}, ValueError, "Did you mean svd-xt"),
        ({"pipeline": 3}, TypeError, "is a int; animating needs a StableVideoDiffusionPipeline"),
        ({"pipeline": None}, TypeError, "is a NoneType"),
        ({"image": "none.jpg"}, FileNotFoundError, "none.jpg"),
    ],
)
def test_a_wrong_argument_is_told(picture, arguments, kind, said):
    with pytest.raises(kind, match=said):
        sk.animate(**{"image": picture, "pipeline": "tiny"} | QUICK | arguments)


@pytest.mark.parametrize(
    "wrong",
    [
        {"motion_bucket_id": 300},
        {"seed": -1},
        {"how": "zoom"},
        {"focus": (3, 3)},
        {"on_step": 3},
        {"height": 100},
        {"guidance": [1, 2], "num_frames": 4},
        {"image": "none.jpg"},
    ],
    ids=str,
)
def test_what_is_wrong_is_told_before_a_model_is_loaded(picture, wrong):
    with pytest.raises((ValueError, TypeError, FileNotFoundError)) as error:
        sk.animate(**{"image": picture, "pipeline": "someone/would-be-downloaded"} | wrong)
    assert "would-be-downloaded" not in str(error.value)


def test_guidance_may_be_a_generator(picture):
    clip = sk.animate(picture, "tiny", guidance=(g for g in (1.0, 2.0, 2.0, 1.0)), seed=7, **QUICK)
    assert clip.recipe["request"]["settings"]["guidance"] == [1.0, 2.0, 2.0, 1.0]


def test_guidance_that_its_dtype_rounds_to_none_is_none(picture):
    pipeline = build(sk.MODELS["tiny"], dtype=torch.bfloat16)
    settings = {"num_frames": 2, "num_inference_steps": 1, "height": 16, "width": 16, "seed": 1}
    clip = sk.animate(picture, pipeline, max_guidance_scale=1.003, progress=False, **settings)
    assert len(clip) == 2


def test_a_pipeline_makes_one_clip_at_a_time_and_survives_being_asked_for_two(picture, made):
    pipeline = sk.load("tiny")
    refused = []

    def ask_for_another(*_):
        with pytest.raises(RuntimeError, match="is animating already"):
            sk.animate(picture, pipeline, guidance="triangle", **QUICK)
        refused.append(True)

    sk.animate(picture, pipeline, on_step=ask_for_another, **QUICK)
    assert refused == [True, True]
    assert np.array_equal(sk.animate(picture, pipeline, seed=7, **QUICK).frames, made.frames)


def test_a_pipeline_that_fails_at_once_is_not_at_work_for_ever(picture):
    pipeline = build(sk.MODELS["tiny"])
    vae, pipeline.vae = pipeline.vae, None
    settings = QUICK | {"height": 64, "width": 112}
    with pytest.raises(AttributeError):
        sk.animate(picture, pipeline, **settings)
    pipeline.vae = vae
    assert len(sk.animate(picture, pipeline, **settings)) == 4


def test_an_error_while_trying_again_with_less_is_not_taken_for_the_first():
    from svdkit.room import is_out_of_memory

    def try_again():
        try:
            raise sk.NotEnoughMemory("told already") from MemoryError()
        except sk.NotEnoughMemory:
            raise RuntimeError("another matter")  # noqa: B904 - as a user's own code would

    with pytest.raises(RuntimeError, match="another") as error:
        try_again()
    assert not is_out_of_memory(error.value)
    assert is_out_of_memory(error.value.__context__)


def test_the_cure_for_too_little_memory_is_one_that_can_be_had(picture):
    """Where it is told there is no smaller preset left; a pipeline from elsewhere has none."""
    from svdkit.rungs import shortage

    for pipeline in (build(sk.MODELS["tiny"]), sk.load("tiny")):
        settings = sk.Settings(height=64, width=112, num_frames=8, decode_chunk_size=4)
        told = str(shortage(pipeline, settings))
        assert "memory='" not in told.partition("Try")[2]
        assert "decode_chunk_size=2" in told


def test_another_kind_of_pipeline_is_named(picture, tiny):
    from diffusers import StableDiffusionPipeline

    other = StableDiffusionPipeline.__new__(StableDiffusionPipeline)
    with pytest.raises(TypeError, match="is a StableDiffusionPipeline"):
        sk.animate(picture, other)


def test_progress_is_shown_when_asked_for(picture, capsys):
    sk.animate(picture, "tiny", **QUICK | {"progress": True})
    assert capsys.readouterr().err.startswith("animating: 2 steps in")
    sk.animate(picture, "tiny", **QUICK)
    assert capsys.readouterr().err == ""


def test_what_is_unusual_is_remarked_on_once(picture, capsys):
    unusual = QUICK | {"progress": True, "fps": 45}
    for expected in (1, 0):
        sk.animate(picture, "tiny", seed=1, **unusual)
        assert capsys.readouterr().out.count("Remark: fps 45 is outside 5–30") == expected


def test_silence_is_kept_when_asked_for(picture, capsys):
    sk.animate(picture, "tiny", seed=1, fps=46, **QUICK)
    assert capsys.readouterr().out == ""


def test_a_pipeline_from_elsewhere_works_and_its_recipe_claims_nothing(checkpoint, picture):

    own = StableVideoDiffusionPipeline.from_pretrained(checkpoint, **FP32)
    clip = sk.animate(picture, own, seed=1, height=64, width=112, **QUICK)
    request, outcome = clip.recipe["request"], clip.recipe["outcome"]
    assert (request["model"], request["source"], request["revision"]) == (
        checkpoint.name,
        "unknown",
        None,
    )
    assert outcome["memory"] is None
    with torch.no_grad():
        own.unet.conv_out.bias += 0.25  # as fine-tuning would
    tuned = sk.animate(picture, own, seed=1, height=64, width=112, **QUICK)
    assert tuned.recipe["outcome"]["weights"] != outcome["weights"]


def test_a_published_model_that_was_tuned_elsewhere_is_not_taken_for_the_published_one(
    checkpoint, picture
):

    own = StableVideoDiffusionPipeline.from_pretrained(checkpoint, **FP32)
    own.register_to_config(_name_or_path="stabilityai/stable-video-diffusion-img2vid-xt")
    clip = sk.animate(picture, own, seed=1, height=64, width=112, **QUICK)
    assert clip.recipe["request"]["model"] == "svd-xt"
    assert clip.recipe["request"]["source"] == "unknown"


def test_what_the_model_will_see_is_shown_without_loading_it(picture):
    sk.unload()
    portrait = picture.crop((400, 0, 600, 576))
    wide, tall = sk.show_fit(picture, "svd-xt"), sk.show_fit(portrait, "svd-xt")
    assert wide.width > wide.height
    assert tall.height > tall.width
    assert residence._residents == {}


def test_a_model_of_ones_own_animates_as_the_one_it_was_trained_on_from(tmp_path, picture):
    folder = shutil.copytree(sk.MODELS["tiny"].folder, tmp_path / "mine")
    mine, known = (sk.animate(picture, model, seed=1) for model in (folder, "tiny"))
    assert (mine.frames == known.frames).all()
    bare = StableVideoDiffusionPipeline.from_pretrained(folder)  # made without svdkit
    assert resolved_for({}, bare) == resolved_for({}, "tiny")


@pytest.mark.parametrize("model", ["tiny", "folder", "loaded"])
def test_what_is_shown_is_what_the_model_gets(picture, checkpoint, model):
    source = {"tiny": "tiny", "folder": checkpoint, "loaded": sk.load("tiny")}[model]
    square, how = picture.crop((0, 0, 400, 400)), {"focus": (0.1, 0.9), "height": 48}
    seen = sk.show_fit(square, source, **how)
    clip = sk.animate(square, source, **how, **QUICK | {"width": None})
    height, width = clip.frames.shape[1:3]
    expected = clip.inputs[0].resize((round(width * seen.height / height), seen.height))
    assert seen.crop((seen.width - expected.width, 0, *seen.size)) == expected


def test_a_wish_that_cannot_be_shown_is_told(picture):
    with pytest.raises(ValueError, match="Did you mean tiny"):
        sk.show_fit(picture, "tinny")
    with pytest.raises(ValueError, match="height is 9"):
        sk.show_fit(picture, "tiny", height=9)
    for size in ((1, 1), (4000, 1), (1, 4000)):
        for how in ("crop", "pad", "stretch"):
            assert sk.show_fit(Image.new("RGB", size), "tiny", how=how).height == 256
