"""Whatever is brought: what is made of it is sound, or a sentence of ours says why not."""

import ast
import functools
import json
import math
import re
import traceback
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzing import OURS, PROMISED, anything, inputs, is_ours, json_values, result_or_error
from hypothesis import strategies as st
from traitlets import TraitError

import svdkit as sk
from svdkit.easel import Easel
from svdkit.masks import open_mask
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
    """Give a strategy of keywords, at most two of which are unusual."""
    odd = st.dictionaries(st.sampled_from(names), anything(), max_size=2)
    return st.builds(dict.__or__, st.fixed_dictionaries({}, optional=usual), odd)


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
    assert curve is None or (len(curve) == settings.num_frames and all(map(math.isfinite, curve)))
    assert all(isinstance(remark, str) for remark in settings.remarks("svd-xt"))


@inputs(150, asked([field.name for field in fields(PromptSettings)]))
def test_any_settings_of_a_prompt(values):
    settings, error = result_or_error(PromptSettings.of, values, "animate_prompt")
    if error:
        assert quotes(error, values.values()), str(error)
    else:
        check_plain(settings, PROMPT_LIMITS)


AXES = [*NAMES, "seed", "how", "focus"]
SMALL = {name: st.lists(values, min_size=1, max_size=3) for name, values in USUAL.items()}
SMALL |= {"seed": st.sampled_from([7, range(3), np.arange(3), [np.int64(1), np.float32(2)]])}


@inputs(300, asked(AXES, **SMALL))
def test_any_grid(axes):
    cells, error = result_or_error(sk.grid, **axes)
    if error:
        assert any(name in str(error) for name in (*axes, "grid")), str(error)
        return
    for cell in cells:
        assert set(cell) == set(axes)
        known = {name: value for name, value in cell.items() if name in NAMES}
        check_plain(sk.Settings.of(known), LIMITS)


@inputs(150, anything())
def test_any_rate_of_a_clip(fps):
    clip = sk.Clip(np.zeros((2, 8, 8, 3), np.uint8))
    again, error = result_or_error(clip.at, fps)
    if error:
        assert quotes(error, [fps])
    else:
        assert type(again.fps) in (int, float)
        assert 0 < again.fps <= 1000


@inputs(150, anything(), anything())
def test_any_way_to_fit(how, focus):
    picture = sk.sample_image()
    for way in ({"how": how}, {"focus": focus}, {"how": "pad", "focus": focus}):
        fitted, error = result_or_error(sk.fit, picture, 16, 24, **way)
        assert error or fitted.size == (24, 16)


