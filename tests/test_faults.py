"""When the world fails: kills, full disks, folders that go, wrong clocks, others at work there.

After each fault: what was finished is there, the same call works, and no temporary file is left.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest
import small_faults
from PIL import Image

import svdkit as sk
from svdkit import ffmpeg, metadata, miniatures, tweening, video, workshops
from svdkit.progress import Bar
from svdkit.storage import Bundle
from svdkit.takes import Takes
from svdkit.workshops import HOST, alone, remove_leftovers, take_places

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills, limits and forks")
LISTED = [pytest.param(name, id=name) for name in small_faults.DEEDS]
ALONE = ["kite.mp4", "kite", "balloon.png", "page.html", "panel"]  # in a folder that may go


@pytest.fixture
def faulted(record_property):
    """Let a fault strike a deed in every way, in a process that forks."""

    def run(name, fault):
        with tempfile.TemporaryDirectory(prefix="faults-") as room:
            Path(room).chmod(0o755)  # pytest's own folder lets nobody else in
            command = [sys.executable, small_faults.__file__, name, fault, room]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, ended.stderr
        told = json.loads(ended.stdout)
        record_property("faults", sum(one["happened"] != "done" for one in told))
        return told

    return run


def check(told, there=("old", "new")):
    assert [one for one in told if one["again"] != "new" or one["left"]] == []
    assert [one for one in told if one["there"] not in there] == []


@pytest.mark.parametrize("name", LISTED)
def test_killed_at_whatever_file_it_leaves_the_old_or_the_new_and_the_same_call_works(
    faulted, name
):
    """By SIGKILL, at each time that it opens, moves or removes a file in the folder."""
    told = faulted(name, "kill")
    assert [one["happened"] for one in told] == ["killed"] * (len(told) - 1) + ["done"]
    check(told)
    assert {one["there"] for one in told} == {"old", "new"}


@pytest.mark.parametrize("name", LISTED)
def test_where_no_file_may_grow_all_stays_and_the_same_call_works_later(faulted, name):
    told = faulted(name, "limit")
    check(told)
    assert told[0]["happened"] != "done"
    assert all(one["there"] == "old" for one in told if one["happened"] != "done")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a small disk")
@pytest.mark.parametrize("name", ["kite.mp4", "kite", "balloon.png", "page.html", "sweep", "chain"])
def test_on_a_full_disk_all_stays_and_the_same_call_works_later(faulted, name):
    """On a small disk of its own, and with the temporary files on one."""
    told = faulted(name, "disk")
    if not told:
        pytest.skip("no small disk can be mounted here")
    check(told)
    assert "No space left" in told[0]["happened"]
    assert all(one["there"] == "old" for one in told if one["happened"] != "done")


@pytest.mark.parametrize("name", LISTED)
def test_a_folder_that_may_only_be_read_is_told_and_read(faulted, name):
    told = faulted(name, "read")
    assert "cannot be written to" in told[0]["happened"]
    check(told, there=["old"])


@pytest.mark.parametrize("name", ALONE)
def test_a_folder_that_vanishes_in_the_middle_harms_no_later_save(faulted, name):
    told = faulted(name, "vanish")
    assert any("Error" in one["happened"] for one in told)
    check(told, there=["old", "new", "nothing"])


# Others at work in the same place


@pytest.mark.parametrize("name", ["kite.mp4", "kite"])
def test_two_kernels_that_save_to_one_place_at_once_leave_one_whole_clip(
    tmp_path, name, record_property
):
    script = "import sys, small_faults as f\nfrom pathlib import Path\n"
    script += "f.grey(f.OLD, 3).save(sys.argv[1])\n"
    saving = "for _ in range(12):\n    f.grey({}).save(sys.argv[1])\n"
    small_faults.grey(small_faults.NEW).save(tmp_path / name)
    here = str(Path(small_faults.__file__).parent)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script + saving.format(level), str(tmp_path / name)],
            env=os.environ | {"PYTHONPATH": f"{here}:{Path(sk.__file__).parents[1]}"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for level in ("f.OLD, 3", "f.NEW")
    ]
    told = [process.communicate(timeout=300)[1] for process in both]
    assert told == ["", ""]
    assert small_faults.about(sk.Clip.open(tmp_path / name)) in ("old", "new")
    assert not list(tmp_path.glob(".*"))
    record_property("faults", 2 * 12)


def test_a_clip_that_another_kernel_is_just_replacing_is_not_taken_for_a_strangers(tmp_path):
    path = tmp_path / "kite"
    small_faults.grey(small_faults.OLD, 3).save(path)
    recipe, aside = path / "recipe.json", tmp_path / "aside.json"
    with ThreadPoolExecutor() as threads:
        with alone(tmp_path):
            recipe.rename(aside)  # as the other does first
            check = threads.submit(Bundle(path).check_free, frames=3)
            wait([check], timeout=0.5)
            aside.rename(recipe)
        assert check.result() is None


def test_two_kernels_that_extend_into_one_folder_make_one_chain(tmp_path, record_property):
    script = """
