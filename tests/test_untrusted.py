"""Files of strangers: what they say is data. Watched from outside, by Python's own audit events."""

import ast
import html.parser
import http.server
import io
import itertools
import json
import os
import pickle
import shutil
import struct
import sys
import tempfile
import threading
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import svdkit as sk
from svdkit import ffmpeg, frames, video
from svdkit.calls import call_of, written
from svdkit.cards import Cell, measured_in, name_of
from svdkit.cells import SETTINGS
from svdkit.checkpoints import check_pipeline
from svdkit.cli import main
from svdkit.explorers import as_code, explore
from svdkit.galleries import Gallery
from svdkit.metadata import with_metadata
from svdkit.paths import visible
from svdkit.pickers import Picker, title_of
from svdkit.plans import Plan
from svdkit.recipes import Rerun
from svdkit.reports import Check, Report
from svdkit.tables import Table
from svdkit.takes import Take, Takes
from svdkit.viewers import Viewer

QUIET = {"progress": False}
PATIENT = settings(deadline=None, derandomize=True, database=None)  # a busy machine stalls
OURS = os.path.join(tempfile.gettempdir(), "tmp")
EVIL = "PWNED"  # stands in every piece of foreign code
REMOVING = ("os.remove", "os.rename", "os.rmdir", "shutil.rmtree", "os.truncate", "os.chmod")
REMOVING += ("os.link", "os.symlink", "os.mkdir", "shutil.move", "shutil.copyfile")
NEVER = ("pickle.find_class", "socket.getaddrinfo", "socket.connect", "os.system", "os.exec")
NEVER += ("os.posix_spawn", "os.fork", "builtins.input", "webbrowser.open", "urllib.Request")
BOUNDS = ("-format_whitelist", "-f", "-protocol_whitelist", "-max_pixels", "-i")


class Watchman:
    """Notes what a stranger's file must never make happen; `outside` is what it must not touch."""

    def __init__(self, outside):
        self.outside = str(outside)
        self.seen, self.programs = [], 0

    def __call__(self, event, arguments):
        if event in NEVER:
            self.seen.append((event, str(arguments)[:200]))
        elif event == "open" and self._is_outside(arguments[0]):
            self.seen.append((event, str(arguments[0])))
        elif event in REMOVING and any(map(self._is_outside, arguments)):
            self.seen.append((event, str(arguments)[:200]))
        elif event == "subprocess.Popen":
            self._program([os.fsdecode(word) for word in arguments[1]])
        elif event == "compile" and EVIL in str(arguments[0])[:10000]:
            self.seen.append((event, str(arguments)[:200]))
        elif event == "exec" and EVIL in repr(arguments[0].co_consts):
            self.seen.append((event, arguments[0].co_filename))
        elif event == "import" and str(arguments[1] or "").startswith(self.outside):
            self.seen.append((event, str(arguments)[:200]))

    def _is_outside(self, path):
        if not isinstance(path, (str, bytes, os.PathLike)):
            return False
        path = os.path.abspath(os.fsdecode(path))
        within = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        return any(name.startswith(self.outside) for name in (path, within))

    def _program(self, words):
        self.programs += 1
        bounds = [word for word in words if word in BOUNDS]
        file = words[words.index("-i") + 1] if "-i" in words else ""
        is_ours = file == "-" or file.startswith(OURS)  # what we encode, and have encoded
        is_bounded = file.startswith("file:/") and bounds[: len(BOUNDS)] == list(BOUNDS)
        if "ffmpeg" not in os.path.basename(words[0]) or not (is_ours or is_bounded):
            self.seen.append(("subprocess.Popen", str(words)[:300]))


_watch: list[Watchman] = []


def _heard(event, arguments):
    for watchman in _watch:
        watchman(event, arguments)


@pytest.fixture(scope="session")
def audited():
    sys.addaudithook(_heard)  # which stays; without a watchman it does nothing


@pytest.fixture
def watched(audited, tmp_path):
    """Give a place that is none of a stranger's business, and have it watched on demand."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("canary")

    @contextmanager
    def watch():
        watchman = Watchman(outside)
        before = state_of(outside)
        _watch.append(watchman)
        try:
            yield watchman
        finally:
            _watch.remove(watchman)
        assert watchman.seen == []
        assert state_of(outside) == before

    watch.outside = outside
    return watch


def state_of(folder):
    """What is in a folder, and when it was last written to."""
    return {
        str(file): (file.lstat().st_mtime_ns, file.is_file() and file.read_bytes())
        for file in (folder, *folder.rglob("*"))
    }


@pytest.fixture
def folder(tmp_path):
    """Where a stranger's files are."""
    place = tmp_path / "theirs"
    place.mkdir()
    return place


@pytest.fixture(scope="module")
def server():
    """A server that nobody has a reason to ask, and what it was asked all the same."""

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_):
            pass

    asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_port}", asked
        listener.shutdown()


def encoded(image, kind, **how):
    stream = io.BytesIO()
    image.save(stream, kind, **how)
    return stream.getvalue()


