import numpy as np
import pytest
from small_settings import QUICK
from test_benchmarks import report_of

import svdkit as sk
from svdkit.edits import EDITS, size_after
from svdkit.loops import blended, frames_blended
from svdkit.toyland.scenes import scene


@pytest.fixture(scope="module")
def moon():
    """The moon rises: the end is far from the beginning."""
    return sk.Clip(scene(0).clip())


def steps(frames):
    """Measure the mean difference from each frame to the one before it, around the loop."""
    return np.array(
        [np.abs(frames[n].astype(int) - frames[n - 1]).mean() for n in range(len(frames))]
    )


def test_a_loop_has_no_seam_and_keeps_the_motion(moon):
    assert sk.seam(moon) > 5
    looped = sk.loop(moon, progress=False)
    assert sk.seam(looped) <= 1.2
    assert sk.motion(looped) >= 0.7 * sk.motion(moon)
    around = steps(looped.frames)
    assert around.max() <= 1.2 * around.mean()


def test_the_end_is_faded_into_the_beginning_and_the_rest_is_as_it_was(moon):
    looped = sk.loop(moon, overlap=3, progress=False)
    assert len(looped) == 11
    assert np.array_equal(looped.frames[3:], moon.frames[3:11])
    for number in range(3):
        weight = (number + 1) / 4
        mixed = (1 - weight) * moon.frames[11 + number] + weight * moon.frames[number]
        assert np.abs(looped.frames[number] - mixed).max() <= 0.5 + 1e-3


def test_a_shorter_fade_is_taken_where_it_does(moon):
    windmill = sk.Clip(scene(4).clip())
    assert len(sk.loop(windmill, progress=False)) > len(sk.loop(moon, progress=False))


def test_most_moving_scenes_loop(capsys):
    good = 0
    for seed in (0, 1, 2, 4, 5, 6):
        clip = sk.Clip(scene(seed).clip())
        looped = sk.loop(clip)
        good += sk.seam(looped) <= 1.2 and sk.motion(looped) >= 0.7 * sk.motion(clip)
        assert f"Looped: {len(looped)} of 14 frames" in capsys.readouterr().out
    assert good >= 5


def test_a_boomerang_comes_only_when_asked_for(moon):
    assert np.array_equal(sk.loop(moon, how="boomerang").frames, moon.boomerang().frames)
    assert len(sk.loop(moon, progress=False)) < len(moon)


def test_a_picture_is_animated_first(picture, made):
    looped = sk.loop(picture, "tiny", seed=7, overlap=1, **QUICK)
    assert np.array_equal(looped.frames, blended(made, 1).frames)
    verbs = [step["request"].get("verb") for step in looped.recipe["steps"]]
    assert verbs == ["animate", None]
    assert looped.inputs == made.inputs
    guided = sk.loop(picture, "tiny", seed=7, guidance=iter([1, 3, 3, 1]), overlap=1, **QUICK)
    listed = sk.loop(picture, "tiny", seed=7, guidance=[1, 3, 3, 1], overlap=1, **QUICK)
    assert np.array_equal(guided.frames, listed.frames)


def test_a_loop_is_made_again_from_its_recipe(made, tmp_path):
    looped = sk.loop(made, progress=False)
    again = sk.rerun(looped.save(tmp_path / "loop"), progress=False)
    assert again.identical
    assert np.array_equal(again.clip.frames, looped.frames)


def test_a_clip_stays_as_it_was(moon):
    before = moon.frames.copy()
    sk.loop(moon, progress=False)
    assert np.array_equal(moon.frames, before)
    assert moon.recipe == {}


def test_what_loops_already_stays_as_it_is(moon, capsys):
    still = sk.Clip(np.full((6, 64, 112, 3), 99, np.uint8))
    assert sk.loop(still, progress=False) is still
    forth_and_back = moon.boomerang()
    assert sk.loop(forth_and_back) is forth_and_back
    assert "The clip loops as it is: seam 1." in capsys.readouterr().out
    assert len(sk.loop(forth_and_back, how="blend", progress=False)) < len(forth_and_back)
    assert len(sk.loop(forth_and_back, overlap=2, progress=False)) == len(forth_and_back) - 2


def test_of_a_long_clip_too_the_shortest_good_fade_is_taken():
    cart = sk.Clip(scene(7).clip(num_frames=60))
    overlap = 60 - len(sk.loop(cart, progress=False))
    for shorter in range(overlap - 2, overlap):
        looped = blended(cart, shorter)
        around = steps(looped.frames)
        assert sk.seam(looped) > 1.2 or around[: shorter + 1].max() > 1.2 * around.mean()


