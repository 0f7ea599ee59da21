"""A token and a home, whose names must come out of no door: a canary for each."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import nbformat
import pytest
from small_hub import SmallHub
from write_headers import ROOT

TOKEN, PERSON = "hf_canaryABCDEFGHIJKLMNOPQRSTUVWX", "canaryperson"
REPO = "stabilityai/stable-video-diffusion-img2vid-xt-1-1"

EVERY_DOOR = """
    import logging, os, pathlib, traceback
    logging.basicConfig(level=logging.INFO)
    import numpy as np
    import svdkit as sk
    from svdkit.cli import main

    home = pathlib.Path.home()
    quick = {"num_inference_steps": 1, "num_frames": 2}

    def door(action, *arguments, **options):
        try:
            print(action(*arguments, **options))
        except Exception as error:
            print("".join(traceback.format_exception_only(error)))

    sk.sample_image().save(home / "kite.png")
    clip = sk.animate(home / "kite.png", "tiny", seed=1, **quick)
    for name in ("a.mp4", "a.webm", "a.gif", "a.webp", "frames"):
        clip.save(home / name)
        door(sk.rerun, home / name)
    own = home / "own-svd"
    sk.load("tiny").save_pretrained(own)
    (clip + sk.animate("~/kite.png", own, height=64, width=112, **quick)).save("~/both.mp4")
    door(sk.rerun, "~/both.mp4")
    sk.unload()

    # what goes wrong, each with a path below the home
    (home / "odd.json").write_text("{")
    (home / "a.mp4.json").write_text("{")
    (home / "b.mp4").write_bytes(b"nonsense")
    (home / "b.png").write_bytes((home / "kite.png").read_bytes()[:500])
    (own / "unet" / "config.json").write_text("{")
    for action, path in [
        (sk.open_image, "none.png"), (sk.open_image, "own-svd"), (sk.open_image, "b.png"),
        (sk.open_image, "b.mp4"), (sk.Clip.open, "none.mp4"), (sk.Clip.open, "a.mp4"),
        (sk.Clip.open, "b.mp4"), (sk.load, "own-svd"), (sk.load, "none.safetensors"),
        (sk.load, "none.ckpt"), (clip.save, "b.mp4"), (clip.save, "kite.png"),
        (clip.save, "own-svd"), (clip.save, "b.png/x.mp4"), (sk.rerun, "none.mp4"),
    ]:
        door(action, home / path)
    door(sk.load, "svd-xt-1-1")
    print(sk.doctor(), sk.doctor()._repr_html_())
    for command in (["demo", "-o", str(home / "demo")], ["doctor"], ["models"],
                    ["animate", str(home / "kite.png"), "-o", str(home / "out"), "--model", "tiny",
                     "--num-inference-steps", "1", "--num-frames", "2"],
                    ["animate", str(home / "none.png"), "-o", str(home / "x.mp4")],
                    ["rerun", str(home / "out" / "kite.mp4")]):
        main(command)
"""


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / PERSON
    folder.mkdir()
    return folder


def environment(home, **more):
    """Give the environment of a person who is at home there, and has a token."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return kept | {"HOME": str(home), "USERPROFILE": str(home), "HF_TOKEN": TOKEN} | more


def is_clean(text):
    return TOKEN not in text and TOKEN[3:] not in text and PERSON not in text


def test_no_door_lets_the_token_or_the_home_out(home, checkpoint):
    script = textwrap.dedent(EVERY_DOOR)
    with SmallHub({REPO: checkpoint}, gated=[REPO]) as hub:
        run = subprocess.run(
            [sys.executable, "-c", script],
            cwd=home,
            env=environment(home, HF_ENDPOINT=hub.url),
            capture_output=True,
            text=True,
        )
    assert run.returncode == 0, run.stderr
    assert "gated" in run.stdout
    assert "~/none.mp4" in run.stdout
    for text in (run.stdout, run.stderr):
        dirty = [line for line in text.splitlines() if not is_clean(line)]
        assert not dirty
    for file in home.rglob("*"):
        if file.is_file() and "own-svd" not in file.parts and ".cache" not in file.parts:
            assert is_clean(file.read_bytes().decode("latin-1")), file.name


def test_an_executed_notebook_holds_neither(home):
    shutil.copy(ROOT / "notebooks" / "01_animate_an_image.ipynb", home / "lesson.ipynb")
    wanted = {"model": "tiny", "num_frames": 2, "num_inference_steps": 1, "seed": 7}
    parameters = [word for pair in wanted.items() for word in ("-p", *map(str, pair))]
    command = [sys.executable, "-m", "papermill", "lesson.ipynb", "done.ipynb", *parameters]
    subprocess.run(command, cwd=home, env=environment(home), check=True, capture_output=True)
    done = nbformat.read(home / "done.ipynb", as_version=4)
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert outputs
    assert is_clean(json.dumps(outputs))
