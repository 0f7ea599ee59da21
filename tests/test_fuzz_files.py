"""Whatever becomes of the files: what opens is the clip that it says it is, or it is told, soon."""

import json
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from fuzzing import anything, inputs, json_values, nothing_left_behind, result_or_error
from hypothesis import strategies as st
from PIL import Image

import svdkit as sk
from svdkit.drawings import Drawing, steps_behind
from svdkit.frames import sha256_of_frames
from svdkit.prompts import PROMPT_MODELS

# of large things among what a test was given, when it fails
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
TINY = {"num_inference_steps": 1, "height": 16, "width": 16, "progress": False}
QUICK = TINY | {"num_frames": 2}
SUFFIXES = [".mp4", ".webm", ".gif", ".webp"]
HEADS = [b"\x89PNG\r\n\x1a\n", b"GIF89a\1\0\1\0", b"RIFF\xff\0\0\0WEBPVP8X", b"\0\0\0\x18ftypisom"]
HEADS += [b"\x1aE\xdf\xa3", b"FLV\x01", b"OggS\0\2", b"#EXTM3U\nhttp://127.0.0.1:9/x\n"]
HEADS += [b"ffconcat version 1.0\nfile /etc/passwd\n", b"<svg xmlns='x'/>", b"%!PS\n"]


@pytest.fixture(scope="module", autouse=True)
def own_temporary_files(tmp_path_factory):
    """Keep temporary files where nobody else makes any, so that those left behind are ours."""
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path_factory.mktemp("temporary"))
    yield
    tempfile.tempdir = before


@pytest.fixture(scope="module")
def svd():
    return sk.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))


@pytest.fixture(scope="module")
def clips(svd, picture):
    """A clip of each way to make one, by its name."""
    plain = sk.animate(picture, svd, seed=7, **QUICK)
    long = sk.animate(picture, svd, seed=7, **TINY, num_frames=6)
    small = {"num_inference_steps": 1, "height": 16, "width": 16, "progress": False}
    still = sk.draw("a kite", "tiny-sd", seed=3, **small)
    return {
        "animate": plain,
        "edited": (plain + plain[::-1]).repeat(2)[1:5].boomerang(),
        "extend": sk.extend(plain, svd, seed=7, overlap=0, **TINY | {"num_frames": 3}),
        "loop": sk.loop(long, overlap=2, progress=False),
        "cinemagraph": sk.cinemagraph(picture, (0, 0, 0.5, 1), svd, seed=7, **QUICK),
        "drawn": sk.animate(still, svd, seed=7, **QUICK),
    }


@pytest.fixture(scope="module")
def saved(clips, tmp_path_factory):
    """The plain clip in each format, and each clip as a folder of frames."""
    folder = tmp_path_factory.mktemp("saved")
    for suffix in SUFFIXES:
        clips["animate"].save(folder / f"kite{suffix}")
    for name, clip in clips.items():
        clip.save(folder / name)
    return folder


@contextmanager
def copy_of(folder):
    """Lend a copy of a folder, which takes no time: files that are altered are written anew."""
    with tempfile.TemporaryDirectory() as room:
        yield Path(shutil.copytree(folder, Path(room, "copy"), copy_function=os.link))


def write_anew(path, data):
    path.unlink()
    path.write_bytes(data)


@st.composite
def damages(draw):
    """Give a function that cuts, alters, splices or empties some bytes."""
    where = draw(st.floats(0, 1))
    kind = draw(st.sampled_from(["cut", "flip", "flip", "flip", "head", "insert", "empty"]))
    near_start, byte = draw(st.booleans()), draw(st.integers(0, 255))
    head = draw(st.sampled_from(HEADS))

    def damaged(data):
        place = int(where * (min(len(data), 300 if near_start else len(data)) - 1))
        return {
            "cut": data[:place],
            "flip": data[:place] + bytes([byte]) + data[place + 1 :],
            "insert": data[:place] + head + data[place:],
            "head": head + data[len(head) :],
            "empty": b"",
        }[kind]

    damaged.__name__ = damaged.__qualname__ = f"{kind} at {where:.2f} of {near_start}, {byte}"
    return damaged


