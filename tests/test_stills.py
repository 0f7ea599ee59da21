"""One picture out of a file: animations, pages, films, and what is none of these."""

import io
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, features

import svdkit as sk
from svdkit import stills, video
from svdkit.ffmpeg import find_ffmpeg

RED, LIME, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
ANIMATED = {
    "gif": {},
    "webp": {"lossless": True},
    "png": {"default_image": False},
    "avif": {"quality": 100, "subsampling": "4:4:4"},
}
AVIF = "avif" in features.modules and features.check("avif")


def animation(kind, duration=(500, 1000, 500)):
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, LIME, BLUE)]
    stream = io.BytesIO()
    how = {"save_all": True, "append_images": frames[1:], "duration": list(duration)}
    frames[0].save(stream, kind.upper(), **how | ANIMATED[kind])
    return stream.getvalue()


def near(image, colour):
    return np.abs(np.array(image.getpixel((8, 8))) - colour).max() < 16


@pytest.fixture(params=ANIMATED)
def kind(request):
    if request.param == "avif" and not AVIF:
        pytest.skip("this Pillow knows no AVIF")
    return request.param


def test_of_an_animated_picture_the_first_frame_is_taken_and_said(kind, tmp_path, capsys):
    path = tmp_path / f"kite.{kind}"
    path.write_bytes(animation(kind))
    assert near(sk.open_image(path), RED)
    said = capsys.readouterr().out
    assert said.startswith(f"'{path}' is animated (3 frames): its first is taken; open_image('")
    assert said.endswith(" takes another.\n")
    assert "at=0" in said or "at=1" in said


@pytest.mark.parametrize(
    ("at", "colour"), [(0, RED), (0.4, RED), (0.5, LIME), (1.4, LIME), (1.6, BLUE), (2, BLUE)]
)
def test_a_time_chooses_the_frame_that_is_shown_then(kind, at, colour, capsys):
    assert near(sk.open_image(animation(kind), at=at), colour)
    assert capsys.readouterr().out == ""


def test_a_time_after_the_end_is_told(kind):
    with pytest.raises(ValueError, match=r"at is 2\.5; \d+ bytes lasts 2 seconds"):
        sk.open_image(animation(kind), at=2.5)


def test_frames_that_tell_no_time_are_shown_as_browsers_do():
    data = animation("gif", (0, 0, 0))
    assert near(sk.open_image(data, at=0.15), LIME)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "MPO"])
def test_a_still_picture_has_no_time(kind):
    with pytest.raises(ValueError, match=r"at is 1, and \d+ bytes is a still picture; leave at"):
        sk.open_image(pages(kind, 1 if kind in ("PNG", "JPEG") else 2), at=1)


def pages(kind, count=3):
    images = [Image.new("RGB", (16, 16), colour) for colour in (RED, LIME, BLUE)[:count]]
    stream = io.BytesIO()
    several = {"save_all": True, "append_images": images[1:]} if count > 1 else {}
    images[0].save(stream, kind, **several)
    return stream.getvalue()


def test_of_several_pages_the_first_is_taken_and_said(tmp_path, capsys):
    (tmp_path / "scan.tif").write_bytes(pages("TIFF"))
    assert near(sk.open_image(tmp_path / "scan.tif"), RED)
    said = capsys.readouterr().out
    assert said.endswith(
        "scan.tif' has 3 pages: the first is taken; image.seek(1) in PIL takes another.\n"
    )


def test_the_second_picture_of_a_phone_is_passed_over_in_silence(capsys):
    assert near(sk.open_image(pages("MPO", 2)), RED)
    assert capsys.readouterr().out == ""


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def test_a_heic_without_its_reader_tells_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ValueError, match=r"124 bytes is a HEIC picture.*pip install pillow-heif"):
        sk.open_image(HEIC)


def test_a_heic_opens_with_its_reader(capsys):
    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    heif = pillow_heif.from_pillow(Image.new("RGB", (64, 48), RED))
    heif.save(stream, quality=95)
    assert near(sk.open_image(stream.getvalue()), RED)
    with pytest.raises(ValueError, match="is damaged"):
        sk.open_image(stream.getvalue()[:-20] if len(stream.getvalue()) > 400 else HEIC)
    with pytest.raises(ValueError, match="is a still picture"):
        sk.open_image(stream.getvalue(), at=1)


