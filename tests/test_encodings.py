"""A picture is encoded once, and again whenever anything is other than it was."""

import gc
import weakref
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import svdkit as sk
from svdkit.architectures import build
from svdkit.encodings import MOST, encode_once, forget_encodings
from svdkit.frames import sha256_of_frames
from svdkit.running import Steering, run

SMALL = {"num_inference_steps": 1, "num_frames": 2, "height": 32, "width": 56}


@contextmanager
def counting(pipeline):
    """Count the work of the real encoders: {"clip": …, "vae": …}."""
    counts = {"clip": 0, "vae": 0}

    def count(name):
        def counted(*_):
            counts[name] += 1

        return counted

    parts = {"clip": pipeline.image_encoder, "vae": pipeline.vae.encoder}
    hooks = [part.register_forward_hook(count(name)) for name, part in parts.items()]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def animated(pipeline, image=None, **changes):
    image = sk.sample_image() if image is None else image
    return sk.animate(image, pipeline, progress=False, **{"seed": 7, **SMALL, **changes}).frames


def fresh(**how):
    """Build a small pipeline whose weights are the same each time."""
    return build(sk.MODELS["tiny"], **how)


def test_a_sweep_encodes_its_picture_once_and_its_frames_are_those_of_fresh_pipelines(tmp_path):
    cells = sk.grid(motion_bucket_id=[20, 60, 100, 127, 180, 240], fps=[6, 12], **SMALL)
    sk.unload()
    tiny = sk.load("tiny", device="cpu")
    with counting(tiny) as counts:
        runs = sk.sweep(sk.sample_image(), tiny, cells, tmp_path / "kite", progress=False)
    assert (len(runs), runs.failures, counts) == (12, [], {"clip": 1, "vae": 1})
    for cell in (runs[0], runs[7], runs[11]):
        asked = {name: cell.values[name] for name in ("seed", "motion_bucket_id", "fps")}
        sk.unload()
        frames = animated(sk.load("tiny", device="cpu"), **asked)
        assert cell.clip.recipe["outcome"]["frames_sha256"] == sha256_of_frames(frames)


def test_two_seeds_share_what_clip_saw(tmp_path):
    tiny = sk.load("tiny", device="cpu")
    forget_encodings(tiny)
    cells = sk.grid(seed=[1, 2], motion_bucket_id=[20, 240], **SMALL)
    with counting(tiny) as counts:
        sk.sweep(sk.sample_image(), tiny, cells, tmp_path / "kite", progress=False)
    assert counts == {"clip": 1, "vae": 2}


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"motion_bucket_id": 20, "fps": 20, "num_inference_steps": 2}, (0, 0)),
        ({"num_frames": 3, "decode_chunk_size": 1, "max_guidance_scale": 4}, (0, 0)),
        ({"guidance": "triangle", "num_frames": 3}, (0, 0)),
        ({"seed": 8}, (0, 1)),
        ({"noise_aug_strength": 0.3}, (0, 1)),
        ({"max_guidance_scale": 1.0}, (1, 1)),
        ({"height": 40}, (1, 1)),
        ({"image": sk.sample_image().rotate(180)}, (1, 1)),
    ],
)
def test_what_an_encoding_depends_on_has_it_made_anew(changes, more):
    pipeline = fresh()
    with counting(pipeline) as counts:
        animated(pipeline)
        kept = animated(pipeline, **changes)
        assert tuple(counts.values()) == (1 + more[0], 1 + more[1])
        animated(pipeline)
        assert tuple(counts.values()) == (1 + more[0], 1 + more[1]), "the first is kept, too"
    assert np.array_equal(kept, animated(fresh(), **changes))


def let_in_place(pipeline):
    for part in (pipeline.image_encoder, pipeline.vae):
        part.load_state_dict({name: value * 1.1 for name, value in part.state_dict().items()})


def let_assign(pipeline):
    for part in (pipeline.image_encoder, pipeline.vae):
        state = {name: value * 1.1 for name, value in part.state_dict().items()}
        part.load_state_dict(state, assign=True)


def let_write_into_data(pipeline):
    for part in (pipeline.image_encoder, pipeline.vae):
        for weight in part.parameters():
            weight.data.mul_(1.1)


def let_one_number_change(pipeline):
    with torch.no_grad():
        pipeline.image_encoder.visual_projection.weight[3, 5] += 1
        pipeline.vae.encoder.conv_in.weight[3, 2, 1, 1] += 1


