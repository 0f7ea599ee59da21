"""A judge of motion: a small network that says whether a thing in a clip moves as its law says, and
not as if the law ran backwards, nor by jumping about, nor not at all.

It learns from painted clips alone and never sees a clip of `tiny-animatediff`. How often it is
right about painted clips that it was not shown bounds what can be said with it, and is reported
beside its verdicts.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, binary_cross_entropy_with_logits

from .architectures import HEIGHT, NUM_FRAMES, WIDTH
from .laws import progress_of
from .measures import backwards, mean, to_frames, worn
from .scenes import SEEDS, captions, parse_caption, scene
from .scripts import Script
from .staging import paint
from .things import THINGS
from .train_motion import FPS, MOTION_BUCKET

LAWFUL = tuple(name for name in THINGS if name not in ("cloud", "kite"))  # no freedom of direction
SEEN = (HEIGHT // 2, WIDTH // 2)  # the judge looks at clips at half their size


def both_ways(
    script: Script, progress: torch.Tensor, dice: torch.Generator, size: tuple[int, int] = SEEN
) -> tuple[torch.Tensor, torch.Tensor]:
    """Painted clips in −1…1 whose law runs as it should, and the same scenes moving wrongly: half
    of them with the thing going backwards, a quarter with their frames in random order, a quarter
    standing still.

    >>> script = Script.roll_all([[0, 0, 0, 0]] * 4)
    >>> right, wrong = both_ways(script, torch.zeros(4, 14, 1, 1), torch.Generator())
    >>> right.shape == wrong.shape
    True
    """
    right, back = (
        paint(script, progress, *size, of_things=way * progress) * 2 - 1 for way in (1, -1)
    )
    which = torch.rand(len(right), generator=dice)
    orders = torch.rand(right.shape[:2], generator=dice).argsort(1)
    for clip, share in enumerate(which.tolist()):
        if share < 0.25:
            back[clip] = right[clip, orders[clip]]
        elif share < 0.5:
            back[clip] = right[clip, orders[clip, :1]]
    return right, back


def thing_of(caption: str) -> str:
    """The thing that a caption names; nothing for a landscape.

    >>> thing_of("a red ball on the snow by day"), thing_of("green hills by day")
    ('ball', '')
    """
    kind = parse_caption(caption)[2]
    return list(THINGS)[kind] if kind >= 0 else ""


def captions_of(things: tuple[str, ...], number: int, dice: torch.Generator) -> list[str]:
    """Random captions of these things, each thing equally often.

    >>> [thing_of(caption) for caption in captions_of(("sun", "cart"), 3, torch.Generator())]
    ['sun', 'cart', 'sun']
    """
    by_thing = {name: [] for name in things}
    for caption in captions():
        by_thing.get(thing_of(caption), []).append(caption)
    choices = [by_thing[things[i % len(things)]] for i in range(number)]
    return [some[int(torch.randint(len(some), (), generator=dice))] for some in choices]


class MotionJudge(nn.Module):
    """A small network over space and time, with one answer for each thing there is.

    >>> MotionJudge()(torch.zeros(1, 14, 3, 64, 112), ["boat"]).shape
    torch.Size([1])
    """

    def __init__(self) -> None:
        super().__init__()
        layers = []
        for before, after, stride in ((3, 24, 1), (24, 48, 1), (48, 64, 2), (64, 96, 2)):
            layers += [
                nn.Conv3d(before, after, 3, (stride, 2, 2), 1),
                nn.BatchNorm3d(after),
                nn.ReLU(),
            ]
        self.look = nn.Sequential(*layers, nn.AdaptiveMaxPool3d(1), nn.Flatten())
        self.say = nn.Linear(96, len(THINGS))

    def forward(self, clips: torch.Tensor, things: list[str]) -> torch.Tensor:
        """How likely each clip in −1…1, (clips, frames, 3, height, width), shows its thing moving
        as it should: above 0 for more likely than not.
        """
        seen = adaptive_avg_pool2d(clips.flatten(0, 1), SEEN).unflatten(0, clips.shape[:2])
        kinds = torch.tensor([list(THINGS).index(thing) for thing in things], device=clips.device)
        return self.say(self.look(seen.transpose(1, 2))).gather(1, kinds[:, None])[:, 0]


def train_motion_judge(
    steps: int,
    device: torch.device,
    clips: int = 16,
    things: tuple[str, ...] = LAWFUL,
    seed: int = 6,
) -> MotionJudge:
    """A judge that has learned from `steps` batches of painted scenes, each seen moving as it
    should and as it should not; its first weights are those of `seed`.

    >>> train_motion_judge(steps=1, device=torch.device("cpu"), clips=2).training
    False
    """
    torch.manual_seed(seed)
    judge = MotionJudge().to(device)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps + 1)
    dice = torch.Generator().manual_seed(SEEDS + 2**30 + 7)
    progress = progress_of(torch.tensor([MOTION_BUCKET]), torch.tensor([FPS]), NUM_FRAMES)
    progress = progress.expand(clips, -1, -1, -1).to(device)
    wanted = torch.cat([torch.ones(clips), torch.zeros(clips)]).to(device)
    for step in range(steps):
        # Which things a batch begins with changes, so that a small one shows them all in time.
        named = captions_of(things, clips + step % len(things), dice)[-clips:]
        script = Script.roll_all([parse_caption(caption) for caption in named], dice).to(device)
        both = torch.cat(both_ways(script, progress, dice))
        said = judge(worn(both, dice), 2 * [thing_of(caption) for caption in named])
        binary_cross_entropy_with_logits(said, wanted).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return judge.eval()


@torch.no_grad()
def right_about_painted(
    judge: nn.Module, number: int, things: tuple[str, ...] = LAWFUL
) -> dict[str, dict[str, float]]:
    """How often the judge is right about painted clips it was not shown, by how they move, each of
    each thing and on average.

    >>> right = right_about_painted(MotionJudge().eval(), 2)
    >>> list(right), list(right["backwards"])
    (['forwards', 'backwards', 'jumbled', 'still'], ['all', 'balloon', 'ball'])
    """
    device, dice = next(judge.parameters()).device, torch.Generator().manual_seed(1)
    named, hits = captions_of(things, number, dice), []
    for seed, caption in enumerate(named):
        drawn = scene(seed, caption)
        forth = to_frames(drawn.clip(MOTION_BUCKET, FPS))
        clips = [
            forth,
            backwards(drawn, MOTION_BUCKET, FPS),
            forth[torch.randperm(len(forth), generator=dice)],
            forth[:1].expand_as(forth),
        ]
        said = judge(torch.stack(clips).to(device), [thing_of(caption)] * len(clips))
        hits.append([float(said[0] > 0), *(said[1:] <= 0).float().tolist()])
    ways = ("forwards", "backwards", "jumbled", "still")
    return {
        way: by_thing(named, list(of))
        for way, of in zip(ways, zip(*hits, strict=True), strict=True)
    }


def by_thing(named: list[str], hits: list[float]) -> dict[str, float]:
    """The mean of the hits for these captions: of all, and of each thing they name.

    >>> by_thing(["the moon over the sea at night", "a cloud over the sea by day"], [1.0, 0.0])
    {'all': 0.5, 'moon': 1.0, 'cloud': 0.0}
    """
    things = [thing_of(caption) for caption in named]
    shares = {"all": mean(hits)}
    for name in dict.fromkeys(things):
        shares[name] = mean([h for thing, h in zip(things, hits, strict=True) if thing == name])
    return shares
