"""The training loop that all stages share: mixed precision, moving averages, checkpoints,
samples and a log.

A *stage* says what is trained and what the loss is; the loop knows nothing of VAEs or diffusion.
What happens in a step depends on the step's number alone, so a run of so many steps that is
interrupted between two steps and resumed ends where an uninterrupted one ends. In one of so many
minutes the rate follows the clock.
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image

from . import together
from .forecast import TRIED, last_doubling, logged, since_taken_up
from .optimizers import Optimizer
from .plans import Plan
from .quick import quick


class Stage(Protocol):
    """What the loop needs of a stage.

    >>> sorted(name for name in vars(Stage) if not name.startswith("_"))
    ['loss', 'sample_sheet', 'state']
    """

    name: str
    networks: torch.nn.ModuleDict  # what is trained

    def loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of a step, and figures for the log."""

    def sample_sheet(self, networks: torch.nn.ModuleDict) -> tuple[Image.Image, dict[str, float]]:
        """A picture of what the given networks can do by now, and figures measured on it."""

    def state(self, networks: torch.nn.ModuleDict) -> dict:
        """Plain values that later stages need beside the given networks' weights."""


class MovingAverage:
    """A copy of networks whose weights follow the trained ones slowly; it draws better than they
    do.

    >>> networks = torch.nn.ModuleDict({"one": torch.nn.Linear(1, 1)})
    >>> MovingAverage(networks, over=10).networks["one"] is networks["one"]
    False
    """

    def __init__(self, networks: torch.nn.ModuleDict, over: int) -> None:
        self.networks = copy.deepcopy(networks).eval().requires_grad_(False)
        self.over = over

    @torch.no_grad()
    def follow(self, networks: torch.nn.ModuleDict, step: int) -> None:
        """Move a little towards the trained networks: fast in the first steps, when there is little
        to remember.

        >>> networks = torch.nn.ModuleDict({"one": torch.nn.Linear(1, 1)})
        >>> MovingAverage(networks, over=10).follow(networks, step=0)
        """
        share = max(1 / self.over, 9 / (10 + step))
        torch._foreach_lerp_(list(self.networks.parameters()), list(networks.parameters()), share)
        for mine, theirs in zip(self.networks.buffers(), networks.buffers(), strict=True):
            mine.copy_(theirs)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then rename it: a reader sees the old file or the new
    one, never half of one.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "note.txt")
    >>> write_whole(path, lambda part: part.write_text("whole"))
    >>> path.read_text()
    'whole'
    """
    part = path.with_name(path.name + ".part")
    write(part)
    os.replace(part, path)


def print_line(figures: dict) -> None:
    """Print figures as a line of JSON, at once.

    >>> print_line({"step": 3})
    {"step": 3}
    """
    print(json.dumps(figures), flush=True)


class Trainer:
    """One stage in training: what a run has to remember, and what it does again and again.

    >>> sorted(name for name in vars(Trainer) if not name.startswith("_"))
    ['draw', 'forecast', 'learn', 'log', 'loss', 'rate', 'resume', 'run', 'save', 'seconds']
    """

    def __init__(
        self,
        stage: Stage,
        plan: Plan,
        out: Path,
        device: torch.device,
        precision: torch.dtype | None,
        tell: Callable[[dict], None],
    ) -> None:
        self.stage, self.plan, self.device, self.precision = stage, plan, device, precision
        self.tell = tell
        self.folder = Path(out) / stage.name
        self.checkpoint = self.folder / "checkpoint.pt"
        (self.folder / "samples").mkdir(parents=True, exist_ok=True)
        self.optimizer = Optimizer(stage.networks, fused=device.type == "cuda")
        self.average = MovingAverage(stage.networks, plan.average_over)
        self.step, self.spent_before, self.began = 0, 0.0, time.monotonic()
        self.earlier_seconds = 0.0  # before its weights were restored from a model
        self.first_step = 0  # of this optimizer: weights restored from a model come without one
        self.taken_up: dict | None = None  # these weights
        self.now = 0.0  # seconds on the clock that all processes share
        self.smooth: dict[str, float] = {}

    def seconds(self) -> float:
        """How long this stage has been trained, all sittings taken together."""
        return self.spent_before + time.monotonic() - self.began

    def rate(self) -> float:
        """The learning rate of the step that comes next."""
        return self.plan.rate(self.step, self.now, self.first_step)

    def resume(self) -> None:
        """Take up what the checkpoint holds.

        Where that is but weights, the rate warms up anew, and the average begins with what is
        learned from here: it would look back to the weights of before for longer than a short run.
        """
        log = self.folder / "log.jsonl"
        if together.rank() == 0 and log.exists() and not log.read_bytes().endswith(b"\n"):
            with open(log, "a") as file:
                file.write("\n")  # a full disk cut its last line
        saved = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.stage.networks.load_state_dict(saved["networks"])
        self.average.networks.load_state_dict(saved["average"])
        self.step, self.spent_before = saved["step"], saved["seconds"]
        self.first_step, self.taken_up = self.step, saved["average"]
        if "optimizer" in saved:
            self.optimizer.load_state_dict(saved["optimizer"])
            self.first_step, self.taken_up = saved.get("first_step", 0), saved.get("taken_up")
        self.earlier_seconds = saved.get("earlier_seconds", 0.0)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        parts = {
            "networks": self.stage.networks,
            "average": self.average.networks,
            "optimizer": self.optimizer,
        }
        whole = {name: part.state_dict() for name, part in parts.items()}
        whole |= {"step": self.step, "seconds": self.seconds()}
        whole |= {"earlier_seconds": self.earlier_seconds, "first_step": self.first_step}
        whole |= {"taken_up": self.taken_up}
        whole |= {"state": self.stage.state(self.average.networks)}
        write_whole(self.checkpoint, lambda path: torch.save(whole, path))

    def log(self, **figures: float) -> None:
        """Tell the figures of this step, and add them to log.jsonl as a line of JSON."""
        rounded = {name: round(value, 6) for name, value in figures.items()}
        line = {"step": self.step, "seconds": round(self.seconds(), 1)} | rounded
        self.tell(line)
        with open(self.folder / "log.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")

    def forecast(self) -> None:
        """Log what the last doubling of the steps has brought, where the run is long enough; else
        what the steps on from a model have.
        """
        brought = last_doubling(logged(self.folder / "log.jsonl"))
        if not brought and self.taken_up:
            networks, now = self.stage.networks, self.average.networks.state_dict()
            ahead = range(self.step, self.step + min(TRIED, self.step - self.first_step))
            losses = (lambda step=step: float(self.loss(step)[0]) for step in ahead)
            brought = since_taken_up(networks, self.taken_up, now, losses)
            brought = brought and {"taken_up_at_step": self.first_step} | brought
        if brought:
            self.log(**brought)

    def draw(self) -> None:
        """Draw a sample sheet with the averaged weights."""
        sheet, figures = self.stage.sample_sheet(self.average.networks)
        path = self.folder / "samples" / f"step-{self.step:06d}.png"
        write_whole(path, lambda part: sheet.save(part, "PNG"))
        self.log(**figures)

    def loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of a step of this process, and the stage's figures."""
        mixed = (
            torch.autocast(self.device.type, self.precision) if self.precision else nullcontext()
        )
        with quick(self.stage.networks, self.device), mixed:
            return self.stage.loss(step * together.count() + together.rank())

    def learn(self) -> dict[str, torch.Tensor]:
        """One step; returns its loss and the stage's figures."""
        networks = self.stage.networks
        # A step that was interrupted, or a backward() of the caller's, may have left some.
        networks.zero_grad(set_to_none=True)
        loss, figures = self.loss(self.step)
        loss.backward()
        together.average_gradients(networks.parameters())
        torch.nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
        self.optimizer.step(self.rate())
        self.average.follow(networks, self.step - self.first_step)
        self.step += 1
        return {"loss": loss.detach()} | figures

    def run(self, after_step: Callable[[int], None]) -> None:
        """Learn until the plan is done or the sitting is over."""
        last_log = last_save = last_draw = time.monotonic()
        rest = self.plan.draw_every  # after a sheet; on a CPU some take more than a minute
        first = together.rank() == 0
        while True:
            self.now = together.of_the_first(self.seconds(), self.device)
            if self.plan.done(self.step, self.now) >= 1:
                return
            figures = self.learn()
            now = time.monotonic()
            if first and (self.step % 25 == 0 or now - last_log > 20):
                for name, value in figures.items():
                    value = float(value)
                    if math.isnan(value) and name != "loss":
                        continue  # this step had no example of the kind
                    self.smooth[name] = 0.8 * self.smooth.get(name, value) + 0.2 * value
                done = self.plan.done(self.step, self.seconds())
                self.log(**self.smooth, rate=self.rate(), done=done)
                last_log = now
            if first and now - last_save > self.plan.save_every:
                self.save()
                last_save = now
            if first and self.plan.draw_every and now - last_draw > rest:
                self.draw()
                last_draw = time.monotonic()
                rest = max(self.plan.draw_every, 20 * (last_draw - now))
            after_step(self.step)
            over = self.plan.sitting is not None and now - self.began > 60 * self.plan.sitting
            if together.of_the_first(over, self.device):
                return


