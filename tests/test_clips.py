import copy
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from PIL import Image

import svdkit as sk
from svdkit.ffmpeg import find_ffmpeg
from svdkit.frames import sha256_of_frames

FORMATS = [".mp4", ".webm", ".gif", ".webp", ""]


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_clip_knows_its_length_and_duration(clip):
    assert (len(clip), clip.duration) == (6, 0.5)
    assert repr(clip) == "Clip(6 frames, 64×112, 12 fps, 0.5 s)"


def test_an_index_gives_a_picture_and_a_slice_a_clip(clip):
    assert np.array_equal(np.asarray(clip[2]), clip.frames[2])
    assert np.array_equal(np.asarray(clip.last_frame), clip.frames[5])
    assert np.array_equal(clip[1:4].frames, clip.frames[1:4])
    assert [picture.size for picture in clip] == [(112, 64)] * 6
    with pytest.raises(IndexError):
        clip[6]


def test_edits_do_what_they_say(clip):
    numbers = [0, 1, 2, 3, 4, 5, 4, 3, 2, 1]
    assert np.array_equal(clip.boomerang().frames, clip.frames[numbers])
    assert np.array_equal(clip.repeat(2).frames, clip.frames[[0, 1, 2, 3, 4, 5] * 2])
    assert np.array_equal((clip + clip[:2]).frames, clip.frames[[0, 1, 2, 3, 4, 5, 0, 1]])
    assert clip.at(fps=6).duration == 1.0
    assert clip.fps == 12


def test_frames_cannot_be_written_to_and_the_callers_array_can(clip):
    frames = np.zeros((2, 4, 4, 3), np.uint8)
    made = sk.Clip(frames)
    frames[0] = 1
    assert not made.frames.any()
    for same in (made, pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        with pytest.raises(ValueError, match="read-only"):
            same.frames[0] = 1
        with pytest.raises(FrozenInstanceError):
            same.fps = 3


def test_a_recipe_must_be_plain_json():
    with pytest.raises(TypeError, match="plain JSON"):
        sk.Clip(np.zeros((2, 4, 4, 3), np.uint8), recipe={"seed": np.int64(3)})
    for recipe in ({"steps": 3}, {"steps": [1]}, {"svdkit": "mine"}):
        with pytest.raises(ValueError, match="A recipe"):
            sk.Clip(np.zeros((2, 4, 4, 3), np.uint8), recipe=recipe)


def test_a_read_only_view_of_an_array_is_not_the_array(clip):
    frames = np.zeros((2, 4, 4, 3), np.uint8)
    view = frames.view()
    view.flags.writeable = False
    made = sk.Clip(view)
    frames[:] = 9
    assert not made.frames.any()
    assert clip.at(fps=3).frames is clip.frames


def test_a_clip_can_be_made_of_pictures():
    assert len(sk.Clip([Image.new("L", (8, 8))] * 3)) == 3


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (np.zeros((2, 4, 4, 3)), "float64"),
        (np.zeros((4, 4, 3), np.uint8), r"\(4, 4, 3\)"),
        (np.zeros((0, 4, 4, 3), np.uint8), r"\(0, 4, 4, 3\)"),
        ([], "no frames"),
        ([Image.new("RGB", (4, 4)), Image.new("RGB", (5, 4))], r"\(4, 5, 3\)"),
        (None, "frames are None"),
        ("kite.mp4", "give an array or a list"),
    ],
)
def test_what_are_no_frames_is_told(frames, said):
    with pytest.raises((ValueError, TypeError), match=said):
        sk.Clip(frames)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), "7", None])
def test_a_wrong_rate_is_told(clip, fps):
    with pytest.raises(ValueError, match=f"fps is {re.escape(repr(fps))}"):
        clip.at(fps=fps)