def test_a_fade_that_jumps_is_told(capsys):
    clip = sk.Clip(scene(2).clip(num_frames=60))
    around = steps(sk.loop(clip).frames)
    assert around.max() > 1.2 * around.mean()
    assert "Its fade jumps: 1." in capsys.readouterr().out


def test_a_long_clip_is_looped_too(moon):
    looped = sk.loop(moon.repeat(5), progress=False)
    assert 35 <= len(looped) < 70


def test_where_the_motion_is_lost_it_is_said(capsys):
    dusk = sk.Clip(scene(3).clip())
    looped = sk.loop(dusk, overlap=7)
    assert sk.motion(looped) < 0.7 * sk.motion(dusk)
    assert "That is little; how='boomerang' keeps all" in capsys.readouterr().out
    assert sk.motion(sk.loop(dusk)) >= 0.7 * sk.motion(dusk)
    assert "little" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"how": "blendd"}, ValueError, "Did you mean blend"),
        ({"how": None}, ValueError, "how is None"),
        ({"overlap": 0}, ValueError, "overlap is 0; a clip of 14 frames allows 1–7"),
        ({"overlap": 8}, ValueError, "allows 1–7"),
        ({"overlap": 2.5}, TypeError, "overlap is 2.5; it is a whole number"),
        ({"overlap": True}, TypeError, "overlap is True"),
        ({"overlap": 2, "how": "boomerang"}, TypeError, "a boomerang has none"),
        ({"seed": 3}, TypeError, "made already, and seed would change nothing"),
        ({"fps": 3, "seed": 3}, TypeError, "fps, seed would change"),
    ],
)
def test_what_cannot_be_looped_is_told(moon, arguments, error, told):
    with pytest.raises(error, match=told):
        sk.loop(moon, **arguments)


def test_a_clip_too_short_to_loop_is_told(moon):
    for count in (1, 2, 3):
        with pytest.raises(ValueError, match="4 are the least to loop"):
            sk.loop(moon[:count], progress=False)
    assert len(sk.loop(moon[:4], progress=False)) == 3


def test_a_picture_s_wrong_settings_are_told_before_anything_is_made(picture):
    with pytest.raises(TypeError, match="motion_bucket_id"):
        sk.loop(picture, "tiny", motion_bucket=3)
    with pytest.raises(TypeError, match=r"overlap is 'x'"):
        sk.loop(picture, "no such model", overlap="x")

    def on_step(*told):
        raise AssertionError("it is being made")

    for other in (7, sk.load("tiny-sd", device="cpu")):
        with pytest.raises(TypeError, match="animating needs a StableVideoDiffusionPipeline"):
            sk.loop(picture, other)
    for values, told in [
        ({"overlap": 100}, "overlap is 100; a clip of 14 frames allows 1–7"),
        ({"overlap": 0}, "overlap is 0"),
        ({"num_frames": 3}, "4 are the least to loop"),
    ]:
        with pytest.raises(ValueError, match=told):
            sk.loop(picture, "tiny", on_step=on_step, **values)


@pytest.mark.parametrize(
    "changes",
    [
        {"overlap": 8},
        {"overlap": -1},
        {"overlap": 10**9},
        {"overlap": "3"},
        {"overlap": float("nan")},
        {"overlap": True},
        {"overlap": None},
        {"how": "magic"},
        {"how": None},
        {"how": ["blend"] * 1000},
    ],
)
def test_a_stranger_s_loop_is_looked_at_before_it_is_made(changes):
    request = {"edit": "loop", "how": "blend", "overlap": 4}
    assert size_after(request, (14, 64, 112)) == (10, 64, 112)
    with pytest.raises(ValueError, match=r"overlap|recipe") as told:
        size_after(request | changes, (14, 64, 112))
    assert len(str(told.value)) < 200


def test_the_size_told_is_the_size_made(clip):
    for overlap in (1, 2, 3):
        request = {"edit": "loop", "how": "blend", "overlap": overlap}
        assert size_after(request, clip.frames.shape[:3]) == (6 - overlap, 64, 112)
        assert len(EDITS["loop"].do(request, clip)) == frames_blended(6, overlap) == 6 - overlap


def test_the_benchmark_tells_the_naive_seam_beside_the_loop_s(tmp_path):
    report = report_of(tmp_path, "looping.py", "--scenes", "1")
    (row,) = report["scenes"]
    for kind in ("painted", "model"):
        assert row[kind]["loop"]["seam"] < row[kind]["naive"]["seam"]
    assert report["summary"]["painted loop"]["of"] == 1
    assert "looping.py --scenes 1" in report["command"]


def test_a_way_in_the_place_of_a_model_is_told(moon):
    with pytest.raises(TypeError, match=r"'boomerang' is no model; .*how='boomerang'"):
        sk.loop(moon, "boomerang")
