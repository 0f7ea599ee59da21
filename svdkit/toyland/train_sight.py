"""Stage 2: `tiny`'s CLIP image encoder learns to see, before the video model asks it.

Stable Video Diffusion was given an encoder that knew the world. One that learns with the video
model alone comes to know skies and grounds, and nothing of the things that move: from what it made
of unseen scenes, a linear layer told the kind of thing in 29 % and its colour in 26 %. Here it
learns to answer what is in a picture, where that is, and which way it faces.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy

from .architectures import CONTEXT, HEIGHT, WIDTH, image_encoder
from .conditions import clip_pixels
from .grounds import GROUNDS
from .laws import at_rest
from .pools import Pool
from .scenes import random_script, training_dice
from .sheets import film_strips
from .skies import SKIES
from .staging import paint
from .things import COLOURS, THINGS

USES = 8  # how often a picture is learned from: it takes longer to paint than to learn from
WHERE = 3.0  # how much half a frame height beside the right place counts
UNANSWERED = -100  # cross_entropy's own sign for a question that does not arise
QUESTIONS = {
    "sky": len(SKIES),
    "ground": len(GROUNDS),
    "thing": len(THINGS) + 1,  # the first answer is: none
    "colour": len(COLOURS),
    "facing": 2,
    "where": 2,  # no choice, but x and y
}
COLOURED = torch.tensor([False] + [thing.hue is None for thing in THINGS.values()])


def questions() -> nn.ModuleDict:
    """The heads that put the questions to what the encoder made of a picture; it goes on without
    them.

    >>> list(questions())
    ['sky', 'ground', 'thing', 'colour', 'facing', 'where']
    """
    return nn.ModuleDict({question: nn.Linear(CONTEXT, n) for question, n in QUESTIONS.items()})


class SightStage:
    """Training of `tiny`'s image encoder, `pictures` pictures a step. It needs nothing from earlier
    stages.

    >>> SightStage(pictures=1, device=torch.device("cpu")).name
    'sight'
    """

    name = "sight"

    def __init__(self, pictures: int, device: torch.device, out: Path | None = None) -> None:
        self.pictures, self.device = pictures, device
        torch.manual_seed(4)
        heads = questions()
        networks = {"encoder": image_encoder(), "heads": heads}
        self.networks = nn.ModuleDict(networks).to(device)
        chunk = max(1, pictures // 8)
        every = chunk * USES // pictures or 1
        self.pool = Pool(lambda number: self.painted(number, chunk), every=every, depth=96)

    @torch.no_grad()
    def painted(self, number: int, n: int) -> tuple[torch.Tensor, ...]:
        """Pictures as the encoder gets them, the right answers, and where their things are."""
        script = random_script(n, training_dice(number))
        places, facing = at_rest(script, WIDTH / HEIGHT)
        still = torch.zeros(n, 1, 1, 1, device=self.device)
        pictures = paint(script.to(self.device), still, HEIGHT, WIDTH)[:, 0]
        kind = script.thing + 1
        answers = [
            script.sky,
            script.ground,
            kind,
            torch.where(COLOURED[kind], script.colour, UNANSWERED),
            torch.where(facing == 0, UNANSWERED, (facing > 0).long()),
        ]
        seen = clip_pixels(pictures * 2 - 1).bfloat16()  # a pool of them is large
        return seen, torch.stack(answers, 1).to(self.device), places.to(self.device)

    def answered(
        self, networks: nn.ModuleDict, examples: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """How far from right the answers are, and the share that is right, by question."""
        seen, answers, places = examples
        known = networks["encoder"](seen.float()).image_embeds.float()
        loss, figures = torch.zeros((), device=self.device), {}
        for number, (question, head) in enumerate(networks["heads"].items()):
            said = head(known)
            if question == "where":
                there = answers[:, 2] > 0
                off = (said - places)[there].abs().mean() if there.any() else loss * 0
                loss, figures["off"] = loss + WHERE * off, off.detach()
                continue
            right = answers[:, number]
            arises = right != UNANSWERED
            if arises.any():
                loss = loss + cross_entropy(said, right, ignore_index=UNANSWERED)
                hits = said.detach().argmax(1) == right
                figures[question] = hits[arises].float().mean()
        return loss, figures

    def loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """How far from right the answers about some pictures are, half of them mirrored."""
        dice = torch.Generator().manual_seed(step)
        seen, answers, places = self.pool.draw(step, self.pictures, dice)
        mirrored = (torch.rand(self.pictures, generator=dice) < 0.5).to(self.device)
        seen = torch.where(mirrored[:, None, None, None], seen.flip(-1), seen)
        faces = torch.where(mirrored & (answers[:, 4] >= 0), 1 - answers[:, 4], answers[:, 4])
        answers = torch.cat([answers[:, :4], faces[:, None]], 1)
        way = torch.where(mirrored, -1.0, 1.0)
        places = torch.stack([places[:, 0] * way, places[:, 1]], 1)
        return self.answered(self.networks, (seen, answers, places))

    @torch.no_grad()
    def sample_sheet(self, networks: nn.ModuleDict) -> tuple[Image.Image, dict[str, float]]:
        """Unseen pictures, and how often the answers about them and many others are right."""
        examples = self.painted(2**30 + 4, 256)
        _, figures = self.answered(networks, examples)
        script = random_script(8, training_dice(2**30 + 4))
        rows = paint(script, torch.zeros(8, 1, 1, 1), HEIGHT, WIDTH) * 2 - 1
        figures = {f"sheet_{question}": float(share) for question, share in figures.items()}
        return film_strips(list(rows.transpose(0, 1))), figures

    def state(self, networks: nn.ModuleDict) -> dict:
        """Nothing beside the weights."""
        return {}
