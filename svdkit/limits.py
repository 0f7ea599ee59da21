"""What a knob may be, and what to do about a value beyond it."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Complex, Integral, Real
from typing import Any

MAX_SEED = 2**63 - 1


def quoted(value: Any, most: int | None = 60, write: Callable[[Any], str] = repr) -> str:
    """Write a value into a message: whatever it is, and not at any length.

    >>> quoted("kite" * 100, 6), quoted(10**5000)
    ("'kitek", 'a int that cannot be written')
    """
    try:
        return write(value)[:most]
    except Exception:  # Python writes no number of more than 4300 digits, and classes may do worse
        return f"a {type(value).__name__} that cannot be written"


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
        odd = isinstance(value, (bool, str, bytes, bytearray))
        odd |= isinstance(value, Complex) and not isinstance(value, Real)
        try:
            number = None if odd else float(value)
        except Exception:  # each library has its own for what is no number
            number = None
        if number is None:
            kind = "a whole number" if self.kind is int else "a number"
            raise TypeError(f"{name} is {quoted(value)}; it is {kind}, {allowed}. {self.cure}")
        if not self.low <= number <= self.high:  # so written, it refuses NaN too
            told = quoted(value, 40, str)
            raise ValueError(f"{name} is {told}; {allowed} is allowed. {self.cure}")
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
        raise TypeError(f"seed is {quoted(seed)}; it is a whole number, or None to draw one.")
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed is {quoted(seed)}; 0–{MAX_SEED} is allowed.")
    return int(seed)
