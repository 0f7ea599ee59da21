"""Lean arithmetic is exact: it errs no more than stock's own rounding does, and leaves no trace."""

import ast
import copy
from itertools import product
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
import torch
from diffusers.hooks import apply_group_offloading
from diffusers.models.attention_processor import Attention
from small_models import inputs_of, some_unet, some_vae

import svdkit as sk
from svdkit import lean
from svdkit.lean import Knobs, decoder
from svdkit.lean.parked import OneTokenAttention, Parked
from svdkit.lean.stacks import in_ram

LEAN = Path(lean.__file__).parent
WAYS = [
    Knobs(),
    Knobs(slice_mib=1),
    Knobs(guidance="in_turn"),
    Knobs(decode="recompute"),
    Knobs(slice_mib=1, guidance="in_turn", decode="spill"),
]


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def thin_slabs(monkeypatch):
    """Make even small clips go through several slabs and slices."""
    monkeypatch.setattr(decoder, "SLAB_MIB", 1)
    from svdkit.lean import slices

    cut = slices.slices

    def finer(count, bytes_each, slice_mib, most=None):
        return cut(count, 100 * bytes_each, slice_mib, most)

    for module in ("attention", "residual", "stacks"):
        monkeypatch.setattr(f"svdkit.lean.{module}.slices", finer)


def parts(unet=None, vae=None):
    empty = torch.nn.Identity()
    return SimpleNamespace(unet=unet or empty, vae=vae or empty)


def in_dtype(inputs, dtype):
    return {name: value.to(dtype) for name, value in inputs.items()}


def error(result, exact):
    return (result.double() - exact).square().mean().sqrt().item()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("case", range(6))
def test_a_call_of_the_unet_errs_no_more_than_stock(case, dtype, thin_slabs):
    draw = Random(f"unet {case}")
    exact_unet = some_unet(draw)
    inputs = inputs_of(exact_unet, draw)
    exact = exact_unet(**inputs).sample
    unet = copy.deepcopy(exact_unet).to(dtype)
    stock = error(unet(**in_dtype(inputs, dtype)).sample, exact)
    pipeline = parts(unet=unet)
    lean.apply(pipeline)
    for knobs in WAYS[:3] + WAYS[-1:]:
        lean.set_knobs(pipeline, knobs)
        ours = unet(**in_dtype(inputs, dtype)).sample
        assert error(ours, exact) <= max(2 * stock, 1e-13), knobs


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("frames", [1, 2, 3, 5, 8, 9])
def test_a_decode_errs_no_more_than_stock_at_any_number_of_frames(frames, dtype, thin_slabs):
    draw = Random(f"vae {frames}")
    exact_vae = some_vae(draw)
    torch.manual_seed(frames)
    latents = torch.randn(frames, 4, draw.randrange(4, 9), draw.randrange(4, 9)).double()
    exact = exact_vae.decode(latents, num_frames=frames).sample
    vae = copy.deepcopy(exact_vae).to(dtype)
    stock = error(vae.decode(latents.to(dtype), num_frames=frames).sample, exact)
    pipeline = parts(vae=vae)
    lean.apply(pipeline)
    for knobs in WAYS:
        lean.set_knobs(pipeline, knobs)
        ours = vae.decode(latents.to(dtype), num_frames=frames).sample
        assert error(ours, exact) <= max(2 * stock, 1e-13), knobs


