import numpy as np
import pytest
import torch
from PIL import Image
from small_settings import QUICK

import svdkit as sk
from svdkit.cinemagraphs import redo_cinemagraph, size_after_cinemagraph
from svdkit.masks import feathered, fit_mask, open_mask
from svdkit.upstream import dtype_argument

BOX = (0.25, 0.25, 0.75, 0.75)


@pytest.fixture(scope="module")
def kite():
    return sk.cinemagraph(sk.sample_image(), BOX, "tiny", seed=7, **QUICK)


def rests(clip, feather):
    """Where neither the mask nor its feather reaches, by going around every white pixel."""
    white = np.asarray(clip.inputs[1])[..., 0] > 0
    near = white.copy()
    for y, x in np.argwhere(white):
        near[
            max(0, y - feather) : y + feather + 1,
            max(0, x - feather) : x + feather + 1,
        ] = True
    return ~near


def test_outside_the_mask_every_frame_is_the_still_byte_for_byte(kite):
    still = np.asarray(kite.inputs[0])
    outside = rests(kite, kite.recipe["request"]["feather"])
    assert 0.3 < outside.mean() < 0.8
    assert (kite.frames[:, outside] == still[outside]).all()
    assert np.array_equal(still, np.asarray(sk.fit(sk.sample_image(), 64, 112)))


def test_inside_the_mask_it_moves(kite):
    inside = sk.Clip(kite.frames[:, 16:48, 28:84].copy())
    assert sk.motion(inside) > 0
    assert np.abs(np.diff(inside.frames.astype(int), axis=0)).mean() > 1


def test_the_edge_is_soft(kite):
    """The feather lies between the still and what moves, and is as wide as it says."""
    hard = sk.cinemagraph(sk.sample_image(), BOX, "tiny", seed=7, feather=0, **QUICK)
    still = np.asarray(hard.inputs[0])
    black = np.asarray(hard.inputs[1])[..., 0] == 0
    assert (hard.frames[:, black] == still[black]).all()
    wide = sk.cinemagraph(sk.sample_image(), BOX, "tiny", seed=7, feather=8, **QUICK)
    away = [np.abs(wide.frames[:, 32, 84 + n].astype(int) - still[32, 84 + n]) for n in range(10)]
    assert away[9].max() == 0  # the white ends in a grey pixel
    assert max(difference.max() for difference in away[:6]) > 0
    assert rests(wide, 8).sum() < rests(kite, 2).sum()


def test_the_same_seed_gives_the_same_clip_and_another_does_not(kite, picture):
    again = sk.cinemagraph(picture, BOX, "tiny", seed=7, **QUICK)
    assert np.array_equal(again.frames, kite.frames)
    assert again.recipe == kite.recipe
    other = sk.cinemagraph(picture, BOX, "tiny", seed=8, **QUICK)
    assert not np.array_equal(other.frames, kite.frames)


def test_another_mask_gives_another_clip(kite, picture):
    other = sk.cinemagraph(picture, (0, 0, 0.5, 1), "tiny", seed=7, **QUICK)
    assert not np.array_equal(other.frames, kite.frames)
    assert other.recipe["request"]["mask_sha256"] != kite.recipe["request"]["mask_sha256"]


def test_where_all_is_white_it_is_the_animation_itself(made, picture):
    """What is held, and only that, tells a cinemagraph from an animation of the same seed."""
    clip = sk.cinemagraph(picture, (0, 0, 1, 1), "tiny", seed=7, **QUICK)
    assert np.array_equal(clip.frames, made.frames)


def test_what_moves_is_drawn_to_fit_what_rests(kite, made):
    """It is not the animation pasted in: the model saw the still around it."""
    assert not np.array_equal(kite.frames[:, 24:40, 40:72], made.frames[:, 24:40, 40:72])


def test_the_recipe_tells_all_and_makes_the_same_bytes_again(kite):
    request = kite.recipe["request"]
    assert request["verb"] == "cinemagraph"
    assert request["feather"] == 2
    assert request["seed"] == 7
    assert kite.recipe["outcome"]["device"] == "cpu"
    assert size_after_cinemagraph(request) == kite.frames.shape[:3]
    again = redo_cinemagraph(request, sk.load("tiny"), list(kite.inputs), [], progress=False)
    assert np.array_equal(again.frames, kite.frames)
    assert again.recipe == kite.recipe


