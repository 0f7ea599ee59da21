"""What a knob may be, and what to do about a value beyond it."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any

MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Limit:
    """The range of one knob, and the cure for a value beyond it.

    >>> Limit(1, 240, int, "Try 7.").checked("fps", 0)
    Traceback (most recent call last):
    ValueError: fps is 0; 1–240 is allowed. Try 7.
    """

    low: float
    high: float
    kind: type
    cure: str
    optional: bool = False

    def checked(self, name: str, value: Any) -> Any:
        """Give the value in its own kind, or an error that says what is allowed.

        >>> Limit(0, 100, float, "3 is usual.").checked("guidance", 5)
        5.0
        """
        if value is None and self.optional:
            return None
        allowed = f"{self.low}–{self.high}" + (" or None" if self.optional else "")
        try:
            number = None if isinstance(value, (bool, str, bytes)) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = None
        if number is None:
            kind = "a whole number" if self.kind is int else "a number"
            raise TypeError(f"{name} is {value!r:.60}; it is {kind}, {allowed}. {self.cure}")
        if not self.low <= number <= self.high:  # so written, it refuses NaN too
            raise ValueError(f"{name} is {value!s:.40}; {allowed} is allowed. {self.cure}")
        if self.kind is int and number != int(number):
            raise ValueError(f"{name} is {value}; a whole number is needed. Try {round(number)}.")
        return self.kind(number)


def checked_seed(seed: Any) -> int | None:
    """Make sure that a seed is one that torch takes; None stays None.

    >>> checked_seed(-1)
    Traceback (most recent call last):
    ValueError: seed is -1; 0–9223372036854775807 is allowed.
    """
    if seed is None:
        return None
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise TypeError(f"seed is {seed!r}; it is a whole number, or None to draw one.")
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed is {seed}; 0–{MAX_SEED} is allowed.")
    return int(seed)
