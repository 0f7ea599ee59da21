"""animate_prompt: from a prompt to a clip, by way of a picture or by AnimateDiff."""

import numpy as np
import pytest
import torch
from small_prompt_models import LORA, write_adapter, write_sd

import svdkit as sk
from svdkit.origins import origin_of

BALLOON = "a red balloon over green hills at dusk"
SOON = {"drawing": {"num_inference_steps": 2}, "num_inference_steps": 1, "num_frames": 2}
SOON |= {"progress": False}
SMALL = {"height": 64, "width": 112, "num_frames": 4, "num_inference_steps": 2, "progress": False}


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    return write_sd(tmp_path_factory.mktemp("films") / "base", checker=True)


@pytest.fixture(scope="session")
def adapter(tmp_path_factory):
    return write_adapter(tmp_path_factory.mktemp("films") / "adapter", lora=True)


@pytest.fixture
def online(hub_of, base, adapter):
    """A hub that has the picture model and all adapters, each at its address."""
    rows = [row for row in sk.PROMPT_MODELS.values() if row.adapter and row.repo]
    return hub_of({row.repo: base for row in rows} | {row.adapter: adapter for row in rows})


def test_a_picture_is_drawn_and_animated_and_the_recipe_holds_both_steps():
    clip = sk.animate_prompt(BALLOON, model="tiny-sd", pipeline="tiny", seed=7, **SOON)
    drawn, animated = (step["request"] for step in clip.recipe["steps"])
    assert (drawn["verb"], drawn["prompt"], drawn["seed"]) == ("draw", BALLOON, 7)
    assert (animated["verb"], animated["model"], animated["seed"]) == ("animate", "tiny", 7)
    still = sk.draw(BALLOON, "tiny-sd", seed=7, num_inference_steps=2, progress=False)
    assert np.array_equal(np.asarray(clip.inputs[0]), np.asarray(still))
    again = sk.animate(still, "tiny", seed=7, num_inference_steps=1, num_frames=2, progress=False)
    assert np.array_equal(again.frames, clip.frames)


def test_here_auto_means_the_small_models_and_says_why(capsys):
    sk.unload()
    sk.animate_prompt(BALLOON, seed=7, **SOON)
    told = capsys.readouterr().out
    assert "auto: tiny-sd, because sd-1.5 needs a CUDA GPU" in told
    assert "auto: tiny, because svd-xt needs a CUDA GPU" in told


def test_a_pipeline_of_ones_own_may_animate_and_draw():
    drawer, mover = sk.load("tiny-sd", device="cpu"), sk.load("tiny", device="cpu")
    clip = sk.animate_prompt(BALLOON, model=drawer, pipeline=mover, seed=7, **SOON)
    assert len(clip) == 2


@pytest.mark.parametrize("name", ["animatediff", "animatediff-1-5-2", "animatelcm"])
def test_each_animatediff_loads_by_name_with_its_adapter_and_scheduler(name, online):
    row = sk.PROMPT_MODELS[name]
    clip = sk.animate_prompt("a kite", "animatediff", model=name, seed=1, **SMALL)
    assert clip.frames.shape == (4, 64, 112, 3)
    assert clip.fps == row.fps
    request = clip.recipe["request"]
    assert (request["verb"], request["model"]) == ("animate_prompt", name)
    assert request["scheduler"]["class"] == row.scheduler["kind"]
    pipeline = sk.load(name, device="cpu")
    assert ("few_steps" in pipeline.get_active_adapters()) == (name == "animatelcm")
    assert any(LORA in asked for asked in online.asked) == (name == "animatelcm")
    assert not any("safety_checker/" in asked for asked in online.asked)


def test_a_lora_changes_what_is_drawn(online):
    pipeline = sk.load("animatelcm", device="cpu")
    with_lora = sk.animate_prompt("a kite", "animatediff", model=pipeline, seed=1, **SMALL)
    pipeline.set_adapters(["few_steps"], [0.0])
    without = sk.animate_prompt("a kite", "animatediff", model=pipeline, seed=1, **SMALL)
    sk.unload()
    assert not np.array_equal(with_lora.frames, without.frames)


def test_half_precision_takes_the_fp16_adapter(online, empty_cache):
    pipeline = sk.load("animatediff", device="cpu", dtype="bfloat16")
    assert pipeline.unet.dtype == torch.bfloat16
    assert "+" in origin_of(pipeline).revision
    names = {file.name for file in empty_cache.rglob("*.safetensors")}
    assert names == {"model.fp16.safetensors", "diffusion_pytorch_model.fp16.safetensors"}


