"""animate_prompt: from a prompt to a clip, by way of a picture or by AnimateDiff."""

import numpy as np
import pytest
import torch
from small_prompt_models import LORA, write_adapter, write_sd

import svdkit as sk
from svdkit import pipelines, residence
from svdkit.origins import origin_of
from svdkit.upstream import dtype_argument

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


def test_here_auto_means_the_small_models_and_says_why_once(capsys, monkeypatch):
    monkeypatch.setattr(pipelines, "_told", set())
    sk.animate_prompt(BALLOON, seed=7, **SOON)
    assert "auto:" not in capsys.readouterr().out
    for _ in range(2):
        sk.animate_prompt(BALLOON, seed=7, **SOON | {"progress": True})
    told = capsys.readouterr().out
    assert told.count("auto:") == 2
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
    if name == "animatelcm":
        assert pipeline.get_active_adapters() == ["few_steps"]
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
        ({"guidance_scale": 3}, TypeError, "animate_prompt has no 'guidance_scale'"),
        ({"drawing": {"steps": 3}}, TypeError, "draw has no 'steps'"),
        ({"seed": "x"}, TypeError, "seed is 'x'"),
        ({"via": ["sd"]}, ValueError, "via is"),
        ({"drawing": 5}, TypeError, "drawing is 5"),
        ({"drawing": {"seed": 3}}, TypeError, "drawing has a seed; give seed= to animate_prompt"),
        ({"negative_prompt": "x"}, TypeError, "it shapes the drawing: drawing={'negative_prompt'"),
        ({"model": "tiny-animatediff"}, TypeError, "it goes with via='animatediff'"),
        ({"via": "animatediff", "on_step": print}, TypeError, "AnimateDiff has no on_step"),
        ({"pipeline": "nonsense"}, ValueError, "'nonsense' is no model"),
        ({"pipeline": "sd-turbo"}, TypeError, "'sd-turbo' is for drawing"),
        ({"pipeline": 7}, TypeError, "The pipeline is a int"),
    ],
)
def test_what_cannot_be_is_told_before_anything_loads(how, error, words):
    sk.unload()
    with pytest.raises(error, match=words):
        sk.animate_prompt(BALLOON, **how)
    assert residence.resident("cpu") is None


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


@pytest.mark.parametrize("preset", ["offload_models", "offload_and_stream", "offload_layers"])
@pytest.mark.parametrize("verb", ["draw", "animate_prompt"])
def test_an_offloaded_pipeline_draws_the_same(verb, preset, base, online):
    """On a CPU an offload has nowhere to go, but every hook of it runs."""

    def made():
        sk.unload()
        pipeline = sk.load(base if verb == "draw" else "animatediff", device="cpu")
        if offload:
            sk.PRESETS[preset].apply(pipeline, "cpu")
        small = SMALL | {"height": 64, "width": 112}
        if verb == "animate_prompt":
            return sk.animate_prompt(
                "a kite", "animatediff", model=pipeline, seed=1, **small
            ).frames
        del small["num_frames"]
        return np.asarray(sk.draw("a kite", pipeline, seed=1, **small))

    offload = False
    plain = made()
    offload = True
    assert np.array_equal(made(), plain)
    sk.unload()


def test_an_animatediff_of_ones_own_over_sd_has_the_frames_of_animatediff(base, adapter):
    from diffusers import AnimateDiffPipeline, MotionAdapter

    parts = {"motion_adapter": MotionAdapter.from_pretrained(adapter)}
    own = AnimateDiffPipeline.from_pretrained(base, **parts, **dtype_argument(torch.float32))
    own.register_to_config(_name_or_path=sk.PROMPT_MODELS["sd-1.5"].repo)
    few = {name: value for name, value in SMALL.items() if name != "num_frames"}
    clip = sk.animate_prompt("a kite", "animatediff", model=own, seed=1, **few)
    assert len(clip) == 16


def test_the_motion_adapter_is_in_memory_once(online):
    pipeline = sk.load("animatediff", device="cpu")
    assert pipeline.motion_adapter is None
    assert any("motion_modules" in name for name, _ in pipeline.unet.named_parameters())


def test_without_the_adapter_in_the_cache_auto_takes_the_small_one(online, monkeypatch, base):
    from huggingface_hub import constants, snapshot_download

    from svdkit.addresses import _if_it_can_be_had

    row = sk.PROMPT_MODELS["animatediff"]
    snapshot_download(row.repo)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert _if_it_can_be_had("animate_prompt")[0] == "tiny-animatediff"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    snapshot_download(row.adapter)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert _if_it_can_be_had("animate_prompt") == ("animatediff", "its weights are in the cache")


@pytest.mark.parametrize(
    ("pipeline", "how", "error", "words"),
    [
        ("svd-xt", {}, ConnectionError, "The hub cannot be asked"),
        ("owner/nothing", {}, ConnectionError, "The hub cannot be asked"),
        ("base", {}, ValueError, "is a StableDiffusionPipeline; animating needs"),
        ("tiny", {"guidance": [1, 2]}, ValueError, "2 numbers for 14 frames"),
        ("stock", {"quality": "draft"}, ValueError, "shortcuts that only lean arithmetic knows"),
    ],
)
def test_nothing_is_drawn_for_a_model_that_cannot_animate_it(pipeline, how, error, words, base):
    stock = {"base": base, "stock": None}
    if pipeline == "stock":
        stock["stock"] = sk.load("tiny", device="cpu", arithmetic="stock")
    drawer, drawn = sk.load("tiny-sd", device="cpu"), []
    handle = drawer.unet.register_forward_hook(lambda *told: drawn.append(told))
    try:
        with pytest.raises(error, match=words):
            sk.animate_prompt(
                BALLOON, model=drawer, pipeline=stock.get(pipeline, pipeline), progress=False, **how
            )
    finally:
        handle.remove()
    assert drawn == []


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_a_drawing_that_is_not_animated_can_be_drawn_again(kind):
    def interrupt(*told):
        raise kind("no more")

    with pytest.raises(kind, match="no more") as told:
        sk.animate_prompt(
            BALLOON, model="tiny-sd", pipeline="tiny", seed=7, on_step=interrupt, **SOON
        )
    assert "draw(…, seed=7)" in told.value.__notes__[0]


def test_guidance_may_come_from_an_iterator():
    how = {"model": "tiny-sd", "pipeline": "tiny", "seed": 7} | SOON
    told = sk.animate_prompt(BALLOON, guidance=iter([1, 2]), **how)
    assert np.array_equal(told.frames, sk.animate_prompt(BALLOON, guidance=[1, 2], **how).frames)


def test_a_very_long_prompt_stays_in_the_recipe():
    clip = sk.animate_prompt("🎈" * 100_000, model="tiny-sd", pipeline="tiny", seed=7, **SOON)
    verbs = [step["request"]["verb"] for step in clip.recipe["steps"]]
    assert verbs == ["draw", "animate"]