DAMAGES = st.lists(damages(), min_size=1, max_size=3)


def check_damaged_video(saved, suffix, changes, keep_recipe):
    with copy_of(saved) as folder:
        path = folder / f"kite{suffix}"
        whole = data = path.read_bytes()
        for change in changes:
            data = change(data) if data else data
        write_anew(path, data)
        if not keep_recipe:
            path.with_name(f"{path.name}.json").unlink()
        with nothing_left_behind(folder):
            clip, error = result_or_error(sk.Clip.open, path)
        assert clip is None or data == whole or not keep_recipe
        if error:
            assert path.name in str(error) or "frames" in str(error) or "fps" in str(error)
        else:
            assert clip.frames.dtype == np.uint8


@inputs(250, suffix=st.sampled_from([".gif", ".webp"]), changes=DAMAGES, keep=st.integers(0, 4))
def test_any_damage_to_a_gif_or_webp(suffix, changes, keep, saved):
    check_damaged_video(saved, suffix, changes, keep == 0)


@inputs(120, suffix=st.sampled_from([".mp4", ".webm"]), changes=DAMAGES, keep=st.integers(0, 9))
def test_any_damage_to_a_video(suffix, changes, keep, saved):
    check_damaged_video(saved, suffix, changes, keep == 0)


@st.composite
def mutations(draw, values=None):
    """Give a function that alters a value of JSON in up to three places."""
    values = json_values() if values is None else values
    changes = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["replace", "replace", "delete", "deepen", "double", "swap"]),
                st.integers(0, 10**6),
                st.integers(0, 10**6),
                values,
            ),
            min_size=1,
            max_size=3,
        )
    )

    def mutated(about):
        for change in changes:
            about = _changed(about, *change)
        return about

    return mutated


def _places(about):
    open_ones = [about]  # and no recursion: some are deep
    while open_ones:
        value = open_ones.pop()
        if isinstance(value, (dict, list)):
            for key in list(value) if isinstance(value, dict) else range(len(value)):
                yield value, key
                open_ones.append(value[key])


def _changed(about, kind, which, other, value):
    places = list(_places(about))
    if not places:
        return value
    parent, key = places[which % len(places)]
    elsewhere, there = places[other % len(places)]
    if kind == "replace":
        parent[key] = value
    elif kind == "delete":
        del parent[key]
    elif kind == "deepen":
        deep = parent[key]
        for _ in range((10, 99, 500, 800, 5000)[other % 5]):
            deep = [deep] if other % 2 else {"steps": deep}
        parent[key] = deep
    elif kind == "double" and isinstance(parent, list):
        parent.insert(key, parent[key])
    else:
        with suppress(RecursionError):
            parent[key] = json.loads(json.dumps(elsewhere[there]))
    return about


def text_of(about):
    """Write JSON of any depth."""
    try:
        return json.dumps(about)
    except RecursionError:
        return "[" * 100_000


@inputs(300, name=st.sampled_from(["kite.gif", "animate", "edited", "drawn"]), mutated=mutations())
def test_any_recipe_beside_a_clip(name, mutated, saved):
    with copy_of(saved) as folder:
        path = folder / name
        beside = path / "recipe.json" if path.is_dir() else folder / f"{name}.json"
        write_anew(beside, text_of(mutated(json.loads(beside.read_text()))).encode())
        with nothing_left_behind(folder):
            clip, error = result_or_error(sk.Clip.open, path)
        if error:
            assert "recipe" in str(error) or "json" in str(error).lower(), str(error)
            return
        again = sk.Clip.open(clip.save(folder / "again"))
        assert again.recipe == clip.recipe
        assert (again.frames == clip.frames).all()