class Mine:
    """A pickle that writes a file when it is opened."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


def with_reference(mp4, target):
    """Have an mp4's only track say that its samples are in another file, or at an address."""
    place = mp4.index(b"dref") - 4
    old = mp4[place : place + int.from_bytes(mp4[place : place + 4])]
    entry = struct.pack(">4sI", b"url ", 0) + target.encode() + b"\0"
    new = old[4:16] + struct.pack(">I", len(entry) + 4) + entry
    new = struct.pack(">I", len(new) + 4) + new
    out = bytearray(mp4.replace(old, new))
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        at = out.index(box) - 4
        size = int.from_bytes(out[at : at + 4]) + len(new) - len(old)
        out[at : at + 4] = struct.pack(">I", size)
    return bytes(out)


def claiming(mp4, width, height):
    """Have an mp4 say that its frames are of another size."""
    out = bytearray(mp4)
    at = out.index(b"avc1") + 28  # the sample entry's two 16-bit sides
    out[at : at + 4] = struct.pack(">HH", width, height)
    at = out.index(b"tkhd")
    size = int.from_bytes(out[at - 4 : at])
    out[at - 4 + size - 8 : at - 4 + size] = struct.pack(">II", width << 16, height << 16)
    return bytes(out)


def png_with(*chunks):
    """A small PNG with more chunks behind its header."""
    data = encoded(Image.new("RGB", (8, 8)), "PNG")
    more = b"".join(
        struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return data[:33] + more + data[33:]


def mp4_of(colour, count=4):
    return video.encode(np.full((count, 32, 32, 3), colour, np.uint8), 8, ".mp4")


PRIVATE = (0, 200, 0)  # the colour of what nobody else should see
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(PWNED) run showpage\n"
DOS_EPS = struct.pack("<IIIIIIIH", 0xC6D3D0C5, 30, len(EPS), 0, 0, 0, 0, 0xFFFF) + EPS
BOMB = zlib.compress(bytes(200_000_000), 9)  # some 200 kB


def files_of_strangers(outside, address, mark):
    """Name each kind of file that is more than it seems, and give its bytes."""
    secret = outside / "secret.mp4"
    entity = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{outside}/secret.txt">]>'
    image = f'<image href="{address}/a.png"/><image href="file://{outside}/secret.png"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg">{image}<script>PWNED</script></svg>'
    media = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    dash = f'<?xml version="1.0"?><MPD><BaseURL>{address}/</BaseURL></MPD>'
    return {
        "EPS": EPS,
        "EPS with DOS header": DOS_EPS,
        "PDF": b"%PDF-1.4\n1 0 obj << /OpenAction << /S /Launch /F (PWNED) >> >>",
        "SVG": svg.encode(),
        "SVG after a prologue": f'<?xml version="1.0"?><!--{" " * 5000}-->{entity}{svg}'.encode(),
        "XML with an entity": f'<?xml version="1.0"?>{entity}<x>&e;</x>'.encode(),
        "HTML": b"<html><script>PWNED</script>",
        "HLS of an address": media.format(f"{address}/a.ts").encode(),
        "HLS of a file": media.format(f"file://{secret}").encode(),
        "HLS after a blank line": b"\n" + media.format(f"{address}/a.ts").encode(),
        "HLS with a key": media.replace(
            "#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{address}/k"\n#EXTINF'
        )
        .format(str(secret))
        .encode(),
        "ffconcat": f"ffconcat version 1.0\nfile '{secret}'\n".encode(),
        "concat": f"concat:{secret}|{secret}".encode(),
        "DASH": dash.encode(),
        "SDP": b"v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        "an mp4 of another file": with_reference(mp4_of((200, 0, 0)), f"file://{secret}"),
        "an mp4 of a relative file": with_reference(mp4_of((200, 0, 0)), "../outside/secret.mp4"),
        "an mp4 of an address": with_reference(mp4_of((200, 0, 0)), f"{address}/a.mp4"),
        "an mp4 of the sides 65535": claiming(mp4_of((200, 0, 0)), 65535, 65535),
        "a script for ImageMagick": f'push graphic-context\nimage over "{address}/x"'.encode(),
        "a pickle": pickle.dumps(Mine(mark)),
        "an array of pickles": array_of(Mine(mark)),
        "a zip": zipped(pickle.dumps(Mine(mark))),
        "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\0" + BOMB[2:],
        "PNG with a text of 200 MB": png_with((b"zTXt", b"Title\0\0" + BOMB)),
        "PNG with an itxt of 200 MB": png_with((b"iTXt", b"Title\0\1\0\0\0" + BOMB)),
        "PNG with many texts": png_with(
            *[(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000), 9))] * 200
        ),
        "PNG with a profile of 200 MB": png_with((b"iCCP", b"a\0\0" + BOMB)),
        "PNG of 60000 pixels": png_of(60_000),
        "TIFF of 60000 pixels": tiff_of(60_000),
        "Windows metafile": b"\xd7\xcd\xc6\x9a" + bytes(100),
        "nothing": b"",
    }


def array_of(thing):
    stream = io.BytesIO()
    np.save(stream, np.array([thing], object), allow_pickle=True)
    return stream.getvalue()


def zipped(data):
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("archive/data.pkl", data)
    return stream.getvalue()


def png_of(side):
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = bytearray(encoded(Image.new("RGB", (8, 8)), "PNG"))
    data[16:29] = header
    data[29:33] = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return bytes(data)


