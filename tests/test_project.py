"""The files around the package: what they promise holds, and they agree with one another."""

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from write_headers import NOTEBOOKS, ROOT, repository

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LECTURERS = ROOT / "notebooks" / "README.md"
GALLERY = "tests/benchmarks/results/gallery"
CONDA_NAMES = {"torch": "pytorch", "huggingface-hub": "huggingface_hub"}


def lines_of(name):
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def test_conda_gets_what_pip_gets():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = {line for line in dependencies if isinstance(line, str)}
    for line in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["lab"]]:
        name = Requirement(line).name
        assert line.replace(name, CONDA_NAMES.get(name, name), 1) in conda
    assert {"pip": ["-e ."]} in dependencies
    assert f"python{PROJECT['requires-python']}" in conda


def test_constraints_admit_every_requirement():
    pins = [line.split("==") for line in lines_of("constraints.txt") if "==" in line]
    pinned = {canonicalize_name(name): version for name, version in pins}
    extras = PROJECT["optional-dependencies"].values()
    for line in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]:
        requirement = Requirement(line)
        if requirement.name != "svdkit":
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), line
    assert pinned["torch"] == "2.13.0"


def test_heavy_floors_stay_at_what_colab_has():
    """Higher ones would upgrade what Colab preinstalls (August 2026), or force a restart there."""
    floors = {Requirement(line).name: Requirement(line) for line in PROJECT["dependencies"]}
    pins = re.findall(
        r"^([\w-]+)==([\d.]*\d)", (ROOT / "tests" / "colab" / "versions.txt").read_text(), re.M
    )
    colab = {name: version for name, version in pins if name in floors} | {"torch": "2.11"}
    assert len(colab) >= 8
    for name, version in colab.items():
        assert floors[name].specifier.contains(version), name
    assert not {"jupyterlab", "papermill"} & set(floors)


def test_the_page_for_lecturers_names_every_notebook_with_its_title_and_stays_short():
    page = LECTURERS.read_text(encoding="utf-8")
    assert len(page.splitlines()) <= 145  # two worked plans are in it
    rows = re.findall(r"^\| \[(\d\d [^\]]+)\]\(([^)]+)\) \|", page, re.MULTILINE)
    titles = [
        nbformat.read(path, as_version=4).cells[0].source.splitlines()[0] for path in NOTEBOOKS
    ]
    expected = [
        (f"{path.name[:2]} {title.removeprefix('# ')}", path.name)
        for path, title in zip(NOTEBOOKS, titles, strict=True)
    ]
    assert rows == expected


def test_the_page_for_lecturers_promises_what_the_plan_predicts():
    import svdkit as sk

    page = LECTURERS.read_text(encoding="utf-8")
    for gpu in ("T4", "L4", "RTX 3060 8GB"):
        plan = sk.plan("svd-xt", gpu=gpu, progress=False)
        row = next(row for row in plan.rows if row.preset == plan.auto)
        assert f"| {gpu} | `{plan.auto}` | {row.peak_gib:.1f} GiB | {row.time} |" in page
    assert f"{plan.download_gib * 2**30 / 1e9:.1f} GB" in page


@pytest.mark.parametrize("command", [["check", "."], ["format", "--check", "."]], ids=str)
def test_ruff_is_content(command):
    run = subprocess.run(
        [sys.executable, "-m", "ruff", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """What a release uploads: the sources, and the wheel that is built from them."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,), (sources,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sources


def test_the_wheel_holds_the_package_and_nothing_else(built):
    names = set(zipfile.ZipFile(built[0]).namelist())
    package = {file for file in (ROOT / "svdkit").rglob("*") if file.is_file()}
    expected = {
        file.relative_to(ROOT).as_posix()
        for file in package
        if not {"__pycache__", ".ipynb_checkpoints"} & set(file.parts)
    }
    about = f"svdkit-{version()}.dist-info"
    assert {name for name in names if not name.startswith(about)} == expected
    assert {f"{about}/licenses/LICENSE", f"{about}/entry_points.txt"} <= names
    for needed in (
        "svdkit/py.typed",
        "svdkit/easel.js",
        "svdkit/easel.css",
        "svdkit/toyland/sample.png",
        "svdkit/configs/svd-xt/unet/config.json",
        "svdkit/toyland/weights/tiny/model_index.json",
    ):
        assert needed in names
    assert built[0].stat().st_size < 40e6


def test_the_sources_hold_what_the_tests_and_lessons_need(built):
    with tarfile.open(built[1]) as sources:
        inside = {name.partition("/")[2] for name in sources.getnames()}
    for needed in (
        *("LICENSE", "README.md", "CHANGELOG.md", "constraints.txt", "tests/conftest.py"),
        *(path.relative_to(ROOT).as_posix() for path in (*NOTEBOOKS, LECTURERS)),
        *(f"{GALLERY}/{name}" for name in ("gallery.json", "animate.webp")),
    ):
        assert needed in inside
    assert not [name for name in inside if "__pycache__" in name or name.startswith("build/")]


def test_the_wheel_says_what_it_is(built):
    with zipfile.ZipFile(built[0]) as wheel:
        text = wheel.read(f"svdkit-{version()}.dist-info/METADATA").decode()
    about = email.message_from_string(text)
    assert (about["Name"], about["Version"]) == ("svdkit", version())
    assert about["License-Expression"] == "MIT"
    assert about["Requires-Python"] == PROJECT["requires-python"]
    assert f"Repository, {repository()}" in about.get_all("Project-URL")
    assert set(about.get_all("Classifier")) == set(PROJECT["classifiers"])
    assert about["Description-Content-Type"] == "text/markdown"
    here = r"\((?!http|#)([^)]+)\)"
    shown = re.sub(rf"(!\[[^\]]*\]){here}", rf"\1({repository()}/raw/main/\2)", README)
    assert text.endswith(re.sub(rf"\]{here}", rf"]({repository()}/blob/main/\1)", shown))
    assert text.count(f"]({repository()}/raw/main/{GALLERY}/") >= 5  # or it would show no picture
    assert text.count(f"]({repository()}/blob/main/") > 10


def test_the_wheel_installs_alone_and_is_imported_in_an_instant(built, tmp_path):
    """Without what it depends on: nothing heavy may be needed before something is animated."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = ["install", "--no-deps", "--no-index", "--disable-pip-version-check", built[0]]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    script = "import svdkit as sk; print(sk.__version__, *sk.MODELS, sk.MODELS['tiny'].folder)"
    run = subprocess.run([python, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    *names, folder = run.stdout.split()
    assert names[:2] == [version(), "tiny"]
    assert Path(folder, "model_index.json").is_file()
    assert Path(folder).is_relative_to(tmp_path)


def version():
    import svdkit

    return svdkit.__version__


def test_the_changelog_has_this_version():
    assert f"## {version()}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
