"""The training loop and its command line, on a stage that learns in milliseconds."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from svdkit.toyland import train as command
from svdkit.toyland.forecast import logged
from svdkit.toyland.loop import train
from svdkit.toyland.plans import Plan
from svdkit.toyland.train import main
from svdkit.toyland.trained import read_checkpoint


class Toy:
    """A stage of sixteen weights, which learn to copy; now and then a step has nothing to tell."""

    name = "toy"
    on_sheet = staticmethod(lambda: None)

    def __init__(self, *_):
        torch.manual_seed(0)
        self.networks = torch.nn.ModuleDict({"copy": torch.nn.Linear(4, 4)})

    def loss(self, step):
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        rare = torch.tensor(0.5 if step % 2 else float("nan"))
        return (self.networks["copy"](x) - x).square().mean(), {"loss_rare": rare}

    def sample_sheet(self, networks):
        self.on_sheet()
        return Image.new("RGB", (8, 8)), {}

    def state(self, networks):
        return {}


# Stages take unequally long to begin, as they do on machines that are busy.
SCRIPT = textwrap.dedent(
    """
    import atexit, os, pathlib, sys, time
    sys.path.insert(0, {tests!r})
    from test_training_runs import Toy
    import svdkit.toyland.train as command
    from torch import distributed
    here, rank = pathlib.Path(sys.argv[1]), os.environ["RANK"]

    @atexit.register  # before training does, so that it runs after what training has registered
    def tell():
        (here / f"held-by-{{rank}}").write_text(str(distributed.is_initialized()))

    class Slow(Toy):
        def __init__(self, *_):
            time.sleep(0.2 * int(rank))
            super().__init__()

        def loss(self, step):
            time.sleep(0.01)
            return super().loss(step)

    command.STAGES = {{name: type(name, (Slow,), {{"name": name}}) for name in command.STAGES}}
    command.export = lambda out, to: (here / f"exported-by-{{rank}}").write_text(str(to))
    command.main(sys.argv[2:])
    """
)


def together(folder, *arguments):
    """Run the command line in two processes; what they print comes back."""
    script = folder / "together.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, folder]
    ran = subprocess.run(
        [sys.executable, *run, *arguments], capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


def test_processes_go_from_stage_to_stage_together_and_one_exports(tmp_path):
    out = str(tmp_path / "runs")
    told = together(tmp_path, "all", "--minutes", "0.1", "--out", out)
    assert "paused" not in told
    assert [path.name for path in tmp_path.glob("exported-*")] == ["exported-by-0"]
    assert (tmp_path / "exported-by-0").read_text() == str(tmp_path / "runs" / "models")
    # A process that ended with the group's threads alive aborted in one run out of four.
    assert [(tmp_path / f"held-by-{rank}").read_text() for rank in (0, 1)] == ["False", "False"]


def test_processes_pause_together(tmp_path):
    command_line = ["all", "--minutes", "1", "--sitting", "0.03", "--out", str(tmp_path / "runs")]
    assert together(tmp_path, *command_line).count("paused; go on with --resume") == 2
    assert not list(tmp_path.glob("exported-*"))


def test_what_a_sheet_takes_is_not_counted_as_learned(tmp_path):
    stage = Toy()
    stage.on_sheet = lambda: time.sleep(1.5)
    share = train(stage, Plan(minutes=0.05, sitting=0.01), tmp_path, device="cpu")
    assert 0 < share < 0.4


def test_a_figure_that_a_step_has_not_is_left_out(tmp_path):
    lines = []
    plan = Plan(steps=75, draw_every=None)
    train(Toy(), plan, tmp_path, device="cpu", tell=lines.append)
    assert [line["step"] for line in lines] == [25, 50, 75]
    assert ["loss_rare" in line for line in lines] == [False, True, True]
    assert {line["loss_rare"] for line in lines[1:]} == {0.5}


@pytest.mark.parametrize("value", [0, -5, float("nan")])
def test_a_plan_without_an_end_is_told(value):
    with pytest.raises(ValueError, match=r"minutes is .*; a run takes more than 0"):
        Plan(minutes=value)
    with pytest.raises(ValueError, match=r"steps is .*; a run takes more than 0"):
        Plan(minutes=1, steps=value)


def test_clips_that_cannot_be_are_told(tmp_path):
    for clips in ("0", "-1"):
        with pytest.raises(ValueError, match=f"clips is {clips}; a step learns from 1 or more"):
            main(["vae", "--steps", "1", "--clips", clips, "--out", str(tmp_path)])


def test_a_run_that_has_nothing_to_do_says_so(tmp_path):
    plan, lines = Plan(steps=2, draw_every=None), []
    train(Toy(), plan, tmp_path, device="cpu")
    train(Toy(), plan, tmp_path, device="cpu", resume=True, tell=lines.append)
    assert lines == [{"step": 2, "done": 1.0}]


def test_a_log_that_was_cut_goes_on(tmp_path):
    log = tmp_path / "toy" / "log.jsonl"
    how = {"device": "cpu", "tell": lambda line: None}
    train(Toy(), Plan(steps=25, draw_every=None), tmp_path, **how)
    whole = log.read_text()
    log.write_text(whole + '{"step": 30, "lo')  # a full disk
    train(Toy(), Plan(steps=50, draw_every=None), tmp_path, resume=True, **how)
    assert [line["step"] for line in logged(log)] == [25, 50]
    assert log.read_text().startswith(whole)
    assert json.loads(log.read_text().splitlines()[-1])["step"] == 50


@pytest.mark.skipif(os.name != "posix", reason="elsewhere nothing is said before the end")
def test_a_machine_that_is_ended_keeps_what_was_learned(tmp_path):
    program = [sys.executable, "-m", "svdkit.toyland.train", "sight", "--minutes", "9"]
    running = subprocess.Popen(
        [*program, "--clips", "2", "--out", str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    for line in running.stdout:
        if line.startswith('{"step"'):
            break
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=120)
    assert read_checkpoint(tmp_path, "sight")["step"] >= json.loads(line)["step"]


def test_models_go_below_out_and_never_over_those_of_svdkit(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(command, "export", lambda out, to: asked.append(to))
    main(["export", "--out", str(tmp_path)])
    main(["export", "--out", str(tmp_path), "--to", "elsewhere"])
    assert [str(to) for to in asked] == [str(tmp_path / "models"), "elsewhere"]
