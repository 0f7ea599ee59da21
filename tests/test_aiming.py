"""aim, on the real thing and on a bucket whose motion is known."""

import pytest

import svdkit as sk
from svdkit.aiming import Aim, _buckets

FEW = {"num_inference_steps": 1, "num_frames": 3, "seed": 3, "progress": False}


def found(wish, motion_of, most=20):
    """Follow the search with a known motion in place of a model, and give what was tried."""
    tried = {}
    for bucket in _buckets(wish, tried):
        assert bucket not in tried
        tried[bucket] = motion_of(bucket)
        if abs(tried[bucket] - wish) <= 0.05 * wish or len(tried) == most:
            break
    return tried


@pytest.mark.parametrize("wish", [0.001, 0.004, 0.01, 0.02, 0.03, 0.039])
@pytest.mark.parametrize("shape", [1, 0.5, 3])
def test_a_wish_that_can_be_had_is_met_in_few_clips(wish, shape):
    def motion_of(bucket):
        return 0.04 * (bucket / 255) ** shape

    tried = found(wish, motion_of)
    nearest = min(abs(motion_of(bucket) - wish) for bucket in range(256))
    assert min(abs(motion - wish) for motion in tried.values()) <= max(0.05 * wish, nearest)
    assert len(tried) <= 9


def test_a_wish_beyond_reach_is_given_up_after_two_clips():
    assert found(0.1, lambda bucket: bucket / 10_000) == {127: 0.0127, 255: 0.0255}
    assert found(0.001, lambda bucket: 0.01 + bucket / 10_000).keys() == {127, 0}


def test_motion_that_does_not_grow_ends_the_search():
    assert len(found(0.02, lambda bucket: 0.01 if bucket % 2 else 0.03)) < 12


def test_aim_gives_the_nearest_clip_of_those_it_made():
    sought = sk.aim(sk.sample_image(), "tiny", 0.01, most_clips=2, **FEW)
    assert sought.motion == sk.motion(sought.clip) == sought.tried[sought.motion_bucket_id]
    request = sought.clip.recipe["request"]
    assert request["settings"]["motion_bucket_id"] == sought.motion_bucket_id
    assert request["seed"] == 3
    assert abs(sought.motion - 0.01) == min(abs(motion - 0.01) for motion in sought.tried.values())


def test_a_wish_that_is_near_at_once_takes_one_clip():
    clip = sk.animate(sk.sample_image(), "tiny", motion_bucket_id=127, **FEW)
    sought = sk.aim(sk.sample_image(), "tiny", sk.motion(clip) * 1.01, **FEW)
    assert sought.tried.keys() == {127}


@pytest.mark.parametrize(
    ("motion", "told"),
    [
        (0.03, "motion 0.03 at motion_bucket_id 90, 50 % above the 0.02 wished for"),
        (0.01, "motion 0.01 at motion_bucket_id 90, 50 % below the 0.02 wished for"),
        (0.02, "motion 0.02 at motion_bucket_id 90, just the 0.02 wished for"),
    ],
)
def test_the_verdict_says_how_near_it_came(clip, motion, told):
    sought = Aim(clip, 90, motion, 0.02)
    assert sought.verdict == told
    assert told in sought._repr_html_()


@pytest.mark.parametrize(
    ("asked", "kind", "told"),
    [
        ({"motion": 0}, ValueError, "motion is 0"),
        ({"motion": "lively"}, ValueError, "motion is 'lively'"),
        ({"motion": 20}, ValueError, "like 0.02"),
        ({"most_clips": 0}, ValueError, "most_clips is 0"),
        ({"motion_bucket_id": 127}, TypeError, "what aim looks for"),
        ({"fps": 0}, ValueError, "fps is 0"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"fsp": 7}, TypeError, "Did you mean fps"),
    ],
)
def test_what_cannot_be_aimed_at_is_told(asked, kind, told):
    with pytest.raises(kind) as caught:
        sk.aim(sk.sample_image(), "tiny", **asked)
    assert told in str(caught.value)


def test_the_clip_that_is_found_knows_the_prompt_that_drew_its_picture():
    drawing = sk.draw("a kite over the sea by day", "tiny-sd", num_inference_steps=1, seed=1)
    found = sk.aim(drawing, "tiny", motion=0.01, most_clips=1, **FEW)
    assert [step["request"]["verb"] for step in found.clip.recipe["steps"]] == ["draw", "animate"]
