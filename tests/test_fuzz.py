"""Whatever is brought: what is made of it is sound, or a sentence of ours says why not."""

import json
import math
from dataclasses import asdict, fields

import numpy as np
from fuzzing import anything, inputs, json_values, result_or_error
from hypothesis import strategies as st

import svdkit as sk
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
    assert clip.recipe == plain(recipe or {})
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
