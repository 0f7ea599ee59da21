"""What svdkit is built on: the oldest versions that it claims to run with make the same clips."""

import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from environments import Environment
from packaging.requirements import Requirement
from packaging.version import Version
from write_headers import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
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
