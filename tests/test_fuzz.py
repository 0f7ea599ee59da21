"""Whatever values are asked for: what is made of them is sound, or a sentence of ours says why not."""

import json
import math
from dataclasses import asdict, fields

import fuzzing
import numpy as np
import pytest
from fuzzing import anything, inputs, json_values, result_or_error
from hypothesis import strategies as st

import svdkit as sk
from svdkit.prompting import LIMITS as PROMPT_LIMITS
from svdkit.prompting import PromptSettings
from svdkit.settings import LIMITS

NAMES = [field.name for field in fields(sk.Settings)]


def quotes(error, values):
    """Whether a message shows one of the values, or a part of one."""
    told = str(error)
    inside = any(words in told for words in ("guidance is empty", "guidance has", "guidance["))
    return inside or any(start in told for value in values for start in _starts(value))


def _starts(value):
    if isinstance(value, (dict, list, tuple)):
        inner = value.values() if isinstance(value, dict) else value
        yield from (start for one in inner for start in _starts(one))
    for write in (repr, str, "{:g}".format):
        try:
            yield write(value)[:30]
        except Exception:
            yield f"a {type(value).__name__} that cannot be written"


def asked(names, **usual):
    """Give a strategy of keywords, most of them usual."""
    one = {name: st.one_of(usual.get(name, st.nothing()), anything()) for name in names}
    return st.fixed_dictionaries({}, optional=one)


USUAL = {
    name: st.sampled_from([limit.low, limit.high, int(limit.high // 2) & ~7 or 1])
    for name, limit in LIMITS.items()
} | {"guidance": st.sampled_from(["linear", "triangle"]), "quality": st.just("fast")}


def check_plain(settings, limits):
    """Make sure that all values are plain and within their limits."""
    values = asdict(settings)
    assert json.loads(json.dumps(values, allow_nan=False))
    for name, limit in limits.items():
        if values[name] is not None:
            assert type(values[name]) is limit.kind
            assert limit.low <= values[name] <= limit.high
    assert type(settings)(**values) == settings


@inputs(400, asked(NAMES, **USUAL))
def test_any_settings(values):
    settings, error = result_or_error(sk.Settings.of, values)
    if error:
        assert any(name in str(error) for name in values)
        assert quotes(error, values.values()), str(error)
        return
    check_plain(settings, LIMITS)
    curve = settings.curve() if settings.num_frames else None
    assert curve is None or len(curve) == settings.num_frames and all(map(math.isfinite, curve))
    assert all(isinstance(remark, str) for remark in settings.remarks("svd-xt"))
