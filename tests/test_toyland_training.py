"""Toyland's training: each stage learns, pauses and goes on, and its models load like others."""

import copy
import functools
import json
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AnimateDiffPipeline,
    AutoencoderKLTemporalDecoder,
    MotionAdapter,
    StableDiffusionPipeline,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from PIL import Image
from safetensors.torch import load_file
from torch.nn import Conv3d

import svdkit as sk
from svdkit.toyland import (
    architectures,
    evaluate,
    judge,
    jury,
    measures,
    motion_judge,
    motion_parts,
    pools,
    train_svd,
    trained,
    trials,
)
from svdkit.toyland.conditions import clip_pixels, sides_divide_by
from svdkit.toyland.export import WEIGHTS
from svdkit.toyland.forecast import last_doubling, since_taken_up
from svdkit.toyland.judge import train_judge
from svdkit.toyland.jury import judged_clips
from svdkit.toyland.laws import at_rest, progress_of
from svdkit.toyland.loop import train
from svdkit.toyland.motion_judge import (
    LAWFUL,
    both_ways,
    captions_of,
    right_about_painted,
    thing_of,
    train_motion_judge,
)
from svdkit.toyland.optimizers import Optimizer
from svdkit.toyland.plans import Plan
from svdkit.toyland.quick import attention_in_parts, temporal_convolutions_in_2d
from svdkit.toyland.restore import TRAINED, restore, trained_for
from svdkit.toyland.scenes import (
    TrainingBatch,
    captions,
    parse_caption,
    scene,
    training_batch,
    training_dice,
)
from svdkit.toyland.scripts import Script
from svdkit.toyland.staging import paint
from svdkit.toyland.stress import differing, seen_through_noise, stressed
from svdkit.toyland.train import main, run
from svdkit.toyland.train_decoders import DecoderStage
from svdkit.toyland.train_judges import train_jury
from svdkit.toyland.train_motion import MotionStage, noisy_times
from svdkit.toyland.train_sd import ImageStage
from svdkit.toyland.train_sight import SightStage
from svdkit.toyland.train_svd import (
    VideoLesson,
    VideoStage,
    checked,
    denoised,
)
from svdkit.toyland.train_vae import CROP_STEPS, VaeStage, distance
from svdkit.toyland.words import tokenizer

CPU = torch.device("cpu")
AGAIN = {"device": CPU, "resume": True}

# diffusers' scheduler calls np.array on a tensor in a way that numpy 2 will one day refuse.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder in which five of the six stages were trained for a step."""
    out = tmp_path_factory.mktemp("runs")
    train(VaeStage(1, CPU), Plan(steps=1), out, device=CPU)
    train(SightStage(8, CPU), Plan(steps=1), out, device=CPU)
    train(ImageStage(2, CPU, out), Plan(steps=1, draw_every=None), out, device=CPU)
    train(VideoStage(1, CPU, out), Plan(steps=1, draw_every=None), out, device=CPU)
    train(MotionStage(1, CPU, out), Plan(steps=1, draw_every=None), out, device=CPU)
    return out


@pytest.fixture(scope="module")
def weights(runs, tmp_path_factory):
    """The folder of models exported from these runs."""
    folder = tmp_path_factory.mktemp("weights")
    main(["export", "--out", str(runs), "--to", str(folder)])
    return folder


@pytest.fixture(scope="module")
def animatediff(weights):
    """The exported adapter in the exported image model, put together by diffusers alone."""
    adapter = MotionAdapter.from_pretrained(weights / "tiny-animatediff")
    pipeline = AnimateDiffPipeline.from_pretrained(weights / "tiny-sd", motion_adapter=adapter)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("stage", ["vae", "sight", "sd", "svd", "motion"])
def test_a_stage_leaves_a_checkpoint_of_finite_weights(runs, stage):
    learned = trained.read_checkpoint(runs, stage)
    assert learned["step"] == 1
    assert all(torch.isfinite(weight).all() for weight in learned["average"].values())
    assert not list(runs.rglob("*.part"))