def test_a_saved_one_keeps_the_picture_and_the_mask(kite, tmp_path):
    back = sk.Clip.open(kite.save(tmp_path / "kite"))
    assert np.array_equal(back.frames, kite.frames)
    assert [picture.size for picture in back.inputs] == [(112, 64)] * 2
    assert np.array_equal(np.asarray(back.inputs[1]), np.asarray(kite.inputs[1]))
    request = back.recipe["request"]
    again = redo_cinemagraph(request, sk.load("tiny"), list(back.inputs), [], progress=False)
    assert np.array_equal(again.frames, kite.frames)


def test_rerun_makes_a_saved_one_and_what_was_edited_of_it_again(kite, tmp_path):
    assert sk.rerun(kite.save(tmp_path / "kite.mp4"), progress=False).identical
    looped = sk.loop(kite, progress=False)
    assert sk.rerun(looped.save(tmp_path / "loop"), progress=False).identical


def test_the_clip_can_be_watched_being_made(kite, picture):
    seen = []
    watched = sk.cinemagraph(
        picture, BOX, "tiny", seed=7, on_step=lambda *told: seen.append(told[2]().size), **QUICK
    )
    assert seen == [(28, 16)] * 2
    assert np.array_equal(watched.frames, kite.frames)


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_the_pipeline_comes_back_as_it_was_whatever_strikes(picture, kite, kind):
    pipeline = sk.load("tiny", device="cpu")
    before = type(pipeline), dict(pipeline.__dict__), pipeline.vae.dtype

    def strike(*_):
        raise kind("now")

    with pytest.raises(kind, match="now"):
        sk.cinemagraph(picture, BOX, pipeline, seed=7, on_step=strike, **QUICK)
    assert (type(pipeline), pipeline.vae.dtype) == (before[0], before[2])
    assert set(vars(pipeline)) - set(before[1]) <= {"_guidance_scale", "_num_timesteps"}
    again = sk.cinemagraph(picture, BOX, pipeline, seed=7, **QUICK)
    assert np.array_equal(again.frames, kite.frames)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_pipeline_works_and_stays_one(picture, dtype):
    from diffusers import StableVideoDiffusionPipeline

    kind = dtype_argument(dtype)
    pipeline = StableVideoDiffusionPipeline.from_pretrained(sk.MODELS["tiny"].folder, **kind)
    small = {"height": 64, "width": 112, "max_guidance_scale": 2, **QUICK}
    clip = sk.cinemagraph(picture, BOX, pipeline, seed=7, **small)
    outside = rests(clip, clip.recipe["request"]["feather"])
    assert (clip.frames[:, outside] == np.asarray(clip.inputs[0])[outside]).all()
    assert pipeline.vae.dtype == pipeline.unet.dtype == dtype


def test_the_mask_lands_on_the_spot_of_the_picture_that_it_was_drawn_on():
    """A white spot in a picture, and a mask of that spot, are cropped and padded alike."""
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[150:180, 240:290] = 255
    spot = Image.fromarray(pixels)
    for way in ("crop", "pad", "stretch"):
        for focus in ((0.5, 0.5), (0.9, 0.8)):
            fitted = np.asarray(sk.fit(spot, 64, 112, way, focus))[..., 0] > 127
            mask = fit_mask(open_mask(spot, spot.size), 64, 112, way, focus)
            assert (fitted != (np.asarray(mask) > 127)).mean() < 0.005, (way, focus)
            box = fit_mask(open_mask((240, 150, 290, 180), spot.size), 64, 112, way, focus)
            assert np.array_equal(np.asarray(box), np.asarray(mask))


def test_a_fitted_mask_is_black_where_it_was_black():
    pixels = np.zeros((600, 1000), np.uint8)
    pixels[:, 500:] = 255
    small = np.asarray(fit_mask(open_mask(pixels, (1000, 600)), 64, 112))
    assert (small[:, :54] == 0).all()
    assert (small[:, 58:] == 255).all()


