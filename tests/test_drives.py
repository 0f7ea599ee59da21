"""Folders that outlast a rented machine, with a stand-in for Colab's package."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import chdir
from errno import EOPNOTSUPP
from pathlib import Path

import numpy as np
import pytest
from small_settings import QUICK

import svdkit as sk
from svdkit import drives, hub
from svdkit.health import WEIGHTS_BYTES

REPO = "someone/small-svd"
SMALL = QUICK | {"height": 64, "width": 112, "seed": 1}
# What google.colab is to us: mount() opens the Drive, or tells that its user said no.
COLAB = """\
import os

class MessageError(Exception):
    pass

def mount(mountpoint):
    if os.environ.get("SAYS_NO"):
        raise MessageError("Error: credential propagation was unsuccessful")
    os.makedirs(mountpoint)
    os.symlink(os.environ["DRIVE_OF_SOMEONE"], f"{mountpoint}/MyDrive")
    print(f"Mounted at {mountpoint}")
"""
BEGINNING = """
import os
from pathlib import Path
import svdkit as sk
from svdkit import drives
drives.MY_DRIVE = Path(os.environ["MACHINE"], "drive", "MyDrive")
"""
SWEEP = """
folder = sk.keep() / "kite"
cells = sk.grid(seed=range(6), num_frames=3, num_inference_steps=2)
sk.load("tiny", device="cpu", progress=False)
print("ready", flush=True)
print(sk.sweep(sk.sample_image(), "tiny", cells, folder, progress=False))
"""


class Colab:
    """A Drive, and machines that come and go."""

    def __init__(self, folder):
        self.drive = folder / "drive of someone"
        self.drive.mkdir()
        self.machine = folder / "machine"
        package = folder / "site" / "google" / "colab"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "drive.py").write_text(COLAB)
        self.site = package.parent.parent

    def started(self, script, **environment):
        """Begin a script on a new machine, where no Drive is mounted."""
        shutil.rmtree(self.machine, ignore_errors=True)
        self.machine.mkdir()
        return subprocess.Popen(
            [sys.executable, "-c", BEGINNING + script],
            cwd=self.machine,
            env=os.environ
            | {"PYTHONPATH": str(self.site), "MACHINE": str(self.machine)}
            | {"DRIVE_OF_SOMEONE": str(self.drive), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def said(self, script, **environment):
        out, error = self.started(script, **environment).communicate(timeout=240)
        return out + error


@pytest.fixture
def colab(tmp_path, monkeypatch):
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    return Colab(tmp_path)


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.setattr(drives, "OUTPUT", tmp_path / "working")
    return tmp_path / "working"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder to be in, and the hub's cache where it was, afterwards."""
    from huggingface_hub import constants

    for name in ("HF_HUB_CACHE", "HF_HUB_DISABLE_SYMLINKS_WARNING"):
        monkeypatch.setattr(constants, name, getattr(constants, name))
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    with chdir(tmp_path):
        yield tmp_path


def test_anywhere_else_it_is_a_folder_where_one_is_and_nothing_is_said(elsewhere, capsys):
    assert sk.keep("results") == Path("results")
    assert (elsewhere / "results").is_dir()
    assert sk.keep("results") == Path("results")  # again
    assert capsys.readouterr().out == ""
    assert list((elsewhere / "results").iterdir()) == []


def test_on_kaggle_it_is_in_the_output_and_it_is_said_how_that_stays(kaggle, capsys):
    assert sk.keep() == kaggle / "svdkit"
    assert (kaggle / "svdkit").is_dir()
    said = capsys.readouterr().out
    assert "Save Version" in said
    assert "20 GB" in said


def test_on_kaggle_colabs_package_misleads_nobody(colab):
    said = colab.said("print(drives.host())", KAGGLE_KERNEL_RUN_TYPE="Batch")
    assert said == "Kaggle\n"


def test_in_colab_the_drive_is_mounted_once_and_what_stays_is_told(colab):
    said = colab.said("print(sk.keep('course') == sk.keep('course') == drives.MY_DRIVE / 'course')")
    assert said.count("Mounted at") == 1
    assert "flush_and_unmount" in said
    assert said.endswith("True\n")
    assert (colab.drive / "course").is_dir()


def test_a_drive_that_is_refused_is_told_with_the_way_to_go_on(colab):
    said = colab.said("sk.keep()", SAYS_NO="1")
    assert "PermissionError: Drive was not mounted at" in said
    assert "MessageError: Error: credential propagation was unsuccessful" in said
    assert "Run the cell again, and allow all" in said
    assert "'runs/kite'" in said


