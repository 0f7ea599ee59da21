import json
from dataclasses import fields

import pytest

import svdkit as sk
from svdkit.models import did_you_mean, find_model


def test_the_four_models_are_there():
    assert list(sk.MODELS) == ["tiny", "svd", "svd-xt", "svd-xt-1-1"]


def test_only_the_last_is_gated_and_only_tiny_is_bundled():
    assert [name for name, model in sk.MODELS.items() if model.gated] == ["svd-xt-1-1"]
    assert [name for name, model in sk.MODELS.items() if model.bundled] == ["tiny"]


@pytest.mark.parametrize("model", sk.MODELS.values(), ids=lambda model: model.name)
def test_every_default_and_demo_is_a_setting(model):
    names = {field.name for field in fields(sk.Settings)}
    assert {*model.defaults, *model.demo, *model.tuned} <= names


@pytest.mark.parametrize("model", sk.MODELS.values(), ids=lambda model: model.name)
def test_the_bundled_unet_configuration_is_of_the_rows_length(model):
    assert model.config_of("unet")["num_frames"] == model.num_frames


@pytest.mark.parametrize(
    ("part", "millions"), [("unet", 1525), ("vae", 98), ("image_encoder", 632)]
)
def test_the_bundled_configurations_give_the_real_architecture(part, millions):
    import torch
    from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = sk.MODELS["svd-xt"].config_of(part)
    with torch.device("meta"):
        module = {
            "unet": lambda: UNetSpatioTemporalConditionModel.from_config(config),
            "vae": lambda: AutoencoderKLTemporalDecoder.from_config(config),
            "image_encoder": lambda: CLIPVisionModelWithProjection(
                CLIPVisionConfig.from_dict(config)
            ),
        }[part]()
    assert round(sum(p.numel() for p in module.parameters()) / 1e6) == millions


def test_a_configuration_is_a_copy():
    sk.MODELS["svd"].config_of("unet").clear()
    assert sk.MODELS["svd"].config_of("unet")


def test_rows_cannot_be_changed():
    with pytest.raises(TypeError):
        sk.MODELS["svd"] = None
    with pytest.raises(TypeError):
        sk.MODELS["svd"].demo["fps"] = 1


def test_a_hub_address_finds_its_row():
    assert find_model("stabilityai/stable-video-diffusion-img2vid").name == "svd"
    assert find_model("nobody/nothing") is None


def test_a_licence_says_its_terms_and_its_line():
    told = str(sk.MODELS["svd-xt"].licence)
    assert "USD 1M" in told
    assert "Powered by Stability AI" in told
    assert "This Stability AI Model is licensed under" in told
    assert "train other foundation models" in told
    assert "None" not in str(sk.MODELS["tiny"].licence)


def test_a_near_name_is_suggested_and_a_far_one_not():
    assert did_you_mean("svd_xt", sk.MODELS).startswith(" Did you mean svd-xt")
    assert did_you_mean("banana", sk.MODELS) == ""


def test_every_bundled_configuration_is_valid_json():
    files = [file for model in sk.MODELS.values() for file in model.folder.rglob("*.json")]
    assert len(set(files)) >= 12
    for file in files:
        json.loads(file.read_text())


def test_a_licence_can_be_asked_for_by_name_or_address():
    assert sk.licence("svd-xt") is sk.MODELS["svd-xt"].licence
    assert sk.licence("stabilityai/stable-video-diffusion-img2vid") is sk.MODELS["svd"].licence
    with pytest.raises(ValueError, match="Did you mean svd-xt"):
        sk.licence("svd_xt")


@pytest.mark.parametrize("name", sk.PROMPT_MODELS)
def test_the_terms_of_every_model_for_prompts_are_told(name):
    told = sk.licence(name)
    assert told is sk.PROMPT_MODELS[name].licence
    assert "You may: use it" in str(told)


def test_the_models_for_prompts_name_what_they_are_for():
    from svdkit.prompts import names_for, row_of

    assert set(names_for("draw")) | set(names_for("animate_prompt")) == set(sk.PROMPT_MODELS)
    assert not set(sk.MODELS) & set(sk.PROMPT_MODELS)
    assert row_of("stabilityai/sd-turbo") is sk.PROMPT_MODELS["sd-turbo"]
    assert row_of("SG161222/Realistic_Vision_V5.1_noVAE") is None
