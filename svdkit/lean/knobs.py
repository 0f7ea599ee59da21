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
