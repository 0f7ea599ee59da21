"""A judge of drawings: a small network that says which thing, colour, sky and ground a picture
shows.

It learned from painted scenes alone and never saw a drawing of `tiny-sd`. How often it is right
about scenes that it was not shown bounds what can be said with it, and is reported beside its
verdicts. svdkit brings its weights: one that learned anew would judge a little differently.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy

from .architectures import HEIGHT, WIDTH
from .grounds import GROUNDS
from .measures import through_the_vae, to_frames, worn
from .scenes import captions, parse_caption, scene, training_batch
from .skies import SKIES
from .things import COLOURS, THINGS

STEPS, GUIDANCE = 20, 5.0  # tiny-sd's own defaults
FILE = Path(__file__).with_name("drawing-judge.safetensors")
QUESTIONS = {
    "sky": len(SKIES),
    "ground": len(GROUNDS),
    "thing": len(THINGS) + 1,  # the first answer is: none
    "colour": len(COLOURS),
}


def answers(caption: str) -> list[int]:
    """The right answers about a picture of this caption, in the order of QUESTIONS.

    >>> answers("green hills by day")
    [0, 0, 0, 0]
    """
    sky, ground, kind, colour = parse_caption(caption)
    return [sky, ground, kind + 1, colour]


def has_colour(caption: str) -> bool:
    """Whether the caption names a colour (a cloud, the sun and a landscape have none).

    >>> has_colour("a red ball on the snow by day"), has_colour("green hills by day")
    (True, False)
    """
    words = caption.split()
    return len(words) > 2 and words[0] in ("a", "an") and words[1] in COLOURS


class Judge(nn.Module):
    """A small convolutional network with one answer for each of the QUESTIONS.

    >>> [tuple(answer.shape) for answer in Judge()(torch.zeros(1, 3, 64, 112))]
    [(1, 4), (1, 4), (1, 12), (1, 7)]
    """

    def __init__(self) -> None:
        super().__init__()
        layers = []
        for before, after, stride in (
            (3, 16, 1),
            (16, 32, 2),
            (32, 64, 2),
            (64, 96, 2),
            (96, 128, 2),
        ):
            layers += [nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU()]
        self.look = nn.Sequential(*layers, nn.AdaptiveMaxPool2d((4, 2)), nn.Flatten())
        self.say = nn.ModuleList([nn.Linear(128 * 8, number) for number in QUESTIONS.values()])

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """How likely each answer is, for pictures in −1…1, (pictures, 3, height, width)."""
        seen = self.look(pictures)
        return [say(seen) for say in self.say]

    @torch.no_grad()
    def right(self, pictures: torch.Tensor, named: list[str]) -> dict[str, float]:
        """The share of pictures in which the judge sees what their captions say, by question.

        >>> sorted(Judge().eval().right(torch.zeros(1, 3, 64, 112), ["green hills by day"]))
        ['background', 'colour', 'ground', 'sky', 'thing']
        """
        truth = torch.tensor([answers(caption) for caption in named], device=pictures.device)
        hits = torch.stack([answer.argmax(1) for answer in self(pictures)], 1) == truth
        shares = {name: float(hits[:, i].float().mean()) for i, name in enumerate(QUESTIONS)}
        coloured = torch.tensor([has_colour(caption) for caption in named], device=pictures.device)
        shares["colour"] = float(hits[coloured, 3].float().mean()) if coloured.any() else 1.0
        return shares | {"background": float((hits[:, 0] & hits[:, 1]).float().mean())}


def load_judge(device: torch.device, path: Path = FILE) -> Judge:
    """The judge of a file; of the one that svdkit brings if none is given.

    >>> load_judge(torch.device("cpu")).training
    False
    """
    judge = Judge()
    judge.load_state_dict(load_file(path))
    return judge.to(device).eval()


def train_judge(steps: int, device: torch.device, pictures: int = 64) -> Judge:
    """A judge that has learned from `steps` batches of painted scenes, all of them more or less
    grainy and half of them soft, as drawings may be.

    >>> train_judge(steps=1, device=torch.device("cpu"), pictures=2).training
    False
    """
    torch.manual_seed(4)
    judge = Judge().to(device)
    dice = torch.Generator().manual_seed(5)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps + 1)
    for step in range(steps):
        batch = training_batch(
            pictures, 2**30 + 100 + step, device=device, num_frames=1, photos=0.0
        )
        truth = torch.tensor([answers(caption) for caption in batch.captions], device=device)
        coloured = torch.tensor([has_colour(caption) for caption in batch.captions], device=device)
        said = judge(worn(batch.frames, dice)[:, 0])
        losses = [cross_entropy(said[i], truth[:, i]) for i in range(3)]
        if coloured.any():
            losses.append(cross_entropy(said[3][coloured], truth[coloured, 3]))
        sum(losses).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return judge.eval()


def random_captions(number: int, dice: torch.Generator) -> list[str]:
    """So many captions, no two alike while there are others.

    >>> len(random_captions(1000, torch.Generator().manual_seed(0)))
    1000
    """
    order = torch.randperm(len(captions()), generator=dice).tolist()
    return [captions()[i] for i in itertools.islice(itertools.cycle(order), number)]


def painted_scenes(number: int, dice: torch.Generator) -> tuple[list[str], torch.Tensor]:
    """Random captions and a picture in −1…1 of each.

    >>> painted_scenes(1, torch.Generator().manual_seed(0))[1].shape
    torch.Size([1, 3, 64, 112])
    """
    named = random_captions(number, dice)
    scenes = [scene(seed, caption) for seed, caption in enumerate(named)]
    return named, torch.cat([to_frames(one.clip(num_frames=1)) for one in scenes])


def right_about_scenes(judge: Judge, number: int) -> dict[str, float]:
    """How often the judge is right about painted scenes it was not shown, by question.

    >>> sorted(right_about_scenes(Judge().eval(), 2))
    ['background', 'colour', 'ground', 'sky', 'thing']
    """
    named, painted = painted_scenes(number, torch.Generator().manual_seed(1))
    return judge.right(painted.to(next(judge.parameters()).device), named)


def judged_drawings(pipeline: object, number: int, judge: Judge) -> tuple[dict, torch.Tensor]:
    """How often drawings of random captions show what they should, and the drawings themselves.

    >>> judged_drawings.__name__
    'judged_drawings'
    """
    device = next(judge.parameters()).device
    dice = torch.Generator().manual_seed(0)
    chosen, painted = painted_scenes(number, dice)
    drawn = pipeline(
        chosen,
        HEIGHT,
        WIDTH,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=dice,
        output_type="pt",
    ).images
    drawn, painted = (drawn.float() * 2 - 1).to(device), painted.to(device)
    verdicts = {
        "tiny_sd_right": judge.right(drawn, chosen),
        "judge_right_on_painted_scenes": judge.right(painted, chosen),
        # what is blurred there is blurred in drawings too, of things as small and as intricate
        "judge_right_through_the_vae": judge.right(through_the_vae(pipeline.vae, painted), chosen),
    }
    return verdicts, drawn.cpu()
