"""What is hung on a lean pipeline works as on stock: offloading, attention, adapters, weights."""

import copy

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from diffusers import PyramidAttentionBroadcastConfig, apply_pyramid_attention_broadcast
from diffusers.hooks import apply_group_offloading
from diffusers.models.attention_processor import AttnProcessor2_0
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from small_svd import (
    SAME,
    SAVING,
    apart,
    frames_of,
    inputs_of,
    noise_of,
    pair,
    perturbed,
    stock_pipeline,
)

import svdkit as sk
from svdkit import lean
from svdkit.lean import Knobs
from svdkit.lean import attention as lean_attention

ADAPTED = {
    "self-attention and cross-attention": ["to_q", "to_k", "to_v", "to_out.0"],
    "embeddings of places and times": ["linear_1", "linear_2"],
    "projections and feed-forward": ["proj_in", "proj_out", "net.0.proj", "net.2"],
    "convolutions": ["conv_in", "conv1", "conv2", "conv_shortcut", "time_emb_proj"],
}


def by_model(pipeline):
    pipeline.enable_model_cpu_offload(device="cpu")


def by_layer(pipeline):
    for part in (pipeline.unet, pipeline.vae.decoder):
        cpu_offload(part, execution_device="cpu")


def by_group(pipeline, **how):
    for part in (pipeline.unet, pipeline.vae):
        apply_group_offloading(part, onload_device=torch.device("cpu"), **how)


def by_block(pipeline):
    by_group(pipeline, offload_type="block_level", num_blocks_per_group=1)


def by_leaf(pipeline):
    by_group(pipeline, offload_type="leaf_level")


@pytest.mark.parametrize("knobs", [Knobs(), SAVING])
@pytest.mark.parametrize("offload", [by_model, by_layer, by_block, by_leaf])
def test_offloading_brings_the_weights(offload, knobs):
    stock, ours = pair(knobs)
    offload(ours)
    for seed in (0, 1):
        assert apart(frames_of(ours, seed), frames_of(stock, seed)) < SAME


def test_arithmetic_is_not_changed_under_hooks():
    stock, ours = pair()
    hooked = stock_pipeline()
    for pipeline, change in ((hooked, lean.apply), (ours, lean.restore)):
        pipeline.enable_model_cpu_offload(device="cpu")
        with pytest.raises(ValueError, match=r"before offloading.* is switched on"):
            change(pipeline)
        assert apart(frames_of(pipeline), frames_of(stock)) < SAME
        pipeline.remove_all_hooks()
        change(pipeline)
        assert apart(frames_of(pipeline), frames_of(stock)) < SAME
    assert lean.is_lean(hooked)
    assert not lean.is_lean(ours)


def test_weights_cast_layer_by_layer_are_cast_back():
    stock, ours = pair()
    for pipeline in (stock, ours):
        pipeline.unet.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)
    theirs = noise_of(stock.unet, inputs_of())
    assert apart(noise_of(ours.unet, inputs_of()), theirs) < SAME
    assert apart(noise_of(stock_pipeline().unet, inputs_of()), theirs) > 0.01


def test_diffusers_own_chunking_names_ours():
    _, ours = pair()
    with pytest.raises(ValueError, match=r"Knobs\(slice_mib=64\)"):
        ours.unet.enable_forward_chunking()


@pytest.mark.parametrize("knobs", [Knobs(), SAVING])
@pytest.mark.parametrize("where", ["spatial", "temporal", "cross"])
def test_broadcast_attention_skips_the_steps_that_stock_skips(knobs, where, monkeypatch):
    monkeypatch.setattr(lean_attention, "MOST_HEADS", 8)  # as few as at SVD's native size
    plain = frames_of(stock_pipeline(), num_inference_steps=4)
    frames = []
    for pipeline in pair(knobs):
        settings = {f"{where}_attention_block_skip_range": 2}
        settings[f"{where}_attention_timestep_skip_range"] = (100, 800)
        config = PyramidAttentionBroadcastConfig(current_timestep_callback=lambda: 500, **settings)
        apply_pyramid_attention_broadcast(pipeline.unet, config)
        frames.append(frames_of(pipeline, num_inference_steps=4))
    theirs, mine = frames
    assert apart(mine, theirs) < 2e-5
    assert where == "cross" or apart(plain, theirs) > 1e-3  # its result is the same at each step


class LooksAround(AttnProcessor2_0):
    """Lets each row of a batch see all others, as attention to other frames or places does."""

    def __call__(self, attn, hidden_states, *args, **how):
        seen = hidden_states + hidden_states.mean(0, keepdim=True)
        return super().__call__(attn, seen, *args, **how)


