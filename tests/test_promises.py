"""What the README promises names its tests, and each of them was seen to fail."""

import ast
import json
import re
import tomllib

import pytest
from write_headers import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROMISES = tomllib.loads((ROOT / "tests" / "promises.toml").read_text("utf-8"))["promise"]
RESULTS = ROOT / "tests" / "benchmarks" / "results" / "promises.json"
by_words = pytest.mark.parametrize("promise", PROMISES, ids=lambda one: one["says"][:40])


@by_words
def test_the_readme_says_it_and_names_where_it_is_held(promise):
    files = dict.fromkeys(test.split("::")[0] for test in promise["tests"])
    links = ", ".join(f"[{file[6:-3].removeprefix('test_')}]({file})" for file in files)
    assert f"| {promise['says']} | {links} |" in README


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
    told = f"broken on purpose in {sum(broken.values())} ways"
    told += f".*{report['inputs_tried']:,} odd inputs.*{report['faults_injected']:,} faults"
    assert re.search(told, README, re.DOTALL)
