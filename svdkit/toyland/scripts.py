"""The script of a scene: what is in it, and the dice that settle everything its caption leaves
open.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

DICE = (
    "x", "y", "size", "facing", "phase", "freedom",  # of the thing
    "horizon", "relief", "place", "clouds",  # of the ground and the sky
)  # fmt: skip


@dataclass(frozen=True)
class Script:
    """What is in each of a batch of scenes: row numbers of the tables of skies, grounds, things
    (−1: none) and colours, and dice.

    >>> len(Script.roll_all([[0, 0, 0, 0]] * 3))
    3
    """

    sky: torch.Tensor
    ground: torch.Tensor
    thing: torch.Tensor
    colour: torch.Tensor
    dice: torch.Tensor

    @classmethod
    def roll_all(
        cls, rows: torch.Tensor | list[list[int]], generator: torch.Generator | None = None
    ) -> Script:
        """A script for each row (sky, ground, thing, colour) of table rows, with freshly rolled
        dice in 0–1.

        >>> Script.roll_all([[0, 1, 2, 3]]).colour.tolist()
        [3]
        """
        rows = torch.as_tensor(rows)
        return cls(*rows.unbind(1), torch.rand(len(rows), len(DICE), generator=generator))

    def __len__(self) -> int:
        return len(self.sky)

    def __getitem__(self, scenes: torch.Tensor) -> Script:
        return Script(*(getattr(self, field.name)[scenes] for field in fields(self)))

    def to(self, device: torch.device | str) -> Script:
        """The same script on another device.

        >>> script = Script.roll_all([[0, 0, 0, 0]])
        >>> script.to("cpu").dice.device.type
        'cpu'
        """
        return Script(*(getattr(self, field.name).to(device) for field in fields(self)))

    def roll(self, die: str, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """What the named die shows, spread over `low` to `high`, as a field (scenes, 1, 1, 1).

        >>> script = Script.roll_all([[0, 0, 0, 0], [0, 0, 0, 0]])
        >>> script.roll("size", 5, 6).shape
        torch.Size([2, 1, 1, 1])
        """
        return low + (high - low) * self.dice[:, DICE.index(die), None, None, None]

    def side(self, die: str) -> torch.Tensor:
        """−1 or 1 by the named die, as a field.

        >>> script = Script.roll_all([[0, 0, 0, 0], [0, 0, 0, 0]])
        >>> set(script.side("facing").flatten().tolist()) <= {-1.0, 1.0}
        True
        """
        return torch.where(self.roll(die) < 0.5, -1.0, 1.0)
