"""The doctor, on this machine and on broken ones, which are really made: as folders of links."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
from small_hub import COMMIT, SmallHub

import svdkit as sk
from svdkit.health import doctor
from svdkit.reports import Check, Report

HEAD = COMMIT.encode()
PERSON, TOKEN = "canaryperson", "hf_canaryABCDEFGHIJKLMNOPQRSTUVWXYZ"
REPOS = {model.name: model.repo for model in sk.MODELS.values() if model.repo}
ASK = """
import json
from svdkit.health import doctor
report = doctor()
checks = [[check.name, check.state, check.found, check.cure] for check in report.checks]
print(json.dumps([checks, str(report), repr(report), report._repr_html_()]))
"""


def named(report, name):
    [check] = [check for check in report.checks if check.name == name]
    return check


class Machine:
    """A machine with its own packages, home and PATH, on which the doctor runs in a new Python."""

    def __init__(self, folder: Path):
        self.packages, self.path, self.home = folder / "lib", folder / "bin", folder / PERSON
        for part in (self.packages, self.path, self.home):
            part.mkdir()
        self.environment = {
            "PATH": str(self.path),
            "HOME": str(self.home),
            "USERPROFILE": str(self.home),
            "PYTHONPATH": os.pathsep.join([str(self.packages), str(Path(sk.__file__).parents[1])]),
            "PYTHONUTF8": "1",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def install(self, *, without=()):
        """Link to the packages of this Python, but for some."""
        for place in map(Path, sys.path):
            if place.name in ("site-packages", "dist-packages"):
                for entry in place.iterdir():
                    link = self.packages / entry.name
                    if entry.name.partition("-")[0] not in without and not link.exists():
                        link.symlink_to(entry)
        return self

    def write(self, name, text, *, executable=False):
        path = self.packages.parent / name
        if path.parent.is_symlink():
            path.parent.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if executable else 0o644)

    def claim(self, package, version):
        """Have a package say that it is of this version."""
        for folder in self.packages.glob(f"{package}-*.dist-info"):
            folder.unlink()
        about = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        self.write(f"lib/{package}-{version}.dist-info/METADATA", about)

    def report(self, **environment):
        """Ask the doctor there; nothing private may be in what it says."""
        self.environment |= environment
        # -S: the packages of this Python, which site would add, are not there
        command = [sys.executable, "-S", "-c", ASK]
        said = subprocess.run(command, env=self.environment, capture_output=True, timeout=100)
        assert said.returncode == 0, said.stderr.decode()
        checks, *texts = json.loads(said.stdout.decode().splitlines()[-1])
        for text in texts:
            assert PERSON not in text
            assert TOKEN not in text
            assert TOKEN[:9] not in text
            assert "Traceback" not in text
        return Report(tuple(Check(*check) for check in checks))


@pytest.fixture
def bare(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def machine(bare):
    """Make a machine without torch: what is looked at besides is there at once."""
    return bare.install(without=["torch", "diffusers"])


@pytest.fixture
def small_hub(tmp_path):
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "model_index.json").write_text("{}")
    repositories = dict.fromkeys(REPOS.values(), tmp_path / "repository")
    with SmallHub(repositories, gated=[REPOS["svd-xt-1-1"]]) as small:
        yield small


def keep(cache, name, *, refs=HEAD, files=("unet", "vae", "image_encoder")):
    """Lay a checkpoint into a cache, as the hub's library keeps it."""
    folder = cache / f"models--{REPOS[name].replace('/', '--')}"
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_bytes(refs)
    parts = {part: ["diffusers", "AutoencoderKL"] for part in ("unet", "vae", "image_encoder")}
    index = {"_class_name": "StableVideoDiffusionPipeline", **parts}
    (snapshot / "model_index.json").write_text(json.dumps(index))
    for part in files:
        (snapshot / part).mkdir()
        (snapshot / part / "model.safetensors").write_text("x")


@pytest.fixture(scope="module")
def here():
    return doctor()


