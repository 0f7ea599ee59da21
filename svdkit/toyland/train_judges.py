"""Train the judges that svdkit brings anew, into a folder:

    python -m svdkit.toyland.train_judges drawings motion --out svdkit/toyland

What they say of painted scenes that they were not shown is printed. What the old ones judged has to
be measured again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import nn

from . import judge, jury
from .judge import load_judge, right_about_scenes, train_judge
from .jury import Jury, load_jury
from .motion_judge import right_about_painted, train_motion_judge
from .plans import device_and_precision

FIRST_SEED = 6


def train_jury(steps: int, device: torch.device, judges: int = jury.JUDGES, **how) -> Jury:
    """Judges of motion that have learned for so many steps each, from the same clips and other
    first weights.

    >>> len(train_jury(steps=1, device=torch.device("cpu"), judges=1, clips=2).judges)
    1
    """
    all_of_them = Jury(judges).to(device)
    for number in range(judges):
        one = train_motion_judge(steps, device, seed=FIRST_SEED + number, **how)
        all_of_them.judges[number] = one
    return all_of_them.eval()


def save(network: nn.Module, path: Path) -> None:
    """Write a network's weights, in half precision.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "jury.safetensors")
    >>> save(Jury(3), path)
    >>> len(load_jury(torch.device("cpu"), path).judges)
    3
    """
    half = {
        name: weight.half().cpu() if weight.is_floating_point() else weight.cpu()
        for name, weight in network.state_dict().items()
    }
    save_file(half, path)


class Kind(NamedTuple):
    """Judges of one thing: the file of those that svdkit brings, and for how many steps these
    learned; how they are trained and loaded; how often they are right about so many painted scenes.

    >>> KINDS["drawings"].file.name
    'drawing-judge.safetensors'
    """

    file: Path
    steps: int
    train: Callable[[int, torch.device], nn.Module]
    load: Callable[[torch.device, Path], nn.Module]
    right: Callable[[nn.Module, int], dict]


# Of 400 paintings a judge of drawings that had learned for 600 steps took 38 for another thing, one
# of 1500 steps on soft and grainy ones 24, and with a first layer that sees every pixel 13. Judges
# of motion that have learned for fewer than 600 flatter.
KINDS = {
    "drawings": Kind(judge.FILE, 1500, train_judge, load_judge, right_about_scenes),
    "motion": Kind(jury.FILE, 600, train_jury, load_jury, right_about_painted),
}


def main(arguments: list[str] | None = None) -> None:
    """The command line.

    >>> main(["drawings", "--steps", "0", "--out", "."])
    Traceback (most recent call last):
    SystemExit: --steps is 0; it is 1 or more. Leave it out.
    """
    learned = ", ".join(f"{kind.steps} for {what}" for what, kind in KINDS.items())
    parser = argparse.ArgumentParser(prog="python -m svdkit.toyland.train_judges")
    parser.add_argument("what", nargs="+", choices=list(KINDS), help="what they judge")
    parser.add_argument("--out", type=Path, required=True, help="a folder for their weights")
    parser.add_argument("--steps", type=int, help=f"default: {learned}")
    parser.add_argument("--scenes", type=int, default=90, help="to try them on; default: 90")
    options = parser.parse_args(arguments)
    for name in ("steps", "scenes"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise SystemExit(f"--{name} is {value}; it is 1 or more. Leave it out.")
    if not options.out.is_dir():
        raise SystemExit(f"--out is {options.out}; it is a folder that is there. Make it first.")
    device = device_and_precision()[0]
    right = {}
    for what in options.what:
        kind = KINDS[what]
        path = options.out / kind.file.name
        save(kind.train(options.steps or kind.steps, device), path)
        right[what] = kind.right(kind.load(device, path), options.scenes)
    print(json.dumps(right, indent=2))


if __name__ == "__main__":
    main()
