"""load(compile=True): one graph of the UNet, and the same clip."""

from functools import partial

import pytest
import torch
from small_settings import QUICK

import svdkit as sk


@pytest.fixture(autouse=True)
def graphs(monkeypatch):
    """Record graphs without making code of them, which takes a minute: tests/benchmarks does."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch._dynamo.reset()
    counted = torch._dynamo.utils.counters
    counted.clear()
    yield lambda: counted["stats"]["unique_graphs"]
    sk.unload()
    torch._dynamo.reset()


@pytest.mark.parametrize("arithmetic", ["lean", "stock"])
def test_a_compiled_pipeline_makes_the_same_clip(picture, arithmetic, graphs, capsys):
    plain = sk.animate(picture, sk.load("tiny", arithmetic=arithmetic), seed=3, **QUICK)
    pipeline = sk.load("tiny", arithmetic=arithmetic, compile=True)
    assert "takes minutes" in capsys.readouterr().out
    clip = sk.animate(picture, pipeline, seed=3, **QUICK)
    assert abs(clip.frames.astype(int) - plain.frames).max() <= 1
    assert clip.recipe["outcome"]["compiled"] is True
    assert "compiled" not in plain.recipe["outcome"]
    first = graphs()
    assert first == 1
    sk.animate(picture.rotate(180), pipeline, seed=4, **QUICK)
    assert graphs() == first


def test_a_compiled_pipeline_is_another_one():
    assert sk.load("tiny") is not sk.load("tiny", compile=True)


@pytest.mark.parametrize("memory", ["cpu_in_slices"])
def test_slices_are_not_compiled(memory):
    with pytest.raises(ValueError, match="exclude each other"):
        sk.load("tiny", device="cpu", memory=memory, compile=True)


def test_what_draws_is_not_compiled():
    with pytest.raises(ValueError, match="is for Stable Video Diffusion"):
        sk.load("tiny-sd", device="cpu", compile=True)
