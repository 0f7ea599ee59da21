"""Toyland's scenes: captions, clips and laws of motion, measured on the painted pixels."""

import numpy as np
import pytest
import torch
from PIL import Image

from svdkit.clips import Clip
from svdkit.metrics import motion
from svdkit.toyland import laws, photos, scenes, staging
from svdkit.toyland.grounds import GROUNDS
from svdkit.toyland.painting import looking_at
from svdkit.toyland.scenes import captions, scene, training_batch
from svdkit.toyland.scripts import Script
from svdkit.toyland.skies import SKIES
from svdkit.toyland.things import COLOURS, THINGS


def middles(caption: str, seed: int, **settings) -> np.ndarray:
    """Where the coloured thing of a caption is, frame by frame: (frames, 2) of x and y in pixels.

    The same scene with the thing in another colour differs from it just where the thing is.
    """
    word = next(word for word in caption.split() if word in COLOURS)
    other = "purple" if word != "purple" else "yellow"
    one = scene(seed, caption).clip(**settings).astype(float)
    two = scene(seed, caption.replace(f" {word} ", f" {other} ")).clip(**settings).astype(float)
    differs = np.abs(one - two).sum(-1)
    rows, columns = np.mgrid[: differs.shape[1], : differs.shape[2]]
    return np.array(
        [[(frame * columns).sum(), (frame * rows).sum()] / frame.sum() for frame in differs]
    )


def step_of(clip: np.ndarray) -> float:
    """The mean change from a frame to the next."""
    return float(np.abs(np.diff(clip.astype(float), axis=0)).mean())


def test_every_caption_parses_back_to_itself():
    for caption in captions():
        assert scene(seed=1, caption=caption).caption == caption


def test_the_world_has_what_it_promises():
    assert len(THINGS) >= 8
    assert len(set(laws.LAWS.values())) == len(THINGS)  # each its own law
    assert [sky.name for sky in SKIES] == ["by day", "at dusk", "at night", "in the mist"]
    assert [ground.name for ground in GROUNDS] == [
        "green hills",
        "the sea",
        "the snow",
        "the dunes",
    ]


def test_captions_forgive_capitals_and_full_stops():
    assert scene(seed=1, caption="A red balloon  over green hills at dusk.").caption == (
        "a red balloon over green hills at dusk"
    )


def test_an_unknown_caption_teaches_what_there_is():
    with pytest.raises(ValueError, match="a red dragon") as error:
        scene(caption="a red dragon over green hills at dusk")
    for word in ("a red dragon", *THINGS, *COLOURS, "green hills", "in the mist", "Try 'a red"):
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "lesson"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**31}, "seeds from 0 to"),
        ({"seed": 1, "height": 4}, "height and width are 4 and 112"),
    ],
)
def test_wrong_arguments_of_a_scene_are_quoted(arguments, lesson):
    with pytest.raises(ValueError, match=lesson):
        scene(**arguments)


@pytest.mark.parametrize(
    ("settings", "lesson"),
    [
        ({"motion_bucket_id": 300}, "motion_bucket_id is 300"),
        ({"fps": 0}, "fps is 0"),
        ({"num_frames": 0}, "num_frames is 0"),
    ],
)
def test_wrong_settings_of_a_clip_are_quoted(settings, lesson):
    with pytest.raises(ValueError, match=lesson):
        scene(seed=1).clip(**settings)


def test_a_seed_draws_the_same_scene_again_and_other_seeds_draw_others():
    assert np.array_equal(scene(seed=3).clip(num_frames=3), scene(seed=3).clip(num_frames=3))
    assert len({scene(seed).image.tobytes() for seed in range(10)}) == 10


@pytest.mark.parametrize(("height", "width"), [(64, 112), (112, 64), (72, 72)])
def test_a_clip_begins_with_the_scenes_image(height, width):
    for seed in range(6):
        drawn = scene(seed, height=height, width=width)
        clip = drawn.clip(num_frames=2)
        assert (clip.dtype, clip.shape) == (np.uint8, (2, height, width, 3))
        assert np.array_equal(clip[0], np.asarray(drawn.image))


