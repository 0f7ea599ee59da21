"""An interrupt at any moment of a run, and memory that runs out in it: nothing stays behind.

The pipeline is as it was before, and the same seed gives the same frames, bit for bit.
"""

import json
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from small_faults import grey

import svdkit as sk
from svdkit import lending

# one that strikes in a __del__ cannot be raised: Python says so, and goes on
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in.*__del__")

SMALL = {"num_frames": 3, "height": 32, "width": 56, "progress": False}
QUICK = SMALL | {"num_inference_steps": 2}
# where an interrupt may strike between any two calls: all that lends, steers and gives back
CLOSE = ("svdkit/lending", "svdkit/running", "svdkit/lean/__init__", "contextlib")
WIDE = ("svdkit/", "diffusers/pipelines/", "diffusers/schedulers/", "torch/nn/modules/module")


class Interrupt:
    """Strikes at the n-th time that Python code of some files is entered, or comes back from C.

    These are the moments at which CPython looks for signals.
    """

    def __init__(self, number, files):
        self.number, self.files, self.count = number, files, 0

    def __call__(self, frame, event, _):
        if event in ("call", "c_return") and any(
            part in frame.f_code.co_filename for part in self.files
        ):
            self.count += 1
            if self.count == self.number:
                raise KeyboardInterrupt

    def strikes(self, verb):
        """Call something that is interrupted, unless it is done before."""
        sys.setprofile(self)
        try:
            verb()
        except KeyboardInterrupt:
            return True
        finally:
            sys.setprofile(None)
        return False


def state_of(pipeline):
    """Write down a pipeline: its class and attributes, and those of all its modules."""
    from torch.nn import Module

    parts = [part for part in pipeline.components.values() if isinstance(part, Module)]
    modules = [module for part in parts for module in part.modules()]
    told = [
        (type(m), m.training, sorted(vars(m)), len(m._forward_hooks), len(m._forward_pre_hooks))
        for m in modules
    ]
    dtypes = [part.dtype for part in parts]
    return type(pipeline), sorted(vars(pipeline)), dtypes, lending.at_work(pipeline), told


