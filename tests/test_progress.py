"""Progress: one line in a terminal, in a notebook and in a log, and none where none is wanted."""

import io
import json
import os
import re
import subprocess
import sys
import time
from threading import Thread

import nbformat
import pytest
from nbclient import NotebookClient
from small_settings import QUICK

import svdkit as sk
from svdkit import assembly, bench, planning
from svdkit.architectures import build
from svdkit.progress import Bar, Steps, counting_into
from svdkit.upstream import parts_told

SMALL = "num_frames=2, num_inference_steps=2, seed=7"
ANIMATE = f"import svdkit as sk; sk.animate(sk.sample_image(), 'tiny', {SMALL})"
SHOWN = QUICK | {"progress": True}
MADE = r"in \d+\.\d s$"


def run_in_a_notebook(*cells):
    """Run cells in a kernel, and give the outputs of each as they are saved."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", allow_errors=True)
    client.execute()
    assert "widget" not in json.dumps(notebook)
    return [cell.outputs for cell in notebook.cells]


def texts(outputs):
    return [output.get("data", output).get("text/plain") for output in outputs]


def run_in_a_terminal(command, size):
    """Run Python in a pseudo-terminal of so many lines and columns, and give what it shows."""
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))
    import struct

    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    with subprocess.Popen([sys.executable, "-c", command], stderr=inside) as process:
        os.close(inside)
        told = b""
        while True:
            try:
                part = os.read(terminal, 4096)
            except OSError:  # how Linux says that the other end is closed
                part = b""
            if not part:
                break
            told += part
    os.close(terminal)
    assert process.returncode == 0
    return told.decode()


def lines_of(command, **environment):
    """Run Python with its errors in a pipe, and give their lines."""
    env = {name: value for name, value in (os.environ | environment).items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", command], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def test_a_saved_notebook_keeps_one_line_of_text_for_each_bar():
    _, animated, aimed, threaded, stopped = run_in_a_notebook(
        "import svdkit as sk, threading; picture = sk.sample_image()",
        f"clip = sk.animate(picture, 'tiny', {SMALL})",
        f"best = sk.aim(picture, 'tiny', 0.02, most_clips=2, {SMALL})",
        "thread = threading.Thread(target=sk.animate, args=(picture, 'tiny'),"
        " kwargs={'num_frames': 2, 'num_inference_steps': 1}); thread.start(); thread.join()",
        "def stop(*_):\n    raise KeyboardInterrupt\n"
        f"sk.animate(picture, 'tiny', on_step=stop, {SMALL})",
    )
    (told,) = texts(animated)
    assert re.search(f"^animating: 2 steps {MADE}", told)
    assert animated[0].output_type == "display_data"
    assert set(animated[0].data) == {"text/plain"}
    bars = [output for output in aimed if output.output_type == "display_data"]
    assert re.search(f"^aiming: 2 clips {MADE}", texts(bars)[0])
    (printed,) = {output.name for output in aimed if output.output_type == "stream"}
    assert printed == "stdout"
    assert len(bars) == 1
    assert re.search(f"^animating: 1 step {MADE}", texts(threaded)[0])
    assert re.search(r"^animating: stopped at 0 of 2 steps after \d", texts(stopped)[0])
    assert stopped[-1].ename == "KeyboardInterrupt"


def test_a_pipe_gets_one_line():
    (line,) = lines_of(ANIMATE)
    assert re.search(f"^animating: 2 steps {MADE}", line)


def test_a_terminal_gets_a_bar_that_ends_in_the_same_line():
    told = run_in_a_terminal(ANIMATE, (24, 80))
    states = [state.strip() for state in re.split("[\r\n]+", told) if state.strip()]
    assert "| 0/2 [" in states[0]
    assert states[0].endswith("encoding]")
    assert re.search(r"\| [12]/2 \[\d\d:\d\d<\d\d:\d\d, .*(step/s|s/step)", told)
    assert states[-2].endswith("decoding]")
    assert re.search(f"^animating: 2 steps {MADE}", states[-1])


def test_a_terminal_without_a_size_gets_one_line_as_a_log_does():
    assert re.search(f"^animating: 2 steps {MADE}", run_in_a_terminal(ANIMATE, (0, 0)).strip())


def test_without_progress_all_keep_silent(checkpoint, made, picture, tmp_path, capsys):
    sk.unload()
    quick = QUICK | {"seed": 7, "progress": False}
    svd = sk.load(checkpoint, device="cpu", progress=False)
    sk.animate(picture, svd, height=64, width=112, **quick)
    sk.cinemagraph(picture, (0, 0, 0.5, 0.5), "tiny", **quick)
    sk.loop(picture, "tiny", **quick | {"num_frames": 4})
    sk.extend(made, "tiny", num_inference_steps=1, seed=7, progress=False)
    sk.aim(picture, "tiny", 0.02, most_clips=1, **quick)
    cells = sk.grid(fps=[6], num_frames=2, num_inference_steps=1)
    sk.sweep(picture, "tiny", cells, tmp_path / "runs", progress=False)
    sk.draw("a red balloon", "tiny-sd", num_inference_steps=1, seed=7, progress=False)
    sk.plan("tiny", gpu="T4", progress=False)
    bench.measure("tiny", device="cpu", repeats=1, num_frames=2, progress=False)
    assert capsys.readouterr() == ("", "")


def test_each_maker_says_it_in_one_line(made, picture, tmp_path, capsys, monkeypatch):
    def told():
        return capsys.readouterr().err.splitlines()

    few = SHOWN | {"seed": 7}
    sk.draw("a red balloon", "tiny-sd", num_inference_steps=2, seed=7)
    assert [line.partition(" in")[0] for line in told()] == ["drawing: 2 steps"]
    sk.extend(made, "tiny", times=2, num_inference_steps=1, seed=7)
    assert [line.partition(" in")[0] for line in told()] == ["extending: 2 extensions"]
    sk.aim(picture, "tiny", 0.02, most_clips=2, **few)
    assert [line.partition(" in")[0] for line in told()] == ["aiming: 2 clips"]
    bench.measure("tiny", device="cpu", repeats=1, num_frames=2)
    assert [line.partition(" in")[0] for line in told()] == ["measuring: 4 runs"]
    monkeypatch.setattr(planning, "PATIENCE", 0)
    sk.plan("tiny", gpu="T4", num_frames=5)
    assert [line.partition(" in")[0] for line in told()] == ["planning tiny: 7 predictions"]
    cells = sk.grid(fps=[6, 12], num_frames=2, num_inference_steps=1)
    sk.sweep(picture, "tiny", cells[:1], tmp_path / "runs")
    assert [line.partition(" in")[0] for line in told()] == ["runs: 1 cell"]
    sk.sweep(picture, "tiny", cells, tmp_path / "runs")
    (line,) = told()
    assert re.search(r"^runs: 1 cell in \d+\.\d s, 1 were there$", line)


def test_what_is_stopped_says_where(picture, capsys):
    def stop(step, *_):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sk.animate(picture, "tiny", on_step=stop, **SHOWN | {"num_inference_steps": 3})
    assert "animating: stopped at 1 of 3 steps after" in capsys.readouterr().err
    sk.animate(picture, "tiny", **SHOWN)  # and no bar is left open
    assert capsys.readouterr().err.startswith("animating: 2 steps in")


def test_a_pipeline_is_as_before_and_its_own_wishes_hold(picture, capsys):
    mine, small = build(sk.MODELS["tiny"]), {"height": 64, "width": 112}
    kind = type(mine)
    sk.animate(picture, mine, **SHOWN | small)
    assert capsys.readouterr().err.startswith("animating: 2 steps")
    assert type(mine) is kind
    assert not {"progress_bar", "_progress_bar_config"} & set(vars(mine))
    mine.set_progress_bar_config(desc="mine")
    sk.animate(picture, mine, **SHOWN | small)
    assert capsys.readouterr().err.startswith("mine: 2 steps")
    for wish in ({"disable": True}, {"leave": False}):
        mine.set_progress_bar_config(**wish)
        sk.animate(picture, mine, **SHOWN | small)
        assert capsys.readouterr().err == ""
        assert mine._progress_bar_config == wish


def test_a_model_is_read_part_by_part(copy_of, capsys, monkeypatch):
    monkeypatch.setattr(assembly, "PATIENCE", 0)
    stages = []
    monkeypatch.setattr(Bar, "stage", lambda bar, what="": stages.append(what))
    sk.load(copy_of("small-svd"), device="cpu")
    assert {"unet", "vae", "image_encoder", "scheduler"} <= set(stages)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(f"^loading small-svd: {len(stages)} parts {MADE}", line)
    sk.unload()


def test_what_comes_with_svdkit_is_loaded_without_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(assembly, "PATIENCE", 0)
    sk.unload()
    sk.load("tiny", device="cpu")
    assert capsys.readouterr().err == ""


def test_the_bars_of_the_libraries_are_as_before():
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    theirs = of_diffusers.tqdm
    before = [log.is_progress_bar_enabled() for log in (of_diffusers, of_transformers)]
    with pytest.raises(KeyboardInterrupt), Bar(disable=True) as bar, parts_told(bar):
        raise KeyboardInterrupt
    assert of_diffusers.tqdm is theirs
    assert before == [log.is_progress_bar_enabled() for log in (of_diffusers, of_transformers)]


@pytest.mark.parametrize("wish", [None, "1"])
def test_a_download_tells_its_bytes_unless_the_hubs_bars_are_off(
    hub_of, checkpoint, wish, tmp_path
):
    small = hub_of({"somebody/small-svd": checkpoint})
    load = "import svdkit as sk; sk.load('somebody/small-svd', device='cpu')"
    here = {"HF_ENDPOINT": small.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home")}
    here |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": wish}
    told = [line for line in lines_of(load, **here) if not line.startswith("loading ")]
    if wish:
        assert not told
        return
    (line,) = told
    bytes_told = re.search(rf"^downloading somebody/small-svd: ([\d.]+)MB {MADE}", line)
    fetched = [path for path in (tmp_path / "home").glob("hub/*/blobs/*") if path.is_file()]
    index = (checkpoint / "model_index.json").stat().st_size  # which is asked for before
    mb = (sum(path.stat().st_size for path in fetched) - index) / 1e6
    assert float(bytes_told[1]) == pytest.approx(mb, rel=0.01)
    assert "downloading" not in str(lines_of(load, **here))  # it is there now


def test_where_the_hub_counts_files_the_bytes_that_arrived_are_told():
    arrived, told = [0], io.StringIO()
    with Bar(desc="downloading", total=3000, unit="B", unit_scale=True, file=told) as bar:
        files = counting_into(bar, lambda: arrived[0])(iter("ab"), desc="Fetching", total=2)
        for _ in files:
            arrived[0] += 1500
            assert bar.n == arrived[0] - 1500
    assert told.getvalue().startswith("downloading: 3.00kB in")


def test_bytes_are_counted_once_though_the_hub_has_two_bars_for_them():
    told = io.StringIO()
    with Bar(total=3000, unit="B", unit_scale=True, file=told) as bar:
        kind = counting_into(bar, lambda: 0)
        with (
            kind(desc="to the disk", total=0, unit="B") as one,
            kind(unit="B", name="net") as other,
        ):
            one.total += 3000
            one.set_postfix_str("1 kB/s")
            one.update(2000)
            other.update(1000)
            one.update(None)
        assert bar.n == 2000


def test_a_bar_inside_another_takes_its_line():
    told = io.StringIO()
    with Bar(desc="aiming", total=2, unit="clip", file=told) as outer:
        with Bar(desc="animating", total=3, unit="step") as inner:
            inner.update()
            assert str(inner).startswith("aiming 0/2, animating:  33%")
        outer.update()
    assert re.search(r"^aiming: 1 clip in \d+\.\d s\n$", told.getvalue())
    with Bar(desc="later", total=1, file=told) as later:
        assert later.around is None


def test_what_is_over_soon_needs_no_bar():
    told = io.StringIO()
    with Bar(range(1), desc="quick", delay=60, file=told) as bar:
        list(bar)
    assert told.getvalue() == ""
    with Bar(desc="slow", total=1, unit="part", delay=0.01, file=told) as bar:
        time.sleep(0.2)  # the bar appears by itself
    assert told.getvalue().startswith("slow: 0 parts in")


def test_a_bar_in_a_thread_has_a_line_of_its_own():
    told = io.StringIO()

    def count():
        with Bar(desc="beside", total=1, unit="step", file=told) as bar:
            bar.update()

    with Bar(desc="here", total=1, file=told):
        thread = Thread(target=count)
        thread.start()
        thread.join()
    assert told.getvalue().startswith("beside: 1 step in")


def test_where_nothing_can_be_shown_the_work_goes_on(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # as in pythonw
    with Bar(desc="counting", total=2, unit="number") as bar:
        bar.update(2)
    assert bar.n == 2


def test_the_steps_of_a_pipeline_are_counted_both_ways():
    told = io.StringIO()
    with Bar(desc="drawing", total=2, unit="step", postfix="encoding", file=told) as bar:
        with Steps(bar, total=2) as steps:
            steps.update()
            steps.update()
        assert str(bar).endswith("decoding]")
        assert list(Steps(bar, [1, 2])) == [1, 2]  # another round, as FreeInit has it
    assert told.getvalue().startswith("drawing: 4 steps in")