def test_a_large_picture_is_the_small_one_in_more_detail():
    for seed in range(3):
        large = scene(seed, height=576, width=1008).image.resize((112, 64), Image.Resampling.BOX)
        error = np.asarray(large, float) - np.asarray(scene(seed).image, float)
        assert 10 * np.log10(255**2 / np.square(error).mean()) > 24


def test_a_caption_draws_its_colour():
    for name, rgb in COLOURS.items():
        article = "an" if name == "orange" else "a"
        with_ball = (
            np.asarray(scene(5, f"{article} {name} ball on the snow by day").image, float) / 255
        )
        others = [
            np.asarray(scene(5, f"a {o} ball on the snow by day").image, float) / 255
            for o in ("red", "blue", "white")
        ]
        body = np.ptp([with_ball, *others], axis=0).sum(-1) > 0.6
        seen = np.median(with_ball[body], axis=0)
        nearest = min(
            COLOURS, key=lambda colour: np.abs(seen - seen.max() * np.array(COLOURS[colour])).sum()
        )
        assert nearest == name, (name, rgb, seen)


def test_more_motion_bucket_is_more_motion_in_every_kind_of_scene():
    for seed in range(12):
        drawn = scene(seed)
        changes = [step_of(drawn.clip(bucket, num_frames=3)) for bucket in (0, 20, 80)]
        assert changes[0] == 0
        assert changes[0] < changes[1] < changes[2]


def test_more_fps_is_a_smaller_step_from_frame_to_frame():
    for seed in range(12):
        drawn = scene(seed)
        assert step_of(drawn.clip(60, fps=5, num_frames=3)) > 1.5 * step_of(
            drawn.clip(60, fps=20, num_frames=3)
        )


def test_balloons_rise():
    for seed in range(4):
        assert (np.diff(middles("a red balloon over green hills by day", seed)[:, 1]) < 0).all()


def test_carts_drive_on_level_the_way_they_face():
    ways = set()
    for seed in range(6):
        facing = scene(seed, "a red cart on the dunes by day").script.side("facing").item()
        path = middles("a red cart on the dunes by day", seed)
        assert (np.sign(np.diff(path[:, 0])) == facing).all()
        assert np.ptp(path[:, 1]) < 0.5
        ways.add(facing)
    assert ways == {-1, 1}


def test_balls_bounce_upright():
    path = middles("a blue ball on the snow by day", seed=2, motion_bucket_id=180)
    assert np.ptp(path[:, 0]) < 1.5
    turns = np.diff(np.sign(np.diff(path[:, 1])))
    assert path[:, 1].argmax() not in (0, 13)  # down, and up again
    assert (turns != 0).sum() >= 1


def test_windmills_stay_and_turn():
    path = middles("a green windmill on the snow by day", seed=2)
    assert np.ptp(path, axis=0).max() < 4
    assert step_of(scene(2, "a green windmill on the snow by day").clip()) > 0.1


def test_the_sun_sinks_behind_the_ground():
    script = scene(4, "the sun over the dunes at dusk").script
    progress = laws.progress_of(torch.tensor([250.0]), torch.tensor([4.0]), 14)
    heights = laws.LAWS["sun"](script, progress, 112 / 64).y.flatten()
    assert (heights.diff() > 0).all()
    clip = scene(4, "the sun over the dunes at dusk").clip(motion_bucket_id=250, fps=4)
    disc = (clip[..., 1] > 225).sum((1, 2))
    assert disc[0] > 40
    assert disc[-1] < 0.3 * disc[0]


def test_what_travels_slows_down_before_it_is_gone():
    progress = laws.progress_of(torch.tensor([255.0]), torch.tensor([4.0]), 14)
    rows = torch.zeros(200, 4, dtype=torch.long)
    script = Script.roll_all(rows, torch.Generator().manual_seed(0))
    for thing in THINGS.values():
        if thing.name == "sun":  # it sets
            continue
        pose = laws.LAWS[thing.name](script, progress, 112 / 64)
        assert pose.x.abs().max() < 112 / 64 + thing.size[0], thing.name
        assert pose.y.abs().max() < 1 + thing.size[1], thing.name