def tiff_of(side):
    data = bytearray(encoded(Image.new("L", (8, 8)), "TIFF"))
    for tag in (256, 257):
        at = data.index(struct.pack("<HHL", tag, 4, 1)) + 8
        data[at : at + 4] = struct.pack("<L", side)
    return bytes(data)


STRANGE = tuple(files_of_strangers(Path(), "http://x", Path()))
NAMES = ("kite.png", "kite.mp4", "kite.gif")


@pytest.mark.parametrize("kind", STRANGE)
def test_a_file_that_is_more_than_it_seems_leads_nowhere(watched, folder, server, tmp_path, kind):
    address, asked = server
    (watched.outside / "secret.mp4").write_bytes(mp4_of(PRIVATE))
    mark = tmp_path / "mark"
    data = files_of_strangers(watched.outside, address, mark)[kind]
    places = [folder / name for name in NAMES]
    for place in places:
        place.write_bytes(data)
    tries = [(sk.open_image, data), *itertools.product((sk.open_image, sk.Clip.open), places)]
    for verb, source in tries:
        opened = None
        with watched(), suppress(ValueError, OSError):
            opened = verb(source)
        if opened is not None:
            pixels = opened.frames if isinstance(opened, sk.Clip) else np.asarray(opened)
            assert np.abs(pixels.reshape(-1, 3).mean(0) - PRIVATE).max() > 60
    assert not mark.exists()
    assert asked == []


def test_the_watchman_sees_what_is_done_behind_ones_back(watched, folder, tmp_path):
    """Else the tests above would hold whatever happens."""
    (folder / "evil.pkl").write_bytes(pickle.dumps(Mine(tmp_path / "mark")))
    (folder / "out").symlink_to(watched.outside)
    doings = [
        lambda: pickle.loads((folder / "evil.pkl").read_bytes()).close(),
        lambda: (watched.outside / "secret.txt").read_text(),
        lambda: (folder / "out" / "secret.txt").read_text(),
        lambda: (watched.outside / "new").touch(),
        lambda: os.rename(folder / "evil.pkl", watched.outside / "evil.pkl"),
        lambda: exec(f"name = '{EVIL}'"),
        lambda: __import__("subprocess").run(["true"]),
        lambda: __import__("subprocess").run([ffmpeg.find_ffmpeg(), "-i", "a.mp4"], stderr=-1),
        lambda: __import__("socket").getaddrinfo("localhost", 1),
    ]
    for do in doings:
        with pytest.raises(AssertionError), watched():
            do()


def a_gif(count, side):
    """A GIF of so many frames of one pixel on a large canvas."""
    start = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes((0, 0, 0, 9, 9, 9))
    pixel = b"\x21\xf9\4\0\x0a\0\0\0,\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    return start + pixel * count + b";"


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".webp"])
def test_a_small_file_of_endless_frames_is_left_at_the_limit(tmp_path, monkeypatch, suffix):
    many = video.encode(np.zeros((400, 64, 64, 3), np.uint8), 25, suffix)
    (tmp_path / f"long{suffix}").write_bytes(many)
    assert len(many) < 100_000
    assert len(sk.Clip.open(tmp_path / f"long{suffix}")) == 400
    limit = 100 * 64 * 64 * 3
    monkeypatch.setattr(frames, "MOST_BYTES", limit)
    monkeypatch.setattr(video, "MOST_BYTES", limit - (1 << 20))
    with pytest.raises(ValueError, match=r"more than|at most"):
        sk.Clip.open(tmp_path / f"long{suffix}")


def test_a_gif_of_a_hundred_thousand_frames_gives_its_first_and_no_clip(tmp_path):
    (tmp_path / "long.gif").write_bytes(a_gif(100_000, 1000))
    assert sk.open_image(tmp_path / "long.gif").size == (1000, 1000)
    with pytest.raises(ValueError, match="a clip takes 4 GB at most"):
        sk.Clip.open(tmp_path / "long.gif")


def test_pictures_beside_a_clip_are_no_more_than_a_clip_takes(made, tmp_path, monkeypatch):
    saved = made.save(tmp_path / "kite.mp4")
    beside = tmp_path / "kite.mp4.json"
    about = json.loads(beside.read_text())
    about["file"]["pictures"] = 900
    beside.write_text(json.dumps(about))
    assert len(sk.Clip.open(saved).inputs) == 1
    monkeypatch.setattr(frames, "MOST_BYTES", made.frames.nbytes)
    assert sk.Clip.open(saved).inputs == ()


def test_frames_in_a_folder_are_counted_before_they_are_read(made, tmp_path, monkeypatch):
    saved = made.save(tmp_path / "kite")
    Image.new("RGB", (9000, 9000)).save(saved / "frame_0000.png")
    opened, real = [], sk.open_image
    monkeypatch.setattr("svdkit.files.open_image", lambda file: opened.append(file) or real(file))
    monkeypatch.setattr(frames, "MOST_BYTES", 2 * made.frames.nbytes)
    with pytest.raises(ValueError, match="a clip takes"):
        sk.Clip.open(saved)
    assert len(opened) == 1


PIPED = ("kite.mp4", "kite.mp4.json", "frames/recipe.json", "frames/frame_0000.png", "kite.png")


