"""The judges of motion that svdkit brings, which vote: one ruler for every machine and every model.

One judge alone is none. Of the same clips one called 5 % lawful and another 25 %, though both had
learned by the same code from the same seed: the rounding of their machines differed.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from .architectures import HEIGHT, NUM_FRAMES, WIDTH
from .measures import flickering, moving, through_the_vae, to_frames
from .motion_judge import (
    LAWFUL,
    MotionJudge,
    by_thing,
    captions_of,
    right_about_painted,
    thing_of,
)
from .scenes import scene
from .train_motion import FPS, MOTION_BUCKET

JUDGES = 5  # an odd number, so that there is no tie
STEPS, GUIDANCE = 20, 3.0  # tiny-animatediff's own defaults
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
