"""rerun with models of one's own: each takes the steps that it once took."""

import shutil

import pytest
from small_prompt_models import write_sd
from small_settings import QUICK

import svdkit as sk
from svdkit.casting import Cast, Missing

QUIET = {"progress": False}
SMALL = {"height": 64, "width": 112}
DRAWING = SMALL | {"num_inference_steps": 1}


@pytest.fixture(scope="module")
def drawer(tmp_path_factory):
    return write_sd(tmp_path_factory.mktemp("models") / "my-sd")


@pytest.fixture(scope="module")
def both(drawer, checkpoint, tmp_path_factory):
    """A clip that a model of one's own drew, and another one of one's own animated."""
    clip = sk.animate_prompt(
        "a kite", model=drawer, pipeline=checkpoint, drawing=DRAWING, seed=7, **SMALL, **QUICK
    )
    return clip.save(tmp_path_factory.mktemp("clips") / "kite.mp4")


def test_several_models_of_ones_own_are_given_in_a_list(both, drawer, checkpoint):
    assert sk.rerun(both, **QUIET).verdict.startswith("missing: the model: the recipe names a")
    for part, lacks in [(drawer, "'small-svd'"), (checkpoint, "'my-sd'")]:
        verdict = sk.rerun(both, pipeline=part, **QUIET).verdict
        assert lacks in verdict
        assert "in a list" in verdict
    assert sk.rerun(both, pipeline=[drawer, str(checkpoint)], **QUIET).identical
    loaded = [sk.load(drawer, device="cpu"), sk.load(checkpoint, device="cpu")]
    assert sk.rerun(both, pipeline=loaded, **QUIET).identical


def test_one_of_ones_own_leaves_the_other_steps_to_models_of_ours(drawer, checkpoint, tmp_path):
    drawn = sk.animate_prompt(
        "a kite", model=drawer, pipeline="tiny", drawing=DRAWING, seed=7, **QUICK
    )
    path = drawn.save(tmp_path / "drawn.mp4")
    assert sk.rerun(path, pipeline=drawer, **QUIET).identical
    clip = sk.animate(sk.sample_image(), "tiny", seed=7, **QUICK)
    path = sk.extend(clip, checkpoint, seed=3, overlap=1, **QUIET).save(tmp_path / "longer.mp4")
    assert "'small-svd'" in sk.rerun(path, **QUIET).verdict
    assert sk.rerun(path, pipeline=checkpoint, **QUIET).identical
    moved = shutil.copytree(checkpoint, tmp_path / "under-another-name")
    again = sk.rerun(path, pipeline=moved, **QUIET)
    assert again.why == ("the model is another one",)


def test_one_that_no_step_names_takes_the_place_of_ours(made, checkpoint, tmp_path):
    again = sk.rerun(made.save(tmp_path / "kite.mp4"), pipeline=checkpoint, **QUIET)
    assert again.verdict.startswith("differs")
    assert "the model is another one" in again.why


def test_an_address_is_for_the_step_that_names_it():
    draws = {"verb": "draw", "model": "owner/my-sd", "source": "hub"}
    moves = {"verb": "animate", "model": "tiny", "source": "bundled"}
    cast = Cast([draws, moves], "owner/my-sd")
    cast.check(draws)
    assert [cast.given_for(request) for request in (draws, moves)] == ["owner/my-sd", None]


def test_of_two_under_other_names_none_is_taken_at_a_guess():
    steps = [{"verb": "animate", "model": name, "source": "folder"} for name in "ab"]
    with pytest.raises(Missing, match=r"those given are 'owner/c' and 'owner/d', called otherwise"):
        Cast(steps, ["owner/c", "owner/d"]).check(steps[0])


def test_what_is_no_model_is_told(made, tmp_path):
    path = made.save(tmp_path / "kite.mp4")
    with pytest.raises(TypeError, match=r"pipeline is 7; it is a loaded pipeline, a name"):
        sk.rerun(path, pipeline=["tiny", 7], **QUIET)
    with pytest.raises(ValueError, match="'no-such' is no model, hub address"):
        sk.rerun(path, pipeline="no-such", **QUIET)
    assert sk.rerun(path, pipeline="owner/nothing", **QUIET).verdict.startswith("missing: the mod")