@pytest.mark.parametrize("name", PIPED)
def test_at_a_pipe_in_the_place_of_a_file_nobody_waits(made, tmp_path, name):
    made.save(tmp_path / "kite.mp4")
    made.save(tmp_path / "frames")
    made[0].save(tmp_path / "kite.png")
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    opens = sk.open_image if name.endswith("kite.png") else sk.Clip.open
    top = tmp_path / name.split("/")[0].removesuffix(".json")
    with pytest.raises((ValueError, OSError)):
        opens(top)


def test_at_a_pipe_in_the_place_of_a_lock_nobody_waits(made, tmp_path):
    os.mkfifo(tmp_path / ".lock")
    assert len(sk.sweep(made.inputs[0], "tiny", sk.grid(fps=[5], **FEW), tmp_path, **QUIET)) == 1


FEW = {"num_inference_steps": 1, "num_frames": 2}


@pytest.fixture
def swept(tmp_path, folder):
    """A sweep of two cells, that somebody else may have changed."""
    return sk.sweep(sk.sample_image(), "tiny", sk.grid(fps=[5, 9], seed=7, **FEW), folder, **QUIET)


def test_nothing_is_written_or_deleted_through_a_link(watched, folder, swept):
    """Links may come with an archive; what they lead to may be read, as people move their files."""
    outside = watched.outside
    (outside / "photos").mkdir()
    shutil.move(folder / "inputs", outside / "inputs")
    (folder / "inputs").symlink_to(outside / "inputs")
    name = swept[0].path.name
    shutil.move(folder / name, outside / name)
    (folder / name).symlink_to(outside / name)
    old = {}
    for link, target in {
        ".stop-abc": "secret.txt",
        ".saving-host-1-abc": "photos",
        "sweep.html": "new.html",
        f"{'0' * 16}.error.json": "secret.txt",
        "chain": "photos",
    }.items():
        (folder / link).symlink_to(outside / target)
        old[link] = os.utime(folder / link, (1, 1), follow_symlinks=False)
    for file in (outside / "photos", outside / "secret.txt"):
        os.utime(file, (1, 1))  # as old as leftovers that are removed
    with watched() as watchman:
        watchman.outside = "/nowhere"  # reading is allowed here; the state is compared
        runs = sk.Sweep.open(folder)
        assert len(runs) == 2
        assert runs[0].clip.frames.shape == (2, 64, 112, 3)
        runs.save(folder / "sweep.html", overwrite=True)
        cells = sk.grid(fps=[5, 9], seed=7, **FEW)
        sk.sweep(sk.sample_image(), "tiny", cells, folder, **QUIET)
        with pytest.raises(ValueError, match="inputs' is a link"):
            sk.sweep(sk.sample_image().rotate(180), "tiny", cells, folder, **QUIET)
        runs[1].clip.save(folder / "sweep.webm")
        sk.panel("tiny", folder=folder).close()
    assert not (folder / "sweep.html").is_symlink()
    assert not (outside / "new.html").exists()


def test_a_lock_that_is_a_link_makes_no_file_elsewhere(watched, folder, swept):
    (folder / ".lock").unlink()
    (folder / ".lock").symlink_to(watched.outside / "new")
    with watched(), pytest.raises(OSError, match=r"symbolic link|\.lock"):
        sk.sweep(sk.sample_image(), "tiny", sk.grid(fps=[7], **FEW), folder, **QUIET)
    assert not (watched.outside / "new").exists()


def test_a_clip_saved_over_a_link_takes_the_place_of_the_link(watched, folder, made):
    theirs = made.save(watched.outside / "theirs.mp4")
    (folder / "kite.mp4").symlink_to(theirs)
    with watched() as watchman:
        watchman.outside = "/nowhere"
        made[:2].save(folder / "kite.mp4", overwrite=True)
    assert not (folder / "kite.mp4").is_symlink()
    assert len(sk.Clip.open(theirs)) == len(made)


STRANGE_MODELS = ("/etc", "../../x", "..", "http://127.0.0.1:9/x", "file:///etc", "evil/model")
STRANGE_MODELS += ("~/x", "https://huggingface.co/evil/model", "tiny/../evil", "-x", "evil.ckpt")


@pytest.mark.parametrize("model", STRANGE_MODELS)
def test_a_model_that_a_file_names_is_not_looked_for(watched, folder, made, model):
    saved = made.save(folder / "kite.mp4")
    recipe = json.loads((folder / "kite.mp4.json").read_text())
    recipe["request"] |= {"model": model, "source": "hub"}
    (folder / "kite.mp4.json").write_text(json.dumps(recipe))
    alone = folder / "alone.mp4"  # whose recipe is inside it
    alone.write_bytes(with_metadata(mp4_of((9, 9, 9)), ".mp4", recipe | {"file": {}}))
    (folder / "001-kite.mp4").write_bytes(alone.read_bytes())
    with watched():
        for path in (saved, alone):
            assert sk.rerun(path, image=made.inputs[0], **QUIET).clip is None
        opened = sk.panel("tiny", folder=folder)
        assert sk.Clip.open(saved).recipe["request"]["model"] == model
        opened.close()