import sys, torch, svdkit as sk
torch.set_num_threads(1)
quick = {"num_inference_steps": 1, "num_frames": 4, "progress": False}
clip = sk.animate(sk.sample_image(), "tiny", seed=7, height=32, width=56, **quick)
print(sk.extend(clip, "tiny", times=2, folder=sys.argv[1], **quick).recipe["steps"][-1]["outcome"])
"""
    command = [sys.executable, "-c", script, str(tmp_path / "chain")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    one, other = (process.communicate(timeout=300)[0] for process in both)
    assert "frames_sha256" in one
    assert one == other
    left = sorted(path.name for path in (tmp_path / "chain").glob(".*"))
    assert left in ([], [".lock"])
    record_property("faults", 2)


# Clocks


@pytest.fixture
def gone():
    """The number of a process that is over."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


DAY = 24 * 3600


@pytest.mark.parametrize("hours", [-1000, -1, 0, 1, 1000])
def test_leftovers_go_whatever_the_clock_says(tmp_path, gone, hours, record_property):
    left = tmp_path / f".saving-{HOST}-{gone}-ab"
    left.mkdir()
    os.utime(left, (time.time() + 3600 * hours,) * 2)
    assert remove_leftovers(tmp_path) == [left.name]
    record_property("faults", 1)


@pytest.mark.parametrize(("days", "goes"), [(-2, True), (-0.5, False), (0.5, False), (2, True)])
def test_what_another_machine_left_goes_after_a_day_of_whichever_clock(tmp_path, days, goes):
    left = tmp_path / ".saving-another_machine-1-ab"
    left.mkdir()
    mark = tmp_path / ".stop-ab"
    mark.touch()
    for file in (left, mark):
        os.utime(file, (time.time() + DAY * days,) * 2)
    remove_leftovers(tmp_path)
    assert left.exists() == mark.exists() == (not goes)


def test_a_namesake_from_before_a_restart_is_no_process_of_ours(tmp_path):
    """In a container the processes have the same few numbers each time, and the same host."""
    left = tmp_path / f".saving-{HOST}-{os.getpid()}-ab"
    left.mkdir()
    with small_faults.sk.workshops.workshop(tmp_path) as room:
        assert remove_leftovers(tmp_path) == [left.name]
        assert Path(room).exists()


def test_a_clock_that_goes_backwards_stops_no_sweep_and_no_bar(tmp_path, monkeypatch, capsys):
    clock = [time.time()]

    def backwards():
        clock[0] -= 3600
        return clock[0]

    monkeypatch.setattr(time, "time", backwards)
    small = {"num_inference_steps": 2, "num_frames": 2, "height": 32, "width": 56}
    runs = sk.sweep(sk.sample_image(), "tiny", sk.grid(fps=[5, 9], **small), tmp_path / "kite")
    assert len(runs) == 2
    with Bar(total=3, desc="waiting", unit="step", file=sys.stdout) as bar:
        bar.update(3)
    assert "waiting: 3 steps in 0.0 s" in capsys.readouterr().out


# Workshops of threads and of strangers


def test_a_thread_that_tidies_up_leaves_the_workshop_that_another_just_opens(tmp_path, monkeypatch):
    class Slow(type(workshops._open)):
        def add(self, room):
            tidying.start()
            tidying.join(0.3)
            super().add(room)

    tidying = threading.Thread(target=remove_leftovers, args=(tmp_path,))
    monkeypatch.setattr(workshops, "_open", Slow())
    with workshops.workshop(tmp_path) as room:
        tidying.join()
        assert os.path.isdir(room)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks with threads
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_worker_that_is_forked_while_a_thread_opens_a_workshop_opens_its_own(tmp_path):
    opening, done = threading.Event(), threading.Event()

    def open_slowly():
        with workshops._opening:
            opening.set()
            done.wait(0.3)

    thread = threading.Thread(target=open_slowly)
    thread.start()
    opening.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        with workshops.workshop(tmp_path):
            os._exit(0)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    "name", ["../outside.txt", "{}/outside.txt", "a/b/c.txt", "link/file.txt", "kite.txt"]
)
def test_a_strangers_workshop_moves_nothing_elsewhere(tmp_path, gone, name):
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir()
    outside.mkdir()
    (home / "link").symlink_to(outside)
    room = home / f".saving-{HOST}-{gone}-ab"
    (room / "new").mkdir(parents=True)
    (room / "new" / "z.txt").touch()  # as if it were not done
    (room / "old" / "link").mkdir(parents=True)
    (room / "old" / "link" / "file.txt").write_text("a stranger's")
    for mine in (home / "kite.txt", tmp_path / "outside.txt"):
        mine.write_text("mine")
        os.utime(mine, ns=(1, 1))
    (room / "moves.json").write_text(
        json.dumps({name.format(tmp_path): [5 if name == "kite.txt" else 4, 1], "z.txt": [0, 0]})
    )
    remove_leftovers(home)
    assert list(outside.iterdir()) == []
    assert (tmp_path / "outside.txt").read_text() == "mine"
    assert (home / "kite.txt").read_text() == "mine"