def plain(value):
    """Give what JSON has for a value: lists for tuples."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


@inputs(300, st.one_of(json_values(), anything()))
def test_any_recipe_is_kept_as_it_is_or_refused(recipe):
    clip, error = result_or_error(sk.Clip, np.zeros((1, 8, 8, 3), np.uint8), 7, recipe)
    if error:
        assert "recipe" in str(error)
        return
    assert clip.recipe == ({} if recipe is None else plain(recipe))
    assert json.loads(json.dumps(clip.recipe, allow_nan=False)) == clip.recipe


NUMBERS = st.one_of(st.integers(-5, 130), st.floats(), st.floats(0, 1), anything())
POINTS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=5)
MASKS = st.one_of(
    st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    POINTS,
    POINTS.map(lambda points: np.array(points, object)),
    st.builds(
        lambda shape, kind, fill: np.full(shape, fill).astype(kind),
        st.sampled_from([(16, 28), (64, 112), (64, 112, 3), (4,), (3, 2), (0, 2), (1, 1), (7,)]),
        st.sampled_from(["u1", "?", "f4", "i8", "f2"]),
        st.sampled_from([0, 1, 0.5, 200]),
    ),
    anything(),
)


@inputs(300, MASKS)
def test_any_mask(mask):
    white, error = result_or_error(open_mask, mask, (112, 64))
    if not error:
        assert (white.mode, white.size) == ("L", (112, 64))
        assert white.getextrema()[1]


@pytest.fixture(scope="module")
def svd():
    return sk.load("tiny", device="cpu")


DEEP = functools.reduce(lambda inner, _: {"steps": inner}, range(300), {})
STILL = np.zeros((1, 8, 8, 3), np.uint8)
FAR = [(0, 1e300), (-1e300, 0), (5, 1e300)]
FOUND = {  # what larger searches came upon: each gave a word of Python's or a library's own
    "a giant": (lambda: sk.Settings(fps=10**5000), "fps is a int that cannot be written"),
    "a giant as seed": (lambda: sk.grid(seed=10**5000), "seed is a int that cannot be written"),
    "a complex rate": (lambda: sk.Settings(fps=np.complex64(7)), "fps is"),
    "a curve without end": (lambda: sk.Settings(guidance=range(10**9)), "no so many frames"),
    "an array as how": (lambda: sk.fit(sk.sample_image(), 8, 8, np.zeros(2)), "how is array"),
    "an iterator as focus": (
        lambda: sk.fit(sk.sample_image(), 8, 8, focus=iter([0.5, 0.5])),
        "focus is <list_iterator",
    ),
    "a mask of the sky": (lambda: open_mask(FAR, (112, 64)), "or nearly so"),
    "a mask nowhere": (lambda: open_mask(torch.zeros(4, device="meta"), (112, 64)), "dense array"),
    "a long name": (lambda: sk.Clip.open("a" * 300 + ".mp4"), "No file can be called"),
    "half a character": (lambda: sk.Clip.open("\ud800.mp4"), "No file can be called"),
    "a false recipe": (lambda: sk.Clip(STILL, 7, 0), "recipe is a dict"),
    "a recipe without a bottom": (
        lambda: sk.Clip(STILL, 7, {"request": DEEP}),
        "at most 100 levels",
    ),
    "no number": (lambda: sk.Settings(fps=math.nan), "fps is nan; 1–240 is allowed"),
    "a corner": (lambda: setattr(Easel(), "box", [0, 0]), "box is [0.0, 0.0]"),
    "a point that is none": (lambda: setattr(Easel(), "focus", [math.nan] * 2), "focus is [nan"),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_once_is_told(name):
    action, told = FOUND[name]
    with pytest.raises((ValueError, TypeError, TraitError), match=re.escape(told)):
        action()


@contextmanager
def opened(svd):
    panel = sk.panel(svd)
    yield panel
    panel.close()


def every(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from every(child)


SENT = st.one_of(
    json_values(),
    st.lists(st.floats(-2, 2), max_size=5),
    st.sampled_from([[0, 0, 1, 1], [0.9, 0.9, 0.1, 0.1], float("nan"), [float("nan")] * 2]),
    st.binary(max_size=20),
)
TRAITS = ("value", "index", "min", "max", "step", "crop", "focus", "box", "painted", "tool")
TRAITS += ("brush", "label", "picture", "options", "_options_labels", "disabled")
STATES = st.lists(
    st.tuples(st.integers(0, 10**6), st.dictionaries(st.sampled_from(TRAITS), SENT, max_size=2)),
    min_size=1,
    max_size=3,
)


def is_guarded(action, *args):
    """Make sure that what goes wrong is told by us, or by the library that the widgets are of."""
    error = None
    try:
        action(*args)
    except TraitError:
        return
    except Exception as raised:
        error = raised
    if error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        assert is_ours(error) or not Path(last.filename).is_relative_to(OURS), repr(error)


@inputs(150, states=STATES)
def test_any_state_that_a_browser_sends(states, svd):
    with opened(svd) as panel:
        widgets = list(every(panel.box))
        for which, state in states:
            some = [widget for widget in widgets if set(state) & set(widget.keys)] or widgets
            widget = some[which % len(some)]
            known = {name: one for name, one in state.items() if name in widget.keys}
            is_guarded(widget.set_state, known)
        assert len(ast.parse(panel.code).body) <= 1
        order, error = result_or_error(panel._ordered)
        if not error:
            asked = {name: value for name, value in order.values.items() if name in NAMES}
            result_or_error(sk.Settings.of, asked)
            result_or_error(
                sk.fit, order.picture, 16, 16, order.values["how"], order.values["focus"]
            )
            _, error = result_or_error(lambda: order.mask and open_mask(order.mask, (16, 16)))


SAMPLE = str(OURS / "toyland" / "sample.png")
LOCAL = [SAMPLE, f"file://{SAMPLE}", "/etc/passwd"]
MESSAGES = st.one_of(
    json_values(),
    st.fixed_dictionaries(
        {},
        optional={
            "kind": st.sampled_from(["file", "address", "else"]),
            "name": json_values(),
            "address": st.one_of(json_values(), st.sampled_from(LOCAL)),
        },
    ),
)


@inputs(100, message=MESSAGES, buffers=st.lists(st.binary(max_size=50), max_size=2))
def test_any_message_that_a_browser_sends(message, buffers, svd):
    with opened(svd) as panel:
        (easel,) = (widget for widget in every(panel.box) if isinstance(widget, Easel))
        before = panel.picture
        easel._handle_custom_msg(message, [memoryview(one) for one in buffers])
        assert panel.picture is before  # none of it was a picture, nor a web address


def test_thousands_of_inputs_are_tried():
    import test_any_picture
    import test_fuzz_files

    assert {test_any_picture.__name__, test_fuzz_files.__name__, __name__} == {
        name.partition(".")[0] for name in PROMISED
    }
    assert sum(PROMISED.values()) >= 5000