@pytest.mark.parametrize("model", STRANGE_MODELS)
def test_a_sweep_of_a_strange_model_is_looked_at_and_not_gone_on_with(
    watched, folder, swept, edit_json, model
):
    edit_json(folder / "sweep.json", model=model, source="hub")
    about = json.loads((folder / "sweep.json").read_text())
    for cell in swept:  # whoever makes such a folder gives its cells the names that belong to it
        settings = {name: cell.values[name] for name in SETTINGS} | {"decode_chunk_size": None}
        name = name_of(about, image_sha256=cell.image_sha256, seed=7, settings=settings)
        for file in (cell.path, cell.path.with_name(f"{cell.path.name}.json")):
            file.rename(file.with_name(file.name.replace(cell.name, name)))
    with watched():
        runs = sk.Sweep.open(folder)
        assert len(runs) == 2
        assert written(model) in as_code(runs[0], model)
        with pytest.raises(ValueError, match="none of svdkit's models"):
            runs.finalise(0, fps=30, **QUIET)


@pytest.mark.parametrize("image", ["../../outside/secret", "/etc/passwd", "x" * 64, "", None, 7])
def test_a_picture_that_a_file_names_is_looked_for_in_its_folder_alone(
    watched, folder, made, swept, image
):
    made[0].save(watched.outside / "secret.png")
    saved = made.save(folder / "kite.mp4")
    for beside in (folder / "kite.mp4.json", swept[0].path.with_suffix(".mp4.json")):
        about = json.loads(beside.read_text())
        about["request"]["image_sha256"] = image
        about["file"]["pictures"] = 0
        beside.write_text(json.dumps(about))
    with watched():
        assert sk.Clip.open(saved).inputs == ()
        with pytest.raises(ValueError, match="image_sha256"):
            sk.rerun(saved, **QUIET)
        runs = sk.Sweep.open(folder)
        assert len(runs.failures) == 1


def pickles(folder, mark):
    for file in folder.rglob("*.safetensors"):
        data = pickle.dumps(Mine(mark))
        file.unlink()
        file.with_name("diffusion_pytorch_model.bin").write_bytes(data)
        file.with_name("pytorch_model.bin").write_bytes(data)


def sharded(target):
    def harm(folder, mark):
        unet = folder / "unet"
        for file in unet.glob("*.safetensors"):
            file.rename(unet / "diffusion_pytorch_model-00001-of-00002.safetensors")
        (unet / "x.bin").write_bytes(pickle.dumps(Mine(mark)))
        index = {"metadata": {}, "weight_map": {"conv_in.weight": target}}
        (unet / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))

    return harm


def indexed(**changes):
    """Have the index name other classes; code of its own lies beside it."""

    def harm(folder, mark):
        code = f"open({str(mark)!r}, 'w')  # {EVIL}\nclass Evil:\n    pass\n"
        for name in ("pipeline", "evil", "unet/evil", "unet/unet", "vae/evil"):
            (folder / f"{name}.py").write_text(code)
        config = folder / "unet" / "config.json"
        auto = {"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}
        told = {"auto_map": auto, "model_type": "evil"}
        config.write_text(json.dumps(json.loads(config.read_text()) | told))
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "unet" / "model_index.json").write_text(
            json.dumps(index | {"_class_name": ["evil", "Evil"]})
        )
        (folder / "model_index.json").write_text(json.dumps(index | changes))

    return harm


def headed(size, body=b"{}"):
    def harm(folder, mark):
        for file in (folder / "unet").glob("*.safetensors"):
            file.write_bytes(struct.pack("<Q", size) + body)

    return harm


EVIL_CHECKPOINTS = {
    "pickles": (pickles, "pickle"),
    "an index that leads to a pickle": (sharded("x.bin"), "'x.bin', which is no file of safe"),
    "an index that leads elsewhere": (sharded("../../outside/w.safetensors"), "which is no file"),
    "an index that is no index": (sharded(None), "which is no file of safetensors"),
    "a pipeline of its own": (indexed(_class_name="Evil"), "is a Evil; "),
    "a pipeline in a file": (indexed(_class_name=["pipeline", "Evil"]), "is a "),
    "a part in a file": (indexed(unet=["evil", "Evil"]), "code of its own"),
    "a part in its folder": (indexed(unet=["unet", "Evil"]), "code of its own"),
    "a nameless library": (indexed(unet=["", "Evil"]), "damaged|code of its own"),
    "a part that looks for code": (indexed(unet=["transformers", "AutoModel"]), "code of its own"),
    "diffusers' own of that": (indexed(unet=["diffusers", "AutoModel"]), "code of its own"),
    "a pipeline as a part": (indexed(unet=["diffusers", "DiffusionPipeline"]), "code of its own"),
    "a function as a part": (indexed(unet=["transformers", "pipeline"]), "code of its own"),
    "a module as a part": (indexed(vae=["diffusers", "utils"]), "code of its own"),
    "a word for the terminal": (indexed(_class_name="\x1b[2J\x1b]0;x\x07"), r"\\x1b\[2J"),
    "a name without end": (indexed(_class_name="x" * 10**6), "x{80}; "),
    "a header of 2 ** 60 bytes": (headed(2**60), "damaged"),
    "a header of 90 MB": (headed(90_000_000), "damaged"),
    "a tensor beyond its file": (
        headed(70, b'{"a":{"dtype":"F32","shape":[9999999],"data_offsets":[0,39999996]}}'),
        "damaged",
    ),
}


