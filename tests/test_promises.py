"""What the README promises names its tests, and each of them was seen to fail.

`write_readme.py` writes the README's table from the same file.
"""

import ast
import json
import re
import tomllib

import pytest
from write_headers import ROOT

PROMISES = tomllib.loads((ROOT / "tests" / "promises.toml").read_text("utf-8"))["promise"]
RESULTS = ROOT / "tests" / "benchmarks" / "results" / "promises.json"
by_words = pytest.mark.parametrize("promise", PROMISES, ids=lambda one: one["says"][:40])


@by_words
def test_its_tests_are_there(promise):
    for test in promise["tests"]:
        file, name = re.fullmatch(r"([^:]+)::(\w+)(?:\[.*\])?", test).groups()
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@by_words
def test_what_breaks_it_can_still_be_done(promise):
    for change in promise["broken_by"]:
        assert (ROOT / change["file"]).read_text(encoding="utf-8").count(change["old"]) == 1, change


def test_each_was_broken_and_noticed():
    report = json.loads(RESULTS.read_text(encoding="utf-8"))
    counts = {row["says"]: (row["broken"], row["noticed"]) for row in report["promises"]}
    broken = {one["says"]: len(one["broken_by"]) for one in PROMISES}
    assert counts == {says: (number, number) for says, number in broken.items()}
    assert all(broken.values())
    assert report["inputs_tried"] > 0
    assert report["faults_injected"] > 0
