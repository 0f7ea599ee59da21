"""The metrics, on clips whose truth is known."""

import weakref

import numpy as np
import pytest
from PIL import Image, ImageFilter

import svdkit as sk
from svdkit import metrics
from svdkit.metrics import likeness, seam
from svdkit.tiles import tracks_of
from svdkit.toyland.scenes import scene


def texture(height, width, softness=2.0, seed=0):
    """Make soft noise that goes on at its edges, as frequencies."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=(height, width)))
    noise[0, 0] = 0
    return noise * np.exp(-2 * np.pi**2 * softness**2 * (fy**2 + fx**2))


def pan(height, width, right, down=0.0, frames=8, softness=2.0, seed=0):
    """Make a clip of a texture that moves by so many pixels a frame, fractions included."""
    size = (2 * height, 2 * width)
    spectrum, (fy, fx) = texture(*size, softness, seed), (np.fft.fftfreq(n) for n in size)
    turn = np.exp(-2j * np.pi * (fy[:, None] * down + fx[None] * right))
    moved = [np.fft.ifft2(spectrum * turn**t).real[:height, :width] for t in range(frames)]
    grey = 128 + 50 * np.stack(moved) / np.std(moved)
    return sk.Clip(np.repeat(grey.clip(0, 255).round().astype(np.uint8)[..., None], 3, axis=-1))


def coloured(height, width, right, frames=8):
    """Make a pan of which each channel shows another texture."""
    planes = [pan(height, width, right, frames=frames, seed=s).frames[..., 0] for s in range(3)]
    return sk.Clip(np.stack(planes, -1))


def still(picture, frames=3):
    return sk.Clip([picture] * frames)


def lit(clip, levels):
    """Give the clip's frames these brightnesses."""
    scaled = clip.frames * np.array(levels).reshape(-1, 1, 1, 1)
    return sk.Clip(scaled.round().astype(np.uint8))


@pytest.mark.parametrize("size", [(256, 256), (144, 256), (576, 1024)])
@pytest.mark.parametrize("share", [1 / 256, 4 / 256, 12 / 256])
def test_a_pan_measures_what_it_is(size, share):
    right, down = share * size[1], -share * size[1] / 2
    clip = pan(*size, right, down, frames=4, softness=size[1] / 128)
    assert sk.motion(clip) == pytest.approx(share * np.hypot(1, 0.5), rel=0.06)
    assert sk.camera(clip) == pytest.approx((share, -share / 2), rel=0.06)


@pytest.mark.parametrize("right", [0.5, 1, 2, 4, 8])
def test_a_pan_of_tinys_size_measures_what_it_is(right):
    assert sk.motion(pan(64, 112, right)) == pytest.approx(right / 112, rel=0.1)


def test_what_rests_is_still():
    assert sk.motion(pan(64, 112, 0)) < 1e-6
    assert sk.motion(sk.Clip(np.full((4, 64, 112, 3), 99, np.uint8))) == 0
    assert sk.camera(sk.Clip(np.full((4, 64, 112, 3), 99, np.uint8))) == (0, 0)


def test_noise_is_not_motion():
    dice = np.random.default_rng(1)
    for size in ((64, 112), (256, 256)):
        assert sk.motion(sk.Clip(dice.integers(0, 256, (6, *size, 3)).astype(np.uint8))) < 0.0005
    still = pan(144, 256, 0)
    grainy = (still.frames + dice.normal(0, 5, still.frames.shape)).clip(0, 255).astype(np.uint8)
    assert sk.motion(sk.Clip(grainy)) < 0.001


@pytest.mark.parametrize("caption", ["a red cart on green hills by day", "the sea at dusk"])
def test_grain_on_a_plain_scene_is_hardly_motion(caption):
    rest = np.stack([np.asarray(scene(5, caption).image)] * 14)
    noise = np.random.default_rng(0).normal(0, 2, rest.shape)
    grainy = sk.Clip((rest + noise).clip(0, 255).astype(np.uint8))
    assert sk.motion(grainy) < 0.00015


def test_what_swings_and_comes_back_hardly_moves():
    to_and_fro = [pan(64, 112, 3).frames[n % 2] for n in range(9)]
    assert sk.motion(sk.Clip(to_and_fro)) < 0.5 * 3 / 112