@pytest.mark.parametrize("kind", EVIL_CHECKPOINTS)
def test_a_checkpoint_runs_no_code_and_reads_no_pickle(watched, copy_of, tmp_path, kind):
    harm, said = EVIL_CHECKPOINTS[kind]
    folder, mark = copy_of(), tmp_path / "mark"
    harm(folder, mark)
    with watched(), pytest.raises((ValueError, OSError), match=said) as error:
        sk.load(folder, **QUIET)
    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 1000
    assert not mark.exists()


def test_the_classes_that_people_use_are_let_in(checkpoint):
    index = json.loads((checkpoint / "model_index.json").read_text())
    names = [f.relative_to(checkpoint).as_posix() for f in checkpoint.rglob("*") if f.is_file()]
    for vae in ("AutoencoderKL", "AsymmetricAutoencoderKL", "ConsistencyDecoderVAE"):
        check_pipeline("a", names, index | {"vae": ["diffusers", vae]}, "animate")
    for part in ("CLIPFeatureExtractor", "CLIPImageProcessor"):
        told = {"feature_extractor": ["transformers", part]}
        check_pipeline("a", names, index | told, "animate")


def test_a_scheduler_that_is_none_is_told(watched, copy_of, edit_json, tmp_path):
    from svdkit.records import identity_of

    folder = copy_of()
    edit_json(folder / "scheduler" / "scheduler_config.json", _class_name="DiffusionPipeline")
    with watched(), pytest.raises(ValueError, match="'DiffusionPipeline', which is none"):
        identity_of(folder)


# Names of files and titles that a terminal, a shell, ffmpeg or a page might obey
TERMINAL = "\x1b[2J\x1b]0;x\x07\u202egnp.\u202c\r\x9b2J"
NASTY = {
    "for a terminal": f"a{TERMINAL}b",
    "of two lines": "a\nsvdkit: all is well",
    "for a shell": "$(touch x);`touch x`&|'\"",
    "an option": "-y",
    "a pattern": "a%03d%s",
    "a protocol": "concat:a|b",
    "for a page": "<img src=x onerror=hack()>",
    "undecodable": os.fsdecode(b"a\xff\xfeb"),
}


@pytest.mark.parametrize("kind", NASTY)
def test_the_name_of_a_file_is_a_name(tmp_path, folder, monkeypatch, capsys, kind):
    """In the working folder, where a name could be taken for an option of ffmpeg."""
    monkeypatch.chdir(folder)
    stem = NASTY[kind].replace("/", "")
    sk.sample_image().save(Path(f"{stem}.png"))
    few = ["--model", "tiny", "--num-inference-steps", "1", "--num-frames", "2"]
    assert main(["animate", *few, "-o", "out", "."]) == 0
    saved = folder / "out" / f"{stem}.mp4"
    monkeypatch.chdir(folder / "out")
    assert len(sk.Clip.open(saved.name)) == len(sk.Clip.open(saved)) == 2
    assert sk.open_image(saved.name).size == (112, 64)
    assert main(["rerun", "--", saved.name]) == 0
    saved.with_name(f"{saved.name}.json").write_text("{")
    assert main(["rerun", "--", saved.name]) == 1
    (folder / f"{stem}.png").write_bytes(b"junk")
    assert main(["animate", *few, "-o", "new", ".."]) == 1
    assert sorted(os.listdir(folder)) == sorted([f"{stem}.png", "out"])
    said = capsys.readouterr()
    for line in (said.out + said.err).split("\n"):
        assert line.isprintable(), ascii(line)
        assert not line.startswith("svdkit: all is well")


def test_a_sweep_says_titles_and_errors_without_obeying_them(swept, folder, capsys):
    note = PngInfo()
    note.add_itxt("Title", f"boat{TERMINAL}\nsvdkit: all is well")
    sha = swept[0].image_sha256
    stored = folder / "inputs" / f"{sha}.png"
    sk.open_image(stored).save(stored, pnginfo=note)
    picture = sk.sample_image()
    picture.save(folder.parent / "kite.png")
    few = ["--num-inference-steps", "1", "--num-frames", "2", "--seed", "7", "--model", "tiny"]
    other = folder.parent / f"k{TERMINAL}.png"
    picture.rotate(180).save(other)
    paths = [str(folder.parent / "kite.png"), str(other)]
    assert main(["sweep", *paths, "--fps", "5,9", *few, "-o", str(folder)]) == 0
    said = capsys.readouterr()
    shown = [line for line in said.out.split("\n") if "boat" in line or "gnp" in line]
    assert shown
    assert all(line.isprintable() for line in shown)
    assert "\nsvdkit: all is well" not in said.out


@PATIENT
@given(st.text())
def test_any_text_made_visible_is_printable(text):
    assert visible(text).replace("\n", "").isprintable()
    if text.replace("\n", "").isprintable():
        assert visible(text) == text


def test_the_name_of_a_metric_is_a_name():
    for name in ("<b>", "a\x1b[2J", "x" * 41, "", "Motion", "a-b"):
        with pytest.raises(ValueError, match="should be a name like 'motion'"):
            measured_in({"outcome": {"metrics": {name: 1}}})


# Code that is shown to be run

