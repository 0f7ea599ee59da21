"""The benchmarks run; what they measure is nobody's business here."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from write_headers import ROOT

from svdkit.toyland.export import WEIGHTS


def report_of(tmp_path, script, *words):
    """Run a benchmark small, and give what it wrote."""
    out = tmp_path / "report.json"
    command = [sys.executable, ROOT / "tests" / "benchmarks" / script, *words, "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return json.loads(out.read_text())


def test_the_lean_benchmark_writes_what_it_measured(tmp_path):
    small = ["--model", "tiny", "--steps", "1", "--parts", "presets"]
    report = report_of(tmp_path, "lean.py", *small)
    rows = report["parts"]
    assert set(rows) == {"presets cpu lean", "presets cpu_in_slices lean", "presets cpu stock"}
    for row in rows.values():  # its seconds are those of a clip of all steps
        assert row["steps_run"] == 1
        assert row["seconds"] > row["steps"] * row["stages"]["first_step"]["median_seconds"]
    assert "lean.py --model tiny" in report["command"]


def test_the_sweep_benchmark_compares_both_in_one_run(tmp_path):
    small = ["--cells", "2", "--rounds", "1", "--steps", "1"]
    report = report_of(tmp_path, "sweep_overhead.py", *small)
    (both,) = report["rounds"]
    assert report["median_ratio"] == pytest.approx(both["sweep_s"] / both["bare_s"], rel=0.001)
    assert report["cpu"]
    assert report["steps"].keys() == {"tiny", "tiny-sd", "tiny-animatediff"}


@pytest.mark.browser
def test_the_screen_benchmark_sees_every_clip(tmp_path, chromium):
    small = ["--frames", "2", "--height", "64", "--width", "112", "--rounds", "2"]
    report = report_of(tmp_path, "on_screen.py", *small)
    assert len(report["rounds"]) == 2
    assert 0 < report["median_seconds"] <= report["most_seconds"]


def test_the_learning_benchmark_tells_what_twice_the_steps_brought(tmp_path):
    learned, versions = [1000, 2000, 4000, 8000], []
    for steps in learned:
        model = tmp_path / str(steps) / "tiny"
        shutil.copytree(WEIGHTS / "tiny", model)
        card = model / "README.md"
        card.write_text(re.sub(r"\d+ steps", f"{steps} steps", card.read_text()))
        versions.append(str(model.parent))
    report = report_of(tmp_path, "learning.py", *versions, "--scenes", "1")
    assert [row["steps"] for row in report["versions_measured"].values()] == learned
    for brought in report["twice_the_steps_brought"].values():  # four times the same model
        assert brought == {"times": 1.0, "give_or_take": 0.0}
