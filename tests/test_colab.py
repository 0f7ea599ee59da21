"""With the versions of Colab: installing upgrades nothing, and notebooks and panel run."""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_notebooks import RUNS
from write_headers import ROOT

TESTS = ROOT / "tests"
COLAB = TESTS / "colab"
# What an installation of svdkit adds to what Colab has; anywidget brings psygnal
ADDED = {"svdkit", "mediapy", "anywidget", "psygnal"}
SKIPPED = "No package index answers here: {}"


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


@pytest.fixture
def environment():
    with TemporaryDirectory() as folder:  # tmp_path would keep it, and it is large
        yield Environment(Path(folder))


@pytest.mark.colab
@pytest.mark.timeout(1800)
def test_svdkit_installs_on_colabs_versions_and_runs_there(environment):
    # One test, as the environment takes a minute or two
    folder = environment.folder
    try:
        environment.pip("download", "-q", "--no-deps", "--retries", "1", "ipywidgets==7.7.1")
    except AssertionError as error:
        pytest.skip(SKIPPED.format(str(error).splitlines()[-1]))
    environment.pip("install", "-q", "-r", COLAB / "versions.txt")
    before = environment.versions()

    wheel = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    environment.run(*wheel)
    environment.pip("install", "-q", *folder.glob("svdkit-*.whl"))
    after = environment.versions()
    tell(before, after)
    assert {name: after.get(name) for name in before} == before
    assert set(after) - set(before) <= ADDED
    environment.pip("check")

    for name in ("01_animate_an_image", "02_motion_and_fps"):
        parameters, source = json.dumps(RUNS[name]), ROOT / "notebooks" / f"{name}.ipynb"
        done = folder / f"{name}.ipynb"
        environment.run(environment.python, COLAB / "run_notebook.py", source, done, parameters)
        assert '<video src=\\"data:video/mp4;base64,' in done.read_text(encoding="utf-8")

    # Apart from the checkout, so that what is tested is what is installed
    copied = folder / "tests"
    copied.mkdir()
    for file in (TESTS / "conftest.py", *TESTS.glob("small_*.py"), TESTS / "test_panels.py"):
        shutil.copy(file, copied)
    (copied / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider -q\n")
    print(environment.run(environment.python, "-m", "pytest", "test_panels.py", cwd=copied))
    where = environment.run(environment.python, "-c", "import svdkit; print(svdkit.__file__)")
    assert Path(where.strip()).is_relative_to(folder / "venv")


def tell(before: dict[str, str], after: dict[str, str]) -> None:
    """Print what was there and what came, and keep it under build/."""
    lines = ["Before svdkit:", *(f"  {name} {version}" for name, version in before.items())]
    lines += ["The wheel of svdkit brought:"]
    lines += [f"  {name} {after[name]}" for name in after if after[name] != before.get(name)]
    report = ROOT / "build" / "colab" / "installed.txt"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