def let_round(pipeline):
    pipeline.to(torch.bfloat16)
    pipeline.to(torch.float32)


def let_another_come(pipeline):
    other = fresh(seed=5)
    pipeline.register_modules(vae=other.vae, image_encoder=other.image_encoder)


def let_part_of_another_come(pipeline):
    other = fresh(seed=5)
    pipeline.vae.encoder = other.vae.encoder
    pipeline.image_encoder.visual_projection = other.image_encoder.visual_projection


def let_a_hook_answer(pipeline):
    pipeline.image_encoder.visual_projection.register_forward_hook(lambda *told: told[2] * 2)
    pipeline.vae.encoder.conv_in.register_forward_hook(lambda *told: told[2] * 2)


@pytest.mark.parametrize(
    "let",
    [
        let_in_place,
        let_assign,
        let_write_into_data,
        let_one_number_change,
        let_round,
        let_another_come,
        let_part_of_another_come,
        let_a_hook_answer,
    ],
)
def test_other_weights_encode_anew(let):
    pipeline, anew = fresh(), fresh()
    before = animated(pipeline)
    let(pipeline)
    let(anew)
    after = animated(pipeline)
    assert not np.array_equal(after, before)
    assert np.array_equal(after, animated(anew))


def test_another_dtype_encodes_anew():
    pipeline = fresh()
    animated(pipeline)
    pipeline.to(torch.bfloat16)
    assert np.array_equal(animated(pipeline), animated(fresh(dtype=torch.bfloat16)))


def test_another_normalisation_encodes_anew():
    pipeline, anew = fresh(), fresh()
    with counting(pipeline) as counts:
        animated(pipeline)
        for each in (pipeline, anew):
            each.feature_extractor.image_mean = [0.1, 0.2, 0.3]
        frames = animated(pipeline)
        assert counts == {"clip": 2, "vae": 1}
    assert np.array_equal(frames, animated(anew))


def test_another_number_of_threads_encodes_anew():
    """Sums of floats come out otherwise."""
    pipeline = fresh()
    with counting(pipeline) as counts:
        animated(pipeline)
        torch.set_num_threads(2)
        animated(pipeline)
    assert counts == {"clip": 2, "vae": 2}


def test_a_half_precision_vae_that_turns_to_fp32_and_back_encodes_once():
    pipeline, anew = (fresh(dtype=torch.float16) for _ in range(2))
    for each in (pipeline, anew):
        each.vae.register_to_config(force_upcast=True)
    with counting(pipeline) as counts:
        animated(pipeline, fps=5)
        frames = animated(pipeline, fps=20)
    assert counts == {"clip": 1, "vae": 1}
    assert pipeline.vae.dtype == torch.float16
    assert np.array_equal(frames, animated(anew, fps=20))


def test_the_model_is_told_the_very_same_embedding():
    pipeline = fresh()
    met = []
    pipeline.unet.register_forward_pre_hook(
        lambda _, args, kwargs: met.append(kwargs["encoder_hidden_states"]), with_kwargs=True
    )
    animated(pipeline, fps=5)
    animated(pipeline, fps=20)
    assert met[0] is met[1]


def test_an_encoding_that_somebody_wrote_into_is_made_anew():
    pipeline = fresh()
    wanted = animated(pipeline)

    def spoilt(encode, *args, **how):
        return encode(*args, **how).mul_(2)

    around = {"_encode_image": spoilt, "_encode_vae_image": spoilt}
    settings = sk.Settings(
        32, 56, 2, num_inference_steps=1, decode_chunk_size=2, max_guidance_scale=2.0
    )
    picture = sk.fit(sk.sample_image(), 32, 56)
    run(pipeline, picture, settings, 7, steering=Steering(around))
    assert np.array_equal(animated(pipeline), wanted)


def test_what_is_around_the_encoders_already_sees_each_call():
    pipeline = fresh()
    seen = []

    def watched(encode, image, *args, **how):
        seen.append(encode(image, *args, **how))
        return seen[-1]

    def begun(prepare, *args, **how):
        seen.append(None)
        return prepare(*args, **how)

    around = {"_encode_vae_image": watched, "prepare_latents": begun}
    settings = sk.Settings(32, 56, 2, num_inference_steps=1, decode_chunk_size=2)
    picture = sk.fit(sk.sample_image(), 32, 56)
    with counting(pipeline) as counts:
        for _ in range(2):
            run(pipeline, picture, settings, 7, steering=Steering(around))
    first, _, second, _ = seen
    assert first is second
    assert counts == {"clip": 1, "vae": 1}
    assert list(around) == ["_encode_vae_image", "prepare_latents"]