def test_brightness_is_not_motion_and_motion_is_not_flicker():
    still, moving = pan(64, 112, 0), pan(64, 112, 3)
    flickering = lit(still, [1, 0.8] * 4)
    assert sk.motion(flickering) < 0.0005
    assert sk.flicker(flickering) == pytest.approx(0.2 * still.frames.mean() / 255, rel=0.05)
    assert sk.flicker(moving) < 0.002
    assert sk.flicker(lit(moving, [1, 0.8] * 4)) == pytest.approx(sk.flicker(flickering), rel=0.1)


def test_a_fade_drifts_and_does_not_flicker():
    fading = lit(pan(64, 112, 0), 1 - 0.05 * np.arange(8))
    assert sk.flicker(fading) < 0.002
    assert sk.drift(fading) == pytest.approx(0.35 * fading.frames[0].mean() / 255, rel=0.05)


def test_what_is_blurred_drifts_in_sharpness_and_not_in_colour():
    sharp, soft = pan(64, 112, 0, softness=1.5), pan(64, 112, 0, softness=6)
    both = sharp[:1] + soft[:1]
    assert sk.drift(both, of="sharpness") < -0.5
    assert sk.drift(both) < 0.05
    assert sk.drift(sharp, of="sharpness") == 0


def test_motion_is_per_frame_whatever_the_playback():
    clip = pan(64, 112, 2)
    assert sk.motion(clip) == sk.motion(clip.at(fps=60))


def test_the_motion_of_a_scene_grows_with_its_bucket_and_falls_with_its_fps():
    drawn = scene(seed=5)
    by_bucket = [sk.motion(sk.Clip(drawn.clip(motion_bucket_id=b))) for b in (20, 127, 240)]
    by_fps = [sk.motion(sk.Clip(drawn.clip(fps=fps))) for fps in (5, 10, 20)]
    assert by_bucket[0] < by_bucket[1] < by_bucket[2]
    assert by_fps[0] > by_fps[1] > by_fps[2]


def test_tracks_are_found_once_and_go_with_their_clip():
    clip = pan(64, 112, 2)
    assert tracks_of(clip) is tracks_of(clip)
    assert tracks_of(clip[::2]).shifts.mean() > 1.5 * tracks_of(clip).shifts.mean() > 0
    frames = weakref.ref(clip.frames)
    del clip
    assert frames() is None


@pytest.mark.parametrize("size", [(64, 112), (576, 1024), (40, 24), (8, 8)])
def test_a_picture_that_stays_is_shown_whole(size):
    assert likeness(still(sk.fit(sk.sample_image(), *size)), sk.sample_image()) > 0.99


def test_what_is_plain_is_found_in_its_place():
    picture = np.array(pan(64, 112, 0)[0])
    picture[20:] = 5 * np.arange(44)[:, None, None]  # which matches itself anywhere
    assert likeness(still(picture), picture) > 0.99
    picture[20:] = 99
    assert likeness(still(picture), picture) > 0.99


def test_a_picture_of_another_size_is_fitted():
    picture = sk.sample_image()
    clip = still(sk.fit(picture, 64, 64))
    assert likeness(clip, picture) > 0.99
    assert likeness(clip, picture.resize((64, 64))) < 0.9


@pytest.mark.parametrize("size", [(64, 112), (144, 256), (576, 1024)])
def test_a_pan_shows_its_picture_but_for_what_leaves_the_frame(size):
    clip = pan(*size, size[1] / 56, frames=6, softness=size[1] / 56)
    assert 0.85 < likeness(clip, clip[0]) < 0.99
    assert likeness(clip[-1:], clip[0]) < likeness(clip[1:2], clip[0])


def test_noise_and_darkness_show_nothing():
    noise = np.random.default_rng(2).integers(0, 256, (4, 64, 112, 3)).astype(np.uint8)
    assert likeness(sk.Clip(noise), sk.sample_image()) < 0.1
    assert likeness(sk.Clip(noise), pan(64, 112, 0)[0]) < 0.1
    assert likeness(still(Image.new("RGB", (112, 64))), Image.new("RGB", (112, 64), "white")) < 0.1