def test_an_avif_opens_or_tells_what_to_install(monkeypatch):
    data = b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif" + bytes(100)
    monkeypatch.delitem(features.modules, "avif", raising=False)
    with pytest.raises(ValueError, match="is an AVIF picture; pip install -U pillow"):
        sk.open_image(data)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"%PDF-1.7\n", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript drawing"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'>", "a drawing"),
        (b"<svg>", "a drawing"),
        (b"\xff\n\0\0", "a JPEG XL picture"),
        (b"<!DOCTYPE html><p>", "a web page"),
        (b"#EXTM3U\n/etc/passwd\n", "a playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "a playlist"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a camera's raw photo"),
    ],
)
def test_what_only_looks_like_a_picture_is_told(start, said):
    with pytest.raises(ValueError, match=f"is {said}.*save the picture itself, as PNG or JPEG"):
        sk.open_image(start)


def ffmpeg(*words):
    subprocess.run([find_ffmpeg(), "-loglevel", "error", *words], check=True)


@pytest.fixture(scope="session")
def film(tmp_path_factory):
    """Two seconds of seven frames each: frame n is a grey of 16 n."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    frames = np.arange(14, dtype=np.uint8)[:, None, None, None] * 16
    path.write_bytes(video.encode(np.broadcast_to(frames, (14, 48, 64, 3)).copy(), 7, ".mp4"))
    return path


def number_of(image):
    return round(np.mean(image) / 16)


def test_of_a_video_the_first_frame_is_taken_and_said(film, tmp_path, capsys):
    disguised = tmp_path / "kite.jpg"  # told by content, never by name
    disguised.write_bytes(film.read_bytes())
    image = sk.open_image(disguised)
    assert (image.size, number_of(image), image.info) == ((64, 48), 0, {})
    assert capsys.readouterr().out == (
        f"'{disguised}' is a video of 2 seconds: its first frame is taken; "
        f"open_image('{disguised}', at=1) takes another.\n"
    )


@pytest.mark.parametrize("number", range(14))
def test_a_time_chooses_the_frame_of_a_video(film, number, capsys):
    for part in (0.02, 0.9):
        assert number_of(sk.open_image(film, at=(number + part) / 7)) == number
    assert capsys.readouterr().out == ""


def test_the_bytes_of_a_video_do_as_well(film):
    assert number_of(sk.open_image(film.read_bytes(), at=1.02)) == 7


def test_a_time_after_the_end_of_a_video_is_told(film):
    assert number_of(sk.open_image(film, at=2)) == 13
    with pytest.raises(ValueError, match=r"at is 2\.5; .*film\.mp4' lasts 2 seconds"):
        sk.open_image(film, at=2.5)


KINDS = {"mov": "mov", "mkv": "matroska", "webm": "webm", "avi": "avi", "ts": "mpegts"} | {
    "mpg": "mpeg",
    "m2v": "mpeg2video",
    "flv": "flv",
    "wmv": "asf",
    "ogv": "ogg",
    "m2ts": "mpegts",
}


@pytest.mark.parametrize("suffix", KINDS)
def test_a_video_of_any_kind_opens(film, tmp_path, suffix):
    path = tmp_path / f"film.{suffix}"
    codec = {"webm": "vp9", "mpg": "mpeg2video", "m2v": "mpeg2video", "flv": "flv1"} | {
        "wmv": "wmv2",
        "ogv": "vp8",
    }
    more = ["-mpegts_m2ts_mode", "1"] if suffix == "m2ts" else []
    how = ["-c:v", codec.get(suffix, "mpeg4"), "-r", "25", *more]
    ffmpeg("-i", film, *how, "-f", KINDS[suffix], path)
    alone = [find_ffmpeg(), "-nostdin", "-i", path]
    if subprocess.run(alone, capture_output=True, check=False).returncode < 0:
        pytest.skip("this ffmpeg crashes on its own file")  # as 4.2 does on MPEG-TS
    disguised = path.rename(tmp_path / "kite.gif")
    assert sk.open_image(disguised).size == (64, 48)
    if suffix != "m2v":  # a bare stream tells no times
        assert abs(number_of(sk.open_image(disguised, at=1.0)) - 7) <= 1


def test_a_video_is_turned_as_its_phone_was_held(film, tmp_path):
    path = tmp_path / "turned.mp4"
    try:
        ffmpeg("-display_rotation", "90", "-i", film, "-c", "copy", path)
    except subprocess.CalledProcessError:  # older ffmpegs
        ffmpeg("-i", film, "-c", "copy", "-metadata:s:v:0", "rotate=90", path)
    assert sk.open_image(path).size == (48, 64)


def test_frames_that_come_unevenly_are_found(film, tmp_path):
    path = tmp_path / "slides.mkv"
    times = "setpts='if(lt(N,2),N/5,N*20)/TB'"  # 0, 0.2, 40, 60 …
    ffmpeg("-i", film, "-vf", times, "-c:v", "ffv1", path)
    for at, number in ((0.1, 0), (0.3, 1), (30, 1), (50, 2), (60, 3)):
        assert number_of(sk.open_image(path, at=at)) == number


def test_only_what_is_needed_of_a_long_video_is_read(tmp_path, monkeypatch):
    path = tmp_path / "long.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=blue:s=64x48:r=1:d=7200", "-g", "10", path)
    runs = []
    real = subprocess.run

    def counted(command, **how):
        runs.append(command)
        return real(command, **how)

    monkeypatch.setattr(subprocess, "run", counted)
    assert near(sk.open_image(path, at=7000), BLUE)
    assert len(runs) <= 4
    starts = {run[run.index("-ss") + 1] for run in runs}
    assert starts == {"0", "6998.500000"}


@pytest.mark.parametrize(
    "data",
    [
        b"\x1aE\xdf\xa3" + bytes(500),
        b"FLV\x01" + bytes(500),
        b"RIFF\0\0\0\0AVI " + bytes(500),
        b"OggS" + bytes(500),
        b"0&\xb2u\x8ef\xcf\x11" + bytes(500),
        b"\0\0\x01\xba" + bytes(500),
        b"\0\0\x01\xb3" + bytes(500),
        b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + bytes(500),
        b"\0\0\0\x08wide" + bytes(500),
        (b"G" + bytes(187)) * 5,
    ],
    ids=lambda data: stills.kind_of(data),
)
@pytest.mark.parametrize("at", [None, 1])
def test_a_video_that_cannot_be_read_is_told(data, at):
    with pytest.raises(ValueError, match=r"\d+ bytes is no video that can be read: ") as error:
        sk.open_image(data, at=at)
    assert "/tmp" not in str(error.value)


def test_a_video_cut_short_gives_what_it_has_or_is_told(film):
    data = film.read_bytes()
    for share in (0.2, 0.5, 0.9, 0.99):  # its index stands first
        with suppress(ValueError):
            assert sk.open_image(data[: int(share * len(data))]).size == (64, 48)
    with pytest.raises(ValueError, match="is no video that can be read"):
        sk.open_image(data[:500])


def test_sound_alone_is_told(tmp_path):
    path = tmp_path / "song.m4a"
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", path)
    with pytest.raises(ValueError, match=r"song\.m4a' is no video .* it has sound alone"):
        sk.open_image(path)


def test_a_crash_of_ffmpeg_is_told(film, tmp_path, monkeypatch):
    crashing = tmp_path / "ffmpeg"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(stills, "find_ffmpeg", lambda: str(crashing))
    with pytest.raises(ValueError, match="ffmpeg crashed; pip install -U imageio-ffmpeg"):
        sk.open_image(film)


def test_a_video_that_takes_too_long_is_told(film, monkeypatch):
    monkeypatch.setattr(stills, "FFMPEG_SECONDS", 0.0001)
    with pytest.raises(ValueError, match=r"ffmpeg took over 0\.0001 seconds"):
        sk.open_image(film)


def test_without_ffmpeg_a_video_tells_what_to_install(film, monkeypatch):
    def none():
        raise RuntimeError("No ffmpeg exe could be found")

    monkeypatch.setattr(stills, "find_ffmpeg", none)
    with pytest.raises(ValueError, match="there is no ffmpeg; pip install imageio-ffmpeg"):
        sk.open_image(film)


def test_text_that_leads_elsewhere_never_reaches_ffmpeg(tmp_path, monkeypatch):
    monkeypatch.setattr(stills, "find_ffmpeg", None)
    for number, text in enumerate(
        ("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd", "[playlist]\nFile1=x")
    ):
        (tmp_path / f"{number}.mp4").write_text(text)
        with pytest.raises(ValueError, match=r"is (a playlist|no picture)"):
            sk.open_image(tmp_path / f"{number}.mp4")


def test_a_playlist_behind_the_start_of_a_video_leads_nowhere(film, tmp_path):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(film.read_bytes())
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n"
    for start in (b"FLV\x01\n", b"OggS\n", b"....wide\n"):
        with pytest.raises(ValueError, match="is no video that can be read"):
            sk.open_image(start + text.encode())


def test_a_file_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    path = tmp_path / "kite.png"
    path.write_bytes(b"")

    def refused(*_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(path), "open", refused)
    with pytest.raises(OSError, match=r"kite\.png' cannot be read: Permission denied"):
        sk.open_image(path)