def test_nothing_is_wrong_on_a_machine_that_runs_these_tests(here):
    assert here.ok, str(here)
    assert str(here).endswith("\nNothing is wrong.")
    assert {check.state for check in here.checks} <= {"right", "remark"}
    assert named(here, "Python").found.endswith(f"svdkit {sk.__version__}")
    assert named(here, "packages").state == "right"
    assert "JupyterLab" in named(here, "Jupyter").found


def test_the_models_of_the_hub_are_each_told_and_the_bundled_one_is_not(here):
    names = [check.name for check in here.checks]
    assert set(REPOS) <= set(names)
    assert "tiny" not in names
    assert "offline mode is on" in named(here, "svd").found


def test_where_a_cure_is_needed_there_is_one(here):
    assert all(bool(check.cure) == (check.state != "right") for check in here.checks)


def test_a_report_is_an_aligned_table_with_the_cures_below():
    report = Report(
        (Check("a", "right", "yes"), Check("name", "wrong", "no", "do this\nthen that"))
    )
    assert str(report).splitlines() == [
        "right   a     yes",
        "wrong   name  no",
        "                do this",
        "                then that",
        "Wrong: name.",
    ]
    assert repr(report) == str(report)
    assert not report.ok


def test_the_html_of_a_report_is_escaped_and_needs_neither_style_nor_script(here):
    evil = "<script>alert('&')</script>"
    page = Report((Check(evil, "wrong", evil, evil),))._repr_html_()
    assert evil not in page
    assert page.count("&lt;script&gt;") == 4  # the verdict names it too
    for text in (page, here._repr_html_()):
        assert set(re.findall(r"<(\w+)", text)) <= {"table", "tr", "td", "pre", "p"}


def test_a_machine_with_nothing_but_python_gets_its_report(bare):
    report = bare.report()
    assert not report.ok
    assert named(report, "Python").state == "right"
    assert {check.name for check in report.checks if check.state == "wrong"} == {
        *("packages", "torch", "ffmpeg", "Jupyter", "hub token", "models", "cache", "RAM")
    }
    assert all(check.cure for check in report.checks if check.state == "wrong")


def test_without_any_ffmpeg_the_way_to_one_is_told(bare):
    machine = bare.install(without=["torch", "diffusers", "imageio_ffmpeg", "ipywidgets"])
    report = machine.report()
    ffmpeg = named(report, "ffmpeg")
    assert (ffmpeg.state, "imageio-ffmpeg" in ffmpeg.cure) == ("wrong", True)
    assert named(report, "imageio-ffmpeg").found.startswith(
        "missing; svdkit wants imageio-ffmpeg>="
    )
    assert named(report, "Jupyter").state == "wrong"
    assert named(report, "ipywidgets").cure.startswith('pip install "ipywidgets>=')


def test_an_ffmpeg_package_that_lost_its_binary_is_told(bare):
    import imageio_ffmpeg

    machine = bare.install(without=["torch", "diffusers", "imageio_ffmpeg"])
    source = Path(imageio_ffmpeg.__file__).parent
    target = machine.packages / "imageio_ffmpeg"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("ffmpeg-*", "__pycache__"))
    ffmpeg = named(machine.report(), "ffmpeg")
    assert ffmpeg.state == "wrong"
    assert "No ffmpeg exe could be found" in ffmpeg.found


def test_a_torch_that_fails_to_import_is_told_without_the_home_in_its_words(bare):
    machine = bare.install(without=["torch"])
    message = f"{machine.home}/lib/libcudart.so: cannot open shared object file"
    machine.write("lib/torch/__init__.py", f"raise OSError({message!r})")
    machine.claim("torch", "2.99.0")
    report = machine.report()
    torch = named(report, "torch")
    assert torch.state == "wrong"
    assert torch.found.endswith("OSError: ~/lib/libcudart.so: cannot open shared object file")
    assert named(report, "packages").state == "right"


def test_a_torch_that_leaves_python_is_told(machine):
    machine.write("lib/torch/__init__.py", "raise SystemExit('no licence')")
    machine.claim("torch", "2.99.0")
    report = machine.report()
    assert "SystemExit: no licence" in named(report, "torch").found
    assert named(report, "RAM").state != "wrong"