def test_a_training_batch_is_painted_on_demand_and_reproducible():
    batch, again = (training_batch(5, seed=7, num_frames=3, photos=0.4) for _ in range(2))
    assert batch.frames.shape == (5, 3, 3, 64, 112)
    assert torch.equal(batch.frames, again.frames)
    assert batch.frames.abs().max() <= 1
    assert batch.frames.std() > 0.2
    assert batch.captions == again.captions
    assert batch.captions[3:] == ["", ""]
    assert set(batch.captions[:3]) <= set(captions())
    assert not torch.equal(batch.frames, training_batch(5, seed=8, num_frames=3, photos=0.4).frames)


def test_a_training_batch_agrees_with_single_scenes_painted_from_the_same_script():
    rows = scenes._choose_rows(6, torch.Generator().manual_seed(0))
    script = Script.roll_all(rows, torch.Generator().manual_seed(1))
    progress = laws.progress_of(torch.full((6,), 90.0), torch.full((6,), 7.0), 3)
    together = scenes.paint(script, progress, 32, 56)
    for i in range(6):
        alone = scenes.paint(script[torch.tensor([i])], progress[i : i + 1], 32, 56)
        assert torch.allclose(together[i], alone[0], atol=1e-3)


@pytest.mark.parametrize("ground", GROUNDS, ids=lambda ground: ground.name)
def test_where_the_camera_goes_the_ground_tells(ground):
    for seed in range(4):
        script = scene(seed, f"{ground.name} by day").script
        progress = laws.progress_of(torch.tensor([127.0]), torch.tensor([7.0]), 14)
        view, pan = staging.camera(script, looking_at(64, 112), progress)
        widths = (view.x[0, :, 0, -1] - view.x[0, :, 0, 0]).tolist()
        assert np.sign(float(pan[0, -1])) == ground.pan
        assert (widths[-1] < widths[0]) == (ground.pan == 0)


def test_how_high_a_ball_is_tells_how_far_it_falls():
    """And nothing else does: of all balls the first step down is the same share of their height."""
    script = Script.roll_all([[2, 0, 1, 0]] * 8, torch.Generator().manual_seed(0))
    lift = laws.LAWS["ball"](script, torch.tensor([0.0, 0.2]).view(1, 2, 1, 1), 1.75).lift
    shares = (lift[:, 1] / lift[:, 0]).flatten()
    assert (shares < 0.8).all()
    assert torch.allclose(shares, shares[:1].expand(8))


def test_over_the_dunes_motion_is_as_bucket_and_fps_say():
    """Notebook 06 holds its ruler against this scene."""
    dunes = scene(seed=1, caption="the dunes by day")
    asked = [(32, 7), (64, 7), (128, 7), (128, 14)]
    found = np.array([motion(Clip(dunes.clip(*how))) for how in asked])
    assert found / found[0] == pytest.approx([1, 2, 4, 2], rel=0.1)


def test_scenes_and_training_never_share_a_seed():
    dice = [scenes.training_dice(seed) for seed in (0, 7, scenes.SEEDS - 1, scenes.SEEDS + 7)]
    assert all(one.initial_seed() >= scenes.SEEDS for one in dice)
    # torch's generator on a CPU keeps 32 bits of a seed
    assert all(one.initial_seed() < 2**32 for one in dice)
    held_out = torch.rand(4, generator=torch.Generator().manual_seed(scenes.SEEDS - 1))
    assert not torch.equal(held_out, torch.rand(4, generator=dice[2]))


def test_a_clip_is_painted_as_training_paints_it():
    """Frame by frame or all at once: over hills, detail popped up as the camera came nearer."""
    for caption in ("green hills by day", "the snow by day", "the dunes by day"):
        drawn = scene(seed=1, caption=caption)
        progress = laws.progress_of(torch.tensor([127.0]), torch.tensor([7.0]), 14)
        at_once = staging.paint(drawn.script, progress, 64, 112)[0].movedim(1, -1) * 255
        clip = drawn.clip()
        assert np.abs(clip - at_once.round().numpy()).max() <= 1, caption
        steps = np.abs(np.diff(clip.astype(float), axis=0)).mean((1, 2, 3))
        assert (steps[1:] < 1.15 * steps[:-1]).all(), caption


