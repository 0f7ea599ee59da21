"""What a file says of itself, in its own metadata."""

import json
import re
import shutil
import subprocess

import pytest
from PIL import Image

import svdkit as sk
from svdkit.ffmpeg import find_ffmpeg
from svdkit.metadata import MADE_BY_AI, read_metadata, with_metadata
from svdkit.video import encode

FORMATS = [".mp4", ".webm", ".gif", ".webp"]
AWKWARD = {
    "request": {"note": 'é = ; # \\ \n "<b>" &amp; ]]> </svdkit:recipe> %s {x}', "verb": "x"}
}


def alone(clip, tmp_path, name):
    """Save a clip, and carry it away from what stands beside it."""
    saved = clip.save(tmp_path / name)
    there = tmp_path / "elsewhere" / name
    there.parent.mkdir()
    return shutil.copy(saved, there)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_alone_knows_its_recipe(made, tmp_path, suffix):
    opened = sk.Clip.open(alone(made, tmp_path, f"kite{suffix}"))
    assert opened.recipe == made.recipe
    assert opened.fps == made.fps
    assert len(opened) == len(made)
    assert opened.inputs == ()


def test_frames_without_their_recipe_file_know_it(made, tmp_path):
    folder = made.save(tmp_path / "kite")
    (folder / "recipe.json").unlink()
    opened = sk.Clip.open(folder)
    assert opened.recipe == made.recipe
    assert (opened.frames == made.frames).all()


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("frames", [1, 6])
def test_any_text_comes_through_any_format(clip, tmp_path, suffix, frames):
    odd = sk.Clip(clip.frames[:frames, :63, :111], 12, AWKWARD)
    opened = sk.Clip.open(alone(odd, tmp_path, f"odd{suffix}"))
    assert opened.recipe == AWKWARD
    assert opened.frames.shape == odd.frames.shape


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_long_recipe_comes_through(clip, tmp_path, suffix):
    step = {"request": {"edit": "x" * 1000}, "outcome": {}}
    long = sk.Clip(clip.frames, 12, {"steps": [step] * 500})
    assert sk.Clip.open(alone(long, tmp_path, f"long{suffix}")).recipe == long.recipe


@pytest.mark.parametrize("name", ["kite.mp4", "kite.webm", "kite.gif", "kite.webp", "kite"])
def test_what_a_model_made_is_declared_as_made_by_ai(made, clip, tmp_path, name):
    saved = made.save(tmp_path / name)
    files = [saved] if saved.is_file() else sorted(saved.glob("frame_*.png"))
    for file in files:
        content = file.read_bytes()
        assert MADE_BY_AI.encode() in content
        if file.suffix != ".webm":
            assert b"<Iptc4xmpExt:DigitalSourceType>" + MADE_BY_AI.encode() in content
    beside = saved / "recipe.json" if saved.is_dir() else tmp_path / f"{name}.json"
    assert json.loads(beside.read_text())["digital_source_type"] == MADE_BY_AI
    filmed = clip.save(tmp_path / f"filmed-{name}")
    files = [filmed] if filmed.is_file() else list(filmed.iterdir())
    assert not any(MADE_BY_AI.encode() in file.read_bytes() for file in files)


def test_the_picture_beside_a_clip_is_not_declared_as_made_by_ai(made, tmp_path):
    made.save(tmp_path / "kite.mp4")
    assert MADE_BY_AI.encode() not in (tmp_path / "kite.mp4.input.png").read_bytes()


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_pillow_finds_the_packet(made, tmp_path, suffix):
    saved = made.save(tmp_path / ("kite.webp" if suffix == ".webp" else "kite"))
    with Image.open(saved if saved.is_file() else saved / "frame_0000.png") as image:
        packet = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
    packet = packet if isinstance(packet, str) else packet.decode()
    assert f"<Iptc4xmpExt:DigitalSourceType>{MADE_BY_AI}</Iptc4xmpExt:DigitalSourceType>" in packet
    assert re.search(r"<xmp:CreatorTool>svdkit [\d.]+</xmp:CreatorTool>", packet)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_ffmpeg_finds_the_comment(made, tmp_path, suffix):
    saved = made.save(tmp_path / f"kite{suffix}")
    told = subprocess.run([find_ffmpeg(), "-i", saved], capture_output=True, text=True).stderr
    assert re.search(r"comment\s*: {", told, re.IGNORECASE)


def test_a_video_that_was_cut_since_opens_without_its_recipe(made, tmp_path):
    saved = made.save(tmp_path / "kite.mp4")
    cut = tmp_path / "cut.mp4"
    command = [find_ffmpeg(), "-v", "error", "-i", saved, "-frames:v", "2", cut]
    subprocess.run(command, check=True)
    assert read_metadata(cut)  # ffmpeg kept the comment
    assert sk.Clip.open(cut).recipe == {}


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_clip_without_a_recipe_comes_back_without_one(clip, tmp_path, suffix):
    opened = sk.Clip.open(alone(clip, tmp_path, f"plain{suffix}"))
    assert opened.recipe == {}
    assert opened.fps == clip.fps


@pytest.mark.parametrize(
    "note", ["[1]", "7", "{", '{"svdkit": 1, "steps": 3}', '{"svdkit": 1, "file": []}', "[" * 9999]
)
def test_a_strangers_nonsense_in_a_comment_is_no_recipe(clip, tmp_path, note):
    file = tmp_path / "odd.gif"
    clip[0].save(file, comment=note.encode())
    opened = sk.Clip.open(file)
    assert opened.recipe == {}


def test_metadata_change_no_frame(made, tmp_path):
    bare, told = sk.Clip(made.frames, made.fps), made
    for suffix in FORMATS:
        pair = [sk.Clip.open(c.save(tmp_path / f"{n}{suffix}")) for n, c in enumerate((bare, told))]
        assert (pair[0].frames == pair[1].frames).all()


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "lie",
    [
        {"request": {"x": float("nan")}},
        {"file": {"fps": 7, "frames": [6, 64, 112], "pictures": 5}},
        {"file": {"fps": 7, "frames": [6, 64, 112], "sha256": {"": "0" * 64}}},
    ],
    ids=["not a number", "pictures", "hash"],
)
def test_a_file_that_lies_of_itself_opens(clip, tmp_path, suffix, lie):
    file = tmp_path / f"lie{suffix}"
    about = {"svdkit": "0.1.0", "file": {"fps": 7, "frames": [6, 64, 112]}} | lie
    file.write_bytes(with_metadata(encode(clip.frames, 12, suffix), suffix, about))
    opened = sk.Clip.open(file)
    assert len(opened) == len(clip)
    assert opened.inputs == ()


def test_a_recipe_that_is_no_json_is_told_with_its_name(clip, tmp_path):
    saved = clip.save(tmp_path / "kite.mp4")
    beside = tmp_path / "kite.mp4.json"
    beside.write_text(beside.read_text().replace('"fps": 12', '"fps": NaN'))
    with pytest.raises(ValueError, match=r"kite.mp4.json' is no valid JSON \(NaN is no number"):
        sk.Clip.open(saved)