def train(
    stage: Stage,
    plan: Plan,
    out: Path,
    *,
    device: torch.device | str,
    precision: torch.dtype | None = None,
    resume: bool = False,
    after_step: Callable[[int], None] = lambda step: None,
    tell: Callable[[dict], None] = print_line,
) -> float:
    """Train a stage into the folder `out`/<stage>: checkpoint.pt, log.jsonl and samples/; returns
    the share of the plan that is done by now, 1 at its end. `tell` is given what log.jsonl gets,
    whose last line says what the last doubling of the steps has brought, if there were enough, or
    what the steps on from a restored model have; and a line of its own where there was nothing to
    do.

    >>> train.__kwdefaults__["resume"]
    False
    """
    device = torch.device(device)
    together.join(device)
    trainer = Trainer(stage, plan, out, device, precision, tell)
    if trainer.checkpoint.exists():
        if not resume:
            raise FileExistsError(
                f"{trainer.checkpoint} exists; add --resume (resume=True) to train on, "
                "or choose another --out to begin anew."
            )
        trainer.resume()
    first_step = trainer.step
    try:
        trainer.run(after_step)
    finally:  # also when interrupted: nothing learned is lost
        if trainer.step > first_step and together.rank() == 0:
            trainer.save()
    if trainer.step > first_step and together.rank() == 0:
        if plan.draw_every:
            trainer.draw()
        trainer.forecast()
    if trainer.step == first_step and together.rank() == 0:
        tell({"step": trainer.step, "done": plan.done(trainer.step, trainer.now)})
    # What was learned is done, however long its last sheet took; and it is written when all go on.
    return together.of_the_first(plan.done(trainer.step, trainer.now), device)