def test_a_negative_shows_nothing():
    picture = pan(8, 8, 0)[0]
    assert likeness(still(picture), picture) == 1
    assert likeness(still(picture), Image.eval(picture, lambda level: 255 - level)) == 0


def test_another_texture_shows_little():
    assert likeness(pan(64, 112, 2, seed=9), pan(64, 112, 2)[0]) < 0.5
    assert likeness(coloured(64, 112, 2), pan(64, 112, 2, seed=9)[0]) < 0.3


def test_likeness_falls_with_the_colours_and_with_the_sharpness():
    clip = coloured(64, 112, 0)
    swapped = sk.Clip(clip.frames[..., [1, 2, 0]])
    assert likeness(swapped, clip[0]) < 0.3
    by_blur = [
        likeness(still(clip[0].filter(ImageFilter.GaussianBlur(radius))), clip[0])
        for radius in (0, 1, 2, 4)
    ]
    assert by_blur == sorted(by_blur, reverse=True)
    assert by_blur[0] == 1
    assert by_blur[-1] < 0.6


@pytest.mark.parametrize("seed", range(4))
def test_a_scene_shows_its_own_picture_rather_than_anothers(seed):
    clip = sk.Clip(scene(seed=seed).clip(motion_bucket_id=180))
    others = [likeness(clip, scene(seed=other).image) for other in range(4) if other != seed]
    assert likeness(clip, scene(seed=seed).image) > max(others) + 0.1


def test_a_boomerang_has_no_seam_and_a_pan_that_goes_on_has_one():
    clip = pan(64, 112, 1)
    assert seam(clip.boomerang()) == pytest.approx(1, rel=0.05)
    assert seam(clip) > 3
    assert seam(clip) == seam(clip.at(fps=60))
    assert seam(still(clip[0])) == 0


def test_a_seam_is_the_jump_in_mean_steps():
    levels = np.array([0, 10, 30, 250], np.uint8).reshape(-1, 1, 1, 1)
    clip = sk.Clip(np.broadcast_to(levels, (4, 8, 8, 3)))
    assert seam(clip) == pytest.approx(3)


def test_every_measure_gives_one_number_under_its_name(clip):
    made = sk.Clip(clip.frames, inputs=(clip[0],))  # of its first frame
    for name, measure in metrics.MEASURES.items():
        of = [clip[0]] if name == "likeness" else []
        assert measure(made) == getattr(metrics, name)(made, *of)
        assert isinstance(measure(made), float)
    with pytest.raises(ValueError, match="no picture"):
        metrics.MEASURES["likeness"](clip)


def test_what_cannot_be_measured_is_told(clip):
    with pytest.raises(ValueError, match="one frame"):
        sk.motion(clip[:1])
    with pytest.raises(ValueError, match="2 frames"):
        sk.flicker(clip[:2])
    with pytest.raises(ValueError, match="4×112"):
        sk.motion(sk.Clip(clip.frames[:, :4]))
    with pytest.raises(ValueError, match="of is 'color'"):
        sk.drift(clip, of="color")
    for count in (1, 2):
        with pytest.raises(ValueError, match=f"{count} frames; a seam shows in three"):
            seam(clip[:count])
    with pytest.raises(ValueError, match="4×112"):
        likeness(sk.Clip(clip.frames[:, :4]), clip[0])


@pytest.mark.parametrize(
    "measure", [sk.motion, sk.camera, sk.flicker, sk.drift, sk.seam, lambda clip: likeness(clip, 0)]
)
def test_a_path_is_no_clip_and_says_how_to_open_one(measure):
    with pytest.raises(TypeError, match=r"clip is 'kite\.mp4'; it is a Clip.*Clip\.open\(path\)"):
        measure("kite.mp4")


@pytest.mark.parametrize("way", [{"focus": (0.5, 0)}, {"how": "pad"}, {"how": "stretch"}])
def test_a_picture_is_fitted_for_likeness_as_the_clip_was(tiny, way):
    tall = Image.fromarray(pan(160, 64, 0).frames[0])
    few = {"num_frames": 2, "num_inference_steps": 1, "height": 64, "width": 112, "seed": 1}
    clip = sk.animate(tall, tiny, progress=False, **few, **way)
    assert likeness(clip, tall) == pytest.approx(likeness(clip, clip.inputs[0]))