def test_what_came_into_the_place_meanwhile_stays_and_so_does_the_old(tmp_path, gone):
    room = tmp_path / f".saving-{HOST}-{gone}-ab"
    (room / "new").mkdir(parents=True)
    for name in ("kite.mp4", "kite.mp4.json"):
        (room / "new" / name).write_text("new")
        (tmp_path / name).write_text("old")
    moved = []

    def stop(source, target, replace=os.replace):
        moved.append(target)
        if len(moved) == 4:  # the note, two that leave, and then
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    names = [Path("kite.mp4"), Path("kite.mp4.json")]
    child = os.fork()
    if child == 0:
        os.replace = stop
        take_places(room, names, names)
    os.waitpid(child, 0)
    assert not (tmp_path / "kite.mp4").exists()
    (tmp_path / "kite.mp4").write_text("somebody's")
    assert remove_leftovers(tmp_path) == []
    assert (tmp_path / "kite.mp4").read_text() == "somebody's"
    assert (room / "old" / "kite.mp4").read_text() == "old"
    (tmp_path / "kite.mp4").unlink()
    assert remove_leftovers(tmp_path) == [room.name]
    assert (tmp_path / "kite.mp4").read_text() == "old"


# ffmpeg

BROKEN = {
    "it fails": "#!/bin/sh\nexit 1\n",
    "it talks nonsense": "#!/bin/sh\necho nonsense\n",
    "it is not one": "no program",
    "it is killed": "#!/bin/sh\nkill -9 $$\n",
    "it hangs": "#!/bin/sh\nexec sleep 1000\n",
    "it breaks off": "#!/bin/sh\nprintf 'P6 16 16 255 half a frame'\nkill -9 $$\n",
    "it is missing": None,
}
USES = {
    "encode": lambda clip, folder: clip.save(folder / "new.mp4"),
    "replace": lambda clip, folder: clip.save(folder / "kite.mp4"),
    "gif": lambda clip, folder: clip.save(folder / "new.gif"),
    "decode": lambda clip, folder: sk.Clip.open(folder / "kite.mp4"),
    "metadata": lambda clip, folder: metadata.with_metadata(
        (folder / "kite.mp4").read_bytes(), ".mp4", {"svdkit": "0"}
    ),
    "smooth": lambda clip, folder: clip.smooth(fps=14),
    "miniature": lambda clip, folder: miniatures.miniature(folder / "kite.mp4", 100),
    "still": lambda clip, folder: sk.open_image(folder / "plain.mp4"),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_ffmpeg_is_told_of_and_harms_nothing(
    tmp_path, monkeypatch, clip, use, how, record_property
):
    folder, programs = tmp_path / "clips", tmp_path / "programs"
    programs.mkdir()
    kite = small_faults.grey(small_faults.OLD, 3)
    kite.save(folder / "kite.mp4")
    (folder / "plain.mp4").write_bytes(video.encode(kite.frames, 7, ".mp4"))
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with monkeypatch.context() as broken:
        for module in (video, metadata, tweening, miniatures):
            broken.setattr(module, "SECONDS", 0.2)
        broken.setattr(sk.stills, "FFMPEG_SECONDS", 0.2)
        broken.setenv("PATH", str(programs))
        broken.setenv("IMAGEIO_FFMPEG_EXE", str(programs / "ffmpeg"))
        if BROKEN[how]:
            (programs / "ffmpeg").write_text(BROKEN[how].replace("sleep", "/bin/sleep"))
            (programs / "ffmpeg").chmod(0o755)
        with pytest.raises((RuntimeError, ValueError)) as caught:
            USES[use](clip, folder)
    assert "ffmpeg" in str(caught.value)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    USES[use](clip, folder)
    record_property("faults", 1)


def test_a_clip_that_is_longer_has_longer_to_be_coded(monkeypatch):
    asked = []

    def noted(*options, seconds, data=None, program=None):
        asked.append(seconds)
        return ffmpeg.run_ffmpeg(*options, seconds=seconds, data=data, program=program)

    monkeypatch.setattr(video, "run_ffmpeg", noted)
    for count in (1, 30):
        video.encode(np.zeros((count, 64, 64, 3), np.uint8), 7, ".gif")
    assert asked[0] >= video.SECONDS
    assert asked[1] > asked[0]


def test_a_drawing_goes_where_pillow_lets_it_go(tmp_path):
    """To a device, an open file, and through a link: none of them is replaced by a file."""
    drawing = sk.drawings.Drawing.of(np.zeros((8, 8, 3), np.uint8), {"request": {"seed": 7}})
    drawing.save("/dev/null", "PNG")
    assert Path("/dev/null").is_char_device()
    (tmp_path / "real.png").touch()
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    drawing.save(tmp_path / "link.png", overwrite=True)
    assert (tmp_path / "link.png").is_symlink()
    with (tmp_path / "open.png").open("wb") as stream:
        drawing.save(stream)
    for name in ("real.png", "open.png"):
        with Image.open(tmp_path / name) as image:
            assert image.size == (8, 8)


def test_a_panel_removes_what_a_killed_one_left(tmp_path, gone):
    left = tmp_path / f".saving-{HOST}-{gone}-ab"
    left.mkdir()
    assert len(Takes(tmp_path)) == 0
    assert not left.exists()