def with_own_attention(unet, name):
    for path, module in unet.named_modules():
        if path.endswith(name):
            module.set_processor(LooksAround())
    return unet


@pytest.mark.parametrize("knobs", [Knobs(), SAVING])
@pytest.mark.parametrize(
    "name", [".transformer_blocks.0.attn1", "temporal_transformer_blocks.0.attn1"]
)
def test_ones_own_attention_sees_what_it_sees_in_stock(name, knobs):
    stock, ours = pair(knobs)
    inputs = inputs_of(height=24, width=24)
    plain = noise_of(stock.unet, inputs)
    theirs = noise_of(with_own_attention(stock.unet, name), inputs)
    assert apart(noise_of(with_own_attention(ours.unet, name), inputs), theirs) < SAME
    assert apart(plain, theirs) > 0.01


def test_what_lean_cannot_honour_is_refused():
    _, ours = pair()
    two_tokens = inputs_of() | {"encoder_hidden_states": torch.randn(2, 2, 32)}
    with pytest.raises(ValueError, match=r"one image token.* here are 2\. .*arithmetic='stock'"):
        noise_of(ours.unet, two_tokens)
    with_own_attention(ours.unet, "attn2")
    with pytest.raises(ValueError, match=r"attention processor LooksAround.*arithmetic='stock'"):
        noise_of(ours.unet, inputs_of())


@pytest.mark.parametrize("targets", ADAPTED.values(), ids=ADAPTED)
def test_adapters_do_what_they_do_in_stock(targets):
    stock, ours = pair()
    inputs = inputs_of()
    plain = noise_of(stock.unet, inputs)
    for unet in (stock.unet, ours.unet):
        torch.manual_seed(3)
        settings = LoraConfig(r=2, lora_alpha=8, target_modules=targets, init_lora_weights=False)
        inject_adapter_in_model(settings, unet)
    last = plain
    for change, arguments, differs in (
        ("set_scale", ("default", 1.0), True),
        ("enable_adapters", (False,), True),
        ("enable_adapters", (True,), True),
        ("set_scale", ("default", 0.3), True),
        ("merge", (), False),
        ("unmerge", (), False),
        ("delete_adapter", ("default",), True),
    ):
        for unet in (stock.unet, ours.unet):
            for layer in unet.modules():
                if isinstance(layer, BaseTunerLayer):
                    getattr(layer, change)(*arguments)
        theirs = noise_of(stock.unet, inputs)
        assert apart(noise_of(ours.unet, inputs), theirs) < SAME
        assert (apart(last, theirs) > 0.01) == differs
        last = theirs
    assert apart(last, plain) < SAME
    lean.restore(ours)
    assert torch.equal(noise_of(ours.unet, inputs), last)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_what_changed_is_looked_at_anew(mode):
    stock, ours = pair()
    with mode():
        inputs = inputs_of()
        picture = inputs["encoder_hidden_states"]

        def check():
            assert apart(ours.unet(**inputs).sample, stock.unet(**inputs).sample) < SAME

        check()
        known = ours.unet.last_look
        check()
        assert ours.unet.last_look is known
        picture *= 3
        check()
    other = perturbed(copy.deepcopy(stock.unet)).state_dict()
    for pipeline in (stock, ours):
        pipeline.unet.load_state_dict(other)
    with mode():
        check()


def test_clips_of_other_weights_are_other_clips():
    stock, ours = pair()
    small = {"height": 32, "width": 32, "num_frames": 3, "num_inference_steps": 2}
    for factor in (1, 3):
        for pipeline in (stock, ours):
            for name, weight in pipeline.unet.named_parameters():
                if "attn2.to_v" in name:
                    weight.data *= factor
        clips = [
            sk.animate(sk.sample_image(), pipeline, seed=1, progress=False, **small).frames
            for pipeline in (stock, ours)
        ]
        assert np.abs(clips[0].astype(int) - clips[1]).max() <= 1


def test_parked_weights_take_dtypes_but_no_device():
    _, ours = pair()
    names = list(ours.unet.state_dict())
    ours.unet.to("meta")
    parked = [name for name, weight in ours.unet.named_parameters() if not weight.is_meta]
    assert all("attn2" in name or "time_pos_embed" in name for name in parked)
    assert len(parked) == sum("attn2" in name or "time_pos_embed" in name for name in names)
    for change, dtype in (("half", torch.float16), ("double", torch.float64)):
        getattr(ours.unet, change)()
        state = ours.unet.state_dict()
        assert {(state[name].dtype, state[name].device.type) for name in parked} == {(dtype, "cpu")}
    assert list(state) == names
