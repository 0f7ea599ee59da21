"""Chains of steps, from a prompt to a loop: saved, and made again byte by byte."""

import copy

import pytest

import svdkit as sk
from svdkit.notes import steps_of
from svdkit.verbs import VERBS

QUICK = {"num_inference_steps": 1, "num_frames": 4, "progress": False}
BALLOON = "a red balloon over green hills at dusk"


@pytest.fixture(scope="module")
def film():
    """Words, a picture, a clip, two extensions, a loop."""
    still = sk.draw(BALLOON, "tiny-sd", seed=7, num_inference_steps=2, progress=False)
    clip = sk.animate(still, "tiny", seed=7, **QUICK)
    longer = sk.extend(clip, "tiny", times=2, seed=7, overlap=1, **QUICK)
    return sk.loop(longer, overlap=2, progress=False)


@pytest.fixture(scope="module")
def living():
    return sk.cinemagraph(sk.sample_image(), (0.4, 0.0, 1.0, 0.6), "tiny", seed=7, **QUICK)


def test_the_recipe_of_a_chain_holds_every_step_from_the_words_on(film):
    requests = [step["request"] for step in steps_of(film.recipe)]
    names = [request.get("verb") or request["edit"] for request in requests]
    assert names == ["draw", "animate", "extend", "extend", "loop"]
    assert requests[0]["prompt"] == BALLOON


@pytest.mark.parametrize("name", ["film.mp4", "film.webp", "film"])
def test_a_whole_chain_is_made_again(film, tmp_path, name):
    again = sk.rerun(film.save(tmp_path / name), progress=False)
    assert again.identical, again
    assert again.why == ()


def test_a_cinemagraph_is_made_again_from_its_picture_and_its_mask(living, tmp_path):
    path = living.save(tmp_path / "living.mp4")
    assert sk.rerun(path, progress=False).identical
    (tmp_path / "living.mp4.input-2.png").unlink()
    assert "missing" in sk.rerun(path, progress=False).verdict


def test_a_cinemagraph_of_a_drawing_begins_with_its_words(tmp_path):
    still = sk.draw(BALLOON, "tiny-sd", seed=7, num_inference_steps=2, progress=False)
    clip = sk.cinemagraph(still, (0.0, 0.0, 1.0, 0.5), "tiny", seed=7, **QUICK)
    names = [step["request"]["verb"] for step in steps_of(clip.recipe)]
    assert names == ["draw", "cinemagraph"]
    assert sk.rerun(clip.save(tmp_path / "a.mp4"), progress=False).identical


ODD = [None, -1, 2**70, 1.5, "x" * 1000, [], {}, True, [[1]], {"a": {}}, "tiny"]


@pytest.mark.parametrize("verb", VERBS)
def test_odd_values_in_a_strangers_recipe_are_a_verdict_or_a_clear_error(
    verb, film, living, tmp_path
):
    """Every value of every request, each replaced by what it should not be."""
    clip = living if verb == "cinemagraph" else film
    steps = copy.deepcopy(steps_of(clip.recipe))
    if verb == "animate_prompt":
        steps = [copy.deepcopy(steps[0])]
        steps[0]["request"] |= {"verb": verb, "model": "someone/else"}
        steps[0]["request"]["settings"] |= {"num_frames": 4}
    at = next(n for n, step in enumerate(steps) if step["request"].get("verb") == verb)
    for name in list(steps[at]["request"]):
        for odd in ODD:
            changed = copy.deepcopy(steps)
            changed[at]["request"][name] = odd
            # what is checked is the recipe alone: another seed or model would run
            if name in ("seed", "revision", "source", "scheduler", "arithmetic", "fit", "model"):
                changed[at]["request"]["model"] = "someone/else" if name != "model" else odd
            if name == "model" and odd == "tiny":
                continue
            told = verdict_of(sk.Clip(clip.frames, clip.fps, {"steps": changed}, clip.inputs))
            assert 0 < len(told) < 1000


def verdict_of(clip: sk.Clip) -> str:
    from svdkit.casting import Missing
    from svdkit.replay import Replay

    try:
        return str(Replay(clip.recipe, clip.inputs).size)
    except (Missing, TypeError, ValueError) as error:
        return str(error)