MASKS = {
    "bool": np.arange(112)[None].repeat(64, 0) >= 56,
    "bytes": np.uint8(255) * (np.arange(112)[None].repeat(64, 0) >= 56),
    "ones": np.uint8(1) * (np.arange(112)[None].repeat(64, 0) >= 56),
    "whole numbers": 1 * (np.arange(112)[None].repeat(64, 0) >= 56),
    "float": 1.0 * (np.arange(112)[None].repeat(64, 0) >= 56),
    "half": (np.arange(112)[None].repeat(64, 0) >= 56).astype(np.float16),
    "colour": np.stack([np.uint8(255) * (np.arange(112)[None].repeat(64, 0) >= 56)] * 3, -1),
    "tensor": torch.arange(112)[None].repeat(64, 1) >= 56,
    "PIL": Image.fromarray(np.uint8(255) * (np.arange(112)[None].repeat(64, 0) >= 56)),
    "PIL of 1 bit": Image.fromarray(np.arange(112)[None].repeat(64, 0) >= 56),
    "larger": np.arange(336)[None].repeat(192, 0) >= 168,
    "box": (0.5, 0, 1, 1),
    "box of pixels": (56, 0, 112, 64),
    "box beyond the edge": (56, -20, 300, 200),
    "array of a box": np.array([0.5, 0, 1, 1]),
    "polygon": [(0.5, 0), (1, 0), (1, 1), (0.5, 1)],
    "array of points": np.array([(56, 0), (112, 0), (112, 64), (56, 64)]),
}


@pytest.mark.parametrize("name", MASKS)
def test_every_kind_of_mask_means_the_right_half(name):
    before = MASKS[name].copy() if isinstance(MASKS[name], np.ndarray) else None
    mask = np.asarray(open_mask(MASKS[name], (112, 64)))
    assert mask.shape == (64, 112)
    assert (mask[:, :54] == 0).all()
    assert (mask[:, 58:] == 255).all()
    if before is not None:
        assert np.array_equal(MASKS[name], before)


def test_a_mask_is_read_from_a_file_whatever_is_clear_is_black(tmp_path):
    pixels = np.zeros((64, 112, 4), np.uint8)
    pixels[:, 56:] = 255
    path = tmp_path / "mask.png"
    Image.fromarray(pixels).save(path)
    mask = np.asarray(open_mask(path, (112, 64)))
    assert (mask == np.where(np.arange(112) >= 56, 255, 0)).all()


def test_the_black_of_a_jpeg_is_black(tmp_path):
    pixels = np.zeros((64, 112), np.uint8)
    pixels[16:48, 32:64] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.jpg", quality=85)
    mask = np.asarray(open_mask(tmp_path / "mask.jpg", (112, 64)))
    assert (mask[:, 80:] == 0).all()
    assert (mask[24:40, 40:56] == 255).all()


def test_a_triangle_covers_its_own_area():
    mask = np.asarray(open_mask([(0, 0), (112, 0), (0, 64)], (112, 64)))
    assert mask[5, 5] == 255
    assert mask[60, 100] == 0
    assert (mask > 0).mean() == pytest.approx(0.5, abs=0.02)


def test_a_thin_box_still_means_the_pixel_it_lies_in():
    mask = np.asarray(open_mask((0.301, 0.301, 0.302, 0.302), (112, 64)))
    assert np.argwhere(mask).tolist() == [[19, 33]]


def test_a_feather_reaches_as_far_as_it_says_and_no_further():
    for feather in (0, 1, 2, 5, 8):
        share = feathered(open_mask((20, 10, 40, 30), (112, 64)), feather)
        assert (share[10:30, 20:40] == 1).all()
        reached = np.argwhere(share > 0)
        assert reached.min(0).tolist() == [10 - feather, 20 - feather]
        assert reached.max(0).tolist() == [29 + feather, 39 + feather]
        assert (np.diff(share[20, 39:]) <= 0).all()


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (np.zeros((64, 112)), "black all over"),
        (np.full((64, 112), np.nan), "NaN"),
        (np.ones((64, 64)), "another shape"),
        (np.ones(5), r"it is a picture \(white is meant\), a box"),
        ((0.2, 0.2, 1.2, 0.8), "neither in fractions"),
        ((0.5, 0.5, 0.5, 0.8), "holds nothing"),
        ((0.8, 0.2, 0.2, 0.8), "left < right"),
        ((200, 10, 300, 20), "outside the picture"),
        ((-30, 10, -10, 20), "outside the picture"),
        ((float("nan"), 0, 1, 1), "NaN"),
        ((0, 0, float("inf"), 1), "infinite"),
        ((0.1, 0.2, 0.3), "a box"),
        ([(0.1, 0.1), (0.9, 0.9)], "3 or more points"),
        ([(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)], "is a line"),
        ([(0.1, 0.1), (0.5, "x"), (0.9, 0.9)], "3 or more points"),
        ([(0.1, 0.1, 3), (0.5, 0.5, 3), (0.9, 0.9, 3)], "3 or more points"),
        ([], "3 or more points"),
        ("", "path is empty"),
    ],
)
def test_a_mask_that_cannot_be_is_told_before_anything_is_loaded(picture, mask, told):
    with pytest.raises(ValueError, match=told) as error:
        sk.cinemagraph(sk.fit(picture, 64, 112), mask, "no such model")
    assert len(str(error.value)) < 400