def test_nothing_that_travels_leaves_a_portrait_either():
    for kind in ("cart", "bird", "boat"):
        for seed in range(8):
            ground = {"cart": "the dunes", "bird": "the sea", "boat": "the sea"}[kind]
            caption = f"a red {kind} {THINGS[kind].preposition} {ground} by day"
            drawn = scene(seed=seed, caption=caption, height=112, width=64)
            progress = laws.progress_of(torch.tensor([255.0]), torch.tensor([4.0]), 14)
            pose = laws.LAWS[kind](drawn.script, progress, 64 / 112)
            assert pose.x.abs().max() < 64 / 112, caption


def test_a_scene_is_equal_to_the_same_one():
    assert scene(1) == scene(1) != scene(2)
    assert scene(1) in [scene(2), scene(1)]
    assert len({scene(1), scene(1), scene(1, height=72)}) == 2


def test_what_is_no_number_is_told():
    with pytest.raises(TypeError, match="A caption goes by caption='a red balloon over green hil"):
        scene("a red balloon over green hills at dusk")
    with pytest.raises(TypeError, match=r"seed is 1.5; it is a whole number"):
        scene(1.5)
    assert scene(np.int64(3)) == scene(3)
    with pytest.raises(ValueError, match="fps is nan"):
        scene(1).clip(fps=float("nan"))
    with pytest.raises(TypeError, match=r"num_frames is 2.5; it is a whole number"):
        scene(1).clip(num_frames=2.5)


def test_painting_on_the_picture_leaves_the_clip_as_it_is():
    drawn = scene(1)
    before = drawn.clip(num_frames=2)
    drawn.image.paste((255, 0, 0), (0, 0, 50, 50))
    assert np.array_equal(drawn.clip(num_frames=2), before)


def test_photo_like_clips_hold_detail_and_move_gently():
    frames = training_batch(8, seed=1, photos=1.0).frames
    steps = frames.diff(dim=1).abs().mean((1, 2, 3, 4))
    assert (frames.diff(dim=-1).abs().mean((1, 2, 3, 4)) > 0.01).all()
    assert steps.max() < 0.3
    assert steps.min() > 1e-4


def test_the_camera_comes_nearer_to_a_photo_the_faster_the_higher_the_bucket():
    rings = np.cos(np.hypot(*np.mgrid[-64:64, -112:112]) / 4)
    rings = torch.tensor(rings, dtype=torch.float32).expand(2, 3, -1, -1)
    progress = laws.progress_of(torch.tensor([40.0, 160.0]), torch.full((2,), 7.0), 14)
    slow, fast = photos.come_nearer(rings, progress, 64, 112)
    assert torch.equal(slow[0], fast[0])
    zooms = [zoom_of(clip[-1], rings[:1]) for clip in (slow, fast)]
    assert 1.01 < zooms[0] < zooms[1] < 1.2


def zoom_of(frame, picture):
    def error(zoom):
        height, width = (round(side / zoom) for side in picture.shape[-2:])
        top, left = (128 - height) // 2, (224 - width) // 2
        inner = picture[..., top : top + height, left : left + width]
        shown = torch.nn.functional.interpolate(inner, frame.shape[-2:], mode="bilinear")
        return (shown - frame).square().mean()

    return min((1 + 0.01 * step for step in range(30)), key=error)


def test_the_sample_picture_is_ready_to_show(request):
    path = request.config.rootpath / "svdkit" / "toyland" / "sample.png"
    drawn = scene(11, "a red balloon over green hills at dusk", height=576, width=1024).image
    with Image.open(path) as picture:
        difference = np.asarray(picture, float) - np.asarray(drawn, float)
    assert np.abs(difference).mean() < 1
    assert path.stat().st_size < 700_000
