"""A lean pipeline is a diffusers pipeline: saved, copied, called and trained like stock.

The checks of diffusers' own tests of this pipeline, and of what else it may meet.
"""

import copy
import io
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from diffusers import StableVideoDiffusionPipeline, UNetSpatioTemporalConditionModel
from small_svd import (
    CALL,
    SAME,
    SAVING,
    apart,
    decoded,
    frames_of,
    inputs_of,
    noise_of,
    pair,
    stock_pipeline,
)
from torch.nn import functional

import svdkit as sk
from svdkit import lean
from svdkit.lean import Knobs
from svdkit.lean import attention as lean_attention
from svdkit.lean.temporal import NormOverFrames, combined, moments_of


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_what_is_saved_is_a_stock_checkpoint(tmp_path, variant):
    stock, ours = pair()
    ours.save_pretrained(tmp_path, variant=variant)
    assert not any("svdkit" in file.read_text() for file in tmp_path.rglob("*.json"))
    loaded = StableVideoDiffusionPipeline.from_pretrained(tmp_path, variant=variant)
    loaded.set_progress_bar_config(disable=True)
    assert type(loaded.unet) is UNetSpatioTemporalConditionModel
    for name in ("unet", "vae"):
        there = getattr(loaded, name).state_dict()
        assert list(there) == list(getattr(stock, name).state_dict())
        for key, weight in getattr(ours, name).state_dict().items():
            assert torch.equal(weight, there[key])
    assert apart(frames_of(loaded), frames_of(stock)) < SAME


def test_a_pipeline_made_of_lean_parts_is_saved_under_stock_names():
    _, ours = pair()
    again = StableVideoDiffusionPipeline(**ours.components)
    again.unet = ours.unet
    assert again.config["unet"] == ("diffusers", "UNetSpatioTemporalConditionModel")


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save"])
def test_a_copy_is_lean_and_stands_alone(way):
    stock, ours = pair()
    frames = frames_of(ours)
    if way == "deepcopy":
        copied = copy.deepcopy(ours)
    elif way == "pickle":
        copied = pickle.loads(pickle.dumps(ours))
    else:
        file = io.BytesIO()
        torch.save(ours, file)
        copied = torch.load(io.BytesIO(file.getvalue()), weights_only=False)
    assert lean.is_lean(copied)
    assert torch.equal(frames_of(copied), frames)
    lean.restore(copied)
    assert torch.equal(frames_of(copied), frames_of(stock))
    assert torch.equal(frames_of(ours), frames)


def test_twice_is_once_and_restoring_leaves_nothing():
    stock, ours = pair()
    once = frames_of(ours)
    lean.apply(ours)
    assert torch.equal(frames_of(ours), once)
    lean.restore(ours)
    for name in ("unet", "vae"):
        for there, here in zip(
            getattr(stock, name).modules(), getattr(ours, name).modules(), strict=True
        ):
            assert type(here) is type(there)
            assert vars(here).keys() == vars(there).keys()
    assert torch.equal(frames_of(ours), frames_of(stock))


@pytest.mark.parametrize("knobs", [Knobs(), SAVING, Knobs(slice_mib=1, decode="recompute")])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_guidance_scale": 1.0},
        {"num_videos_per_prompt": 2},
        {"num_frames": 2, "decode_chunk_size": 1},
        {"height": 24, "width": 40},
        {"num_frames": 1, "max_guidance_scale": 1.0},
    ],
)
def test_frames_are_those_of_stock(knobs, settings):
    stock, ours = pair(knobs)
    assert apart(frames_of(ours, **settings), frames_of(stock, **settings)) < SAME


@pytest.mark.parametrize("kind", ["pt", "np", "pil", "latent"])
def test_outputs_have_the_forms_of_stock(kind):
    stock, ours = pair()
    theirs, mine = frames_of(stock, output_type=kind), frames_of(ours, output_type=kind)
    assert type(mine) is type(theirs)
    assert np.shape(mine) == np.shape(theirs)
    picture, generator = sk.sample_image().resize((32, 32)), torch.Generator().manual_seed(0)
    plain = ours(picture, generator=generator, **CALL, return_dict=False)
    assert torch.equal(plain, frames_of(ours))


def test_two_pictures_at_once_are_as_each_alone():
    _, ours = pair()
    pictures = [sk.sample_image().resize((32, 32)).rotate(angle) for angle in (0, 90)]
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    both = frames_of(ours, image=pictures, generator=generators)
    for seed, picture in enumerate(pictures):
        assert apart(both[seed], frames_of(ours, seed, image=picture)[0]) < SAME


