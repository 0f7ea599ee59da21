"""With the versions of Colab: installing upgrades nothing, and notebooks and panel run."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from environments import TESTS, Environment
from lessons import RUNS
from write_headers import ROOT

COLAB = TESTS / "colab"
# What an installation of svdkit adds to what Colab has; anywidget brings psygnal
ADDED = {"svdkit", "mediapy", "anywidget", "psygnal"}


@pytest.fixture
def environment():
    with TemporaryDirectory() as folder:  # tmp_path would keep it, and it is large
        yield Environment(Path(folder))


@pytest.mark.versions
@pytest.mark.timeout(1800)
def test_svdkit_installs_on_colabs_versions_and_runs_there(environment):
    # One test, as the environment takes a minute or two
    environment.install("-r", COLAB / "versions.txt", asking="ipywidgets==7.7.1")
    before = environment.versions()
    environment.install_svdkit()
    after = environment.versions()
    tell(before, after)
    assert {name: after.get(name) for name in before} == before
    assert set(after) - set(before) <= ADDED
    environment.pip("check")

    for name in ("01_animate_an_image", "02_motion_and_fps"):
        parameters, source = json.dumps(RUNS[name]), ROOT / "notebooks" / f"{name}.ipynb"
        done = environment.folder / f"{name}.ipynb"
        environment.run(environment.python, COLAB / "run_notebook.py", source, done, parameters)
        assert '<video src=\\"data:video/mp4;base64,' in done.read_text(encoding="utf-8")

    print(environment.run_tests("test_panels.py"))


def tell(before: dict[str, str], after: dict[str, str]) -> None:
    """Print what was there and what came, and keep it under build/."""
    lines = ["Before svdkit:", *(f"  {name} {version}" for name, version in before.items())]
    lines += ["The wheel of svdkit brought:"]
    lines += [f"  {name} {after[name]}" for name in after if after[name] != before.get(name)]
    report = ROOT / "build" / "colab" / "installed.txt"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