def test_a_sweep_goes_on_after_a_disconnect(colab):
    gone = colab.started(SWEEP)
    while gone.stdout.readline() != "ready\n":
        assert gone.poll() is None, gone.stderr.read()
    while not list(colab.drive.glob("svdkit/kite/*.mp4.json")):
        assert gone.poll() is None, gone.stderr.read()
    gone.send_signal(signal.SIGKILL)
    gone.communicate()
    before = {file: file.stat().st_mtime_ns for file in colab.drive.glob("svdkit/kite/*.mp4")}
    assert 1 <= len(before) < 6
    assert "Sweep(6 clips)" in colab.said(SWEEP)
    kept = list(colab.drive.glob("svdkit/kite/*.mp4"))
    assert len(kept) == 6
    finished = [file for file in before if Path(f"{file}.json").exists()]
    assert finished
    swept = sk.Sweep.open(colab.drive / "svdkit" / "kite")
    assert [len(clip) for clip in swept.clips] == [3] * 6


def test_a_panel_keeps_its_clips_there_and_shows_them_again(kaggle, tiny, made):
    folder = sk.keep() / "panel"
    made.save(folder / "001-kite.mp4")  # as an earlier panel named it
    panel = sk.panel(tiny, folder=folder)
    assert [len(clip) for clip in panel.clips] == [len(made)]
    assert (kaggle / "svdkit" / "panel" / "001-kite.mp4").is_file()
    panel.close()


def test_the_doctor_says_that_files_go_with_a_lent_machine(kaggle, monkeypatch):
    (told,) = [check for check in sk.doctor().checks if check.name == "results"]
    assert told.state == "remark"
    assert "Kaggle lends" in told.found
    assert "sk.keep()" in told.cure
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE")
    assert "results" not in [check.name for check in sk.doctor().checks]


@pytest.mark.parametrize("name", ["a/b", "a\\b", "/kite", "..", ".", "~"])
def test_a_name_with_slashes_is_refused_with_the_way_to_do_it(elsewhere, name):
    with pytest.raises(ValueError, match="one name, without slashes"):
        sk.keep(name)
    assert list(elsewhere.iterdir()) == []


def test_what_is_no_name_is_refused_in_words(elsewhere):
    with pytest.raises(ValueError, match="empty"):
        sk.keep("")
    with pytest.raises(TypeError, match="no path"):
        sk.keep(True)


def test_a_file_in_the_way_and_a_place_that_takes_nothing_are_told(kaggle, monkeypatch):
    kaggle.mkdir()
    (kaggle / "svdkit").touch()
    with pytest.raises(NotADirectoryError, match="is a file; choose another name"):
        sk.keep()
    monkeypatch.setattr(drives, "OUTPUT", Path("/proc"))  # where not even root may write
    with pytest.raises(OSError, match="cannot be written to"):
        sk.keep()


def test_the_size_that_is_told_is_the_one_that_the_doctor_counts():
    assert f"svd-xt takes {WEIGHTS_BYTES / 1e9:.1f} GB" in drives.WEIGHTS_NOTE


@pytest.fixture
def without_links(monkeypatch):
    """A disk as Drive is one: it knows no symbolic links."""

    def symlink(source, target, *_, **__):
        raise OSError(EOPNOTSUPP, "Operation not supported", source, None, target)

    monkeypatch.setattr(os, "symlink", symlink)


def test_weights_are_kept_too_once_and_without_links(
    elsewhere, without_links, checkpoint, hub_of, capsys, picture
):
    from huggingface_hub import constants

    online = hub_of({REPO: checkpoint})
    place = sk.keep(weights=True)
    assert "4.5 GB" in capsys.readouterr().out
    first = sk.animate(picture, sk.load(REPO, device="cpu", progress=False), **SMALL)
    folder = hub.cached_folder(REPO)
    assert folder.is_relative_to(elsewhere / place / "hub")
    assert hub.is_cached(REPO)
    files = [path for path in (elsewhere / place / "hub").rglob("*") if path.is_file()]
    assert not [path for path in files if path.is_symlink()]
    weights = [path for path in files if path.stat().st_size > 1e5]
    assert all("snapshots" in path.parts for path in weights)  # once, and not in blobs as well

    sk.unload()
    online.asked.clear()
    again = sk.animate(picture, sk.load(REPO, device="cpu", progress=False), **SMALL)
    assert not [line for line in online.asked if line.startswith("GET") and "safetensors" in line]
    assert np.array_equal(first.frames, again.frames)
    # another process, begun from here, finds them by its environment, and without a network
    script = (
        f"import svdkit as sk; print(sk.load({REPO!r}, device='cpu', progress=False).unet.dtype)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert run.stdout == "torch.float32\n", run.stderr
    assert os.environ["HF_HUB_CACHE"] == constants.HF_HUB_CACHE
    assert "HF_HOME" not in os.environ  # a token that is saved stays off the Drive
