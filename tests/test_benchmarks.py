"""The benchmarks run; what they measure is nobody's business here."""

import json
import subprocess
import sys

import pytest
from write_headers import ROOT


def test_the_memory_benchmark_writes_what_it_measured(tmp_path):
    out = tmp_path / "presets.json"
    script = ROOT / "tests" / "benchmarks" / "memory_presets.py"
    tiny = ["--model", "tiny", "--presets", "cpu", "--steps", "1", "--out", str(out)]
    subprocess.run([sys.executable, script, *tiny], check=True, capture_output=True)
    report = json.loads(out.read_text())
    (row,) = report["presets"]
    assert row["fits"]
    assert row["frames"] == [14, 64, 112]
    assert row["seconds_a_clip"] > 0
    assert "memory_presets.py --model tiny" in report["command"]


def test_the_sweep_benchmark_compares_both_in_one_run(tmp_path):
    out = tmp_path / "overhead.json"
    script = ROOT / "tests" / "benchmarks" / "sweep_overhead.py"
    small = ["--cells", "2", "--rounds", "1", "--steps", "1", "--out", str(out)]
    subprocess.run([sys.executable, script, *small], check=True, capture_output=True)
    report = json.loads(out.read_text())
    (both,) = report["rounds"]
    assert report["median_ratio"] == pytest.approx(both["sweep_s"] / both["bare_s"], rel=0.001)
    assert report["cpu"]