def test_a_package_that_is_too_old_is_told_with_the_command_that_renews_it(machine):
    machine.claim("pillow", "9.5")
    pillow = named(machine.report(), "pillow")
    assert pillow.state == "wrong"
    assert re.fullmatch(r"9\.5; svdkit wants pillow>=[\d.]+", pillow.found)
    assert re.fullmatch(r'pip install "pillow>=[\d.]+"', pillow.cure)


def test_the_halves_of_ipywidgets_must_go_together(machine):
    machine.claim("jupyterlab_widgets", "9.9.9")
    report = machine.report()
    widgets = named(report, "widgets")
    assert widgets.state == "wrong"
    assert "jupyterlab_widgets 9.9.9 and widgetsnbextension" in widgets.found
    assert re.match(r'pip install "jupyterlab_widgets==\d\.\*" "widgetsnbextension', widgets.cure)


def test_without_jupyterlab_there_is_a_remark_and_in_colab_there_is_none(bare):
    machine = bare.install(without=["torch", "diffusers", "jupyterlab", "google"])
    machine.claim("jupyterlab_widgets", "9.9.9")
    assert named(machine.report(), "Jupyter").state == "remark"
    machine.write("lib/google/colab/__init__.py", "")
    report = machine.report()
    jupyter = named(report, "Jupyter")
    assert (jupyter.state, jupyter.found.endswith("Colab")) == ("right", True)
    assert "widgets" not in [check.name for check in report.checks]  # Colab's front end is its own
    assert "not to commands" in named(report, "hub token").found


def test_a_cache_that_cannot_be_written_is_wrong_and_nobody_is_named(machine):
    (machine.home / "a file").write_text("x")
    report = machine.report(HF_HOME=str(machine.home / "a file" / "hf"), HF_TOKEN=TOKEN)
    cache = named(report, "cache")
    assert cache.state == "wrong"
    assert cache.found.startswith(f"~{os.sep}a file{os.sep}hf")
    assert "HF_HOME" in cache.cure
    assert named(report, "hub token").found == "set in the environment"


def test_a_person_is_named_in_no_other_folder_either(machine, tmp_path):
    scratch = tmp_path / "scratch" / PERSON
    scratch.mkdir(parents=True)
    cache = named(machine.report(HF_HUB_CACHE=str(scratch)), "cache")
    assert (cache.state, Path(cache.found).name) == ("right", "…")


def test_looking_leaves_no_trace_in_the_cache(machine):
    machine.report()
    assert not (machine.home / ".cache" / "huggingface").exists()


def test_a_token_that_login_saved_is_found_and_one_that_cannot_be_read_is_told(machine):
    machine.write(f"{PERSON}/.cache/huggingface/token", TOKEN)
    token = named(machine.report(), "hub token")
    assert (token.state, token.found) == ("right", "saved by login")
    (machine.home / ".cache" / "huggingface" / "token").write_bytes(b"\xff\xfe\x00")
    assert named(machine.report(), "hub token").state == "wrong"


def test_without_a_token_it_is_said_what_it_is_for(machine):
    token = named(machine.report(), "hub token")
    assert token.state == "remark"
    assert "svd-xt-1-1" in token.found
    assert "hf auth login" in token.cure


def test_what_the_cache_keeps_is_told_and_what_is_damaged_in_it(machine):
    cache = machine.home / ".cache" / "huggingface" / "hub"
    keep(cache, "svd")
    keep(cache, "svd-xt", files=["unet"])
    keep(cache, "svd-xt-1-1", refs=b"\xff\xfe")
    report = machine.report()
    assert (named(report, "svd").state, named(report, "svd").found) == ("right", "in the cache")
    assert named(report, "svd-xt").found == "only partly in the cache; offline mode is on"
    damaged = named(report, "svd-xt-1-1")
    assert damaged.state == "wrong"
    assert "Delete models--stabilityai--stable-video-diffusion-img2vid-xt-1-1" in damaged.cure


def test_a_hub_that_answers_says_what_can_be_downloaded(machine, small_hub):
    del small_hub.repositories[REPOS["svd"]]
    report = machine.report(HF_ENDPOINT=small_hub.url, HF_HUB_OFFLINE="0")
    assert "does not have it" in named(report, "svd").found
    assert named(report, "svd-xt").state == "right"
    assert named(report, "svd-xt").found.endswith("4.5 GB can be downloaded")
    gated = named(report, "svd-xt-1-1")
    assert (gated.state, gated.found.endswith("there is no token")) == ("remark", True)
    assert f"https://huggingface.co/{REPOS['svd-xt-1-1']}" in gated.cure