CODES = ('"); import os  # ', "a\nimport os", "\\", "'''", '"""', "{x}", "\u2028", "\u202e", "a\rb")


def calls_in(code):
    """Read code that is one call, after what names its picture."""
    *before, last = ast.parse(code).body
    assert isinstance(last, ast.Expr)
    assert isinstance(last.value, ast.Call)
    assert all(isinstance(line, ast.Assign) for line in before)
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    assert len(calls) == 1, code
    return last.value


@PATIENT
@given(st.text(st.characters(codec=None)))
def test_any_text_written_as_code_is_that_text_on_one_line(text):
    code = written(text)
    assert ast.literal_eval(code) == text
    assert code.isprintable()


@pytest.mark.parametrize("text", CODES)
def test_no_word_of_a_stranger_gets_out_of_its_quotes(text, monkeypatch, tmp_path):
    values = {"seed": 7, "fps": 9, "image": text, "how": text, "focus": [text, text]}
    call = calls_in(as_code(Cell("ab12", values, {}, Path()), text))
    assert ast.literal_eval(call.args[1]) == text
    assert {word.arg for word in call.keywords} == {"fps", "seed", "how", "focus"}
    told = calls_in(call_of({"seed": text}, text, picture=written(text), mask=written(text)))
    assert [ast.literal_eval(argument) for argument in told.args] == [text] * 3
    assert ast.literal_eval(told.keywords[0].value) == text


@pytest.mark.parametrize("text", CODES)
def test_the_code_of_a_panel_is_one_call_whatever_its_picture_is_called(
    text, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    sk.sample_image().save(f"{text}.png")
    picker = Picker(lambda size: (64, 112), changed=lambda: None)
    picker.menu.value = f"{text}.png"
    assert ast.literal_eval(picker.code) == f"{text}.png"
    picker.put("again", Path(f"{text}.png"))
    assert ast.literal_eval(picker.code) == f"{text}.png"


def test_a_strangers_clip_in_a_panels_folder_brings_no_code(made, tmp_path):
    saved = made.save(tmp_path / "001-kite.mp4")
    beside = tmp_path / "001-kite.mp4.json"
    about = json.loads(beside.read_text())
    right = json.loads(beside.read_text())["request"]
    evil = '"); import os  # '
    harms = [
        ({}, 1),
        ({"model": evil}, 1),
        ({"source": evil}, 1),
        ({"seed": evil}, 0),
        ({"seed": [evil]}, 0),
        ({"fit": {"how": evil}}, 0),
        ({"fit": {"focus": evil}}, 0),
        ({"fit": {"fps": evil, "seed": evil, "how": "pad", "focus": [0, 1]}}, 1),
        ({"settings": {"fps": evil}}, 0),
        ({"verb": evil}, 0),
    ]
    for number, (harm, kept) in enumerate(harms):
        beside.write_text(json.dumps(about | {"request": right | harm}))
        os.utime(saved, (1, number))  # a clip is kept as long as its file is the same
        takes = list(Takes(tmp_path))
        assert len(takes) == kept, harm
        for take in takes:
            assert evil not in repr(ast.literal_eval(repr(take.values)))
            calls_in(take.code)


def test_a_title_from_an_address_has_neither_login_nor_key():
    assert title_of("https://ada:s3cret@example.com/a/kite.png?signature=x#y") == "kite.png"
    assert title_of("https://example.com") == "example.com"
    assert title_of(b"bytes") == "picture"


# Words in a page

SCRIPTS = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    '"><svg onload=window.hacked=1><p title="',
    "'><iframe srcdoc='<script>parent.hacked=1</script>'>",
    "</summary></details></td></table></title></pre></script><script>window.hacked = 1</script>",
    "<a href='javascript:window.hacked=1'>x</a>",
    "--><style>*{display:none}</style><base href=//evil.example>",
    "&lt;script&gt;window.hacked = 1&lt;/script&gt;",
)
HARMLESS = "kite"