def test_a_folder_that_claims_a_billion_frames_is_told_at_once(saved, edit_json):
    with copy_of(saved) as folder:
        beside = folder / "animate" / "recipe.json"
        about = json.loads(beside.read_text())
        about["file"]["frames"][0] = 10**9
        write_anew(beside, json.dumps(about).encode())
        with pytest.raises(ValueError, match=r"frame_0002\.png is missing"):
            sk.Clip.open(folder / "animate")


@pytest.mark.parametrize("name", ["kite", "kite.gif"])
def test_a_link_that_leads_nowhere_is_not_saved_to(name, clips, tmp_path):
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match="is a link that leads nowhere; move it away"):
        clips["animate"].save(tmp_path / name)
    assert os.readlink(tmp_path / name) == str(tmp_path / "nowhere")


SVDKITS = {*sk.MODELS, *PROMPT_MODELS}


def is_strange(step):
    """Whether a step asks for a model that is none of svdkit's."""
    request = step.get("request", {})
    return "edit" not in request and request.get("model") not in SVDKITS


@pytest.fixture(scope="module")
def names(checkpoint):
    path = str(checkpoint)
    return [path, checkpoint.name, f"file://{path}", "stabilityai/sd-turbo", "../x"]


@inputs(
    120,
    name=st.sampled_from(["animate", "edited", "extend", "loop", "cinemagraph", "drawn"]),
    mutated=mutations(),
    strange=st.integers(0, 30),
)
def test_any_recipe_is_run_again_or_refused(name, mutated, strange, saved, names):
    with copy_of(saved) as folder:
        beside = folder / name / "recipe.json"
        about = json.loads(beside.read_text())
        changed = mutated({key: about[key] for key in ("steps", "request") if key in about})
        about |= changed if isinstance(changed, dict) else {}
        if strange < len(names) and isinstance(about.get("request"), dict):
            about["request"]["model"] = names[strange]
        write_anew(beside, text_of(about).encode())
        with nothing_left_behind(folder):
            again, error = result_or_error(sk.rerun, folder / name, progress=False)
        if error:
            return
        assert again.verdict.startswith(("identical", "differs", "missing"))
        if any(map(is_strange, sk.Clip.open(folder / name).recipe.get("steps", [about]))):
            assert again.verdict.startswith(("missing", "differs: the recipe makes"))


CELLS = {"fps": [6, 12], "seed": 1, **{k: v for k, v in QUICK.items() if k != "progress"}}
MINE = {"notes.txt": b"mine", "mine.mp4": b"no video", "inputs/mine.png": b"mine"}


@pytest.fixture(scope="module")
def swept(svd, picture, tmp_path_factory):
    """The folder of a sweep, in which its user keeps files of their own, and what its clips are."""
    folder = tmp_path_factory.mktemp("sweeps") / "kite"
    made = sk.sweep(picture, svd, sk.grid(**CELLS), folder, progress=False)
    for name, data in MINE.items():
        (folder / name).write_bytes(data)
    failed = json.loads(made[0].path.with_name(f"{made[0].name}.mp4.json").read_text())
    (folder / f"{'0' * 16}.error.json").write_text(json.dumps(failed | {"error": "no memory"}))
    return folder, Hidden((cell.name, (cell.clip.frames, cell.values)) for cell in made)


class Hidden(dict):
    """What a failure need not show."""

    def __repr__(self):
        return "{…}"


@st.composite
def alterations(draw):
    """Give a function that does up to three things to the files of a folder."""
    kinds = ["remove", "damage", "damage", "json", "json", "swap", "rename", "copy", "folder"]
    kinds += ["pair", "pair", "picture", "picture", "link", "dangling", "loop", "pipe"]
    what = st.tuples(
        st.sampled_from(kinds),
        st.integers(0, 10**6),
        st.integers(0, 10**6),
        damages(),
        mutations(),
    )
    changes = draw(st.lists(what, min_size=1, max_size=3))

    def altered(folder, files):
        for change in changes:
            _alter(folder, sorted(file for file in files if os.path.lexists(file)), *change)

    altered.__name__ = altered.__qualname__ = str([change[:3] for change in changes])
    return altered


