"""Shortcuts leave out what they say and nothing else; a quality is shortcuts with a name."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_svd import PLAIN, SAME, apart, frames_of, inputs_of, noise_of, pair
from torch import nn

import svdkit as sk
from svdkit import lean
from svdkit.architectures import build
from svdkit.frames import psnr
from svdkit.lean import Knobs, Shortcuts
from svdkit.qualities import QUALITIES

SVDS = {  # levels and layers, as SVD has them
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal",) * 3 + ("DownBlockSpatioTemporal",),
    "up_block_types": ("UpBlockSpatioTemporal",) + ("CrossAttnUpBlockSpatioTemporal",) * 3,
    "block_out_channels": (32, 64, 64, 64),
    "num_attention_heads": (1, 2, 2, 2),
    "layers_per_block": 2,
}
SHAPES = {"one layer": {}, "two layers": {"layers_per_block": 2}, "as SVD": SVDS}
DEPTHS = [
    (shape, depth)
    for shape, how in SHAPES.items()
    for depth in range(1 + how.get("layers_per_block", 1))
]
WAYS = {
    "in turn": Knobs(guidance="in_turn"),
    "in slices": Knobs(slice_mib=1),
    "both": Knobs(slice_mib=1, guidance="in_turn", decode="recompute"),
}
SHORT = {"num_frames": 4, "progress": False}
NEAR = {"fast": 47.0, "draft": 34.0}  # dB; measured: 49.5 and 50.0, 36.8 and 36.7
FEW = {"num_frames": 3, "height": 32, "width": 56, "progress": False}


def short_frames(pipeline, shortcuts, steps=4, guided=True, **settings):
    with lean.shortened(pipeline, shortcuts, steps, guided):
        return frames_of(pipeline, num_inference_steps=steps, **settings)


def counted(pipeline, make):
    """Count the calls of each of the UNet's own parts, by their names."""
    calls = Counter()
    hooks = [
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
        for name, module in pipeline.unet.named_modules()
    ]
    make()
    for hook in hooks:
        hook.remove()
    return calls


def batches_of(pipeline, make):
    """Tell how many pictures the UNet is given at each call."""
    seen = []
    hook = pipeline.unet.conv_in.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    make()
    hook.remove()
    return [len(each) for each in seen]


def is_whole(pipeline):
    unet = pipeline.unet
    blocks = isinstance(unet.down_blocks, nn.ModuleList) and isinstance(
        unet.up_blocks, nn.ModuleList
    )
    return blocks and isinstance(unet.mid_block, nn.Module) and unet.run is None


# Which layers run, and when


@pytest.mark.parametrize(("reuse", "whole"), [(1, 4), (2, 2), (3, 2), (4, 1), (9, 1)])
def test_a_shallow_step_leaves_out_the_deep_layers(reuse, whole):
    _, pipeline = pair(**SVDS)
    calls = counted(pipeline, lambda: short_frames(pipeline, Shortcuts(reuse)))
    assert calls["conv_in"] == calls["conv_out"] == 4
    deep = ("mid_block", "down_blocks.1", "down_blocks.0.resnets.0", "up_blocks.3.resnets.1")
    assert {calls[name] for name in deep} == {whole}
    assert calls["up_blocks.3.resnets.2"] == calls["up_blocks.3.attentions.2"] == 4


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_the_depth_says_how_many_layers_run_at_each_step(depth):
    _, pipeline = pair(**SVDS)
    calls = counted(pipeline, lambda: short_frames(pipeline, Shortcuts(2, depth), steps=2))
    for kind in ("resnets", "attentions"):
        each = [name for name in calls if name.rpartition(".")[0].endswith(kind)]
        always = {name for name in each if calls[name] == 2}
        head = {f"down_blocks.0.{kind}.{index}" for index in range(depth)}
        assert always == head | {f"up_blocks.3.{kind}.{2 - index}" for index in range(depth + 1)}
        assert {calls[name] for name in set(each) - always} == {1}