def test_clips_of_two_sizes_do_not_join(clip):
    with pytest.raises(ValueError, match="64×112 and 8×8"):
        clip + sk.Clip(np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(TypeError):
        clip + 3


@pytest.mark.parametrize("times", [0, -1, 1.5, True, "2"])
def test_a_wrong_number_of_repeats_is_told(clip, times):
    with pytest.raises(ValueError, match="times is"):
        clip.repeat(times)


def test_an_edited_clip_keeps_a_truthful_recipe(made):
    edited = (made[1:] + made).boomerang()
    steps = edited.recipe["steps"]
    assert [step["request"].get("edit", "animate") for step in steps] == [
        "animate", "slice", "animate", "join", "boomerang",
    ]  # fmt: skip
    assert steps[-1]["outcome"]["frames_sha256"] == sha256_of_frames(edited.frames)
    assert len(edited.inputs) == 2
    assert "steps" not in made.recipe


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_clip_comes_back_from_every_format(made, tmp_path, suffix):
    saved = made.save(tmp_path / f"kite{suffix}")
    opened = sk.Clip.open(saved)
    assert opened.frames.shape == made.frames.shape
    assert opened.recipe == made.recipe
    assert opened.fps == made.fps
    assert np.array_equal(np.asarray(opened.inputs[0]), np.asarray(made.inputs[0]))
    error = np.abs(opened.frames.astype(int) - made.frames)
    assert error.mean() < (25 if suffix else 1e-9)  # the noise of an untrained model codes badly


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_smooth_clip_comes_back_in_its_colours(tmp_path, suffix):
    down, across = np.mgrid[0:64, 0:112]
    frame = np.stack([2 * across, 3 * down, 255 - 2 * across], -1).astype(np.uint8)
    clip = sk.Clip(np.stack([np.roll(frame, 2 * n, axis=1) for n in range(5)]))
    opened = sk.Clip.open(clip.save(tmp_path / f"colours{suffix}"))
    assert np.abs(opened.frames.astype(int) - clip.frames).mean() < 5


@pytest.mark.parametrize("suffix", FORMATS)
def test_equal_frames_stay_as_many_as_they_were(tmp_path, suffix):
    still = sk.Clip(np.full((6, 64, 112, 3), 90, np.uint8), fps=7)
    saved = still.save(tmp_path / f"still{suffix}")
    (tmp_path / f"still{suffix}.json").unlink(missing_ok=True)
    assert len(sk.Clip.open(saved)) == 6


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("size", [(63, 111), (2, 2), (17, 16)])
def test_odd_sizes_come_back_as_they_were(tmp_path, suffix, size):
    clip = sk.Clip(np.full((3, *size, 3), 90, np.uint8))
    assert sk.Clip.open(clip.save(tmp_path / f"odd{suffix}")).frames.shape == (3, *size, 3)


def test_a_single_frame_saves(tmp_path, clip):
    for suffix in FORMATS:
        assert len(sk.Clip.open(clip[:1].save(tmp_path / f"one{suffix}"))) == 1


@pytest.mark.parametrize("fps", [1, 7.5, 24, 29.97, 1000])
def test_the_playback_rate_is_in_the_video_itself(clip, tmp_path, fps):
    saved = clip.at(fps=fps).save(tmp_path / "rate.mp4")
    (tmp_path / "rate.mp4.json").unlink()
    assert sk.Clip.open(saved).fps == pytest.approx(fps, rel=0.01)


def test_a_gif_beyond_what_browsers_play_is_refused(clip, tmp_path):
    with pytest.raises(ValueError, match="50 fps at most"):
        clip.at(fps=60).save(tmp_path / "quick.gif")


def test_the_mp4_is_what_every_browser_plays(made, tmp_path):
    saved = made.save(tmp_path / "kite.mp4")
    told = subprocess.run([find_ffmpeg(), "-i", str(saved)], capture_output=True, text=True).stderr
    assert re.search(r"Video: h264.*yuv420p\(tv, smpte170m/bt709/bt709", told), told


def test_the_recipe_and_the_picture_stand_beside_the_file(made, tmp_path):
    made.save(tmp_path / "kite.mp4")
    assert listing(tmp_path) == ["kite.mp4", "kite.mp4.input.png", "kite.mp4.json"]
    recipe = json.loads((tmp_path / "kite.mp4.json").read_text())
    assert recipe["request"] == made.recipe["request"]


def test_a_folder_holds_frames_recipe_and_picture(made, tmp_path):
    made.save(tmp_path / "kite")
    assert listing(tmp_path) == ["kite"]
    assert listing(tmp_path / "kite") == [
        "frame_0000.png", "frame_0001.png", "frame_0002.png", "frame_0003.png",
        "input.png", "recipe.json",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["kite.mp4", "kite"])
def test_saving_again_replaces_what_svdkit_saved(made, clip, tmp_path, name):
    (made + made).save(tmp_path / name)
    clip.save(tmp_path / name)
    opened = sk.Clip.open(tmp_path / name)
    assert len(opened) == 6
    assert opened.inputs == ()  # the pictures of the clip before do not linger
    assert not [file for file in listing(tmp_path) if file.startswith(".")]


def test_a_file_from_elsewhere_is_not_replaced_unasked(clip, tmp_path):
    target = tmp_path / "kite.mp4"
    target.write_bytes(b"a film of my own")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        clip.save(target)
    assert target.read_bytes() == b"a film of my own"
    clip.save(target, overwrite=True)
    assert len(sk.Clip.open(target)) == 6


@pytest.mark.parametrize("name", ["kite.mp4.json", "kite.mp4.input.png"])
def test_a_file_beside_that_is_from_elsewhere_is_not_replaced_unasked(made, tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=re.escape(name)):
        made.save(tmp_path / "kite.mp4")
    assert listing(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"mine"


def test_what_is_named_like_ours_and_what_was_edited_is_not_ours(clip, made, tmp_path):
    clip.save(tmp_path / "kite")
    (tmp_path / "kite" / "frame_0099.png").write_bytes(b"mine")
    clip[:3].save(tmp_path / "kite")
    assert (tmp_path / "kite" / "frame_0099.png").read_bytes() == b"mine"
    assert len(sk.Clip.open(tmp_path / "kite")) == 3
    (tmp_path / "kite" / "frame_0001.png").write_bytes(b"retouched")
    with pytest.raises(FileExistsError, match=r"frame_0001\.png"):
        clip.save(tmp_path / "kite")
    made.save(tmp_path / "k.mp4")
    (tmp_path / "k.mp4.input-2.png").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"input-2\.png"):
        (made + made).save(tmp_path / "k.mp4")
    assert (tmp_path / "k.mp4.input-2.png").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["kite.mp4", "kite"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_save_broken_off_at_any_moment_leaves_the_clip_as_it_was(
    made, clip, tmp_path, monkeypatch, name, error
):
    """The system's own rename is made to fail at the first, the second, the third … call."""
    (made + made).save(tmp_path / name)
    replace, calls = os.replace, []

    def failing(source, target):
        calls.append(source)
        if len(calls) == fail_at:
            raise error
        replace(source, target)

    before = sk.Clip.open(tmp_path / name)
    fail_at = 0
    while True:
        fail_at += 1
        calls.clear()
        monkeypatch.setattr(os, "replace", failing)
        try:
            clip.save(tmp_path / name)
        except error:
            monkeypatch.setattr(os, "replace", replace)
            after = sk.Clip.open(tmp_path / name)
            assert after.recipe == before.recipe
            assert np.array_equal(after.frames, before.frames)
        else:
            break
    assert fail_at > 6
    monkeypatch.setattr(os, "replace", replace)
    assert len(sk.Clip.open(tmp_path / name)) == 6
    assert not [file for file in listing(tmp_path) if file.startswith(".")]


def test_a_copy_saved_anew_leaves_the_original_alone(made, clip, tmp_path):
    made.save(tmp_path / "kite.mp4")
    for part in ("", ".json", ".input.png"):
        shutil.copy(tmp_path / f"kite.mp4{part}", tmp_path / f"copy.mp4{part}")
    clip.save(tmp_path / "copy.mp4")
    assert len(sk.Clip.open(tmp_path / "copy.mp4")) == 6
    assert sk.Clip.open(tmp_path / "kite.mp4").recipe == made.recipe


def test_a_renamed_clip_is_still_known_as_ours(made, clip, tmp_path):
    made.save(tmp_path / "kite.mp4")
    for part in ("", ".json", ".input.png"):
        (tmp_path / f"kite.mp4{part}").rename(tmp_path / f"boat.mp4{part}")
    assert sk.Clip.open(tmp_path / "boat.mp4").inputs
    clip.save(tmp_path / "boat.mp4")
    assert listing(tmp_path) == ["boat.mp4", "boat.mp4.json"]


def test_a_recipe_that_claims_other_files_gets_none_of_them(clip, tmp_path, edit_json):
    clip.save(tmp_path / "kite")
    letter = tmp_path / "kite" / "letter.txt"
    letter.write_text("dear")
    (tmp_path / "diary.txt").write_text("dear")
    sha = hashlib.sha256(b"dear").hexdigest()
    edit_json(
        tmp_path / "kite" / "recipe.json",
        file={"sha256": {"letter.txt": sha, "../diary.txt": sha, str(letter): sha}},
    )
    clip.save(tmp_path / "kite", overwrite=True)
    assert letter.read_text() == "dear"
    assert (tmp_path / "diary.txt").read_text() == "dear"


def test_a_recipe_beside_another_video_is_told(clip, tmp_path):
    clip.save(tmp_path / "a.mp4")
    clip[::-1].save(tmp_path / "b.mp4")
    shutil.copy(tmp_path / "b.mp4", tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="the recipe is another video's"):
        sk.Clip.open(tmp_path / "a.mp4")


def test_a_video_of_uneven_rate_opens_with_the_frames_that_it_has(clip, tmp_path):
    saved = clip.save(tmp_path / "kite.mp4")
    uneven = tmp_path / "uneven.mp4"
    slower = "setpts='if(lt(N,3),PTS,3*PTS)'"
    command = [find_ffmpeg(), "-v", "error", "-i", saved, "-vf", slower, "-vsync", "vfr", uneven]
    if subprocess.run(command, capture_output=True).returncode:  # ffmpeg 9 says it differently
        command[-3:-1] = ["-fps_mode", "vfr"]
        subprocess.run(command, check=True, capture_output=True)
    assert len(sk.Clip.open(uneven)) == 6


def test_a_title_that_speaks_of_a_rate_is_not_believed(clip, tmp_path):
    saved = clip.save(tmp_path / "kite.mp4")
    titled = tmp_path / "Video: 3 fps.mp4"
    tag = ["-metadata", "title=Video: 99 fps", "-c", "copy"]
    subprocess.run([find_ffmpeg(), "-v", "error", "-i", saved, *tag, titled], check=True)
    assert sk.Clip.open(titled).fps == 12


def test_a_video_that_was_edited_since_is_not_replaced_unasked(clip, tmp_path):
    saved = clip.save(tmp_path / "kite.mp4")
    saved.write_bytes(b"cut by hand")
    with pytest.raises(FileExistsError, match="is not what svdkit saved there"):
        clip.save(saved)
    assert saved.read_bytes() == b"cut by hand"


def test_what_else_is_in_a_folder_of_frames_stays_there(clip, made, tmp_path):
    made.save(tmp_path / "kite")
    (tmp_path / "kite" / "letter.txt").write_text("dear")
    (tmp_path / "kite" / "album").mkdir()
    clip[:2].save(tmp_path / "kite")
    assert listing(tmp_path / "kite") == [
        "album", "frame_0000.png", "frame_0001.png", "letter.txt", "recipe.json",
    ]  # fmt: skip
    assert len(sk.Clip.open(tmp_path / "kite")) == 2


def test_a_folder_from_elsewhere_is_not_written_to_unasked(clip, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(FileExistsError):
        clip.save(tmp_path / "mine")
    assert listing(tmp_path / "mine") == ["letter.txt"]
    clip.save(tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_never_gives_way_to_a_file_nor_a_file_to_a_folder(clip, tmp_path, overwrite):
    (tmp_path / "album.mp4").mkdir()
    (tmp_path / "album.mp4" / "photo.txt").write_text("dear")
    (tmp_path / "diary").write_text("dear")
    with pytest.raises(IsADirectoryError, match=r"album\.mp4.* is a folder"):
        clip.save(tmp_path / "album.mp4", overwrite=overwrite)
    with pytest.raises(FileExistsError, match=r"diary.* is a file"):
        clip.save(tmp_path / "diary", overwrite=overwrite)
    with pytest.raises(NotADirectoryError, match=r"diary.* is a file"):
        clip.save(tmp_path / "diary" / "kite.mp4", overwrite=overwrite)
    assert (tmp_path / "album.mp4" / "photo.txt").read_text() == "dear"
    assert (tmp_path / "diary").read_text() == "dear"


def test_a_save_that_fails_leaves_the_old_file_and_no_litter(clip, tmp_path):
    before = clip.save(tmp_path / "kite.gif").read_bytes()
    with pytest.raises(ValueError, match="fps"):
        clip.at(fps=60).save(tmp_path / "kite.gif")
    assert (tmp_path / "kite.gif").read_bytes() == before
    assert listing(tmp_path) == ["kite.gif", "kite.gif.json"]


@pytest.mark.parametrize("name", ["kite.avi", "kite.mp5", "kite.png"])
def test_an_unknown_format_is_told(clip, tmp_path, name):
    with pytest.raises(ValueError, match=r"\.mp4, \.webm"):
        clip.save(tmp_path / name)


def test_saving_makes_the_folders_on_the_way(clip, tmp_path):
    assert clip.save(tmp_path / "runs" / "today" / "kite.mp4").exists()


def test_opening_what_is_no_clip_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not there"):
        sk.Clip.open(tmp_path / "none.mp4")
    for name in ("text.mp4", "text.gif"):
        (tmp_path / name).write_text("no video")
        with pytest.raises(ValueError, match="no video that can be read"):
            sk.Clip.open(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no frame_0000\.png"):
        sk.Clip.open(tmp_path / "empty")


def test_a_broken_recipe_is_told_and_the_video_left(clip, tmp_path):
    saved = clip.save(tmp_path / "kite.mp4")
    (tmp_path / "kite.mp4.json").write_text("{")
    with pytest.raises(ValueError, match=r"kite\.mp4\.json.*no valid JSON"):
        sk.Clip.open(saved)
    with pytest.raises(FileExistsError):
        clip.save(saved)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"file": {"fps": "quick"}}, "says fps 'quick', which should be a number"),
        ({"file": {"fps": 0}}, "says fps 0"),
        ({"file": {"frames": 3}}, r"says frames 3, which should be \[frames"),
        ({"file": {"frames": [4, -1, -1]}}, "says frames"),
        ({"file": {"frames": [99, 64, 112]}}, "99 frames of 64×112 are not there"),
        ({"file": {"sha256": 7}}, "says sha256"),
        ({"file": {"pictures": "many"}}, "says pictures"),
        ({"file": 7}, "is no recipe"),
        ({"steps": 7}, "is no recipe"),
        ({"steps": [7]}, "its steps a list of dicts"),
    ],
)
def test_a_recipe_edited_by_hand_is_told(clip, tmp_path, edit_json, changes, said):
    saved = clip.save(tmp_path / "kite.mp4")
    edit_json(tmp_path / "kite.mp4.json", **changes)
    with pytest.raises(ValueError, match=said):
        sk.Clip.open(saved)


def test_a_damaged_frame_is_told(made, tmp_path):
    made.save(tmp_path / "kite")
    (tmp_path / "kite" / "frame_0001.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"frame_0001\.png"):
        sk.Clip.open(tmp_path / "kite")


def test_a_video_is_what_its_content_says_and_leads_to_no_other_file(clip, tmp_path):
    clip.save(tmp_path / "secret.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile 'secret.mp4'\n")
    with pytest.raises(ValueError, match="it is a playlist"):
        sk.Clip.open(tmp_path / "list.mp4")
    (tmp_path / "secret.mp4").rename(tmp_path / "renamed.webm")
    assert len(sk.Clip.open(tmp_path / "renamed.webm")) == len(clip)


def test_an_edit_that_would_fill_the_memory_is_refused(clip):
    with pytest.raises(ValueError, match="4 GB at most"):
        clip.repeat(10**9)
    with pytest.raises(ValueError, match="4 GB at most"):
        clip.at(0.001).smooth(1000)


def test_a_slice_of_nothing_is_told(clip):
    with pytest.raises(ValueError, match="picks none of the 6 frames"):
        clip[3:3]


def test_a_frame_that_is_missing_is_told(clip, tmp_path):
    clip.save(tmp_path / "kite")
    (tmp_path / "kite" / "frame_0002.png").unlink()
    with pytest.raises(ValueError, match=r"frame_0002\.png is missing"):
        sk.Clip.open(tmp_path / "kite")


def test_more_than_ten_thousand_frames_keep_their_order(tmp_path):
    for number in (0, 2, 9999, 10000, 10001):
        Image.new("L", (2, 2), number % 251).save(tmp_path / f"frame_{number:04d}.png")
    frames = sk.Clip.open(tmp_path).frames
    assert frames[:, 0, 0, 0].tolist() == [n % 251 for n in (0, 2, 9999, 10000, 10001)]


@pytest.mark.parametrize(
    "name", ["12:30.mp4", "file:kite.mp4", "-kite.mp4", "kïte 1.mp4", "~k.mp4"]
)
def test_any_name_can_be_saved_to_and_opened(clip, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert len(sk.Clip.open(clip.save(name))) == 6


def test_a_video_of_ten_bits_opens(clip, tmp_path):
    saved = clip.save(tmp_path / "kite.mp4")
    deep = tmp_path / "deep.mp4"
    subprocess.run(
        [find_ffmpeg(), "-v", "error", "-i", saved, "-pix_fmt", "yuv420p10le", deep],
        check=True,
    )  # fmt: skip
    assert np.abs(sk.Clip.open(deep).frames.astype(int) - clip.frames).mean() < 5


def test_frames_come_back_in_their_order(clip, tmp_path):
    for suffix in FORMATS:
        opened = sk.Clip.open(clip.save(tmp_path / f"order{suffix}"))
        corner = opened.frames[:, 60, 100].mean(axis=-1)
        assert np.abs(corner - 30 * np.arange(6)).max() < 8


def test_a_clip_shows_as_a_video_that_an_untrusted_notebook_keeps(clip):
    bundle = clip._repr_mimebundle_()
    shown = bundle["text/html"]
    assert '<video src="data:video/mp4;base64,' in shown
    assert 'poster="data:image/jpeg;base64,' in shown
    for tag in ("<source", "<script", "<style"):
        assert tag not in shown
    assert bundle["image/jpeg"].startswith("/9j/")
    assert bundle["text/plain"] == repr(clip)


def test_showing_a_clip_twice_gives_the_same(clip, made):
    assert clip._repr_html_() == clip._repr_html_()
    same = sk.Clip(clip.frames, clip.fps)
    assert same._repr_html_() == clip._repr_html_()


def test_a_title_is_shown_as_text(clip):
    assert "<b>" not in clip.player("<b>bold</b>")


def test_a_huge_clip_shows_reduced_and_says_so():
    noise = np.random.default_rng(0).integers(0, 256, (30, 1080, 1920, 3), np.uint8)
    clip = sk.Clip(noise)
    shown = clip._repr_html_()
    assert "shown reduced" in shown
    assert len(shown) < 12e6
    assert clip.frames.shape == (30, 1080, 1920, 3)


@pytest.mark.parametrize("fps", [13, 24, 36, 60])
def test_smoothing_fills_in_and_keeps_what_was_there(clip, fps):
    smooth = clip.smooth(fps)
    assert smooth.fps == fps
    assert len(smooth) == 5 * fps // 12 + 1
    if fps % 12 == 0:
        assert (smooth.frames[:: fps // 12] == clip.frames).all()


def test_smoothing_moves_things_in_small_steps():
    frames = np.full((8, 64, 112, 3), 40, np.uint8)
    for number, frame in enumerate(frames):
        frame[20:44, 8 + 8 * number : 32 + 8 * number] = 220
    between = sk.Clip(frames, 6).smooth(12).frames[5]
    expected = np.full((64, 112), 40.0)
    expected[20:44, 28:52] = 220
    assert np.abs(between.mean(axis=2) - expected).mean() < 6


@pytest.mark.parametrize("fps", [12, 7, 0, "fast", None])
def test_smoothing_to_no_higher_rate_is_told(clip, fps):
    with pytest.raises(ValueError, match="fps is"):
        clip.smooth(fps)


def test_small_and_odd_clips_smooth():
    for size in ((2, 1, 1, 3), (3, 17, 33, 3)):
        smooth = sk.Clip(np.zeros(size, np.uint8), 7).smooth(14)
        assert smooth.frames.shape == (2 * size[0] - 1, *size[1:])