def test_chunks_of_frames_are_another_clip():
    """Which is why svdkit decodes all frames together, and calls decode_chunk_size approximate."""
    draw = Random("chunks")
    vae = some_vae(draw)
    latents = torch.randn(6, 4, 6, 6).double()
    whole = vae.decode(latents, num_frames=6).sample
    chunks = [vae.decode(latents[i : i + 2], num_frames=2).sample for i in (0, 2, 4)]
    assert error(torch.cat(chunks), whole) > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_one_token_makes_a_constant_bit_for_bit(dtype):
    torch.manual_seed(0)
    for channels, width, rows, queries in product((32, 96), (16, 40), (1, 2, 3, 18), (16, 35)):
        stock = Attention(channels, width, heads=2, dim_head=channels // 2).to(dtype)
        queries = torch.randn(rows, queries, channels, dtype=dtype)
        token = torch.randn(rows, 1, width, dtype=dtype)
        wanted = stock(queries, encoder_hidden_states=token)
        stock.__class__ = OneTokenAttention
        assert torch.equal(stock(queries, token).expand_as(wanted), wanted)


def test_stock_comes_back_bit_for_bit():
    draw = Random("back")
    unet, vae = some_unet(draw, torch.float32), some_vae(draw, torch.float32)
    inputs = in_dtype(inputs_of(unet, draw), torch.float32)
    latents = torch.randn(3, 4, 6, 6)
    before = unet(**inputs).sample, vae.decode(latents, num_frames=3).sample
    kinds = [type(module) for module in (*unet.modules(), *vae.modules())]
    attributes = [set(vars(module)) for module in (*unet.modules(), *vae.modules())]
    pipeline = parts(unet, vae)
    lean.apply(pipeline)
    unet(**inputs)
    lean.restore(pipeline)
    assert torch.equal(unet(**inputs).sample, before[0])
    assert torch.equal(vae.decode(latents, num_frames=3).sample, before[1])
    assert [type(module) for module in (*unet.modules(), *vae.modules())] == kinds
    assert [set(vars(module)) for module in (*unet.modules(), *vae.modules())] == attributes


def test_a_whole_clip_is_the_same_clip(picture):
    settings = {"seed": 5, "progress": False}
    stock = sk.animate(picture, sk.load("tiny", device="cpu", arithmetic="stock"), **settings)
    ours = sk.animate(picture, sk.load("tiny", device="cpu"), **settings)
    square = (ours.frames.astype(float) - stock.frames) ** 2
    assert square.mean() <= 255**2 / 10**6  # 60 dB


def test_parked_weights_stay_in_ram_and_follow_the_dtype():
    unet = some_unet(Random("parked"), torch.float32)
    names = [*unet.state_dict()]
    pipeline = parts(unet=unet)
    lean.apply(pipeline)
    parked = [module for module in unet.modules() if isinstance(module, Parked)]
    unet.to("meta")
    weights = [weight for module in parked for weight in module.parameters()]
    assert len(weights) > 50
    assert {weight.device.type for weight in weights} == {"cpu"}
    assert unet.conv_in.weight.is_meta
    unet.half()
    weights = [weight for module in parked for weight in module.parameters()]
    assert {weight.dtype for weight in weights} == {torch.float16}
    assert [*unet.state_dict()] == names


def test_a_picture_is_looked_at_once():
    """All else that stays the same over the steps is worked out with it."""
    draw = Random("once")
    unet = some_unet(draw, torch.float32)
    inputs = in_dtype(inputs_of(unet, draw), torch.float32)
    lean.apply(parts(unet=unet))
    looked = []
    for module in unet.modules():
        if isinstance(module, Parked):
            module.register_forward_hook(lambda *_: looked.append(1))
    unet(**inputs)
    once = len(looked)
    assert once > 0
    unet(**inputs)
    assert len(looked) == once
    inputs["encoder_hidden_states"] = inputs["encoder_hidden_states"].clone()
    unet(**inputs)
    assert len(looked) == 2 * once


def test_weights_changed_between_clips_are_the_ones_used(picture):
    pipeline = sk.load("tiny", device="cpu")
    settings = {"seed": 3, "num_frames": 2, "num_inference_steps": 1, "progress": False}
    first = sk.animate(picture, pipeline, **settings)
    block = pipeline.unet.mid_block.attentions[0]
    kept = copy.deepcopy(block.time_pos_embed.state_dict())
    try:
        for weight in block.time_pos_embed.parameters():
            weight += 1
        assert (sk.animate(picture, pipeline, **settings).frames != first.frames).any()
    finally:
        block.time_pos_embed.load_state_dict(kept)
    assert (sk.animate(picture, pipeline, **settings).frames == first.frames).all()


def test_spilled_frames_are_known_on_meta():
    made = decoder.InRam(2, 1)
    frame = torch.empty(1, 32, 4, 4, device="meta")
    for index in range(2):
        made.put(index, frame)
    (slab,) = made.slabs()
    assert in_ram(slab.kept)
    assert not in_ram(made.take(0))


@pytest.mark.parametrize("wrong", [{"slice_mib": 0}, {"slice_mib": True}, {"guidance": "both"}])
def test_a_wrong_knob_is_told(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Knobs(**wrong)


def test_lean_knows_torch_and_diffusers_only():
    for path in LEAN.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, path
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_offloading_that_hands_in_copies_changes_nothing():
    """Its device has a number here, as it may have on a GPU: each layer then gets copies."""
    draw = Random("copies")
    unet = some_unet(draw, torch.float32)
    inputs = in_dtype(inputs_of(unet, draw), torch.float32)
    lean.apply(parts(unet=unet))
    wanted = unet(**inputs).sample
    apply_group_offloading(unet, onload_device=torch.device("cpu:0"), offload_type="leaf_level")
    assert error(unet(**inputs).sample, wanted.double()) < 1e-6