@pytest.mark.parametrize("knobs", [PLAIN, Knobs(guidance="in_turn")], ids=["batch", "in turn"])
def test_late_steps_leave_out_the_unconditional_half(knobs):
    _, pipeline = pair(knobs)
    turns = 1 if knobs.guidance == "batch" else 2
    late = [batches_of(pipeline, lambda: short_frames(pipeline, Shortcuts(guided=0.5)))]
    late.append(batches_of(pipeline, lambda: short_frames(pipeline, Shortcuts(2, guided=0.5))))
    assert late == 2 * [2 * turns * [2 // turns * 3] + [3, 3]]
    whole = batches_of(pipeline, lambda: short_frames(pipeline, Shortcuts(2)))
    assert whole == 4 * turns * [2 // turns * 3]


def test_where_there_is_no_guidance_nothing_is_halved():
    _, pipeline = pair()
    unguided = {"guided": False, "max_guidance_scale": 1.0}
    made = short_frames(pipeline, Shortcuts(guided=0.5), **unguided)
    plain = frames_of(pipeline, num_inference_steps=4, max_guidance_scale=1.0)
    assert torch.equal(made, plain)
    shortcuts = Shortcuts(2, guided=0.5)
    assert batches_of(pipeline, lambda: short_frames(pipeline, shortcuts, **unguided)) == 4 * [3]


# What they make


@pytest.mark.parametrize(("shape", "depth"), DEPTHS)
def test_a_shallow_step_is_stock_with_the_deep_features_of_the_last_whole_step(shape, depth):
    stock, ours = pair(**SHAPES[shape])
    first = inputs_of()
    then = first | {"sample": first["sample"] * 0.7 + 0.1, "timestep": torch.tensor(1.1)}
    unet, kept = stock.unet, []
    source = [unet.up_blocks[-2], *unet.up_blocks[-1].attentions][-depth - 2]
    hook = source.register_forward_hook(lambda _module, _given, out: kept.append(out))
    noise_of(unet, first)
    hook.remove()
    hook = source.register_forward_hook(lambda *_: kept[0])
    wanted = noise_of(unet, then)
    hook.remove()
    with lean.shortened(ours, Shortcuts(2, depth), steps=2, guided=True):
        assert apart(noise_of(ours.unet, first), noise_of(unet, first)) < SAME
        assert apart(noise_of(ours.unet, then), wanted) < SAME
    assert apart(wanted, noise_of(unet, then)) > 10 * SAME


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("shape", "depth"), DEPTHS)
def test_shortcuts_give_the_same_frames_in_slices_and_in_turn(shape, depth, way):
    """Step 3 is shallow and the first that is halved, step 4 whole, step 5 shallow again."""
    shortcuts = Shortcuts(2, depth, guided=0.5)
    _, plain = pair(**SHAPES[shape])
    _, other = pair(WAYS[way], **SHAPES[shape])
    wanted = short_frames(plain, shortcuts, steps=6)
    assert apart(short_frames(other, shortcuts, steps=6), wanted) < SAME
    assert apart(frames_of(plain, num_inference_steps=6), wanted) > 10 * SAME


def test_late_steps_guide_no_more():
    """What is left out from the first step on is all guidance."""
    _, pipeline = pair()
    unguided = frames_of(pipeline, num_inference_steps=4, max_guidance_scale=1.0)
    assert apart(short_frames(pipeline, Shortcuts(guided=0.0)), unguided) < SAME


def test_several_videos_at_once_keep_their_own_features():
    shortcuts, three = Shortcuts(2, guided=0.5), {"num_videos_per_prompt": 3}
    _, plain = pair()
    _, in_turn = pair(WAYS["both"])
    wanted = short_frames(plain, shortcuts, **three)
    assert len(wanted) == 3
    assert apart(short_frames(in_turn, shortcuts, **three), wanted) < SAME


def test_a_run_of_one_step_has_nothing_to_reuse_and_is_exact_bit_for_bit():
    _, pipeline = pair()
    one = short_frames(pipeline, Shortcuts(reuse=2), steps=1)
    assert torch.equal(one, frames_of(pipeline, num_inference_steps=1))


def test_features_are_let_go_of_with_the_run():
    _, pipeline = pair()
    short_frames(pipeline, Shortcuts(reuse=2))
    assert is_whole(pipeline)
    with lean.shortened(pipeline, Shortcuts(), steps=4, guided=True):
        assert pipeline.unet.run is None


# Qualities


@pytest.fixture(scope="module")
def clips():
    """Two seeds in every quality; exact ones with the steps that are usual for SVD."""
    steps = {"exact": 25, "fast": None, "draft": None}
    return {
        quality: [
            sk.animate(
                sk.sample_image(),
                "tiny",
                seed=seed,
                quality=quality,
                num_inference_steps=steps[quality],
                **SHORT,
            )
            for seed in range(2)
        ]
        for quality in QUALITIES
    }


@pytest.mark.parametrize("quality", ["fast", "draft"])
def test_the_clip_is_near_the_exact_one(clips, quality):
    """Nearer than one of another seed; tests/benchmarks/qualities.py measures how near."""
    exact = [clip.frames for clip in clips["exact"]]
    for clip, frames in zip(clips[quality], exact, strict=True):
        assert psnr(frames, clip.frames) > max(NEAR[quality], psnr(*exact))


@pytest.mark.parametrize("quality", ["fast", "draft"])
def test_its_noise_levels_are_those_of_the_schedule(picture, tiny, quality):
    sigmas = []
    hook = tiny.unet.register_forward_hook(lambda *_: sigmas.append(tiny.scheduler.sigmas.tolist()))
    sk.animate(picture, tiny, quality=quality, seed=1, **FEW)
    hook.remove()
    assert len(sigmas) == 10
    assert sigmas[0] == pytest.approx(QUALITIES[quality].sigmas)
    sk.animate(picture, tiny, seed=1, num_inference_steps=3, **FEW)
    assert len(tiny.scheduler.sigmas) == 4


def test_exact_is_what_it_is_without_a_word(picture):
    plain, named = (
        sk.animate(picture, "tiny", seed=1, num_inference_steps=2, **FEW, **how)
        for how in ({}, {"quality": "exact"})
    )
    assert np.array_equal(plain.frames, named.frames)
    assert plain.recipe == named.recipe


@pytest.mark.parametrize("quality", QUALITIES)
def test_the_recipe_holds_the_quality_and_the_clip_comes_again(picture, tmp_path, quality):
    clip = sk.animate(picture, "tiny", seed=1, quality=quality, **FEW)
    assert clip.recipe["request"]["settings"]["quality"] == quality
    clip.save(tmp_path / "kite.mp4")
    again = sk.rerun(tmp_path / "kite.mp4")
    assert again.verdict.startswith("identical"), again.verdict
    assert np.array_equal(again.clip.frames, clip.frames)


def test_a_recipe_from_before_there_were_qualities_means_exact(picture, tmp_path):
    clip = sk.animate(picture, "tiny", seed=1, num_inference_steps=2, **FEW)
    request = json.loads(json.dumps(clip.recipe["request"]))
    del request["settings"]["quality"]
    old = replace(clip, recipe=clip.recipe | {"request": request})
    old.save(tmp_path / "kite.mp4")
    assert sk.rerun(tmp_path / "kite.mp4").verdict.startswith("identical")


def test_guidance_may_be_none_or_a_curve(picture, tiny):
    for how in ({"max_guidance_scale": 1.0}, {"guidance": "triangle"}, {"guidance": [1, 0.5, 1]}):
        clips = {
            quality: sk.animate(picture, tiny, seed=1, quality=quality, **FEW, **how)
            for quality in QUALITIES
        }
        frames = [clip.frames for clip in clips.values()]
        assert not np.array_equal(frames[1], frames[2])
    without = {"quality": "draft", "max_guidance_scale": 1.0, "seed": 1} | FEW
    assert batches_of(tiny, lambda: sk.animate(picture, tiny, **without)) == 10 * [3]


def test_stock_arithmetic_takes_no_shortcuts(picture):
    stock = build(sk.MODELS["tiny"])
    for quality in ("fast", "draft"):
        with pytest.raises(ValueError, match=rf"{quality}.*arithmetic='lean', the default"):
            sk.animate(picture, stock, quality=quality, seed=1, **FEW)
    assert len(sk.animate(picture, stock, quality="exact", seed=1, **FEW)) == 3


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"quality": "fats"},
            r"quality is 'fats'; it is one of exact, fast, draft.*Did you mean fa",
        ),
        ({"quality": 3}, "quality is 3; it is one of"),
        ({"quality": ["fast"]}, "it is one of exact, fast, draft"),
        ({"quality": "fast", "num_inference_steps": 25}, "is 25; quality='fast' has 10 steps of"),
        ({"quality": "draft", "num_inference_steps": 9}, "is 9; quality='draft' has 10 steps of"),
    ],
)
def test_a_quality_that_cannot_be_is_told(picture, values, told):
    for ask in (sk.Settings.of, lambda v: sk.animate(picture, "someone/would-be-loaded", **v)):
        with pytest.raises(ValueError, match=told):
            ask(values)


