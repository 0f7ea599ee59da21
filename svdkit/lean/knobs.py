"""The knobs that trade time for memory."""

from dataclasses import dataclass

CHOICES = {"guidance": ("batch", "in_turn"), "decode": ("store", "recompute", "spill")}


@dataclass(frozen=True)
class Knobs:
    """How to trade time for memory: whatever they say, the clip is the same.

    >>> Knobs(decode="twice")
    Traceback (most recent call last):
    ValueError: decode is 'twice'; it is one of store, recompute, spill.
    """

    slice_mib: int | None = None
    """How much a slice of the UNet's work may take, in MiB; None: all of it at once."""
    guidance: str = "batch"
    """The UNet's two passes with and without the picture: as one "batch", or "in_turn"."""
    decode: str = "store"
    """What the decoder does between its two looks at all frames: "store" what it found, "recompute"
    it, or recompute it with all frames but those at work in RAM: "spill"."""

    def __post_init__(self):
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"{name} is {value!r}; it is one of {', '.join(choices)}.")
        if self.slice_mib is not None and not (type(self.slice_mib) is int and self.slice_mib > 0):
            raise ValueError(
                f"slice_mib is {self.slice_mib!r}; it is a whole number from 1, or None."
            )


@dataclass(frozen=True)
class Shortcuts:
    """What a run leaves out to be faster; the clip is another one, more or less.

    >>> Shortcuts()
    Shortcuts(reuse=1, depth=0, guided=1.0)
    """

    reuse: int = 1
    """Every so many steps the whole UNet runs; those between reuse its deep features."""
    depth: int = 0
    """How many pairs of layers of its first block run at each step, besides its last ones."""
    guided: float = 1.0
    """The share of the steps that have an unconditional pass."""

    @property
    def exact(self) -> bool:
        """Whether nothing is left out.

        >>> Shortcuts(guided=0.5).exact
        False
        """
        return self.reuse == 1 and self.guided >= 1
