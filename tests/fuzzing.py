"""Odd inputs by the thousand, counted and the same in every run; and what an error of ours is.

`FUZZ_TIMES=10 pytest tests/test_fuzz.py` tries ten times as many, and others each time.
"""

import functools
import linecache
import os
import tempfile
import traceback
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

import svdkit as sk

# what hypothesis notes down would else lie in the folder that pytest walks through
set_hypothesis_home_dir(Path(tempfile.gettempdir(), "svdkit-hypothesis"))

OURS = Path(sk.__file__).parent
TOLD = (ValueError, TypeError, OSError, RuntimeError)  # and their kin, less what says nothing
MUTE = (RecursionError, NotImplementedError, UnicodeError)
TIMES = float(os.environ.get("FUZZ_TIMES", 1))
# where many are tried, the first that fails will do
PHASES = (Phase.generate, Phase.shrink) if TIMES == 1 else (Phase.generate,)
PROMISED: dict[str, int] = {}
"""How many inputs each test tries, by its name; it fails if it tried fewer."""


def inputs(count, *strategies, **named):
    """Try so many inputs, and make sure that so many were tried."""

    def decorate(test):
        tried = [0]

        @functools.wraps(test)
        def counted(*args, **how):
            tried[0] += 1
            try:
                return test(*args, **how)
            except Exception:  # hypothesis cannot tell of what has no repr
                traceback.print_exc(limit=-4)
                raise

        profile = settings(
            max_examples=int(count * TIMES),
            derandomize=TIMES == 1,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=PHASES,
        )
        many = profile(given(*strategies, **named)(counted))

        @functools.wraps(many)
        def complete(*args, **how):
            tried[0] = 0
            many(*args, **how)
            assert tried[0] >= int(count * TIMES), f"it came to {tried[0]} inputs only"

        PROMISED[f"{test.__module__}.{test.__name__}"] = count
        return complete

    return decorate


def is_ours(error):
    """Whether an error is raised by a `raise` of svdkit's own, as a builtin that has words."""
    if not isinstance(error, TOLD) or isinstance(error, MUTE) or not str(error).strip():
        return False
    if type(error).__module__ not in ("builtins", "svdkit.room"):
        return False
    last = traceback.extract_tb(error.__traceback__)[-1]
    is_raised = linecache.getline(last.filename, last.lineno).strip().startswith("raise ")
    return is_raised and Path(last.filename).is_relative_to(OURS)


def result_or_error(action, *args, **how):
    """Give (result, None) or (None, an error of ours); any other error is raised."""
    try:
        return action(*args, **how), None
    except Exception as error:
        if not is_ours(error):
            raise
        return None, error


def listing(folder):
    """Tell what is in a folder: of each file its bytes, of each link where it leads."""

    def told(path):
        if path.is_symlink():
            return f"-> {os.readlink(path)}"
        return path.read_bytes() if path.is_file() else None

    return {str(path.relative_to(folder)): told(path) for path in sorted(folder.rglob("*"))}


@contextmanager
def nothing_left_behind(*folders):
    """Make sure that these folders, and that of temporary files, stay as they are."""
    temporary = Path(tempfile.gettempdir())
    before = [listing(folder) for folder in folders], set(os.listdir(temporary))
    yield
    after = [listing(folder) for folder in folders], set(os.listdir(temporary))
    assert after[0] == before[0]
    assert after[1] <= before[1]


# Values of every kind that a caller, a widget or a file may bring.
class Unspeakable:
    """What cannot even be written into a message."""

    def __repr__(self):
        raise RuntimeError("no words")


def anything():
    """Give a strategy of values of every kind, of libraries too, and of unlikely sizes."""
    import decimal
    import fractions

    import numpy as np
    import torch

    kinds = ("u1", "i8", "u8", "f2", "f4", "f8", "g", "?", "c8", "m8[s]", "M8[s]", "U3", "S3")
    odd = [2**63, 10**19, 10**400, 10**5000, -(10**5000), 1e308, -0.0, 5e-324]
    odd += [float("nan"), float("inf"), -float("inf"), 1j, complex("nan"), b"7", bytearray(b"7")]
    odd += [decimal.Decimal("7.5"), decimal.Decimal("sNaN"), fractions.Fraction(7, 2)]
    odd += [np.array(7), np.array([7]), np.array([[1, 2]]), np.array([None, 1]), np.zeros(0)]
    odd += [np.ma.masked, torch.tensor(7), torch.tensor([1.0, 2.0]), torch.zeros(2, device="meta")]
    odd += [object, Ellipsis, NotImplemented, print, Path("kite"), range(3), range(10**9)]
    odd += [Unspeakable(), "\ud800", "\0", "x" * 10_000, "7", "1e3", "٧", "", "nan"]
    one_odd = st.integers(0, len(odd) - 1).map(lambda which: odd[which])  # some have no repr
    numpy_ones = st.sampled_from(kinds).map(lambda kind: np.ones((), kind)[()])
    scalars = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 300),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        one_odd,
        one_odd,
        numpy_ones,
    )
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=4).map(tuple),
            st.lists(inner, max_size=3).map(iter),
            st.dictionaries(st.text(max_size=3), inner, max_size=3),
        ),
        max_leaves=5,
    )


def json_values():
    """Give a strategy of what JSON can say, of unlikely sizes too."""
    odd = [10**9, 10**18, 2**63, -(2**63), 10**400, 1e308, 5e-324, -0.0, "../../x", "/etc/passwd"]
    odd += ["\ud800", "\0", "<b>", "https://example.org/x.png", "x" * 3000, "a" * 64, "0" * 64]
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 4),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
        st.integers(0, len(odd) - 1).map(lambda which: odd[which]),  # some have no repr
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=3)
        ),
        max_leaves=6,
    )