def test_a_token_is_let_in_or_not(machine, small_hub):
    online = {"HF_ENDPOINT": small_hub.url, "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN}
    gated = named(machine.report(**online), "svd-xt-1-1")
    assert (gated.state, "has not been let in" in gated.found) == ("remark", True)
    small_hub.gated.clear()
    assert named(machine.report(), "svd-xt-1-1").state == "right"


@pytest.mark.parametrize("token", [f"hf_refused{TOKEN}", f"{TOKEN}…"])
def test_a_token_that_is_refused_is_wrong_and_tried_once(machine, small_hub, token):
    online = {"HF_ENDPOINT": small_hub.url, "HF_HUB_OFFLINE": "0", "HF_TOKEN": token}
    report = machine.report(**online)
    for name in REPOS:
        assert named(report, name).state == "wrong"
        assert "refuses your token" in named(report, name).found
    assert len(small_hub.asked) <= 1


def test_a_hub_that_hangs_up_is_asked_once(machine):
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            while True:
                try:
                    calls.append(server.accept()[0])
                except OSError:
                    return
                calls[-1].close()

        thread = Thread(target=hang_up, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        report = machine.report(HF_ENDPOINT=url, HF_HUB_OFFLINE="0")
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for name in REPOS:
        assert named(report, name).state == "remark"
        assert "the hub does not answer" in named(report, name).found
    assert len(calls) == 1


def on_path(monkeypatch, machine, name, script):
    machine.write(f"bin/{name}", f"#!/bin/sh\n{script}\n", executable=True)
    monkeypatch.setenv("PATH", str(machine.path))


@pytest.fixture
def only_cpu():
    import torch

    if torch.version.cuda or torch.version.hip:
        pytest.skip("this torch is not a build for the CPU only")


def test_a_gpu_that_a_cpu_build_of_torch_leaves_idle_is_wrong(bare, monkeypatch, only_cpu):
    on_path(monkeypatch, bare, "nvidia-smi", "echo 'Tesla T4, 550.54'")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    report = doctor()
    assert not report.ok
    assert named(report, "GPU").found.startswith("Tesla T4, and torch")
    assert "pip uninstall torch" in named(report, "GPU").cure
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert named(doctor(), "GPU").state == "remark"


@pytest.mark.parametrize("script", ["exit 9", "echo broken; kill -9 $$"])
def test_an_nvidia_smi_that_fails_is_a_remark(bare, monkeypatch, only_cpu, script):
    on_path(monkeypatch, bare, "nvidia-smi", script)
    gpu = named(doctor(), "GPU")
    assert (gpu.state, "nvidia-smi fails" in gpu.found) == ("remark", True)


def test_an_ffmpeg_without_the_encoders_is_wrong(bare, monkeypatch):
    on_path(monkeypatch, bare, "ffmpeg", "echo 'ffmpeg version 5.1' >&2; echo ' V... libx264 x'")
    ffmpeg = named(doctor(), "ffmpeg")
    assert ffmpeg.state == "wrong"
    assert ffmpeg.found.startswith("5.1 at ")
    assert ffmpeg.found.endswith("cannot write .webm (libvpx-vp9), .webp (libwebp), .gif (gif)")
    assert "set_ffmpeg" in ffmpeg.cure


def test_an_ffmpeg_that_does_not_run_is_wrong(bare, monkeypatch):
    on_path(monkeypatch, bare, "ffmpeg", "exit 127")
    assert "CalledProcessError" in named(doctor(), "ffmpeg").found


def test_too_little_disk_or_ram_is_a_remark(monkeypatch):
    import psutil

    little = psutil.virtual_memory()._replace(available=10**9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9**9, 9**9, 10**9))
    report = doctor()
    assert report.ok
    assert (named(report, "RAM").state, named(report, "disk").state) == ("remark", "remark")
    assert "HF_HOME" in named(report, "disk").cure