def test_callbacks_see_and_change_the_latents():
    stock, ours = pair()

    def halve(pipeline, step, timestep, tensors):
        return {"latents": tensors["latents"] * 0.5}

    theirs = frames_of(stock, callback_on_step_end=halve)
    assert apart(frames_of(ours, callback_on_step_end=halve), theirs) < SAME
    assert apart(frames_of(ours), theirs) > 0.01


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_are_as_close_to_the_exact_result_as_stock(dtype):
    exact = stock_pipeline().unet.double()
    stock, ours = pair()
    stock.to(dtype)
    ours.to(dtype)
    assert {weight.dtype for weight in ours.unet.parameters()} == {dtype}
    want = noise_of(exact, inputs_of(dtype=torch.float64))
    theirs = apart(noise_of(stock.unet, inputs_of(dtype=dtype)), want)
    assert apart(noise_of(ours.unet, inputs_of(dtype=dtype)), want) < 1.5 * theirs + 1e-12
    assert apart(frames_of(ours), frames_of(stock)) < 0.1


@pytest.mark.parametrize(
    ("videos", "frames", "height", "width"), [(2, 3, 5, 7), (3, 1, 9, 6), (1, 7, 3, 3)]
)
def test_any_shape_will_do(videos, frames, height, width):
    for knobs in (Knobs(), SAVING):
        stock, ours = pair(knobs, transformer_layers_per_block=2)
        noise_of(ours.unet, inputs_of(videos))
        inputs = inputs_of(videos, frames, height, width)
        assert apart(noise_of(ours.unet, inputs), noise_of(stock.unet, inputs)) < SAME


@pytest.mark.parametrize("timestep", [3, 1.5, torch.tensor([1.5]), torch.tensor([1.0, 2.0])])
def test_each_video_may_have_its_timestep(timestep):
    stock, ours = pair(SAVING)
    inputs = inputs_of() | {"timestep": timestep}
    assert apart(noise_of(ours.unet, inputs), noise_of(stock.unet, inputs)) < SAME


def test_nothing_that_is_passed_is_changed():
    stock, ours = pair(SAVING)
    inputs, latents = inputs_of(), torch.randn(1, 3, 4, 16, 16)
    before = copy.deepcopy(inputs), latents.clone()
    noise_of(ours.unet, inputs)
    frames = frames_of(ours, latents=latents)
    decoded(ours.vae, latents[0], 3)
    assert all(torch.equal(inputs[name], before[0][name]) for name in inputs)
    assert torch.equal(latents, before[1])
    assert apart(frames, frames_of(stock, latents=latents)) < SAME


@pytest.mark.parametrize("decode", ["store", "recompute", "spill"])
def test_tensors_may_lie_in_memory_as_they_like(decode):
    stock, ours = pair(Knobs(decode=decode))
    inputs, latents = inputs_of(), torch.randn(6, 4, 8, 8)
    turned = {"sample": inputs["sample"].transpose(3, 4).contiguous().transpose(3, 4)}
    assert apart(noise_of(ours.unet, inputs | turned), noise_of(stock.unet, inputs)) < SAME
    last = latents.contiguous(memory_format=torch.channels_last)
    assert apart(decoded(ours.vae, last, 3), decoded(stock.vae, latents, 3)) < SAME
    for part in (ours.unet, ours.vae):
        for module in part.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.to(memory_format=torch.channels_last)
    assert apart(frames_of(ours), frames_of(stock)) < SAME


def test_the_vae_alone_is_as_in_stock():
    stock, ours = pair()
    pictures = torch.rand(4, 3, 16, 16)
    with torch.no_grad():
        theirs, mine = stock.vae.encode(pictures), ours.vae.encode(pictures)
        assert torch.equal(mine.latent_dist.mode(), theirs.latent_dist.mode())
        for count in (1, 2, 4):
            mine = ours.vae(pictures, num_frames=count).sample
            assert apart(mine, stock.vae(pictures, num_frames=count).sample) < SAME
    with pytest.raises(ValueError, match="5 latents are no whole number of videos of 2 frames"):
        decoded(ours.vae, torch.randn(5, 4, 8, 8), 2)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_spreads_as_in_stock(number):
    stock, ours = pair()
    inputs = inputs_of()
    inputs["sample"][0, 1, 2, 3, 3] = number
    mine, theirs = noise_of(ours.unet, inputs), noise_of(stock.unet, inputs)
    assert torch.equal(mine.isnan(), theirs.isnan())
    assert 0 < mine.isnan().float().mean() < 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("mean", "deviation"), [(0, 1), (10, 1), (100, 0.1), (1000, 1), (0, 300)])