def test_a_cinemagraph_finds_the_still_too():
    pipeline = fresh()
    mask = (0, 0, 0.5, 0.5)
    kwargs = {"seed": 7, "progress": False, **SMALL}
    with counting(pipeline) as counts:
        sk.cinemagraph(sk.sample_image(), mask, pipeline, fps=5, **kwargs)
        again = sk.cinemagraph(sk.sample_image(), mask, pipeline, fps=20, **kwargs)
    assert counts == {"clip": 1, "vae": 2}  # with the seed's noise, and without
    alone = sk.cinemagraph(sk.sample_image(), mask, fresh(), fps=20, **kwargs)
    assert np.array_equal(again.frames, alone.frames)


def test_weights_that_are_elsewhere_are_encoded_with_each_time():
    """As diffusers' enable_sequential_cpu_offload leaves them, on the meta device."""
    from accelerate import cpu_offload

    pipeline = fresh()
    wanted = animated(pipeline, fps=20)
    for part in (pipeline.image_encoder, pipeline.unet, pipeline.vae):
        cpu_offload(part, execution_device=torch.device("cpu"))
        assert next(part.parameters()).is_meta
    with counting(pipeline) as counts:
        animated(pipeline, fps=5)
        frames = animated(pipeline, fps=20)
    assert counts == {"clip": 2, "vae": 2}
    assert np.array_equal(frames, wanted)


def test_layers_that_visit_the_device_by_turns_encode_once():
    from diffusers.hooks import apply_group_offloading

    pipeline = fresh()
    wanted = animated(pipeline, fps=20)
    cpu = torch.device("cpu")
    how = {"onload_device": cpu, "offload_device": cpu, "offload_type": "leaf_level"}
    apply_group_offloading(pipeline.image_encoder, **how)
    with counting(pipeline) as counts:
        animated(pipeline, fps=5)
        frames = animated(pipeline, fps=20)
    assert counts == {"clip": 1, "vae": 1}
    assert np.array_equal(frames, wanted)


def test_inference_mode_encodes_once_and_apart():
    pipeline = fresh()
    with counting(pipeline) as counts:
        with torch.inference_mode():
            inside = [animated(pipeline, fps=fps) for fps in (5, 20)]
        outside = animated(pipeline, fps=20)
    assert counts == {"clip": 2, "vae": 2}
    assert np.array_equal(inside[1], outside)


def test_a_pipeline_that_was_made_in_inference_mode_encodes_once():
    with torch.inference_mode():
        pipeline = fresh()
    with counting(pipeline) as counts:
        animated(pipeline, fps=5)
        animated(pipeline, fps=20)
    assert counts == {"clip": 1, "vae": 1}


def encode_some(pipeline, many):
    """Encode so many plain pictures, and give weak references to what became of them."""
    encode = encode_once(pipeline)["_encode_image"]
    kept = []
    with torch.no_grad():
        for number in range(many):
            picture = sk.sample_image().resize((56, 32)).point(lambda value, n=number: value ^ n)
            kept.append(weakref.ref(encode(pipeline._encode_image, picture, "cpu", 1, True)))
    return kept


def test_only_the_last_few_are_kept():
    pipeline = fresh()
    kept = encode_some(pipeline, MOST + 2)
    assert [made() is not None for made in kept] == [False] * 2 + [True] * MOST


@pytest.mark.parametrize("go", [sk.unload, lambda: None], ids=["unload", "the last user"])
def test_nothing_is_held_once_a_pipeline_has_gone(go):
    sk.unload()
    pipeline = sk.load("tiny", device="cpu") if go is sk.unload else fresh()
    animated(pipeline)
    kept = [*encode_some(pipeline, 2), weakref.ref(pipeline), weakref.ref(pipeline.vae)]
    del pipeline
    go()
    gc.collect()
    assert [made() for made in kept] == [None] * 4


def test_a_pipeline_that_stays_can_be_made_to_forget():
    pipeline = fresh()
    kept = encode_some(pipeline, 2)
    forget_encodings(pipeline)
    assert [made() for made in kept] == [None, None]
    with counting(pipeline) as counts:
        animated(pipeline)
    assert counts == {"clip": 1, "vae": 1}