def test_a_run_leaves_a_log_and_samples(runs):
    log = [json.loads(line) for line in (runs / "vae" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 1
    assert 0 < log[-1]["sheet_psnr_scenes"] < 30
    assert (runs / "vae" / "samples" / "step-000001.png").exists()


def falling(steps, scatter=0.0, seed=1):
    """Lines as the loop logs them: losses that fall and scatter, smoothed."""
    dice, smooth, lines = np.random.default_rng(seed), None, []
    for step in steps:
        loss = 4 * step**-0.3 * (1 + scatter * dice.standard_normal())
        smooth = loss if smooth is None else 0.8 * smooth + 0.2 * loss
        lines.append({"step": step, "rate": 1e-3, "loss": smooth})
    return lines


def test_a_log_tells_what_its_last_doubling_has_brought():
    steps = range(100, 4000, 25)
    told = last_doubling(falling(steps))
    assert told["loss_at_half_the_steps"] == pytest.approx(4 * 1730**-0.3, rel=0.03)
    assert told["loss_by_now"] == pytest.approx(4 * 3460**-0.3, rel=0.03)
    cooled = [*falling(steps), {"step": 5000, "rate": 1e-5, "loss": 1e-3}]
    assert last_doubling(cooled) == told  # there the loss follows the rate
    misses = 0
    for seed in range(50):
        told = last_doubling(falling(steps, scatter=0.3, seed=seed))
        misses += abs(told["loss_by_now"] - 4 * 3460**-0.3) > 2 * told["give_or_take"]
    assert misses <= 5


def test_a_short_log_tells_of_no_doubling():
    assert last_doubling([]) == {}
    assert last_doubling([{"step": 9, "sheet_error": 0.1}]) == {}
    assert last_doubling(falling(range(100, 1000, 25))) == {}
    assert last_doubling(falling(range(6000, 10000, 25))) == {}  # it was resumed beyond the half
    lost = [{"step": n, "rate": 1e-3, "loss": float("nan")} for n in range(100, 4000, 25)]
    assert last_doubling(lost) == {}


def test_a_long_run_ends_with_what_its_last_doubling_has_brought(tmp_path):
    log = tmp_path / "lesson" / "log.jsonl"
    log.parent.mkdir()
    lines = "".join(json.dumps(line) + "\n" for line in falling(range(100, 4000, 25)))
    log.write_text(lines)
    pipeline = sk.load("tiny", device="cpu", arithmetic="stock", dtype="float32")
    told = []
    lesson = VideoLesson(pipeline, small_clips, clips=1)
    train(lesson, Plan(steps=1, draw_every=None), tmp_path, device=CPU, tell=told.append)
    assert json.loads(log.read_text().splitlines()[-1]) == told[-1]
    assert told[-1]["loss_by_now"] < told[-1]["loss_at_half_the_steps"]
    sk.unload()


def test_decoders_learn_on_while_latents_keep_their_meaning(runs, tmp_path):
    shutil.copytree(runs / "vae", tmp_path / "vae")
    before, after = trained.trained_vaes(tmp_path)[0], DecoderStage(1, CPU, tmp_path)
    train(after, Plan(steps=1, draw_every=None), tmp_path, device=CPU)
    refined = trained.trained_vaes(tmp_path)[0]
    assert refined.config.scaling_factor == before.config.scaling_factor
    new = refined.state_dict()
    learned = [name for name, old in before.state_dict().items() if not torch.equal(old, new[name])]
    assert learned
    assert all(name.startswith("decoder.") for name in learned)
    train(DecoderStage(1, CPU, tmp_path), Plan(steps=2, draw_every=None), tmp_path, **AGAIN)
    assert trained.read_checkpoint(tmp_path, "decoders")["step"] == 2
    with pytest.raises(ValueError, match="has learned on from it, and its encoder"):
        main(["vae", "--steps", "2", "--resume", "--out", str(tmp_path)])


def test_no_decoders_of_another_vae_get_into_restored_models(weights, tmp_path):
    (tmp_path / "decoders").mkdir()
    (tmp_path / "decoders" / "checkpoint.pt").touch()
    with pytest.raises(FileExistsError, match="exists, and would be lost"):
        restore(tmp_path, weights)


def test_an_edge_counts_on_both_sides_of_a_thing():
    wanted, counts = torch.zeros(1, 3, 8, 8), torch.full((1, 1, 8, 8), 0.5)
    counts[..., 3:5, 3:5] = 5.0

    def lost(row, column):
        made = wanted.clone()
        made[..., row, column] = 1
        return float(distance(made, wanted, counts))

    assert lost(3, 2) == lost(2, 3) == lost(3, 5) == lost(5, 3)
    assert lost(3, 3) > lost(3, 2) > lost(1, 1)


def test_a_thing_at_rest_is_painted_where_it_is_said_to_be():
    script = Script.roll_all([[0, 0, kind, 0] for kind in (0, 1, 3, 5)], training_dice(7))
    places, facing = at_rest(script, 112 / 64)
    alone = replace(script, thing=torch.full((4,), -1))
    still = torch.zeros(4, 1, 1, 1)
    change = (paint(script, still, 64, 112) - paint(alone, still, 64, 112)).abs().sum((1, 2))
    across, down = torch.meshgrid(torch.arange(112.0), torch.arange(64.0), indexing="xy")
    weight = change.sum((1, 2))
    middles = [(change * where).sum((1, 2)) / weight for where in (across, down)]
    painted = torch.stack([(middles[0] - 55.5) / 32, (middles[1] - 31.5) / 32], 1)
    assert (painted - places).abs().max() < 0.15
    assert facing.abs().tolist() == [0, 0, 1, 1]  # a balloon, a ball, a cart, a bird


def test_sight_learns_what_is_in_unseen_pictures(tmp_path):
    torch.manual_seed(0)
    stage = SightStage(64, CPU)
    _, before = stage.sample_sheet(stage.networks)
    plan = Plan(steps=60, peak_rate=5e-3, warm_up=10, average_over=10, draw_every=None)
    train(stage, plan, tmp_path, device=CPU)
    sheet, after = stage.sample_sheet(stage.networks)
    assert sheet.size == (8 * 112, 64)
    assert after["sheet_sky"] > 0.75 > before["sheet_sky"]


def test_a_mirrored_picture_has_mirrored_answers():
    stage = SightStage(16, CPU)
    seen, answers, places = stage.painted(0, 16)
    asked = []
    stage.answered = lambda networks, examples: asked.append(examples)
    stage.pool.draw = lambda step, n, dice: (seen, answers, places)
    stage.loss(0)
    shown, said, where = asked[0]
    same = (shown == seen).flatten(1).all(1)
    assert 0 < same.sum() < 16
    assert torch.equal(shown[~same], seen[~same].flip(-1))
    assert torch.equal(where[~same, 0], -places[~same, 0])
    assert torch.equal(where[:, 1], places[:, 1])
    faced = (answers[:, 4] >= 0) & ~same
    assert faced.any()
    assert torch.equal(said[faced, 4], 1 - answers[faced, 4])
    assert torch.equal(said[~faced], answers[~faced])


def test_an_image_stage_draws_its_captions(runs):
    stage = ImageStage(2, CPU, runs)
    sheet, _ = stage.sample_sheet(stage.networks, steps=2)
    assert sheet.size == (112, 8 * 64)


def test_a_video_stage_draws_clips_below_what_really_happens(runs):
    stage = VideoStage(1, CPU, runs)
    sheet, figures = stage.sample_sheet(stage.networks, steps=2)
    assert sheet.size == (7 * 112, 2 * 64)
    assert figures["sheet_error"] > figures["sheet_error_if_frozen"]  # nothing is learned yet


def small_clips(n, number):
    """Three frames of a world of one's own: grey pictures that become lighter."""
    light = torch.rand(n, generator=torch.Generator().manual_seed(number))
    grey = light[:, None] + torch.linspace(0, 0.5, 3)
    frames = (grey - 1)[:, :, None, None, None].expand(-1, -1, 3, 32, 48)
    return TrainingBatch(frames, 100 + light, 5 + light, [""] * n)


def test_a_lesson_teaches_a_pipeline_clips_of_ones_own(tmp_path):
    pipeline = sk.load("tiny", device="cpu", arithmetic="stock", dtype="float32")
    before = {name: weight.clone() for name, weight in pipeline.unet.state_dict().items()}
    vae = {name: weight.clone() for name, weight in pipeline.vae.state_dict().items()}
    told = []
    lesson = VideoLesson(pipeline, small_clips, clips=2)
    train(lesson, Plan(steps=2, draw_every=99), tmp_path, device=CPU, tell=told.append)
    taught = lesson.taught(tmp_path)
    learned = taught.unet.state_dict()
    assert all(torch.isfinite(weight).all() for weight in learned.values())
    assert any(not torch.equal(old, learned[name]) for name, old in before.items())
    kept = pipeline.unet.state_dict()
    assert all(torch.equal(old, kept[name]) for name, old in before.items())
    assert all(torch.equal(old, taught.vae.state_dict()[name]) for name, old in vae.items())
    lines = (tmp_path / "lesson" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == told
    with Image.open(tmp_path / "lesson" / "samples" / "step-000002.png") as sheet:
        assert sheet.size == (2 * 48, 2 * 2 * 32)  # every other of three frames, painted and made
    clip = sk.animate(
        Image.new("RGB", (48, 32)),
        taught,
        height=32,
        width=48,
        num_frames=3,
        num_inference_steps=1,
        seed=1,
    )
    assert clip.frames.shape == (3, 32, 48, 3)
    sk.unload()


def test_a_lesson_on_pictures_that_do_not_move_runs_too(tmp_path):
    def stills(n, number):
        clips = small_clips(n, number)
        return clips._replace(frames=clips.frames[:, :1])

    pipeline = sk.load("tiny", device="cpu", arithmetic="stock", dtype="float32")
    lesson = VideoLesson(pipeline, stills, clips=2)
    done = train(
        lesson, Plan(steps=8, draw_every=None), tmp_path, device=CPU, tell=lambda line: ...
    )
    assert done == 1
    sk.unload()


@pytest.mark.parametrize(
    ("frames", "lesson"),
    [
        (torch.zeros(2, 3, 32, 48), r"shape \(2, 3, 32, 48\).*\(2, 14, 3, 64, 128\)"),
        (torch.zeros(1, 3, 3, 32, 48), r"wants \(2, frames, 3, height, width\)"),
        (torch.zeros(2, 3, 3, 30, 48), "multiples of 8"),
        (torch.full((2, 3, 3, 32, 48), 255.0), r"from 255 to 255.*make 2 \* c - 1"),
        (torch.full((2, 3, 3, 32, 48), torch.nan), "from nan to nan"),
    ],
)
def test_a_lesson_says_what_is_wrong_with_clips_that_it_cannot_use(frames, lesson):
    with pytest.raises(ValueError, match=lesson):
        checked(frames, n=2, grid=8)


def test_a_lesson_asks_for_sizes_that_its_pipeline_can_halve_as_often_as_it_does():
    """`tiny`'s VAE halves a picture twice and its UNet once; the original's do it three times."""
    original = sk.MODELS["svd-xt"]
    with torch.device("meta"):
        parts = (
            AutoencoderKLTemporalDecoder.from_config(original.config_of("vae")),
            UNetSpatioTemporalConditionModel.from_config(original.config_of("unet")),
        )
    large = architectures.video_pipeline(*parts, architectures.image_encoder())
    tiny = architectures.video_pipeline(
        architectures.video_vae(), architectures.video_unet(), architectures.image_encoder()
    )
    frames = torch.zeros(1, 3, 3, 72, 112)
    assert checked(frames, 1, VideoLesson(tiny, training_batch, clips=1).grid) is frames
    with pytest.raises(ValueError, match=r"multiples of 64, such as \(1, 14, 3, 64, 128\)"):
        checked(frames, 1, sides_divide_by(large))


def test_errors_are_stressed_where_things_move_but_only_in_clips_whose_picture_is_there(
    runs, monkeypatch
):
    stage, asked = VideoStage(8, CPU, runs), []
    monkeypatch.setattr(
        train_svd, "stressed", lambda *how: asked.append(stressed(*how)) or asked[-1]
    )
    for dropped in (0.0, 1.0):
        monkeypatch.setattr(train_svd, "DROPPED", dropped)
        stage.loss(0)
    told, untold = asked
    assert (told.amax((1, 2, 3, 4)) > 1.5).any()
    assert (untold == 1).all()


def test_a_motion_stage_draws_clips_below_painted_ones(runs):
    stage = MotionStage(1, CPU, runs)
    sheet, figures = stage.sample_sheet(stage.networks, steps=2)
    assert sheet.size == (7 * 112, 2 * 64)
    assert 0 < figures["sheet_change_painted"] < 0.1
    assert figures["sheet_change"] > 0


def test_only_motion_modules_learn_while_the_image_model_stays_as_it_was(runs, tmp_path):
    shutil.copytree(runs / "vae", tmp_path / "vae")
    shutil.copytree(runs / "sd", tmp_path / "sd")
    stage = MotionStage(1, CPU, tmp_path)
    before = {name: weight.clone() for name, weight in stage.unet.state_dict().items()}
    said = stage.read(["a red ball on the snow by day"])
    train(stage, Plan(steps=2, draw_every=None), tmp_path, device=CPU)
    after = stage.unet.state_dict()
    learned = [name for name, old in before.items() if not torch.equal(old, after[name])]
    assert learned
    assert all(".motion_modules." in name for name in learned)
    assert torch.equal(stage.read(["a red ball on the snow by day"]), said)
    saved = trained.read_checkpoint(tmp_path, "motion")["networks"]
    assert saved.keys() == {f"adapter.{n}" for n in motion_parts.motion_adapter().state_dict()}
    assert (tmp_path / "motion" / "checkpoint.pt").stat().st_size < 20e6


def test_a_motion_stage_goes_on_from_its_checkpoint(runs, tmp_path):
    for stage in ("vae", "sd", "motion"):
        shutil.copytree(runs / stage, tmp_path / stage)
    before = trained.read_checkpoint(tmp_path, "motion")["networks"]
    stage = MotionStage(1, CPU, tmp_path)
    train(stage, Plan(steps=2, draw_every=None), tmp_path, device=CPU, resume=True)
    after = trained.read_checkpoint(tmp_path, "motion")
    assert after["step"] == 2
    moved = max(float((after["networks"][name] - old).abs().max()) for name, old in before.items())
    assert 0 < moved < 1e-3  # a step of the warm-up: it began where the checkpoint ended


def test_every_time_of_the_diffusion_is_within_the_schedule():
    times = noisy_times(5_000_000, torch.Generator().manual_seed(0))
    assert (int(times.min()), int(times.max())) == (0, 999)
    assert 640 < float(times.double().mean()) < 690


def test_motion_modules_learn_at_twice_the_rate_of_the_plan(runs, tmp_path):
    for stage in ("vae", "sd"):
        shutil.copytree(runs / stage, tmp_path / stage)
    plan = Plan(steps=1, warm_up=0, cool_down=0, draw_every=None)
    run("motion", tmp_path, plan, clips=1)
    groups = trained.read_checkpoint(tmp_path, "motion")["optimizer"][0]["param_groups"]
    assert groups[0]["lr"] == 2 * plan.peak_rate


def test_untrained_motion_modules_change_nothing():
    image, adapter = architectures.image_unet(), motion_parts.motion_adapter()
    noisy, said = torch.randn(2, 3, 4, 16, 28), torch.randn(2, 16, 64)
    times = torch.tensor([10, 900])
    with torch.no_grad():
        still = image(noisy.flatten(0, 1), times.repeat_interleave(3), said.repeat_interleave(3, 0))
        moving = motion_parts.motion_unet(image, adapter)(
            noisy.transpose(1, 2), times, said.repeat_interleave(3, 0)
        )
    assert torch.allclose(moving.sample.transpose(1, 2).flatten(0, 1), still.sample, atol=1e-5)


def test_a_training_batch_can_keep_one_pace():
    free = training_batch(3, seed=5, photos=0.0)
    paced = training_batch(3, seed=5, photos=0.0, motion_bucket_id=127, fps=7)
    assert len(set(free.motion_bucket_id.tolist())) == 3
    assert paced.motion_bucket_id.tolist() == [127.0] * 3
    assert paced.fps.tolist() == [7.0] * 3
    assert paced.captions == free.captions
    assert torch.equal(paced.frames[:, 0], free.frames[:, 0])


def test_an_interrupted_run_ends_where_an_uninterrupted_one_ends(runs, tmp_path):
    class InterruptedRunError(Exception):
        pass

    def interrupt(step):
        if step == 2:
            raise InterruptedRunError

    def run(name, **how):
        plan = Plan(steps=4, draw_every=None)
        train(ImageStage(2, CPU, runs), plan, tmp_path / name, device=CPU, **how)

    run("whole")
    with pytest.raises(InterruptedRunError):
        run("halves", after_step=interrupt)
    assert trained.read_checkpoint(tmp_path / "halves", "sd")["step"] == 2
    run("halves", resume=True)
    whole, halves = (trained.read_checkpoint(tmp_path / name, "sd") for name in ("whole", "halves"))
    assert whole["step"] == halves["step"] == 4
    for kind in ("networks", "average"):
        assert all(torch.equal(halves[kind][name], weight) for name, weight in whole[kind].items())


def test_what_the_vae_learns_from_depends_on_the_step_alone():
    through, resumed = VaeStage(1, CPU), VaeStage(1, CPU)
    for step in range(through.ahead + 2):
        seen = through.batch(step)
    for field, same in zip(seen, resumed.batch(through.ahead + 1), strict=True):
        assert torch.equal(field, same)


def test_to_the_vae_an_error_counts_more_where_a_thing_is():
    stage = VaeStage(1, CPU)
    stage.crop_steps = 0
    clips, counts = stage.batch(0)
    assert counts.shape == (*clips.shape[:2], 1, *clips.shape[3:])
    assert torch.allclose(counts.mean((1, 2, 3, 4)), torch.ones(len(clips)), atol=1e-4)
    assert counts.max() > 4
    crops = VaeStage(1, CPU)
    counts = [crops.batch(crops.ahead * chunk)[1] for chunk in range(4)]
    assert {field.shape[-2:] for field in counts} == {(32, 32)}
    assert max(field.max() for field in counts) > 4  # in some of them there is a thing


def test_clips_without_their_things_are_otherwise_the_same():
    for seed in range(3):
        with_things = training_batch(12, seed, num_frames=3, photos=0.25)
        bare = training_batch(12, seed, num_frames=3, photos=0.25, things=False)
        assert bare.captions == with_things.captions
        for caption, one, other in zip(bare.captions, with_things.frames, bare.frames, strict=True):
            has_thing = bool(caption) and parse_caption(caption)[2] >= 0
            differs = ((one - other).abs() > 1e-3).any(1).float().mean()
            assert 0 < differs < 0.5 if has_thing else differs == 0, caption


def test_a_finished_run_is_not_overwritten(runs):
    with pytest.raises(FileExistsError, match="add --resume"):
        train(VaeStage(1, CPU), Plan(steps=1), runs, device=CPU)


def test_a_loss_falls_when_one_batch_is_learned_by_heart(runs):
    stage = ImageStage(2, CPU, runs)
    optimizer = torch.optim.AdamW(stage.networks.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        loss, _ = stage.loss(step=0)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_vae_sees_crops_first_and_clips_of_every_length_later():
    stage = VaeStage(1, CPU)
    assert {field.shape[-2:] for field in stage.batch(0)} == {(32, 32)}
    chunks = [stage.batch(CROP_STEPS + stage.ahead * chunk)[0] for chunk in range(6)]
    shapes = {tuple(clips.shape[1:]) for clips in chunks}
    assert (14, 3, 64, 112) in shapes
    assert len({shape[0] for shape in shapes}) >= 3


@pytest.mark.parametrize(
    ("model", "cls"), [("tiny", StableVideoDiffusionPipeline), ("tiny-sd", StableDiffusionPipeline)]
)
def test_an_exported_model_loads_with_from_pretrained(weights, model, cls):
    pipeline = cls.from_pretrained(weights / model)
    assert isinstance(pipeline, cls)
    assert len(json.loads((weights / model / "preview.json").read_text())["latent_to_rgb"]) == 5
    assert "svdkit" in (weights / model / "README.md").read_text()


def test_a_loaded_text_encoder_reads_as_the_trained_one_did(runs, weights):
    pipeline = StableDiffusionPipeline.from_pretrained(weights / "tiny-sd")
    learned = architectures.text_encoder(tokenizer())
    learned.load_state_dict(trained.part(trained.read_checkpoint(runs, "sd")["average"], "encoder"))
    ids = torch.tensor([pipeline.tokenizer("a red balloon over green hills at dusk").input_ids])
    with torch.no_grad():
        read, meant = pipeline.text_encoder(ids)[0], learned.eval()(ids)[0]
    assert torch.allclose(read, meant, atol=0.02)  # it was stored in fp16


def test_an_export_is_written_for_older_transformers_too(weights):
    assert '"CLIPImageProcessor"' in (weights / "tiny" / "model_index.json").read_text()
    assert (weights / "tiny-sd" / "tokenizer" / "vocab.json").exists()
    names = load_file(weights / "tiny-sd" / "text_encoder" / "model.safetensors")
    assert all(name.startswith("text_model.") for name in names)


def test_the_models_and_the_adapter_fit_into_the_wheel(weights):
    def size(model):
        return sum(file.stat().st_size for file in (weights / model).rglob("*"))

    assert size("tiny") + size("tiny-sd") < 32e6
    assert 1e6 < size("tiny-animatediff") < 8e6


def test_the_exported_adapter_is_the_averaged_one(runs, weights):
    adapter = MotionAdapter.from_pretrained(weights / "tiny-animatediff")
    learned = trained.part(trained.read_checkpoint(runs, "motion")["average"], "adapter")
    assert all(
        torch.allclose(weight, learned[name], atol=1e-3)
        for name, weight in adapter.state_dict().items()
    )
    card = (weights / "tiny-animatediff" / "README.md").read_text()
    assert "`MotionAdapter`" in card
    assert "1.1 million" in card


def test_the_exported_adapter_makes_a_clip_of_its_own_length(animatediff):
    frames = animatediff(
        "a red balloon over green hills at dusk",
        14,
        64,
        112,
        2,
        generator=torch.manual_seed(0),
        output_type="np",
    ).frames[0]
    assert frames.shape == (14, 64, 112, 3)
    assert np.isfinite(frames).all()


def test_no_adapter_is_exported_where_none_was_trained(runs, tmp_path):
    for stage in ("vae", "sight", "sd", "svd"):
        shutil.copytree(runs / stage, tmp_path / "runs" / stage)
    main(["export", "--out", str(tmp_path / "runs"), "--to", str(tmp_path / "weights")])
    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == ["tiny", "tiny-sd"]


def refusing(rename, name):
    """A rename as where another program reads new models of this name."""

    def renamed(path, target):
        if path.name == name and path.parent.name == "new":
            raise PermissionError(f"{path} is in use")
        return rename(path, target)

    return renamed


def test_an_export_takes_the_place_of_all_models_or_of_none(runs, weights, tmp_path, monkeypatch):
    models = shutil.copytree(weights, tmp_path / "models")
    before = {path: path.read_bytes() for path in models.rglob("*.safetensors")}
    for stage in ("vae", "sight", "sd", "svd"):
        shutil.copytree(runs / stage, tmp_path / "runs" / stage)
    with pytest.raises(FileExistsError, match=r"tiny-animatediff would stay .* Train motion in"):
        main(["export", "--out", str(tmp_path / "runs"), "--to", str(models)])
    assert {path: path.read_bytes() for path in models.rglob("*.safetensors")} == before
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refusing(Path.rename, "tiny-sd"))
        with pytest.raises(PermissionError):
            main(["export", "--out", str(runs), "--to", str(models)])
    assert {path: path.read_bytes() for path in models.rglob("*.safetensors")} == before
    with pytest.raises(FileNotFoundError, match=r"nowhere/vae/checkpoint\.pt is missing"):
        main(["export", "--out", "nowhere", "--to", str(models)])
    main(["export", "--out", str(runs), "--to", str(models)])
    assert {path.name for path in models.iterdir()} == {"tiny", "tiny-sd", "tiny-animatediff"}
    assert {path.name for path in tmp_path.iterdir()} == {"models", "runs"}


def test_tiny_makes_a_clip_of_its_own_length(weights):
    pipeline = StableVideoDiffusionPipeline.from_pretrained(weights / "tiny")
    pipeline.set_progress_bar_config(disable=True)
    frames = pipeline(
        scene(seed=1).image, 64, 112, 14, 2, generator=torch.manual_seed(0), output_type="np"
    ).frames[0]
    assert frames.shape == (14, 64, 112, 3)
    assert np.isfinite(frames).all()


def test_both_models_mean_the_same_by_a_latent(runs):
    video, image = trained.trained_vaes(runs)
    picture = torch.rand(1, 3, 64, 112) * 2 - 1
    latents = [vae.encode(picture).latent_dist.mode() for vae in (video, image)]
    assert torch.equal(*latents)
    assert video.config.scaling_factor == image.config.scaling_factor


def test_the_video_model_begins_from_the_image_model():
    video, image = architectures.video_unet(), architectures.image_unet()
    assert architectures.begin_from_image_unet(video, image) == len(image.state_dict())
    block = video.down_blocks[0].resnets[0].spatial_res_block.conv1
    assert torch.equal(block.weight, image.down_blocks[0].resnets[0].conv1.weight)
    assert (video.conv_in.weight[:, 4:] == 0).all()


def test_the_video_model_learns_beside_the_encoder_that_learned_to_see(runs, weights, tmp_path):
    for stage in ("vae", "sight"):
        shutil.copytree(runs / stage, tmp_path / stage)
    sees = trained.part(trained.read_checkpoint(runs, "sight")["average"], "encoder")
    stage = VideoStage(1, CPU, tmp_path)
    train(stage, Plan(steps=1, draw_every=None), tmp_path, device=CPU)
    learned = stage.taught(tmp_path).image_encoder.state_dict()
    assert all(torch.equal(learned[name], weight) for name, weight in sees.items())
    saved = trained.read_checkpoint(tmp_path, "svd")["average"]
    assert all(name.startswith("unet.") for name in saved)
    exported = StableVideoDiffusionPipeline.from_pretrained(weights / "tiny").image_encoder
    exported = exported.state_dict()
    assert all(torch.equal(exported[n], weight.half().float()) for n, weight in sees.items())
    shutil.rmtree(tmp_path / "sight")
    with pytest.raises(FileNotFoundError, match=r"sight/checkpoint\.pt is missing; train it first"):
        VideoStage(1, CPU, tmp_path)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back so")
def test_a_process_that_keeps_its_memory_need_not_ask_for_it_again():
    script = """if True:
        import resource, sys, torch
        from svdkit.toyland.quick import keep_memory
        kept = sys.argv[1] == "kept" and keep_memory()
        for _ in range(8):  # until what is freed is one piece, and large enough
            torch.ones(2**24)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(4):
            torch.ones(2**24)
        print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """
    run = functools.partial(subprocess.run, capture_output=True, text=True, check=True)
    ways = {way: run([sys.executable, "-c", script, way]).stdout for way in ("kept", "usual")}
    kept, usual = (said.split() for said in ways.values())
    assert kept[0] == "True"
    assert 10 * int(kept[1]) < int(usual[1])  # of pages that the system had to hand out


def test_temporal_convolutions_in_2d_are_exact_forward_and_backward():
    convolution = Conv3d(4, 6, (3, 1, 1), padding=(1, 0, 0))
    inputs = [torch.randn(2, 4, 5, 3, 7).requires_grad_() for _ in range(2)]
    inputs[1].data.copy_(inputs[0].data)
    results = []
    for x, flat in zip(inputs, (False, True), strict=True):
        convolution.zero_grad()
        if flat:
            with temporal_convolutions_in_2d(convolution):
                y = convolution(x)
        else:
            y = convolution(x)
        y.square().sum().backward()
        results.append((y, x.grad, convolution.weight.grad.clone(), convolution.bias.grad.clone()))
    for threefold, flat in zip(*results, strict=True):
        assert torch.allclose(threefold, flat, atol=1e-4, rtol=1e-4)
    assert "forward" not in vars(convolution)


def test_attention_in_parts_gives_the_same_and_leaves_the_model_as_it_was():
    unet, latents = architectures.image_unet(), torch.randn(1, 4, 16, 28)
    usual = dict(unet.attn_processors)
    fused = unet(
        latents, 500, torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(4))
    ).sample
    with attention_in_parts(unet):
        in_parts = unet(
            latents, 500, torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(4))
        ).sample
        assert unet.attn_processors.keys() == usual.keys()
    assert torch.allclose(fused, in_parts, atol=1e-4, rtol=1e-4)
    assert unet.attn_processors == usual


def test_the_optimizer_moves_every_weight_and_goes_on_as_it_would_have():
    def learned(interrupted: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        unet = architectures.image_unet()
        optimizer = Optimizer(unet)
        for step in range(3):
            if interrupted and step == 2:
                saved, optimizer = optimizer.state_dict(), Optimizer(unet)
                optimizer.load_state_dict(saved)
            said = torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(4))
            noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
            unet(noise, 500 + step, said).sample.square().mean().backward()
            optimizer.step(rate=1e-3)
        return unet.state_dict()

    torch.manual_seed(0)
    before, after, resumed = architectures.image_unet().state_dict(), learned(False), learned(True)
    assert all(not torch.equal(before[name], weight) for name, weight in after.items())
    assert all(torch.equal(resumed[name], weight) for name, weight in after.items())


def test_models_are_measured_at_their_own_defaults():
    tiny = sk.MODELS["tiny"].defaults
    own = (tiny["num_inference_steps"], tiny["max_guidance_scale"])
    assert own == (trials.STEPS, trials.GUIDANCE)
    for name, how in (("tiny-sd", judge), ("tiny-animatediff", jury)):
        row = sk.PROMPT_MODELS[name]
        assert (row.num_inference_steps, row.guidance_scale) == (how.STEPS, how.GUIDANCE)


def test_an_error_counts_more_where_a_thing_moves():
    drawn = scene(seed=3, caption="a red balloon over green hills by day")
    frames = measures.to_frames(drawn.clip())[None]
    counts = stressed(differing(frames, frames[:, :1], (16, 28)))[0, 0, 0]
    assert counts.mean() == pytest.approx(1)
    moves = (frames[0] - frames[0, :1]).abs().amax((0, 1)) > 0.5
    moves = moves.unfold(0, 4, 4).unfold(1, 4, 4).any(-1).any(-1)
    assert counts[moves].min() > 3 * counts.median()


def test_an_error_counts_more_where_a_thing_is_drawn_unless_noise_hides_it(runs):
    stage = ImageStage(2, CPU, runs)
    latents, _, there = stage.encoded(number=1, n=8)
    assert latents.shape[2:] == there.shape[3:]
    things = there.amax((1, 2, 3, 4)) > 0.1
    assert things.any()
    clear, dim, dark = (
        stressed(there, seen_through_noise(torch.full((8,), signal)))[things].amax((1, 2, 3, 4))
        for signal in (1.0, 0.1, 0.0)
    )
    assert (clear > dim).all()
    assert (dim > 1.1).all()
    assert (dark == 1).all()


def test_a_restored_model_has_the_whole_plan_before_it_and_its_past_on_its_card(tmp_path):
    restore(tmp_path)  # the models that svdkit brings
    minutes = int(TRAINED.search((WEIGHTS / "tiny" / "README.md").read_text())[2])
    learned = trained.read_checkpoint(tmp_path, "svd")
    assert Plan(minutes=10).done(learned["step"], learned["seconds"]) == 0
    torch.save(learned | {"seconds": 1200.0}, tmp_path / "svd" / "checkpoint.pt")
    main(["export", "--out", str(tmp_path), "--to", str(tmp_path / "models")])
    card = (tmp_path / "models" / "tiny" / "README.md").read_text()
    assert f"in {minutes + 20} minutes" in card


def test_restored_models_are_trained_on_and_exported_as_they_were(tmp_path, weights):
    main(["restore", "--out", str(tmp_path / "runs"), "--to", str(weights)])
    main(["export", "--out", str(tmp_path / "runs"), "--to", str(tmp_path / "again")])
    files = [path.relative_to(weights) for path in weights.rglob("*.safetensors")]
    assert len(files) == 7
    for path in files:
        old, new = load_file(weights / path), load_file(tmp_path / "again" / path)
        assert all(torch.equal(old[name], new[name]) for name in old | new)
    assert trained.read_checkpoint(tmp_path / "runs", "vae")["step"] == CROP_STEPS
    main(["sd", "--steps", "2", "--clips", "1", "--resume", "--out", str(tmp_path / "runs")])
    learned = trained.read_checkpoint(tmp_path / "runs", "sd")
    assert learned["step"] == 2
    assert 0 < learned["seconds"] < 600
    for stage in ("sight", "svd"):
        main([stage, "--steps", "2", "--clips", "1", "--resume", "--out", str(tmp_path / "runs")])
        if stage == "sight":
            with pytest.raises(ValueError, match=r"learned on since svd .* Train svd on"):
                main(["export", "--out", str(tmp_path / "runs"), "--to", str(tmp_path / "again")])
    main(["export", "--out", str(tmp_path / "runs"), "--to", str(tmp_path / "again")])
    with pytest.raises(FileExistsError, match="choose another --out"):
        main(["restore", "--out", str(tmp_path / "runs"), "--to", str(weights)])


def test_a_few_steps_on_from_a_model_count_in_the_average(runs, tmp_path):
    def pause(step):
        if step in (5003, 5004):
            raise KeyboardInterrupt

    model = trained.read_checkpoint(runs, "sight") | {"step": 5000}
    del model["optimizer"], model["first_step"]
    path = tmp_path / "sight" / "checkpoint.pt"
    path.parent.mkdir()
    torch.save(model, path)
    for last in (5003, 5004):
        plan = Plan(steps=10_000, warm_up=10, draw_every=None)
        with pytest.raises(KeyboardInterrupt):
            train(SightStage(8, CPU), plan, tmp_path, **AGAIN, after_step=pause)
        learned = trained.read_checkpoint(tmp_path, "sight")
        assert (learned["step"], learned["first_step"]) == (last, 5000)
    new, average, old = (
        torch.cat([weight.flatten().float() for weight in weights.values()])
        for weights in (learned["networks"], learned["average"], model["average"])
    )
    assert (average - new).norm() < (average - old).norm()


def test_a_comparison_that_is_interrupted_leaves_the_weights_as_they_were():
    def interrupted():
        raise KeyboardInterrupt

    layer = torch.nn.Linear(1, 1)
    weight = layer.weight.detach().clone()
    others = [{name: w + 1 for name, w in layer.state_dict().items()} for _ in range(2)]
    with pytest.raises(KeyboardInterrupt):
        since_taken_up(layer, *others, [interrupted])
    assert torch.equal(layer.weight, weight)


def test_training_on_from_a_model_ends_with_what_it_has_brought(runs, tmp_path):
    model = trained.read_checkpoint(runs, "sight") | {"step": 5000}
    del model["optimizer"], model["first_step"]
    path = tmp_path / "sight" / "checkpoint.pt"
    path.parent.mkdir()
    torch.save(model, path)
    for last in (5006, 5012):  # two sittings, and what both have brought
        lesson, told = SightStage(32, CPU), []
        plan = Plan(steps=last, warm_up=1, cool_down=0.0, peak_rate=5e-3, draw_every=None)
        train(lesson, plan, tmp_path, **AGAIN, tell=told.append)
        assert told[-1]["step"] == last
        assert told[-1]["taken_up_at_step"] == 5000
        assert told[-1]["loss_by_now"] < told[-1]["loss_as_taken_up"]
        learned = trained.read_checkpoint(tmp_path, "sight")["networks"]
        for name, weight in lesson.networks.state_dict().items():  # and these it left alone
            assert torch.equal(weight, learned[name])


@pytest.mark.parametrize("size", [(64, 112), (576, 1024)])
def test_clip_sees_in_training_what_the_pipeline_shows_it(size):
    """The pipeline resizes and normalises on its own; training has to arrive at nearly the same
    numbers.
    """
    pipeline = architectures.video_pipeline(
        architectures.video_vae(), architectures.video_unet(), architectures.image_encoder().eval()
    )
    dice = np.random.default_rng(0)  # nothing but detail, which a smaller picture cannot hold
    picture = Image.fromarray(dice.integers(0, 256, (*size, 3)).astype(np.uint8))
    with torch.no_grad():
        shown = pipeline._encode_image(picture, CPU, 1, False)[0, 0]
        pixels = torch.from_numpy(np.asarray(picture).copy()).movedim(-1, 0)[None] / 127.5 - 1
        trained_on = pipeline.image_encoder(clip_pixels(pixels)).image_embeds[0]
    assert torch.cosine_similarity(shown, trained_on, dim=0) > 0.999


def test_every_caption_word_is_one_token_and_all_captions_fit():
    words = tokenizer()
    for caption in captions():
        assert len(words.tokenize(caption)) == len(caption.split())
        assert len(words(caption).input_ids) <= architectures.CAPTION_TOKENS


def test_a_word_that_no_caption_has_is_spelled_out():
    words = tokenizer()
    ids = words("zeppelin").input_ids
    assert (ids[0], ids[-1]) == (words.bos_token_id, words.eos_token_id)
    assert words.eos_token_id not in ids[1:-1]


def test_a_pool_holds_the_newest_chunks_and_is_the_same_after_a_pause():
    def make(number):
        return (torch.full((2,), number),)

    through, resumed = (pools.Pool(make, every=2, depth=2) for _ in range(2))
    for step in range(8):
        drawn = through.draw(step, 20, torch.Generator().manual_seed(step))[0]
    assert set(drawn.tolist()) == {2, 3}
    assert torch.equal(drawn, resumed.draw(7, 20, torch.Generator().manual_seed(7))[0])


def test_processes_that_train_together_share_out_the_clips(tmp_path):
    script = tmp_path / "paint.py"
    # A file each: lines that two processes print into one pipe may cut each other.
    script.write_text(
        "import pathlib, sys, torch\n"
        "from svdkit.toyland import together\n"
        "from svdkit.toyland.pools import Pool\n"
        "together.join(torch.device('cpu'))\n"
        "made = []\n"
        "pool = Pool(lambda number: (made.append(number), torch.ones(1))[1:], every=2, depth=2)\n"
        "for step in range(4):\n"
        "    pool.newest(step * together.count() + together.rank())\n"
        "pathlib.Path(sys.argv[1], f'made{together.rank()}').write_text(str(made))\n"
    )
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ran = subprocess.run(
        [sys.executable, *command, script, tmp_path], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert [(tmp_path / f"made{rank}").read_text() for rank in (0, 1)] == ["[0, 2]", "[1, 3]"]


def test_gradients_of_an_interrupted_step_are_not_learned_from(runs, tmp_path):
    class Constant(VideoStage):
        def loss(self, step):
            return sum(weight.sum() for weight in self.networks.parameters()) * 0.0, {}

    stage = Constant(2, CPU, runs)
    before = copy.deepcopy(stage.networks.state_dict())
    for weight in stage.networks.parameters():
        weight.grad = torch.ones_like(weight)
    train(stage, Plan(steps=1, warm_up=0, draw_every=None), tmp_path, device=CPU)
    moved = [(stage.networks.state_dict()[name] - old).abs().max() for name, old in before.items()]
    assert max(moved) < 1e-5  # weight decay alone


def test_the_learning_rate_warms_up_stays_and_cools_down():
    plan = Plan(steps=1000, peak_rate=1.0, warm_up=100, cool_down=0.4)
    rates = [plan.rate(step, 0) for step in (0, 50, 300, 800, 999)]
    assert rates[0] < rates[1] < rates[2] == 1.0 > rates[3] > rates[4] > 0
    assert plan.rate(300, 0, first_step=300) == rates[0]  # another optimizer's first step
    level = Plan(steps=1000, peak_rate=1.0, warm_up=0, cool_down=0)
    assert [level.rate(step, 0) for step in (0, 300, 999)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("how", [{"cool_down": 1.5}, {"cool_down": -0.1}, {"warm_up": -1}])
def test_a_plan_says_what_its_ramps_may_be(how):
    with pytest.raises(ValueError, match=rf"{next(iter(how.values()))}.*0 is none"):
        Plan(steps=10, **how)


def test_minutes_count_over_all_sittings():
    assert Plan(minutes=10).done(step=5, seconds=300) == 0.5
    with pytest.raises(ValueError, match="needs an end"):
        Plan()


def test_a_sitting_ends_early_without_an_end_to_the_plan(tmp_path):
    plan = Plan(steps=50, sitting=0, draw_every=None)
    assert train(VaeStage(1, CPU), plan, tmp_path, device=CPU) == 1 / 50


def test_a_vae_that_others_learned_beside_learns_no_more(runs, tmp_path):
    for stage in ("vae", "svd"):
        shutil.copytree(runs / stage, tmp_path / stage)
    with pytest.raises(ValueError, match=r"svd has learned on from it.*choose another --out"):
        main(["vae", "--steps", "2", "--resume", "--out", str(tmp_path)])
    assert trained.read_checkpoint(tmp_path, "vae")["step"] == 1


@pytest.mark.parametrize("stage", ["sd", "svd", "motion"])
def test_a_stage_says_which_one_has_to_come_before_it(tmp_path, stage):
    with pytest.raises(FileNotFoundError, match=r"svdkit\.toyland\.train vae"):
        main([stage, "--steps", "1", "--out", str(tmp_path)])


def test_the_command_line_asks_how_long():
    with pytest.raises(SystemExit, match="Try --minutes 30"):
        main(["vae"])


def test_the_evaluation_knows_a_pan_when_it_sees_one():
    still = measures.to_frames(scene(seed=1, height=64, width=160).clip(num_frames=1))[0]
    panned = torch.stack([still[:, :, 30 - t : 142 - t] for t in range(14)])
    frozen = (panned[:1] - panned).square().mean()
    assert measures.best_pan_error(panned) < 0.2 * frozen


def test_the_evaluation_tells_a_law_from_its_reverse():
    drawn = scene(seed=3, caption="a red balloon over green hills by day")
    forth, back = measures.to_frames(drawn.clip()), measures.backwards(drawn, 127, 7)
    assert (forth[0] - back[0]).abs().max() < 0.02  # both begin with the same picture
    assert (forth[-1] - back[-1]).abs().mean() > 0.01


@pytest.mark.parametrize("thing", ["boat", "bird", "sun"])
def test_waves_do_not_tell_which_way_a_thing_goes(thing):
    drawn = scene(7, next(c for c in captions() if thing in c and "the sea" in c))
    truth, wrong = measures.to_frames(drawn.clip()), measures.backwards(drawn, 127, 7)
    progress = progress_of(torch.tensor([127.0]), torch.tensor([7.0]), 14)
    bare = paint(drawn.script, progress, 64, 112, things=False)[0] * 2 - 1
    shown = ((truth - bare).abs() + (wrong - bare).abs()).amax(1) > 0.02
    differs = (truth - wrong).abs().amax(1) > 0.02
    assert differs.any()
    assert shown[differs].all()
    assert (bare - bare[:1]).abs().max() > 0.1  # the waves do move


def test_the_evaluation_says_what_part_of_its_law_verdict_a_still_would_get():
    def perfect(image):
        return measures.to_frames(shown.pop(0).clip())

    named = motion_judge.captions_of(LAWFUL, 9, torch.Generator().manual_seed(3))
    shown = [scene(seed, caption) for seed, caption in enumerate(named)]
    figures = trials.evaluate_law(perfect, 9)
    assert figures["share_that_obeys_its_law"] == 1.0
    assert figures["share_that_obeys_its_law_by_thing"].keys() == {"all", *LAWFUL}
    assert figures["share_that_obeys_if_frozen"] < 1.0
    assert figures["things_that_were_asked_for_their_law"] == 9


def test_the_evaluation_counts_only_the_drift_that_should_not_be():
    dark = torch.full((1, 3, 8, 14), -0.5)
    brighter = torch.cat([dark, dark + 0.02, dark + 0.04])
    assert measures.undue_drift(brighter, brighter) == 0
    assert measures.undue_drift(brighter, dark.repeat(3, 1, 1, 1)) == pytest.approx(0.02, rel=1e-3)
    assert (measures.to_frames(measures.to_clip(brighter).frames) - brighter).abs().max() < 0.005


def test_a_missed_target_is_called_missed():
    table = evaluate.verdicts({"vae_psnr_scenes": 31.0, "seconds_a_clip": 6.0})
    assert not table["vae_psnr_scenes"]["met"]
    assert table["seconds_a_clip"]["met"]


def test_a_judge_learns_to_tell_skies_apart():
    judge = train_judge(steps=40, device=CPU, pictures=16)
    named = [caption for caption in captions() if caption.startswith("a white bird")]
    pictures = torch.cat(
        [measures.to_frames(scene(7, caption).clip(num_frames=1)) for caption in named]
    )
    assert judge.right(pictures, named)["sky"] > 0.7


def test_a_judge_of_motion_learns_which_way_things_go():
    judge = train_motion_judge(steps=40, device=CPU, clips=8, things=("balloon", "moon"))
    right = right_about_painted(judge, 16, things=("balloon", "moon"))
    assert right["forwards"]["all"] + right["backwards"]["all"] > 1.3
    for shares in right.values():
        assert shares["all"] == pytest.approx((shares["balloon"] + shares["moon"]) / 2)


def test_what_moves_wrongly_runs_backwards_jumps_about_or_stands_still():
    rows = [parse_caption("a red balloon over green hills by day")] * 200
    script = Script.roll_all(rows, torch.Generator().manual_seed(0))
    progress = progress_of(torch.full((200,), 127.0), torch.full((200,), 7.0), 14)
    right, wrong = both_ways(script, progress, torch.Generator().manual_seed(0), (8, 14))
    steps = wrong.diff(dim=1).abs().mean((1, 2, 3, 4))
    still = steps == 0
    jumbled = ~still & (steps > 1.5 * right.diff(dim=1).abs().mean((1, 2, 3, 4)))
    assert 30 < int(still.sum()) < 70
    assert 30 < int(jumbled.sum()) < 70
    backwards = ~still & ~jumbled
    assert torch.equal(wrong[backwards, 0], right[backwards, 0])
    assert (wrong[backwards, -1] != right[backwards, -1]).flatten(1).any(1).all()


def test_what_a_judge_of_motion_is_asked_about_has_a_direction():
    assert not {"cloud", "kite"} & set(LAWFUL)
    named = captions_of(LAWFUL, 2 * len(LAWFUL), torch.Generator())
    assert [thing_of(caption) for caption in named] == 2 * list(LAWFUL)


def test_the_evaluation_judges_clips_of_an_adapter(animatediff):
    figures, rows = judged_clips(animatediff, 2, train_jury(1, CPU, judges=3, clips=9), steps=2)
    assert len(figures["animatediff_law_right_by_judge"]) == 3
    assert figures["animatediff_law_right"] in (0.0, 0.5, 1.0)
    assert set(figures["animatediff_law_right_by_thing"]) == {"all", "balloon", "ball"}
    assert figures["animatediff_motion_of_painted_clips"] > 0.3
    assert [row.shape for row in rows] == [(14, 3, 64, 112)] * 4


def test_training_sees_a_clip_in_noise_as_the_sampler_does(tiny):
    scheduler = copy.deepcopy(tiny.scheduler)
    scheduler.set_timesteps(10)
    time, sigma = scheduler.timesteps[6], scheduler.sigmas[6]
    dice = torch.Generator().manual_seed(0)
    noised = sigma * torch.randn(1, 2, 4, 16, 28, generator=dice)
    beside, told = torch.zeros_like(noised), (torch.zeros(1, 1, 64), torch.zeros(1, 3))
    scaled = scheduler.scale_model_input(noised, time)
    with torch.no_grad():
        answer = tiny.unet(torch.cat([scaled, beside], 2), time, *told).sample
        found = denoised(tiny.unet, noised, sigma[None], beside, *told)
    sampled = scheduler.step(answer, time, noised).pred_original_sample
    assert torch.allclose(found, sampled, atol=1e-4)


def test_the_less_noise_the_better_a_moving_thing_is_seen(tiny):
    drawn = scene(seed=3, caption="a red balloon over green hills by day")
    errors = trials.error_by_noise(tiny, measures.to_frames(drawn.clip()))
    assert 0 < errors[1.0] < errors[5.0] < min(errors[30.0], errors[700.0])


def test_the_evaluation_of_one_model_writes_its_figures_beside_their_targets(weights, tmp_path):
    where = ["--weights", str(weights), "--out", str(tmp_path), "--device", "cpu"]
    evaluate.main([*where, "--models", "tiny-animatediff", "--scenes", "1"])
    report = json.loads((tmp_path / "figures.json").read_text())
    assert list(report["targets"]) == ["animatediff_law_right"]
    assert report["targets"]["animatediff_law_right"]["goal"] == "at least 0.75"
    assert report["figures"]["animatediff_flicker"] > 0
    assert report["steps"] == {"tiny-animatediff": trained_for(weights / "tiny-animatediff")[0]}
    assert [path.name for path in tmp_path.glob("*.png")] == ["tiny-animatediff.png"]


def test_the_evaluation_of_drawings_asks_the_judge_that_svdkit_brings(weights, tmp_path):
    where = ["--weights", str(weights), "--out", str(tmp_path), "--device", "cpu"]
    evaluate.main([*where, "--models", "tiny-sd", "--scenes", "1"])
    report = json.loads((tmp_path / "figures.json").read_text())
    assert list(report["targets"]) == ["colour_right", "thing_right", "background_right"]
    assert report["figures"]["judge_right_on_painted_scenes"]["background"] == 1.0
    assert [path.name for path in tmp_path.glob("*.png")] == ["tiny-sd.png"]


def test_the_evaluation_says_which_model_is_missing(tmp_path):
    with pytest.raises(SystemExit, match=r"tiny-sd is missing: run python -m"):
        evaluate.main(["--weights", str(tmp_path), "--models", "tiny-sd"])
