"""What the tests share: one thread, no network, and small real checkpoints on disk."""

import gc
import json
import os
import shutil
import signal
from contextlib import ExitStack

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # a worker per core; more threads would fight over them
os.environ["JUPYTER_PLATFORM_DIRS"] = "1"
os.environ["MPLBACKEND"] = "agg"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job ignores it
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
from small_hub import SmallHub
from small_settings import QUICK

import svdkit as sk


@pytest.fixture(autouse=True)
def one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def own_hub_cache(tmp_path_factory):
    """Look at no cache of the person who runs the tests."""
    from huggingface_hub import constants

    constants.HF_HUB_CACHE = str(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def no_collector():
    """Keep Python's garbage collector away: an interrupt that strikes within what hypothesis hangs
    on to it is swallowed.
    """
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def picture():
    return sk.sample_image()


@pytest.fixture
def tiny():
    return sk.load("tiny", device="cpu")


@pytest.fixture(scope="session")
def made() -> sk.Clip:
    """A clip of tiny, made once."""
    return sk.animate(sk.sample_image(), "tiny", seed=7, **QUICK)


@pytest.fixture
def clip() -> sk.Clip:
    """Six frames, each its own grey with a square that moves."""
    frames = np.zeros((6, 64, 112, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[:] = 30 * number
        frame[20:40, 10 * number : 10 * number + 20] = (250, 60, 30)
    return sk.Clip(frames, fps=12)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A small checkpoint in the hub's own layout, with fp32 and fp16 weights."""
    import torch

    from svdkit.architectures import build

    folder = tmp_path_factory.mktemp("checkpoints") / "small-svd"
    pipeline = build(sk.MODELS["tiny"], seed=3)
    pipeline.save_pretrained(folder)
    pipeline.to(dtype=torch.float16).save_pretrained(folder, variant="fp16")
    return folder


@pytest.fixture
def copy_of(checkpoint, tmp_path):
    """Make a copy of the small checkpoint that a test may damage."""

    def copy(name="copy"):
        return shutil.copytree(checkpoint, tmp_path / name)

    return copy


@pytest.fixture
def edit_json():
    def edit(path, **changes):
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


@pytest.fixture(scope="session")
def executed(tmp_path_factory):
    """Run a notebook once for all tests that look at it, in whichever worker they are."""
    from filelock import FileLock
    from lessons import BUILD, IN_FULL, SOLVED, solve, write_index

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def execute(path):
        done, page = shared / f"{path.stem}.done", BUILD / path.stem / f"{path.stem}.html"
        parameters, seconds = ({"model": "tiny"}, 1200) if IN_FULL else (SOLVED[path.stem], 300)
        with FileLock(shared / f"{path.stem}.lock"):
            if not done.exists():
                assert solve(path, BUILD, parameters, seconds) == page
                write_index()
                done.touch()
        return page

    return execute


@pytest.fixture(scope="session")
def chromium():
    """Start the system's Chromium, or playwright's own, without a look outside."""
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        installed = shutil.which("chromium") or shutil.which("chromium-browser")
        path = installed or playwright.chromium.executable_path
        if not os.path.exists(path):
            pytest.skip(
                "there is no Chromium on this machine. Install one with `apt-get install chromium` "
                "or `python -m playwright install chromium`."
            )
        browser = playwright.chromium.launch(executable_path=path, args=quiet)
        yield browser
        browser.close()


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    sk.unload()
    return tmp_path / "cache"


@pytest.fixture
def hub_of(empty_cache, monkeypatch):
    """Run a small hub of some folders, and let the hub's library talk to it."""
    from huggingface_hub import constants, file_download

    with ExitStack() as hubs:

        def start(repositories, gated=()):
            small = hubs.enter_context(SmallHub(repositories, gated))
            template = "/{repo_id}/resolve/{revision}/{filename}"
            monkeypatch.setattr(constants, "ENDPOINT", small.url)
            for module in (constants, file_download):  # older versions keep a copy
                monkeypatch.setattr(
                    module, "HUGGINGFACE_CO_URL_TEMPLATE", small.url + template, raising=False
                )
            monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
            monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
            for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
                monkeypatch.delenv(name, raising=False)
            monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(empty_cache / "no-token"))
            return small

        yield start