def test_group_norm_holds_far_from_zero(dtype, mean, deviation):
    generator = torch.Generator().manual_seed(0)
    video = (torch.randn(3, 64, 4096, generator=generator) * deviation + mean).to(dtype)
    whole = video.transpose(0, 1)[None]
    exact = functional.silu(functional.group_norm(whole.double(), 32))[0].transpose(0, 1)
    norm = torch.nn.GroupNorm(32, 64, dtype=dtype)
    with torch.no_grad():
        theirs = apart(functional.silu(norm(whole))[0].transpose(0, 1), exact)
        norm.__class__ = NormOverFrames
        mine = apart(norm(video, combined([moments_of(video, 32)]))[1:-1], exact)
    assert mine < 2 * theirs


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_are_those_of_stock(checkpointing):
    gradients = []
    for pipeline in pair():
        inputs = inputs_of()
        noise_of(pipeline.unet, inputs)  # what is known of a picture has no gradient
        inputs["sample"].requires_grad_()
        latents = torch.ones(3, 4, 8, 8, requires_grad=True)
        if checkpointing:
            pipeline.unet.train().enable_gradient_checkpointing()
            pipeline.vae.train().enable_gradient_checkpointing()
        pipeline.unet(**inputs).sample.square().mean().backward()
        pipeline.vae.decode(latents, num_frames=3).sample.square().mean().backward()
        found = {"sample": inputs["sample"].grad, "latents": latents.grad}
        for part in (pipeline.unet, pipeline.vae.decoder):
            found |= {(part, name): weight.grad for name, weight in part.named_parameters()}
        gradients.append([torch.tensor(0.0) if one is None else one for one in found.values()])
    for theirs, mine in zip(*gradients, strict=True):
        torch.testing.assert_close(mine.expand_as(theirs), theirs, rtol=1e-4, atol=1e-7)


def test_autocast_works_as_in_stock():
    stock, ours = pair()
    inputs, latents = inputs_of(), torch.ones(3, 4, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for knobs in (Knobs(), SAVING):
            lean.set_knobs(ours, knobs)
            theirs, mine = noise_of(stock.unet, inputs), noise_of(ours.unet, inputs)
            assert mine.dtype == theirs.dtype
            assert apart(mine, theirs) < 0.05
            assert apart(decoded(ours.vae, latents, 3), decoded(stock.vae, latents, 3)) < 0.05


def test_inference_mode_works_as_in_stock():
    stock, ours = pair()
    with torch.inference_mode():
        assert apart(frames_of(ours), frames_of(stock)) < SAME
    assert apart(frames_of(ours), frames_of(stock)) < SAME


def test_compiled_it_is_one_graph():
    stock, ours = pair()
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    compiled = torch.compile(ours.unet, backend=backend)
    for _ in range(2):
        inputs = inputs_of()
        assert apart(noise_of(compiled, inputs), noise_of(stock.unet, inputs)) < SAME
    assert len(graphs) == 1
    torch._dynamo.reset()


@pytest.mark.parametrize("shared", [True, False])
def test_threads_do_not_mix_their_pictures(shared):
    stock, one = pair()
    unets = [one.unet, one.unet if shared else pair()[1].unet]
    inputs = [inputs_of(height=32, width=32) for _ in unets]
    inputs[1]["encoder_hidden_states"] *= -2
    wanted = [noise_of(stock.unet, some) for some in inputs]

    def run(index):
        return [noise_of(unets[index], inputs[index]) for _ in range(4)]

    with ThreadPoolExecutor(2) as pool:
        for made, want in zip(pool.map(run, range(2)), wanted, strict=True):
            assert all(apart(noise, want) < SAME for noise in made)


def test_an_error_leaves_nothing_behind():
    stock, ours = pair()
    with pytest.raises(RuntimeError):
        noise_of(ours.unet, inputs_of() | {"added_time_ids": torch.zeros(2, 2)})
    assert not lean_attention.knowing.known
    assert apart(noise_of(ours.unet, inputs_of()), noise_of(stock.unet, inputs_of())) < SAME
