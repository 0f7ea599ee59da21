"""What is noted about a clip, its recipe above all, and the shape that it has to have.

Notes are plain JSON, and may come from anywhere.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

MOST_DEEP = 100  # levels: Python's own writers of JSON give up at some hundreds
# What is noted besides the recipe
ABOUT_THE_FILE = ("svdkit", "file", "digital_source_type")
# What it must say of the file, if it says it at all: it may have come from anywhere.
SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "fps": (lambda fps: type(fps) in (int, float) and 0 < fps <= 1000, "a number, 0–1000"),
    "frames": (
        lambda size: (
            isinstance(size, list) and [type(side) for side in size] == [int] * 3 and min(size) > 0
        ),
        "[frames, height, width]",
    ),
    "pictures": (lambda count: type(count) is int and 0 <= count < 1000, "a small number"),
    "sha256": (
        lambda files: isinstance(files, dict) and all(type(sha) is str for sha in files.values()),
        "a fingerprint for each file",
    ),
}


def plain_recipe(recipe: Any) -> dict[str, Any]:
    """Copy a recipe, and make sure that it can be written beside a clip and read back.

    >>> plain_recipe({"request": {"seed": 7}})
    {'request': {'seed': 7}}
    """
    recipe = {} if recipe is None else recipe
    try:
        plain = json.loads(json.dumps(recipe, allow_nan=False))
    except Exception as error:  # from strange keys and endless circles to what a class may do
        raise TypeError(f"A recipe is a dict of plain JSON values: {error}.") from error
    check_steps(plain)
    _check_depth(plain)
    if set(plain) & set(ABOUT_THE_FILE):
        names = ", ".join(ABOUT_THE_FILE)
        raise ValueError(f"A recipe has no {names} of its own: {recipe!s:.60}")
    return plain


def check_steps(recipe: Any) -> None:
    """Make sure that a recipe is a dict whose steps, if it has them, are a list of dicts.

    >>> check_steps({"steps": 7})
    Traceback (most recent call last):
    ValueError: A recipe is a dict, its steps a list of dicts; this is {'steps': 7}.
    """
    steps = recipe.get("steps", [recipe]) if isinstance(recipe, dict) else None
    if not isinstance(steps, list) or not all(map(_is_step, steps)):
        raise ValueError(f"A recipe is a dict, its steps a list of dicts; this is {recipe!s:.60}.")


def _is_step(step: Any) -> bool:
    parts = ("request", "outcome")
    return isinstance(step, dict) and all(isinstance(step.get(part, {}), dict) for part in parts)


def steps_of(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """List the steps of a recipe, oldest first: a recipe of one step is that step itself.

    >>> len(steps_of({"request": {}, "outcome": {}}))
    1
    """
    return recipe.get("steps", [recipe] if recipe else [])


def check_about(about: Any) -> None:
    """Make sure that what is written about a clip, which may come from anywhere, has its shape.

    >>> check_about({"file": {"fps": "fast"}})
    Traceback (most recent call last):
    ValueError: It says fps 'fast', which should be a number, 0–1000
    """
    check_steps(about)
    file = about.get("file", {})
    if not isinstance(file, dict):
        raise ValueError(f"Its file is {file!r:.40}")
    for key, (is_right, wanted) in SHAPES.items():
        if key in file and not is_right(file[key]):
            raise ValueError(f"It says {key} {file[key]!r:.40}, which should be {wanted}")


def json_in(text: str) -> Any:
    """Read JSON, and refuse the NaN and Infinity that Python's own reader takes.

    >>> json_in('{"seed": NaN}')
    Traceback (most recent call last):
    ValueError: NaN is no number of JSON
    """
    value = json.loads(text, parse_constant=_refuse)
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    """Make sure that whatever walks through a value of JSON comes to its end."""
    level = [value]
    for _ in range(MOST_DEEP):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return
    raise ValueError(f"A recipe has at most {MOST_DEEP} levels of lists and dicts; this has more.")


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")
