"""The metrics, on clips whose truth is known."""

import numpy as np
import pytest

import svdkit as sk
from svdkit.toyland.scenes import scene


def texture(height, width, softness=2.0, seed=0):
    """Make soft noise that goes on at its edges, as frequencies."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=(height, width)))
    noise[0, 0] = 0
    return noise * np.exp(-2 * np.pi**2 * softness**2 * (fy**2 + fx**2))


def pan(height, width, right, down=0.0, frames=8, softness=2.0):
    """Make a clip of a texture that moves by so many pixels a frame, fractions included."""
    size = (2 * height, 2 * width)
    spectrum, (fy, fx) = texture(*size, softness), (np.fft.fftfreq(n) for n in size)
    turn = np.exp(-2j * np.pi * (fy[:, None] * down + fx[None] * right))
    moved = [np.fft.ifft2(spectrum * turn**t).real[:height, :width] for t in range(frames)]
    grey = 128 + 50 * np.stack(moved) / np.std(moved)
    return sk.Clip(np.repeat(grey.clip(0, 255).round().astype(np.uint8)[..., None], 3, axis=-1))


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


def test_what_cannot_be_measured_is_told(clip):
    with pytest.raises(ValueError, match="one frame"):
        sk.motion(clip[:1])
    with pytest.raises(ValueError, match="2 frames"):
        sk.flicker(clip[:2])
    with pytest.raises(ValueError, match="4×112"):
        sk.motion(sk.Clip(clip.frames[:, :4]))
    with pytest.raises(ValueError, match="of is 'color'"):
        sk.drift(clip, of="color")