def test_settings_have_the_steps_of_their_quality():
    of, defaults = sk.Settings.of, sk.MODELS["svd-xt"].defaults
    assert sk.Settings().quality == of({"quality": None}, defaults).quality == "exact"
    for quality in ("fast", "draft"):
        assert sk.Settings(quality=quality).num_inference_steps == 10
        assert of({"quality": quality}, defaults).num_inference_steps == 10
        assert of({"quality": quality, "num_inference_steps": 10}).num_inference_steps == 10
    assert of({"quality": "exact", "num_inference_steps": 4}).num_inference_steps == 4
    told = "num_inference_steps is 2; quality='fast' has 10 steps of its own"
    for ask in (
        lambda: sk.Settings(quality="fast", num_inference_steps=2),
        lambda: replace(sk.Settings(quality="fast"), num_inference_steps=2),
        lambda: replace(sk.Settings(num_inference_steps=2), quality="fast"),
    ):
        with pytest.raises(ValueError, match=told):
            ask()


# Wherever settings go


def test_quality_is_an_axis_of_a_sweep(tmp_path):
    size = {name: FEW[name] for name in ("num_frames", "height", "width")}
    cells = sk.grid(quality=["exact", "fast"], seed=1, **size)
    runs = sk.sweep(sk.sample_image(), "tiny", cells, tmp_path / "kite", progress=False)
    assert [cell.values["quality"] for cell in runs] == ["exact", "fast"]
    assert runs.show().layout.axes.keys() == {"quality"}
    for cell in runs:
        clip = sk.animate(sk.sample_image(), "tiny", quality=cell.values["quality"], seed=1, **FEW)
        digests = [each.recipe["outcome"]["frames_sha256"] for each in (clip, cell.clip)]
        assert digests[0] == digests[1]
    assert len(sk.Sweep.open(tmp_path / "kite")) == 2