def moments_of(verb, files, most):
    """Give the numbers of so many moments of a call, evenly from the first to the last."""
    counter = Interrupt(0, files)
    assert not counter.strikes(verb)
    return sorted({round(n) for n in np.linspace(1, counter.count, most)})


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """What is in the temporary folder is gone after each test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield
    assert [file for file in folder.iterdir() if not file.name.startswith("torch")] == []


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_interrupted_in_any_step_the_next_clip_is_the_same(picture, tiny, step, record_property):
    how = SMALL | {"num_inference_steps": 4, "seed": 7}
    wanted, before = sk.animate(picture, tiny, **how), state_of(tiny)

    def stop(number, *_):
        if number == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sk.animate(picture, tiny, on_step=stop, **how)
    assert state_of(tiny) == before
    assert np.array_equal(sk.animate(picture, tiny, **how).frames, wanted.frames)
    record_property("faults", 1)


@pytest.mark.parametrize(("files", "most"), [(CLOSE, 400), (WIDE, 40)], ids=["close", "wide"])
def test_interrupted_at_any_moment_the_next_clip_is_the_same(
    picture, tiny, files, most, record_property
):
    def verb():
        return sk.animate(picture, tiny, seed=7, **SMALL, num_inference_steps=1)

    wanted, before = verb().frames, state_of(tiny)
    moments = moments_of(verb, files, most)
    for number in moments:
        Interrupt(number, files).strikes(verb)
        assert state_of(tiny) == before, number
        if number % 8 == 0 or files == WIDE:
            assert np.array_equal(verb().frames, wanted), number
    assert np.array_equal(verb().frames, wanted)
    record_property("faults", len(moments))


def test_an_interrupted_guidance_curve_does_not_stay(picture, tiny, record_property):
    def verb(guidance="linear"):
        return sk.animate(picture, tiny, seed=7, guidance=guidance, **QUICK)

    wanted = verb().frames
    moments = moments_of(lambda: verb("triangle"), CLOSE[:1], 12)
    for number in moments:
        Interrupt(number, CLOSE[:1]).strikes(lambda: verb("triangle"))
        assert np.array_equal(verb().frames, wanted), number
    record_property("faults", len(moments))


VERBS = {
    "extend": lambda clip, tiny, folder: sk.extend(clip, tiny, seed=7, folder=folder, **FEW),
    "aim": lambda clip, tiny, folder: (
        sk.aim(clip[0], tiny, 0.01, seed=7, most_clips=1, **QUICK).clip
    ),
    "loop": lambda clip, tiny, folder: sk.loop(clip[0], tiny, seed=7, **QUICK | FEW),
    "cinemagraph": lambda clip, tiny, folder: sk.cinemagraph(
        clip[0], (0, 0, 0.5, 0.5), tiny, seed=7, **QUICK
    ),
    "sweep": lambda clip, tiny, folder: (
        sk.sweep(clip[0], tiny, [{"seed": 7, **STEPS}], folder, progress=False)[0].clip
    ),
    "draw": lambda clip, tiny, folder: sk.Clip([draw()]),
    "animate_prompt": lambda clip, tiny, folder: sk.animate_prompt(
        "a kite",
        model="tiny-sd",
        pipeline=tiny,
        seed=7,
        drawing={"num_inference_steps": 2},
        **QUICK,
    ),
    "save": lambda clip, tiny, folder: sk.Clip.open(clip.save(folder / "kite.mp4")),
    "load": lambda clip, tiny, folder: (
        sk.unload(),
        sk.animate(clip[0], sk.load("tiny", device="cpu"), seed=7, **QUICK),
    )[1],
}
FEW = {"num_inference_steps": 2, "num_frames": 4, "progress": False}
STEPS = {name: QUICK[name] for name in ("num_inference_steps", "num_frames", "height", "width")}


def draw():
    return sk.draw("a kite", "tiny-sd", seed=7, num_inference_steps=2, progress=False)


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_interrupted_now_and_then_does_the_same_later(tmp_path, tiny, name, record_property):
    still = grey(90, 4)
    clip = sk.animate(still[0], tiny, seed=7, **SMALL, num_inference_steps=1)
    folders = iter(tmp_path / f"{number}" for number in range(99))

    def verb(folder=None):
        folder = folder or next(folders)
        folder.mkdir(exist_ok=True)
        return VERBS[name](clip, tiny, folder)

    wanted, before = verb().frames, state_of(tiny)
    moments = moments_of(verb, WIDE, 7)
    for number in moments:
        folder = next(folders)
        Interrupt(number, WIDE).strikes(lambda folder=folder: verb(folder))
        assert state_of(tiny) == before, number
        assert np.array_equal(verb(folder).frames, wanted), number
        assert {file.name for file in folder.rglob(".*")} <= {".lock"}, number
    record_property("faults", len(moments))


def test_no_interrupt_between_the_tries_of_a_join_is_lost(tiny):
    files = ("svdkit/chains", "svdkit/extensions")
    clip = sk.Clip(grey(90, 4))

    def verb():  # its first join is taken, and others are left
        sk.extend(clip, tiny, seed=7, max_seam=None, **FEW | {"num_inference_steps": 1})

    verb()  # what is only done the first time is done
    counter = Interrupt(0, files)
    counter.strikes(verb)
    assert counter.count > 20
    for number in range(1, counter.count + 1):
        assert Interrupt(number, files).strikes(verb), number


@pytest.mark.usefixtures("no_collector")
def test_signals_from_elsewhere_leave_the_pipeline_as_it_was(picture, tiny, record_property):
    """Sent by a second thread at moments of its own, as a kernel's interrupts are."""
    import _thread

    wanted, before = sk.animate(picture, tiny, seed=7, **QUICK).frames, state_of(tiny)
    struck = 0
    for number in range(12):
        timer = threading.Timer(0.004 + 0.013 * number, _thread.interrupt_main)
        try:
            timer.start()
            sk.animate(picture, tiny, seed=7, **QUICK)
            timer.join()
            time.sleep(0.01)  # where it comes too late it strikes here
        except KeyboardInterrupt:
            struck += 1
        timer.join()
        assert state_of(tiny) == before
        assert np.array_equal(sk.animate(picture, tiny, seed=7, **QUICK).frames, wanted)
    assert struck == 12
    record_property("faults", struck)