def _alter(folder, files, kind, which, other, damaged, mutated):
    if not files:
        return
    file, second = files[which % len(files)], files[other % len(files)]
    is_file = file.is_file() and not file.is_symlink()
    data = file.read_bytes() if is_file else b""
    if kind == "json" and is_file and file.suffix == ".json":
        with_json(file, mutated)
    elif kind in ("damage", "json") and is_file:
        write_anew(file, damaged(data) if data else b"x")
    elif kind == "swap" and file != second:
        room = folder.with_name("room")
        file.rename(room)
        second.rename(file)
        room.rename(second)
    elif kind == "picture" and is_file:
        file.unlink()
        Image.new("RGB", (16, 16), "red").save(file, "PNG")
    elif kind == "pair":
        stems = sorted({one.name.partition(".")[0] for one in files if one.suffix == ".mp4"})
        for end in (".mp4", ".mp4.json"):  # with all that tells of it
            both = [folder / f"{stem}{end}" for stem in (stems[:1], stems[-1:]) for stem in stem]
            if all(map(os.path.lexists, both)) and len({*both}) > 1:
                _alter(folder, both, "swap", 0, 1, damaged, mutated)
    elif kind == "copy" and is_file and second.is_file() and file != second:
        write_anew(second, data)
    elif kind == "rename" and is_file:
        name = file.name.replace(file.name[:4], file.name[4:8], 1)
        if not os.path.lexists(file.with_name(name)):
            file.rename(file.with_name(name))
    else:
        _replace(file, second, kind)


def with_json(file, mutated):
    try:
        about = json.loads(file.read_text())
    except (ValueError, RecursionError):
        about = {}
    write_anew(file, text_of(mutated(about)).encode())


def _replace(file, second, kind):
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink()
    if kind == "folder":
        (file / "inner").mkdir(parents=True)
    elif kind == "link":
        file.symlink_to(second)
    elif kind == "dangling":
        file.symlink_to("/nowhere/at/all")
    elif kind == "loop":
        file.symlink_to(file)
    elif kind == "pipe":
        os.mkfifo(file)


def check_sweep(runs, true):
    """Make sure that each clip is the one of its name, or is told not to be."""
    assert all(isinstance(row, dict) for row in runs.table())
    assert all(failure["error"] for failure in runs.failures)
    for number, cell in enumerate(runs):
        clip, _ = result_or_error(runs.clips.__getitem__, number)
        frames, values = true[cell.name]
        assert clip is None or np.array_equal(clip.frames, frames)
        assert all(cell.values[name] == values[name] for name in ("seed", "fps", "num_frames"))


def test_a_broken_note_of_an_error_leaves_the_clips_to_be_seen(swept):
    whole, true = swept
    with copy_of(whole) as folder:
        write_anew(folder / f"{'0' * 16}.error.json", b"{")
        runs = sk.Sweep.open(folder)
        assert (len(runs), len(runs.failures)) == (len(true), 1)
        assert "is no valid JSON" in runs.failures[0]["error"]


def own_files(folder):
    """List the files that svdkit made, and the folder that some are in."""
    mine = {folder / name for name in MINE}
    return [path for path in folder.rglob("*") if path not in mine]


@inputs(100, altered=alterations())
def test_any_folder_of_a_sweep_is_looked_at(altered, swept):
    whole, true = swept
    with copy_of(whole) as folder:
        altered(folder, own_files(folder))
        with nothing_left_behind(folder):
            runs, error = result_or_error(sk.Sweep.open, folder)
            if not error:
                check_sweep(runs, true)