def test_an_extension_and_a_cinemagraph_take_a_quality(picture, tmp_path):
    short = sk.animate(picture, "tiny", seed=1, **FEW | {"num_frames": 6})
    longer = sk.extend(short, "tiny", seed=1, overlap=2, quality="draft", progress=False)
    assert longer.recipe["steps"][-1]["request"]["settings"]["quality"] == "draft"
    box = (0.25, 0.25, 0.75, 0.75)
    still = sk.cinemagraph(picture, box, "tiny", seed=1, quality="fast", **FEW)
    for name, clip in (("longer", longer), ("still", still)):
        clip.save(tmp_path / f"{name}.mp4")
        assert sk.rerun(tmp_path / f"{name}.mp4").verdict.startswith("identical")


def test_another_quality_brings_its_own_steps(picture, tmp_path):
    """A draft that is chosen is finished with the steps that are usual, not with ten."""
    few = {"num_frames": 3, "height": 32, "width": 56, "seed": 1}
    quiet = {"progress": False}
    clip = sk.animate(picture, "tiny", num_inference_steps=2, **few, **quiet)
    longer = sk.extend(clip, "tiny", quality="fast", overlap=1, seed=1, **quiet)
    assert longer.recipe["steps"][-1]["request"]["settings"]["num_inference_steps"] == 10
    for first, then, steps in (
        ({"quality": "draft"}, {"quality": "exact", "num_inference_steps": 2}, 2),
        ({"num_inference_steps": 2}, {"quality": "fast"}, 10),
        ({"num_inference_steps": 2}, {"fps": 9}, 2),
    ):
        cells = sk.grid(**few, **first)
        runs = sk.sweep(picture, "tiny", cells, tmp_path / str(then), **quiet)
        final = runs.finalise(0, **then, **quiet)
        assert final.recipe["request"]["settings"]["num_inference_steps"] == steps


