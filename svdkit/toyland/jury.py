"""The judges of motion that svdkit brings, which vote: one ruler for every machine and every model.

One judge alone is none. Of the same clips one called 5 % lawful and another 25 %, though both had
learned by the same code from the same seed: the rounding of their machines differed.

    python -m svdkit.toyland.jury --out svdkit/toyland/motion-judges.safetensors

trains them anew, and says how often they are right.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from .architectures import HEIGHT, NUM_FRAMES, WIDTH
from .judge import LEARNED
from .measures import flickering, moving, through_the_vae, to_frames
from .motion_judge import (
    LAWFUL,
    MotionJudge,
    by_thing,
    captions_of,
    right_about_painted,
    thing_of,
    train_motion_judge,
)
from .plans import device_and_precision
from .scenes import scene
from .train_motion import FPS, MOTION_BUCKET

JUDGES = 5  # an odd number, so that there is no tie
STEPS, GUIDANCE = 20, 3.0  # tiny-animatediff's own defaults
FIRST_SEED = 6
FILE = Path(__file__).with_name("motion-judges.safetensors")


class Jury(nn.Module):
    """Judges of motion that vote.

    >>> Jury(3)(torch.zeros(1, 14, 3, 64, 112), ["boat"]).shape
    torch.Size([1])
    """

    def __init__(self, judges: int = JUDGES) -> None:
        super().__init__()
        self.judges = nn.ModuleList([MotionJudge() for _ in range(judges)])

    def forward(self, clips: torch.Tensor, things: list[str]) -> torch.Tensor:
        """How likely each clip shows its thing moving as it should, to the judge in the middle:
        above 0 where most of them say that it does.
        """
        return torch.stack([judge(clips, things) for judge in self.judges]).median(0).values


def train_jury(steps: int, device: torch.device, judges: int = JUDGES, **how) -> Jury:
    """Judges that have learned for so many steps each, from the same clips and other first weights.

    >>> len(train_jury(steps=1, device=torch.device("cpu"), judges=1, clips=2).judges)
    1
    """
    jury = Jury(judges).to(device)
    for number in range(judges):
        jury.judges[number] = train_motion_judge(steps, device, seed=FIRST_SEED + number, **how)
    return jury.eval()


def save_jury(jury: Jury, path: Path) -> None:
    """Write the judges' weights, in half precision.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "jury.safetensors")
    >>> save_jury(Jury(3), path)
    >>> len(load_jury(torch.device("cpu"), path).judges)
    3
    """
    half = {
        name: weight.half().cpu() if weight.is_floating_point() else weight.cpu()
        for name, weight in jury.state_dict().items()
    }
    save_file(half, path)


def load_jury(device: torch.device, path: Path = FILE) -> Jury:
    """The judges of a file; of the one that svdkit brings if none is given.

    >>> len(load_jury(torch.device("cpu")).judges)
    5
    """
    weights = load_file(path)
    jury = Jury(1 + max(int(name.split(".")[1]) for name in weights))
    jury.load_state_dict(weights)
    return jury.to(device).eval()


@torch.no_grad()
def judged_clips(
    pipeline: object, number: int, jury: Jury, steps: int = STEPS
) -> tuple[dict, list[torch.Tensor]]:
    """Whether what is made of random captions moves as the law says, how much it moves and
    flickers beside painted clips, and rows for a sheet: painted above, made below.

    >>> judged_clips.__name__
    'judged_clips'
    """
    device = next(jury.parameters()).device
    named = captions_of(LAWFUL, number, torch.Generator().manual_seed(2))
    painted = [
        to_frames(scene(seed, caption).clip(MOTION_BUCKET, FPS))
        for seed, caption in enumerate(named)
    ]
    made = []
    for seed, caption in enumerate(named):
        frames = pipeline(
            caption,
            NUM_FRAMES,
            HEIGHT,
            WIDTH,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            generator=torch.Generator().manual_seed(seed),
            output_type="pt",
        ).frames[0]
        made.append(frames.float().cpu() * 2 - 1)
    decoded = [through_the_vae(pipeline.vae, frames).cpu() for frames in painted]
    things = [thing_of(caption) for caption in named]
    lawful, passed = (
        by_thing(named, (jury(torch.stack(clips).to(device), things) > 0).float().tolist())
        for clips in (made, decoded)
    )
    alone = [
        float((judge(torch.stack(made).to(device), things) > 0).float().mean())
        for judge in jury.judges
    ]
    figures = {
        "animatediff_clips_judged": number,
        "animatediff_law_right": lawful["all"],
        "animatediff_law_right_by_thing": lawful,
        "animatediff_law_right_by_judge": alone,
        "law_right_of_painted_clips_through_the_vae": passed["all"],
        "motion_judge_right_on_painted_clips": right_about_painted(jury, 2 * number),
        "animatediff_motion": moving(made),
        "animatediff_motion_of_painted_clips": moving(painted),
        "animatediff_flicker": flickering(made),
        "animatediff_flicker_of_painted_clips": flickering(painted),
    }
    return figures, [row for pair in zip(painted, made, strict=True) for row in pair]


def main(arguments: list[str] | None = None) -> None:
    """The command line.

    >>> import tempfile
    >>> main(["--steps", "0", "--out", tempfile.mkdtemp()])
    Traceback (most recent call last):
    SystemExit: --steps is 0; it is 1 or more. Leave it out.
    """
    parser = argparse.ArgumentParser(prog="python -m svdkit.toyland.jury")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--steps", type=int, default=LEARNED, help=f"default: {LEARNED}")
    parser.add_argument("--scenes", type=int, default=90, help="to try them on; default: 90")
    options = parser.parse_args(arguments)
    for name in ("steps", "scenes"):
        if (value := getattr(options, name)) < 1:
            raise SystemExit(f"--{name} is {value}; it is 1 or more. Leave it out.")
    if options.out.is_dir() or not options.out.parent.is_dir():
        raise SystemExit(f"--out is {options.out}; it is a file in a folder that is there.")
    device = device_and_precision()[0]
    save_jury(train_jury(options.steps, device), options.out)
    right = right_about_painted(load_jury(device, options.out), options.scenes)
    print(json.dumps(right, indent=2))


if __name__ == "__main__":
    main()
