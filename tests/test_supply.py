"""What svdkit is built on: the oldest versions that it claims to run with, and no warning."""

import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from environments import Environment
from packaging.requirements import Requirement
from packaging.version import Version
from write_headers import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# A warning that is none of ours: torch's tensors do not know numpy 2's copy keyword
KNOWN = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
CORE = ("test_animation.py", "test_pipelines.py", "test_display.py")


def floors() -> dict[str, str]:
    """The least version of each requirement but torch, which takes the one that is here."""
    found = map(Requirement, PROJECT["dependencies"])
    return {one.name: min(s.version for s in one.specifier) for one in found if one.name != "torch"}


@pytest.mark.versions
@pytest.mark.timeout(1800)
def test_the_oldest_versions_that_are_allowed_make_the_same_clips():
    oldest = [f"{name}=={version}" for name, version in floors().items()]
    with TemporaryDirectory() as folder:  # tmp_path would keep it, and it is large
        environment = Environment(Path(folder))
        environment.install(*oldest, "pytest", asking=oldest[0])
        environment.install_svdkit()
        there = environment.versions()
        assert {name: Version(there[name]) for name in floors()} == {
            name: Version(version) for name, version in floors().items()
        }
        environment.pip("check")
        print(environment.run_tests(*CORE))


def test_the_demo_runs_where_warnings_are_errors(tmp_path):
    strict = [sys.executable, "-W", "error", "-W", KNOWN, "-m", "svdkit", "demo"]
    done = subprocess.run(strict, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" or "Warning" not in done.stderr
    assert (tmp_path / "demo.mp4").exists()