class Shape(html.parser.HTMLParser):
    """The tags of a page with the names of their attributes, and all its words."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.words, self.hooks = [], "", []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, sorted(name for name, _ in attributes)))
        for name, value in attributes:
            self.words += f" {value} "
            if name.startswith("on") or ("javascript:" in (value or "") and name != "title"):
                self.hooks.append((tag, name))

    def handle_endtag(self, tag):
        self.tags.append(("/", tag))

    def handle_data(self, data):
        self.words += data

    def handle_comment(self, data):
        self.tags.append(("!", data))


def html_in(widget):
    import ipywidgets

    inside = "".join(map(html_in, getattr(widget, "children", ())))
    return (widget.value if isinstance(widget, ipywidgets.HTML) else "") + inside


@pytest.fixture(scope="module")
def pages(tmp_path_factory, made):
    """Give every piece of HTML that svdkit makes, with a text wherever a stranger's may stand."""
    still = sk.Clip(np.full((2, 32, 32, 3), 90, np.uint8))
    place = tmp_path_factory.mktemp("pages")
    count = itertools.count()

    def pages_of(text):
        path = still.save(place / f"{next(count)}.mp4")
        lost = place / f"{next(count)}-lost.mp4"
        values = {"seed": 7, "fps": 7, "how": "crop", "focus": (0.5, 0.5)}
        cells = [
            Cell("a", values | {"image": text}, {"motion": 0.1}, path),
            Cell("b", values | {"image": "boat"}, {"motion": 0.2}, lost),
            Cell("c", values | {"image": text, "seed": 8}, {"motion": 0.3}, path),
        ]
        failures = [values | {"image": text, "seed": 9, "error": text}, {"error": text}]
        gallery = Gallery(cells, failures=failures)
        explored = explore(cells, text, failures[:1])
        take = Take(1, text, made, picture=written(text))
        viewer = Viewer(failed=print, reuse=print)
        viewer.show(take, [take])
        viewer.measure()
        picker = Picker(lambda size: (64, 112), changed=lambda: None)
        picker.add("x", f"/no/{text}")
        engine = sk.panel("tiny")
        engine._maker.tell(text)
        engine._maker.fail(KeyError(text))
        engine._engine._why = text
        about, maker = engine._engine.about, engine._maker.status.value + text_of(engine, text)
        engine.close()
        plan = sk.plan("tiny", gpu="T4")
        fields = vars(plan) | {"model": text, "remark": text}
        return {
            "player": still.player(text),
            "clips": sk.show_clips({text: still})._repr_html_(),
            "comparison": sk.compare_clips(still, still, titles=(text, "b"))._repr_html_(),
            "gallery": gallery._repr_html_(),
            "page": gallery._page(text),
            "explorer": html_in(explored),
            "kept": take.kept(),
            "viewer": html_in(viewer.box),
            "picker": html_in(picker.box),
            "engine": about,
            "maker": maker,
            "verdict": Rerun(still, f"differs: {text}")._repr_html_(),
            "plan": Plan(**fields)._repr_html_(),
            "doctor": Report((Check(text, "wrong", text, text),))._repr_html_(),
            "table": Table([{"image": text}], ["image"])._repr_html_(),
        }

    def text_of(panel, text):
        panel._dials.remark([(("fps",), text)])
        return html_in(panel.box)

    return pages_of


def test_no_tag_of_a_page_comes_from_a_text(pages):
    expected = {name: Shape(source) for name, source in pages(HARMLESS).items()}
    for text in SCRIPTS:
        for name, source in pages(text).items():
            found = Shape(source)
            assert found.tags == expected[name].tags, (name, text)
            assert found.hooks == [], (name, text)
            assert text[:40] in found.words, (name, text)  # it is shown, as text


def test_a_saved_page_may_run_and_fetch_nothing(pages):
    (policy,) = [
        dict(attributes)["content"]
        for tag, attributes in tags_of(pages(HARMLESS)["page"])
        if dict(attributes).get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["media-src"] == rules["img-src"] == "data:"
    assert "script-src" not in rules


def tags_of(source):
    found = []
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, attributes))
    parser.feed(source)
    return found


def exported(pieces):
    """What nbconvert makes of a notebook with these outputs."""
    import nbformat
    from nbconvert import HTMLExporter

    outputs = [
        nbformat.v4.new_output("display_data", {"text/html": piece, "text/plain": piece})
        for piece in pieces
    ]
    cell = nbformat.v4.new_code_cell("0", outputs=outputs)
    return HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))[0]


@pytest.fixture
def page(chromium):
    """A page that notes what it asks for, what it says and what it complains about."""
    page = chromium.new_page()
    page.noted = []
    page.on("dialog", lambda dialog: (page.noted.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda said: page.noted.append(said.text))
    page.on("pageerror", lambda error: page.noted.append(str(error)))
    page.on("request", lambda request: page.noted.append(request.url))
    page.add_init_script("addEventListener('securitypolicyviolation', () => window.hacked = 2)")
    yield page
    page.close()


def test_no_script_runs_in_a_real_browser(page, pages, tmp_path):
    for number, text in enumerate(SCRIPTS):
        made = pages(text)
        whole = made.pop("page")
        page.set_content("".join(made.values()))
        page.wait_for_function("[...document.querySelectorAll('video')].every(v => v.readyState)")
        (tmp_path / f"{number}.html").write_text(whole)
        (tmp_path / f"{number}-export.html").write_text(exported(made.values()))
        assert page.evaluate("window.hacked") is None, text
        page.goto((tmp_path / f"{number}.html").as_uri())
        page.wait_for_function("[...document.querySelectorAll('video')].every(v => v.readyState)")
        assert page.evaluate("window.hacked") is None, text
        assert page.title() == text.strip()
        elsewhere = [note for note in page.noted if not note.startswith(("data:", "file:"))]
        assert elsewhere == [], text


def test_no_script_runs_in_an_export(page, pages, tmp_path):
    page.route("http*://**", lambda route: route.abort())  # nbconvert's own page asks for MathJax
    for number, text in enumerate(SCRIPTS[:6]):
        (tmp_path / f"{number}.html").write_text(exported(pages(text).values()))
        page.goto((tmp_path / f"{number}.html").as_uri(), wait_until="domcontentloaded")
        page.wait_for_timeout(200)
        assert page.evaluate("window.hacked") is None, text


def test_the_browser_tests_see_a_script_that_runs(page):
    page.set_content(SCRIPTS[0] + SCRIPTS[1])
    page.wait_for_function("window.hacked == 1")
