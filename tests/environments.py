"""A fresh virtual environment with versions of a test's own, that shares torch with ours."""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from write_headers import ROOT

TESTS = ROOT / "tests"
SKIPPED = "No package index answers here: {}"
INI = "[pytest]\naddopts = -p no:cacheprovider -q\n"


class Environment:
    """A virtual environment that shares torch, which is heavy, and nothing else, with ours."""

    def __init__(self, folder: Path):
        self.folder = folder
        own = {"JUPYTER_DATA_DIR": "data", "JUPYTER_CONFIG_DIR": "config", "IPYTHONDIR": "ipython"}
        self.surroundings = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PYTHON") and name != "MPLBACKEND"
        } | {name: str(folder / inner) for name, inner in own.items()}
        self.run(sys.executable, "-m", "venv", folder / "venv")
        self.python = folder / "venv" / "bin" / "python"
        apart = folder / "torch"  # outside of the environment, so that its pip changes nothing here
        apart.mkdir()
        for distribution in with_requirements("torch"):
            for top in {path.parts[0] for path in distribution.files} - {".."}:
                if not (top.endswith(".pth") or (apart / top).exists()):
                    (apart / top).symlink_to(distribution.locate_file(top))
        (site,) = folder.glob("venv/lib/python*/site-packages")
        (site / "torch.pth").write_text(f"{apart}\n")

    def run(self, *command, cwd=None) -> str:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd or self.folder,
            env=self.surroundings,
            capture_output=True,
            text=True,
            timeout=900,
        )
        told = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        assert done.returncode == 0, "\n".join(told[-80:])
        return done.stdout

    def pip(self, *command) -> str:
        return self.run(self.python, "-m", "pip", "--disable-pip-version-check", *command)

    def install(self, *what, asking: str) -> None:
        """Install what a test needs; skip it where no index has the requirement `asking`."""
        try:
            self.pip("download", "-q", "--no-deps", "--retries", "1", asking)
        except AssertionError as error:
            pytest.skip(SKIPPED.format(str(error).splitlines()[-1]))
        self.pip("install", "-q", "--no-compile", *what)  # most of it is never imported

    def install_svdkit(self) -> None:
        """Install the wheel that is built of this checkout."""
        how = ("--wheel", "--no-isolation", "--outdir", self.folder)
        self.run(sys.executable, "-m", "build", *how, ROOT)
        self.pip("install", "-q", *self.folder.glob("svdkit-*.whl"))

    def run_tests(self, *names) -> str:
        """Run tests apart from the checkout, so that what is tested is what is installed."""
        copied = self.folder / "tests"
        copied.mkdir()
        for file in (TESTS / "conftest.py", *TESTS.glob("small_*.py"), *map(TESTS.joinpath, names)):
            shutil.copy(file, copied)
        (copied / "pytest.ini").write_text(INI)
        where = self.run(self.python, "-c", "import svdkit; print(svdkit.__file__)", cwd=copied)
        assert Path(where.strip()).is_relative_to(self.folder / "venv")
        return self.run(self.python, "-m", "pytest", *names, cwd=copied)

    def versions(self) -> dict[str, str]:
        found = json.loads(self.pip("list", "--format", "json"))
        return {canonicalize_name(one["name"]): one["version"] for one in found}


def with_requirements(name: str) -> list[metadata.Distribution]:
    """A distribution that is installed here, and all that it requires."""
    found, names = {}, [name]
    while names:
        distribution = metadata.distribution(names.pop())
        if distribution.name not in found:
            found[distribution.name] = distribution
            required = [Requirement(line) for line in distribution.requires or []]
            names += [r.name for r in required if not r.marker or r.marker.evaluate({"extra": ""})]
    return list(found.values())