def test_a_bow_tie_holds_an_area():
    corners = [(0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8)]
    white = np.asarray(open_mask(corners, (112, 64))) > 127
    assert white[32, 30]
    assert white[32, 80]
    assert not white[15, 56]


def test_a_lost_mask_is_told_of_and_a_picture_does_not_take_its_place(kite, picture, tmp_path):
    path = kite.save(tmp_path / "kite.mp4")
    mask = sk.Clip.open(path).inputs[1]
    for file in tmp_path.glob("*.png"):
        if np.array_equal(np.asarray(Image.open(file)), np.asarray(mask)):
            file.unlink()
    for image in (None, picture):
        verdict = sk.rerun(path, image=image, progress=False).verdict
        assert verdict.startswith("missing: the mask that it was made with"), verdict
        assert "image=" not in verdict


def test_guidance_may_come_from_an_iterator(picture):
    how = {"seed": 7, "num_frames": 2, "num_inference_steps": 1, "progress": False}
    told = sk.cinemagraph(picture, (0, 0, 0.5, 0.5), "tiny", guidance=iter([1, 2]), **how)
    listed = sk.cinemagraph(picture, (0, 0, 0.5, 0.5), "tiny", guidance=[1, 2], **how)
    assert np.array_equal(told.frames, listed.frames)


def test_a_mask_that_the_crop_leaves_out_is_told(picture):
    wide = picture.resize((600, 100))
    with pytest.raises(ValueError, match="Give focus="):
        sk.cinemagraph(wide, (0, 0, 0.1, 1), "tiny", **QUICK)
    clip = sk.cinemagraph(wide, (0, 0, 0.1, 1), "tiny", focus=(0, 0.5), seed=1, **QUICK)
    assert clip.recipe["request"]["fit"] == {"how": "crop", "focus": [0.0, 0.5]}


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"feather": -1}, ValueError, "feather is -1"),
        ({"feather": 2.5}, ValueError, "feather is 2.5"),
        ({"feather": float("nan")}, ValueError, "feather is nan"),
        ({"feather": "x" * 500}, ValueError, "a whole number of pixels"),
        ({"fether": 3}, TypeError, "cinemagraph has no 'fether'. Did you mean feather"),
        ({"fps": 0}, ValueError, "fps is 0"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"how": "squeeze"}, ValueError, "how is 'squeeze'"),
        ({"on_step": 3}, TypeError, "on_step is 3"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_loaded(picture, arguments, error, told):
    with pytest.raises(error, match=told):
        sk.cinemagraph(picture, BOX, "no such model", **arguments)


@pytest.mark.parametrize(
    "changes",
    [
        {"feather": -1},
        {"feather": 10**9},
        {"feather": 1.5},
        {"feather": None},
        {"feather": [2] * 1000},
        {"mask_sha256": "../" * 100},
        {"mask_sha256": None},
        {"image_sha256": 3},
        {"seed": "7"},
        {"seed": -1},
        {"fit": "crop"},
        {"fit": {"how": "squeeze"}},
        {"fit": {"focus": [float("nan"), 0]}},
        {"settings": None},
        {"settings": {"height": 64}},
        {"settings": {"height": float("nan")}},
        {"settings": {"tricks": 3}},
        {"settings": {"height": 4096, "width": 4096, "num_frames": 1000}},
    ],
)
def test_a_stranger_s_request_is_looked_at_before_anything_is_made(kite, changes):
    with pytest.raises(ValueError, match=r".") as told:
        size_after_cinemagraph(kite.recipe["request"] | changes)
    assert len(str(told.value)) < 400
