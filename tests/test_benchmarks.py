"""The benchmarks run; what they measure is nobody's business here."""

import json
import subprocess
import sys

import pytest
from write_headers import ROOT


def report_of(tmp_path, script, *words):
    """Run a benchmark small, and give what it wrote."""
    out = tmp_path / "report.json"
    command = [sys.executable, ROOT / "tests" / "benchmarks" / script, *words, "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return json.loads(out.read_text())


def test_the_memory_benchmark_writes_what_it_measured(tmp_path):
    tiny = ["--model", "tiny", "--presets", "cpu", "--steps", "1"]
    report = report_of(tmp_path, "memory_presets.py", *tiny)
    (row,) = report["presets"]
    assert row["fits"]
    assert row["frames"] == [14, 64, 112]
    assert row["seconds_a_clip"] > 0
    assert "memory_presets.py --model tiny" in report["command"]


def test_the_sweep_benchmark_compares_both_in_one_run(tmp_path):
    small = ["--cells", "2", "--rounds", "1", "--steps", "1"]
    report = report_of(tmp_path, "sweep_overhead.py", *small)
    (both,) = report["rounds"]
    assert report["median_ratio"] == pytest.approx(both["sweep_s"] / both["bare_s"], rel=0.001)
    assert report["cpu"]
