"""draw: pictures from prompts, by tiny-sd and by small checkpoints in the hub's own layout."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from small_prompt_models import write_adapter, write_sd, write_sdxl

import svdkit as sk
from svdkit.drawings import steps_behind
from svdkit.frames import sha256_of_frames
from svdkit.origins import origin_of

BALLOON = "a red balloon over green hills at dusk"
FEW = {"num_inference_steps": 2, "progress": False}
SMALL = FEW | {"height": 64, "width": 112}


@pytest.fixture(scope="session")
def small_sd(tmp_path_factory):
    return write_sd(tmp_path_factory.mktemp("prompts") / "small-sd", checker=True)


@pytest.fixture(scope="session")
def small_sdxl(tmp_path_factory):
    return write_sdxl(tmp_path_factory.mktemp("prompts") / "small-sdxl")


def behind(image):
    return steps_behind(image, sk.open_image(image))


@pytest.fixture
def drawing():
    return sk.draw(BALLOON, sk.load("tiny-sd", device="cpu"), seed=7, **FEW)


def test_a_drawing_is_a_picture_of_the_models_size_with_its_recipe(drawing):
    assert isinstance(drawing, Image.Image)
    assert (drawing.size, drawing.mode) == ((112, 64), "RGB")
    request = drawing.recipe["request"]
    assert (request["prompt"], request["seed"], request["model"]) == (BALLOON, 7, "tiny-sd")
    assert drawing.recipe["outcome"]["frames_sha256"] == sha256_of_frames(np.asarray(drawing))


def test_the_same_seed_draws_the_same_and_as_diffusers_does(drawing):
    pipeline = sk.load("tiny-sd", device="cpu")
    generator = torch.Generator("cpu").manual_seed(7)
    guidance = sk.PROMPT_MODELS["tiny-sd"].guidance_scale
    stock = pipeline(
        BALLOON, 64, 112, num_inference_steps=2, guidance_scale=guidance, generator=generator
    )
    assert np.array_equal(np.asarray(stock.images[0]), np.asarray(drawing))
    other = sk.draw(BALLOON, pipeline, seed=8, **FEW)
    assert not np.array_equal(np.asarray(other), np.asarray(drawing))


def test_another_prompt_and_more_guidance_draw_something_else(drawing):
    boat = sk.draw("a blue boat on the sea by day", "tiny-sd", seed=7, **FEW)
    strict = sk.draw(BALLOON, "tiny-sd", seed=7, guidance_scale=6, **FEW)
    without = sk.draw(BALLOON, "tiny-sd", seed=7, negative_prompt="green hills by day", **FEW)
    different = {sha256_of_frames(np.asarray(one)) for one in (drawing, boat, strict, without)}
    assert len(different) == 4


def test_the_sea_by_day_is_bluer_than_the_dunes():
    sea, dunes = (
        np.asarray(sk.draw(f"{ground} by day", "tiny-sd", seed=1, progress=False), float)
        for ground in ("the sea", "the dunes")
    )
    blueness = [(one[40:, :, 2] - one[40:, :, 0]).mean() for one in (sea, dunes)]
    assert blueness[0] > blueness[1] + 50


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_a_saved_drawing_keeps_its_recipe_and_animate_goes_on_from_it(drawing, tmp_path, suffix):
    path = tmp_path / f"balloon{suffix}"
    drawing.save(path, **({"lossless": True} if suffix == ".webp" else {}))
    assert steps_behind(path, sk.open_image(path)) == [drawing.recipe]
    with Image.open(path) as opened:
        assert steps_behind(opened, sk.open_image(opened)) == [drawing.recipe]
    assert b"trainedAlgorithmicMedia" in path.read_bytes()
    clip = sk.animate(path, "tiny", seed=7, num_inference_steps=1, num_frames=2, progress=False)
    assert [step["request"]["verb"] for step in clip.recipe["steps"]] == ["draw", "animate"]


def test_a_jpeg_says_how_it_was_made_but_is_no_longer_that_picture(drawing, tmp_path):
    drawing.save(tmp_path / "balloon.jpg")
    assert b"trainedAlgorithmicMedia" in (tmp_path / "balloon.jpg").read_bytes()
    assert behind(tmp_path / "balloon.jpg") == []


def test_a_drawing_replaces_no_file_but_its_own_kind_unasked(drawing, tmp_path):
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (5, 5)).save(path)
    with pytest.raises(FileExistsError, match=r"photo\.jpg' is there already.*overwrite=True"):
        drawing.save(path)
    assert sk.open_image(path).size == (5, 5)
    drawing.save(path, overwrite=True)
    drawing.save(path)  # now it is a drawing
    assert sk.open_image(path).size == drawing.size


def test_a_drawing_that_was_painted_over_is_not_replaced_unasked(drawing, tmp_path):
    path = tmp_path / "balloon.png"
    drawing.save(path)
    drawing.save(path)
    with Image.open(path) as opened:
        changed, note = opened.copy(), PngInfo()
        for name, text in opened.text.items():
            note.add_itxt(name, text)
    changed.putpixel((0, 0), (1, 2, 3))
    changed.save(path, pnginfo=note)
    with pytest.raises(FileExistsError, match="not what svdkit saved there"):
        drawing.save(path)


def test_a_drawing_is_saved_into_the_home_as_people_write_it(drawing, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    drawing.save("~/balloon.png")
    assert [path.name for path in tmp_path.iterdir()] == ["balloon.png"]


def test_a_drawing_that_was_changed_is_a_plain_picture(drawing, tmp_path):
    assert behind(drawing.crop((0, 0, 64, 64))) == []
    drawing.save(tmp_path / "whole.png")
    drawing.putpixel((0, 0), (1, 2, 3))
    assert behind(drawing) == []
    assert behind(tmp_path / "whole.png")


@pytest.mark.parametrize(
    "recipe",
    [
        {"steps": 7},
        {"steps": [{"request": {"verb": "draw"}}] * 3},
        {"request": {"verb": "animate"}, "outcome": {}},
        {"request": ["draw"]},
        {"request": {"verb": "draw", "edit": "speed"}, "outcome": {}},
    ],
)
def test_a_recipe_of_a_stranger_that_is_no_drawing_is_passed_over(tmp_path, recipe):
    from svdkit.metadata import png_metadata

    picture = Image.new("RGB", (112, 64))
    picture.save(tmp_path / "odd.png", pnginfo=png_metadata(recipe | {"svdkit": "9"}))
    assert behind(tmp_path / "odd.png") == []


def test_a_drawing_survives_pickling_with_its_recipe(drawing):
    again = pickle.loads(pickle.dumps(drawing))
    assert again.recipe == drawing.recipe
    assert np.array_equal(np.asarray(again), np.asarray(drawing))


@pytest.mark.parametrize(
    ("prompt", "error", "words"),
    [
        ("", ValueError, "says nothing"),
        (" \n", ValueError, "says nothing"),
        (7, TypeError, "it is text"),
        (None, TypeError, "it is text"),
        ("half a \ud83c", ValueError, "half a character at 7"),
        ("x" * 200_000, ValueError, "200000 characters"),
    ],
)
def test_a_prompt_that_cannot_be_is_told(prompt, error, words):
    with pytest.raises(error, match=words):
        sk.draw(prompt, "tiny-sd", **FEW)


@pytest.mark.parametrize(
    "prompt",
    ["🎈", "красный шар над холмами", "緑の丘の上の赤い風船", "بالون أحمر", "a\0b", "long " * 2000],
)
def test_any_other_prompt_gives_a_picture(prompt):
    assert sk.draw(prompt, "tiny-sd", seed=1, **FEW).size == (112, 64)


def test_what_the_model_does_not_read_or_know_is_remarked_on_once(capsys):
    from svdkit import pictures

    pictures._remarks_made.clear()
    long = "a red dragon over green hills at dusk " * 3
    for _ in range(2):
        sk.draw(long, "tiny-sd", seed=1, num_inference_steps=1)
    told = capsys.readouterr().out
    assert told.count("does not know 'dragon'") == 1
    assert told.count("the model reads the first 14 pieces") == 1
    sk.draw(BALLOON, "tiny-sd", negative_prompt="hills", guidance_scale=1, num_inference_steps=1)
    assert "negative_prompt changes nothing at guidance_scale=1.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"guidence_scale": 3}, TypeError, "Did you mean guidance_scale"),
        ({"num_inference_steps": 0}, ValueError, "num_inference_steps is 0; 1–1000 is allowed"),
        ({"height": 65}, ValueError, "height is 65; it has to divide by 8. Try 64"),
        ({"num_frames": 4}, TypeError, "draw has no 'num_frames'"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"negative_prompt": 3}, TypeError, "negative_prompt is 3"),
    ],
)
def test_settings_that_cannot_be_are_told_before_anything_loads(settings, error, words):
    sk.unload()
    with pytest.raises(error, match=words):
        sk.draw(BALLOON, "stabilityai/sd-turbo", **settings)


def test_models_for_something_else_are_named(tiny, picture):
    with pytest.raises(TypeError, match="'svd-xt' is for animating; drawing needs one of tiny-sd"):
        sk.draw(BALLOON, "svd-xt")
    with pytest.raises(TypeError, match="is a StableVideoDiffusionPipeline; drawing needs"):
        sk.draw(BALLOON, tiny)
    with pytest.raises(TypeError, match="'sd-turbo' is for drawing; animating needs one of tiny"):
        sk.animate(picture, "sd-turbo")
    with pytest.raises(TypeError, match="is a StableDiffusionPipeline; animating needs"):
        sk.animate(picture, sk.load("tiny-sd", device="cpu"))
    with pytest.raises(ValueError, match="Did you mean sd-turbo"):
        sk.draw(BALLOON, "sd-turb")


def test_a_drawing_saved_into_an_open_file_says_how_it_was_made(drawing, tmp_path):
    with (tmp_path / "open.png").open("wb") as file:
        drawing.save(file)
    assert behind(tmp_path / "open.png")


def test_an_sdxl_of_ones_own_draws_as_diffusers_draws_it(small_sdxl):
    pipeline = sk.load(small_sdxl, device="cpu")
    generator = torch.Generator("cpu").manual_seed(1)
    stock = pipeline(
        "a kite", height=64, width=112, num_inference_steps=2, generator=generator
    ).images[0]
    assert np.array_equal(np.asarray(sk.draw("a kite", pipeline, seed=1, **SMALL)), stock)


@pytest.mark.parametrize("name", ["sd-1.5", "sd-turbo", "sdxl-turbo", "sdxl"])
def test_each_name_loads_from_the_hub_in_its_own_layout(name, small_sd, small_sdxl, hub_of):
    row = sk.PROMPT_MODELS[name]
    small = small_sdxl if "xl" in name else small_sd
    hub = hub_of({row.repo: small})
    drawn = sk.draw("a kite", name, seed=1, **SMALL)
    assert drawn.size == (112, 64)
    request = drawn.recipe["request"]
    assert (request["model"], request["source"]) == (name, "hub")
    assert request["settings"]["guidance_scale"] == row.guidance_scale
    assert not any("vae_1_0" in asked for asked in hub.asked)


def test_half_precision_takes_the_fp16_files_and_nothing_else(small_sd, hub_of, empty_cache):
    repo = sk.PROMPT_MODELS["sd-1.5"].repo
    hub_of({repo: small_sd})
    pipeline = sk.load("sd-1.5", device="cpu", dtype="bfloat16")
    assert pipeline.unet.dtype == torch.bfloat16
    assert pipeline.safety_checker is not None
    weights = {file.name for file in empty_cache.rglob("*.safetensors")}
    assert weights == {"model.fp16.safetensors", "diffusion_pytorch_model.fp16.safetensors"}
    assert origin_of(pipeline).revision


def test_a_folder_of_ones_own_draws_with_its_safety_checker(small_sd):
    drawn = sk.draw("a kite", small_sd, seed=1, **SMALL)
    assert drawn.recipe["request"]["model"] == "small-sd"
    pipeline = sk.load(small_sd, device="cpu")
    pipeline.safety_checker.concept_embeds_weights.data.fill_(-2.0)
    with pytest.raises(ValueError, match="safety checker held back what it drew of 'a kite'"):
        sk.draw("a kite", pipeline, seed=1, **SMALL)
    sk.unload()


def test_a_checker_kept_as_a_pickle_is_refused(small_sd, tmp_path):
    import shutil

    folder = shutil.copytree(small_sd, tmp_path / "pickled")
    for file in (folder / "safety_checker").glob("*.safetensors"):
        file.rename(file.with_name("pytorch_model.bin"))
    with pytest.raises(ValueError, match="keeps its safety_checker as a pickle"):
        sk.load(folder, device="cpu")


def test_a_motion_adapter_alone_is_no_pipeline(tmp_path):
    write_adapter(tmp_path / "adapter")
    with pytest.raises(ValueError, match="It is a single model"):
        sk.load(tmp_path / "adapter", device="cpu")


def test_rerunning_a_clip_draws_its_picture_again(tmp_path):
    drawn = sk.draw(BALLOON, "tiny-sd", seed=7, **FEW)
    clip = sk.animate(drawn, "tiny", seed=3, num_inference_steps=1, num_frames=2, progress=False)
    path = clip.save(tmp_path / "balloon.mp4")
    assert sk.rerun(path, progress=False).identical
    recipe = json.loads((tmp_path / "balloon.mp4.json").read_text())
    assert [step["request"]["verb"] for step in recipe["steps"]] == ["draw", "animate"]


def test_a_given_picture_is_not_drawn_again(tmp_path, small_sd):
    drawn = sk.draw("a kite", small_sd, seed=7, **SMALL)
    clip = sk.animate(drawn, "tiny", seed=3, num_inference_steps=1, num_frames=2, progress=False)
    path = clip.save(tmp_path / "kite.mp4")
    assert "missing: the model: the recipe names a model, 'small-sd'" in sk.rerun(path).verdict
    again = sk.rerun(path, image=drawn, progress=False)
    assert again.identical
    assert "not drawn again" in again.why[0]


@pytest.mark.parametrize("lost", ["tokenizer", "scheduler", "feature_extractor"])
def test_a_folder_without_its_vocabulary_is_damaged(small_sd, tmp_path, lost):
    import shutil

    folder = shutil.copytree(small_sd, tmp_path / "lost")
    for file in (folder / lost).iterdir():
        file.unlink()
    with pytest.raises(OSError, match=f"its {lost} lacks"):
        sk.load(folder, device="cpu")


@pytest.mark.parametrize("verb", [sk.sweep, sk.show_fit])
def test_what_animates_refuses_a_model_that_draws_before_it_loads(verb, picture, tmp_path):
    rest = ([{}], tmp_path / "runs") if verb is sk.sweep else ()
    with pytest.raises(TypeError, match="'sd-turbo' is for drawing; animating needs"):
        verb(picture, "sd-turbo", *rest)
