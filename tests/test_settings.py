from dataclasses import FrozenInstanceError, replace

import pytest

import svdkit as sk


def test_the_defaults_are_those_of_diffusers():
    import inspect

    from diffusers import StableVideoDiffusionPipeline

    theirs = inspect.signature(StableVideoDiffusionPipeline.__call__).parameters
    for name in (
        "num_frames",
        "num_inference_steps",
        "min_guidance_scale",
        "max_guidance_scale",
        "fps",
        "motion_bucket_id",
        "noise_aug_strength",
        "decode_chunk_size",
    ):
        assert getattr(sk.Settings(), name) == theirs[name].default


def test_settings_are_frozen():
    with pytest.raises(FrozenInstanceError):
        sk.Settings().fps = 3


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("motion_bucket_id", 300, ["motion_bucket_id is 300", "0–255", "Try 180"]),
        ("motion_bucket_id", -1, ["-1", "0–255"]),
        ("motion_bucket_id", float("nan"), ["nan", "0–255"]),
        ("motion_bucket_id", 12.5, ["12.5", "whole"]),
        ("fps", 0, ["fps is 0", "clip.at"]),
        ("fps", 1000, ["1000", "1–240"]),
        ("num_frames", 1, ["num_frames is 1", "2–1000"]),
        ("num_inference_steps", 0, ["is 0", "25"]),
        ("noise_aug_strength", -0.1, ["-0.1", "0.02"]),
        ("max_guidance_scale", float("inf"), ["inf", "0–100"]),
        ("height", 8, ["height is 8", "576"]),
        ("width", 10**9, ["width", "16–4096"]),
        ("decode_chunk_size", 0, ["decode_chunk_size is 0", "None"]),
        ("guidance", "cosine", ["'cosine'", "linear", "triangle"]),
        ("guidance", [1.0, -2.0], ["guidance[1] is -2.0"]),
    ],
)
def test_a_value_beyond_the_limits_is_told_with_the_cure(name, value, said):
    with pytest.raises(ValueError) as error:
        sk.Settings(**{name: value})
    for words in said:
        assert words in str(error.value)


@pytest.mark.parametrize("guidance", [{0: 1.0, 1: 2.0}, {1.0, 2.0}, b"linear", 3])
def test_what_is_no_curve_is_told(guidance):
    with pytest.raises(TypeError, match="guidance is"):
        sk.Settings(guidance=guidance)


@pytest.mark.parametrize("value", ["7", None, True, [7], b"7", 1j])
def test_a_value_of_another_kind_is_told(value):
    with pytest.raises(TypeError, match=r"fps is .* whole number"):
        sk.Settings(fps=value)


def test_numbers_of_numpy_become_plain_ones():
    import numpy as np

    settings = sk.Settings(fps=np.int64(12), noise_aug_strength=np.float32(0.5))
    assert type(settings.fps) is int
    assert type(settings.noise_aug_strength) is float


def test_guidance_that_falls_below_is_refused():
    with pytest.raises(ValueError, match="min_guidance_scale 3 is above max_guidance_scale 1"):
        sk.Settings(min_guidance_scale=3, max_guidance_scale=1)


def test_an_unknown_keyword_suggests_the_nearest():
    with pytest.raises(TypeError, match=r"'motion_bucket'.*Did you mean motion_bucket_id"):
        sk.Settings.of({"motion_bucket": 3})


def test_a_models_defaults_give_way_to_what_is_asked():
    defaults = sk.MODELS["tiny"].defaults
    assert sk.Settings.of({}, defaults).num_inference_steps == 10
    assert sk.Settings.of({"num_inference_steps": 3}, defaults).num_inference_steps == 3


def test_the_triangle_rises_and_falls():
    curve = sk.Settings(guidance="triangle", num_frames=25).curve()
    assert curve[0] == curve[-1] == 1
    assert curve[12] == max(curve) == 3
    assert curve == pytest.approx(curve[::-1])


def test_a_curve_of_the_wrong_length_is_told():
    with pytest.raises(ValueError, match="2 numbers for 14 frames"):
        sk.Settings(guidance=[1, 2], num_frames=14)
    with pytest.raises(ValueError, match="num_frames is None"):
        sk.Settings(guidance="triangle").curve()


USUAL = sk.Settings(num_inference_steps=30, min_guidance_scale=1.5)


@pytest.mark.parametrize(
    ("changes", "model", "said"),
    [
        ({"fps": 40}, "svd-xt", "fps 40 is outside 5–30"),
        ({"num_frames": 40}, "svd-xt", "40 frames is beyond the 25"),
        ({"height": 256, "width": 256}, "svd-xt", "256×256 in fp16 is known to give black frames"),
        ({"height": 1024, "width": 576}, "svd-xt", "portrait"),
        ({"noise_aug_strength": 2}, "svd-xt", "more noise than picture"),
        ({"min_guidance_scale": 1, "max_guidance_scale": 1}, "svd-xt", "none at all"),
        ({"guidance": [0.5, 1.0]}, "svd-xt", "Guidance of 1 at most is none at all"),
        ({"decode_chunk_size": 4}, "svd-xt", "may flicker"),
        ({"motion_bucket_id": 200}, "svd-xt-1-1", "tuned at fps 6, motion_bucket_id 127"),
    ],
)
def test_what_is_unusual_is_remarked_upon(changes, model, said):
    remarks = replace(USUAL, **changes).remarks(model)
    assert any(said in remark for remark in remarks), remarks


def test_what_is_usual_is_not():
    assert USUAL.remarks("svd-xt") == []
    assert sk.Settings.of({}, sk.MODELS["tiny"].defaults).remarks("tiny") == []


def test_the_authors_own_settings_are_mentioned_to_who_left_the_defaults():
    assert "num_inference_steps 30" in sk.Settings().remarks(sk.MODELS["svd-xt"])[0]


def test_remarks_on_an_unknown_model_suggest_one():
    with pytest.raises(ValueError, match="Did you mean svd-xt"):
        sk.Settings().remarks("svd-xxt")