# Memory

SCARCE = """
import json, resource, sys
import numpy as np
import torch
import svdkit as sk

torch.set_num_threads(1)
how = {"num_inference_steps": 1, "progress": False}
picture, told, wanted = sk.sample_image(), [], {}

def animated(memory):
    pipeline = sk.load("tiny", device="cpu", memory=memory)
    return sk.animate(picture, pipeline, seed=7, num_frames=8, **how)

for memory in ("cpu", "cpu_in_slices"):
    wanted[memory] = animated(memory).frames
free = resource.RLIM_INFINITY
for megabytes in json.loads(sys.argv[1]):
    pipeline = sk.load("tiny", device="cpu", memory="cpu")
    sk.animate(picture, pipeline, seed=7, num_frames=2, height=32, width=56, **how)
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 1_000_000, free))
    try:
        clip = sk.animate(picture, pipeline, seed=7, num_frames=8, **how)
        one = clip.recipe["outcome"]["memory"]
        assert np.array_equal(clip.frames, wanted[one])
    except Exception as error:
        one = type(error).__name__
    resource.setrlimit(resource.RLIMIT_AS, (free, free))
    again = sk.animate(picture, pipeline, seed=7, num_frames=8, **how)
    same = np.array_equal(again.frames, wanted[again.recipe["outcome"]["memory"]])
    told.append([megabytes, one, bool(same)])
    sk.unload()
print(json.dumps(told))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process's memory")
def test_memory_that_runs_out_anywhere_is_told_or_done_with_less(record_property):
    """Real memory: the limit rises, so that it runs out later and later, until it suffices."""
    limits = [0, 15, 30, 500]
    command = [sys.executable, "-c", textwrap.dedent(SCARCE), json.dumps(limits)]
    quick_to_give_back = os.environ | {
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "0",
    }
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=280, env=quick_to_give_back
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert {one for _, one, _ in told} <= {"NotEnoughMemory", "cpu_in_slices", "cpu"}, told
    assert told[0][1] == "NotEnoughMemory"
    assert told[-1][1] == "cpu"
    assert all(same for *_, same in told), told
    record_property("faults", sum(one != "cpu" for _, one, _ in told))


def test_memory_that_runs_out_when_the_frames_are_there_is_told_too(
    picture, monkeypatch, record_property
):
    sk.unload()
    tiny = sk.load("tiny", device="cpu")
    wanted = sk.animate(picture, tiny, seed=7, **QUICK).frames
    with monkeypatch.context() as scarce:
        scarce.setattr(np, "isfinite", lambda _: np.empty((2**40, 2**20), np.uint8))
        with pytest.raises(sk.NotEnoughMemory, match="3 frames of 32×56"):
            sk.animate(picture, tiny, seed=7, **QUICK)
    again = sk.animate(picture, tiny, seed=7, **QUICK)
    assert again.recipe["outcome"]["memory"] == "cpu_in_slices"
    assert np.abs(again.frames.astype(int) - wanted).max() <= 1
    sk.unload()
    same = sk.animate(picture, sk.load("tiny", device="cpu"), seed=7, **QUICK)
    assert np.array_equal(same.frames, wanted)
    record_property("faults", 1)