def test_what_was_downloaded_loads_without_a_network(online, monkeypatch):
    from huggingface_hub import constants

    before = sk.animate_prompt("a kite", "animatediff", model="animatediff", seed=1, **SMALL)
    sk.unload()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    online.asked.clear()
    after = sk.animate_prompt("a kite", "animatediff", model="animatediff", seed=1, **SMALL)
    assert online.asked == []
    assert np.array_equal(before.frames, after.frames)


def test_a_clip_of_animatediff_is_made_again_byte_by_byte(online, tmp_path):
    clip = sk.animate_prompt("a kite", "animatediff", model="animatediff", seed=1, **SMALL)
    assert sk.rerun(clip.save(tmp_path / "kite.mp4"), progress=False).identical


def test_an_animatediff_pipeline_saved_by_diffusers_loads_from_its_folder(online, tmp_path):
    sk.load("animatediff", device="cpu").save_pretrained(tmp_path / "mine")
    clip = sk.animate_prompt("a kite", "animatediff", model=tmp_path / "mine", seed=1, **SMALL)
    assert clip.recipe["request"]["model"] == "mine"
    assert "missing: the model" in sk.rerun(clip.save(tmp_path / "k.mp4"), progress=False).verdict


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"via": "gif"}, ValueError, "via is 'gif'; there are: 'sd' draws a picture"),
        ({"via": "animatediff", "motion_bucket_id": 9}, TypeError, "has no motion_bucket_id"),
        ({"via": "animatediff", "drawing": {}}, TypeError, "drawing= goes with via='sd'"),
        ({"via": "animatediff", "pipeline": "tiny"}, TypeError, "pipeline= goes with via='sd'"),
        ({"via": "animatediff", "num_frames": 99}, ValueError, "num_frames is 99; 1–32"),
        ({"via": "animatediff", "model": "sd-turbo"}, TypeError, "'sd-turbo' is for drawing"),
        ({"model": "animatediff"}, TypeError, "'animatediff' is for animating a prompt"),
        ({"guidance_scale": 3}, TypeError, "animate has no 'guidance_scale'"),
        ({"drawing": {"steps": 3}}, TypeError, "draw has no 'steps'"),
        ({"seed": "x"}, TypeError, "seed is 'x'"),
    ],
)
def test_what_cannot_be_is_told_before_anything_loads(how, error, words):
    with pytest.raises(error, match=words):
        sk.animate_prompt(BALLOON, **how)


def test_without_a_picture_model_of_ones_own_it_is_told_what_is_missing(tmp_path):
    clip = sk.animate_prompt(BALLOON, model="tiny-sd", pipeline="tiny", seed=7, **SOON)
    steps = clip.recipe["steps"]
    steps[0]["request"]["model"] = "someone/else"
    path = sk.Clip(clip.frames, clip.fps, {"steps": steps}, clip.inputs).save(tmp_path / "a.mp4")
    assert "missing: the model: the recipe names a model, 'someone/else'" in sk.rerun(path).verdict


def test_another_drawing_is_told_by_rerun(tmp_path):
    clip = sk.animate_prompt(BALLOON, model="tiny-sd", pipeline="tiny", seed=7, **SOON)
    steps = clip.recipe["steps"]
    steps[0]["request"]["seed"] = 8
    path = sk.Clip(clip.frames, clip.fps, {"steps": steps}, clip.inputs).save(tmp_path / "a.mp4")
    again = sk.rerun(path, progress=False)
    assert again.verdict.startswith("differs")
    assert "the drawing is another one" in again.verdict


@pytest.mark.skipif(not torch.cuda.is_available(), reason="takes turns on a CUDA GPU")
def test_a_pipeline_that_made_room_for_the_drawing_returns_to_the_gpu(capsys):
    mover = sk.load("tiny")
    still = sk.draw(BALLOON, "tiny-sd", seed=7, num_inference_steps=2, progress=False)
    assert mover.device.type == "cpu"
    sk.animate(still, mover, seed=7, num_inference_steps=1, num_frames=2, progress=False)
    assert mover.device.type == "cuda"
    assert "tiny comes back to cuda:0." in capsys.readouterr().out
    assert sk.load("tiny") is mover