@inputs(25, altered=alterations())
def test_any_folder_of_a_sweep_is_gone_on_with(altered, swept, svd, picture):
    whole, true = swept
    with copy_of(whole) as folder:
        altered(folder, own_files(folder))
        mine = {name: (folder / name).read_bytes() for name in MINE if (folder / name).is_file()}
        cells = sk.grid(**CELLS)
        runs, error = result_or_error(sk.sweep, picture, svd, cells, folder, progress=False)
        if not error:
            check_sweep(runs, true)
            assert len(runs) + len(runs.failures) == len(cells)
        assert mine == {name: (folder / name).read_bytes() for name in mine}


@pytest.fixture(scope="module")
def chained(svd, clips, tmp_path_factory):
    """The folder of a chain, and the clip at its end."""
    folder = tmp_path_factory.mktemp("chains") / "kite"
    return folder, longer(clips, svd, folder)


def longer(clips, svd, folder):
    how = TINY | {"num_frames": 3}
    return sk.extend(clips["animate"], svd, times=2, seed=7, overlap=0, folder=folder, **how)


@inputs(80, altered=alterations())
def test_any_folder_of_a_chain_is_gone_on_with(altered, chained, clips, svd):
    whole, true = chained
    with copy_of(whole) as folder:
        (folder / "mine.txt").write_text("mine")
        altered(folder, [path for path in folder.rglob("*") if path.name != "mine.txt"])
        clip, error = result_or_error(longer, clips, svd, folder)
        if not error:
            assert np.array_equal(clip.frames, true.frames)
        assert (folder / "mine.txt").read_text() == "mine"


@pytest.fixture(scope="module")
def kept(clips, tmp_path_factory):
    """The folder of a panel."""
    folder = tmp_path_factory.mktemp("panels") / "clips"
    for number, name in enumerate(("animate", "cinemagraph", "drawn"), 1):
        clips[name].save(folder / f"{number:03d}-{name}.mp4")
    return folder


@inputs(40, altered=alterations())
def test_any_folder_of_a_panel_opens(altered, kept, svd):
    with copy_of(kept) as folder:
        altered(folder, list(folder.rglob("*")))
        with nothing_left_behind(folder):
            opened, error = result_or_error(sk.panel, svd, folder=folder)
            if not error:
                for clip in opened.clips:
                    assert len(clip) == 2
                opened.close()


@inputs(60, path=st.one_of(anything(), st.text(max_size=300)))
def test_any_path_is_opened_or_told(path):
    for opened in (sk.Clip.open, sk.Sweep.open, sk.rerun, sk.open_image):
        _, error = result_or_error(opened, path)
        assert error


@inputs(150, changes=DAMAGES, mutated=mutations(), is_noted=st.booleans())
def test_any_damage_to_a_drawing(changes, mutated, is_noted, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    pixels = np.random.default_rng(1).integers(0, 255, (16, 16, 3), np.uint8)
    outcome = {"frames_sha256": sha256_of_frames(pixels)}
    request = {"verb": "draw", "model": "tiny-sd", "source": "bundled", "scheduler": {}}
    request |= {"revision": None, "prompt": "a kite", "settings": {}, "seed": 7}
    recipe = {"request": request, "outcome": outcome}
    if is_noted:
        recipe, _ = result_or_error(Drawing.of, pixels, mutated(recipe))
        recipe = recipe.recipe if recipe else {}
    path = folder / "drawing.png"
    result_or_error(Drawing.of(pixels, recipe).save, path)
    data = path.read_bytes()
    if not is_noted:
        for change in changes:
            data = change(data) if data else data
    path.write_bytes(data)
    picture, _ = result_or_error(sk.open_image, path)
    if picture:
        for step in steps_behind(path, picture):  # what is believed is the very picture's
            assert step["outcome"]["frames_sha256"] == sha256_of_frames(np.asarray(picture))
            assert step["request"]["verb"] == "draw"