def test_each_step_can_be_watched(picture, clips):
    seen = []

    def watch(*told):
        seen.append((*told[:2], told[2]().size))

    watched = sk.animate(picture, "tiny", seed=0, quality="draft", on_step=watch, **SHORT)
    assert seen == [(step, 10, (28, 16)) for step in range(1, 11)]
    assert np.array_equal(watched.frames, clips["draft"][0].frames)


# What goes wrong on the way


class StopError(Exception):
    pass


@pytest.mark.parametrize(
    ("stop", "moment"),
    [(StopError, 1), (KeyboardInterrupt, 2), (KeyboardInterrupt, 9), (StopError, 10)],
)
def test_what_stops_a_step_leaves_the_unet_whole(picture, tiny, stop, moment):
    """In whole steps and in shallow ones, in halved ones and in others."""
    asked = [{"quality": "draft"}, {"num_inference_steps": 2}]
    wanted = [sk.animate(picture, tiny, seed=1, **FEW, **how).frames for how in asked]
    steps = []

    def strike(*_):
        steps.append(1)
        if len(steps) == moment:
            raise stop

    hook = tiny.unet.up_blocks[-1].resnets[-1].register_forward_hook(strike)
    with pytest.raises(stop):
        sk.animate(picture, tiny, seed=1, quality="draft", **FEW)
    hook.remove()
    assert is_whole(tiny)
    for how, frames in zip(reversed(asked), reversed(wanted), strict=True):
        assert np.array_equal(sk.animate(picture, tiny, seed=1, **FEW, **how).frames, frames)


def test_weights_are_saved_and_counted_as_ever_after_a_draft(picture, tiny, clips):
    before = list(tiny.unet.state_dict())
    sk.animate(picture, tiny, seed=1, quality="draft", **FEW)
    assert list(tiny.unet.state_dict()) == before
    fingerprints = {clip.recipe["outcome"]["weights"] for each in clips.values() for clip in each}
    assert len(fingerprints) == 1


def test_two_threads_take_shortcuts_of_their_own(picture):
    """Each has a pipeline of its own, and one of them makes exact clips."""
    pipelines = {quality: build(sk.MODELS["tiny"]) for quality in QUALITIES}

    def animate_often(quality):
        torch.set_num_threads(1)
        how = {"quality": quality, "num_inference_steps": 10}
        pipeline = pipelines[quality]
        return [sk.animate(picture, pipeline, seed=1, **FEW | how).frames for _ in range(2)]

    for pipeline in pipelines.values():
        lean.apply(pipeline)

    alone = {quality: animate_often(quality)[0] for quality in QUALITIES}
    with ThreadPoolExecutor(len(QUALITIES)) as pool:
        made = dict(zip(QUALITIES, pool.map(animate_often, QUALITIES), strict=True))
    for quality, frames in made.items():
        assert all(np.array_equal(each, alone[quality]) for each in frames)
    assert not np.array_equal(alone["fast"], alone["draft"])
