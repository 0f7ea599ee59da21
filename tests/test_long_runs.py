"""Hours in one kernel: as much memory, and as many files and threads, as in its first minutes."""

import json
import os

import nbformat
import pytest
from nbclient import NotebookClient

ANIMATIONS, SETTLED = 300, 60  # the first ones fill the caches
QUICK = {"num_inference_steps": 1, "num_frames": 4, "progress": False}

MANY = f"""
import ctypes, gc, json, os, threading
import torch
import svdkit as sk
from IPython.display import display

torch.set_num_threads(1)

def held():
    gc.collect()
    # What is free, glibc keeps or gives back as it happens to: up to 50 MiB.
    ctypes.CDLL(None).malloc_trim(0)
    # its own memory, swapped out or not: pages of files come and go as the system likes
    told = dict(line.split(":") for line in open("/proc/self/status") if ":" in line)
    mebibytes = sum(int(told[kind].split()[0]) for kind in ("RssAnon", "VmSwap")) / 2**10
    clips = sum(type(thing) is sk.Clip for thing in gc.get_objects())
    return mebibytes, len(os.listdir("/proc/self/fd")), threading.active_count(), clips

picture = sk.sample_image()
for number in range({ANIMATIONS}):
    clip = sk.animate(picture, "tiny", seed=number, motion_bucket_id=number % 256, **{QUICK})
    display(clip)
    if number % 10 == 0:
        clip.save("kite.mp4")
    if number == {SETTLED} - 1:
        before = held()
after = held()
"""
TELL = "print(json.dumps([before, after]))"


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux tells what it holds")
@pytest.mark.timeout(1200)
def test_hundreds_of_clips_in_one_kernel_leave_nothing_behind(tmp_path):
    cells = [nbformat.v4.new_code_cell(MANY), nbformat.v4.new_code_cell(TELL)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    kernel = {"kernel_name": "python3", "resources": {"metadata": {"path": str(tmp_path)}}}
    NotebookClient(notebook, timeout=1100, **kernel).execute()
    assert len(notebook.cells[0].outputs) == ANIMATIONS
    before, after = json.loads(notebook.cells[1].outputs[0].text)
    memory, files, threads, clips = zip(before, after, strict=True)
    print(f"{memory[0]:.0f} → {memory[1]:.0f} MiB, {files=}, {threads=}, {clips=}")
    assert memory[1] < 1.04 * memory[0]
    assert files[1] <= files[0]
    assert threads[1] <= threads[0]
    assert clips == (1, 1)
    assert sorted(os.listdir(tmp_path)) == ["kite.mp4", "kite.mp4.input.png", "kite.mp4.json"]
