"""The files around the package: what they promise holds, and they agree with one another."""

import email
import json
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
DOCUMENTS = (*sorted(ROOT.glob("*.md")), LECTURERS)
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


def test_the_readme_opens_with_the_two_commands():
    commands = re.findall(r"^python -m pip install .*$", README, re.MULTILINE)
    assert commands == [
        'python -m pip install -c constraints.txt -e ".[lab]"  && python -m svdkit demo',
        'python -m pip install -c constraints.txt -e ".[test]" && python -m pytest -n auto',
    ]


def test_the_address_of_the_repository_is_the_same_everywhere():
    where = repository().removeprefix("https://github.com/")
    for file in (*DOCUMENTS, *NOTEBOOKS):
        text = file.read_text(encoding="utf-8")
        for found in re.findall(r"github(?:\.com)?/([\w-]+/[\w-]+)", text):
            assert found == where, file


def anchors_of(document):
    """The names that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document):
    for link in re.findall(r"\]\((?!http)([^)]+)\)", document.read_text(encoding="utf-8")):
        file, _, anchor = link.partition("#")
        target = document.parent / file if file else document
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


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


def test_the_readmes_python_runs(tmp_path):
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        quick = block.replace("seed=7", "seed=7, num_frames=8, num_inference_steps=1")
        run = subprocess.run([sys.executable, "-c", quick], cwd=tmp_path, capture_output=True)
        assert run.returncode == 0, run.stderr.decode()


def test_the_readmes_tables_are_those_of_the_package():
    import svdkit as sk

    for model in sk.MODELS.values():
        row = rf"\| `{model.name}` \| {model.num_frames} \| {model.height}×{model.width} \|"
        assert re.search(row, README), model.name
    for model in sk.PROMPT_MODELS.values():
        size = f"{model.height}×{model.width}"
        row = rf"\| `{model.name}` \| .* \| {size} \| {model.num_inference_steps} \| "
        assert re.search(row + rf"{model.guidance_scale:g} \|", README), model.name
        assert model.bundled or f"huggingface.co/{model.repo})" in README
    for preset in sk.PRESETS.values():
        figure = f"{preset.peak_gib:g} GiB" if preset.peak_gib else ""
        stock = f"{preset.stock.peak_gib:g} GiB" if preset.stock and figure else ""
        row = rf"\| `{preset.name}` \| .* \| {figure} ?\| {stock}"
        assert re.search(row, README), preset.name


def test_the_readmes_figures_are_those_that_were_measured():
    results = ROOT / "tests" / "benchmarks" / "results"
    overhead = json.loads((results / "sweep_overhead.json").read_text())
    told = f"{overhead['median_ratio']:.2f}\n  times as long as the bare pipeline calls"
    assert told in README
    assert overhead["threads"] == 2
    near = json.loads((results / "lean_tiny_cpu.json").read_text())["parts"]
    assert f"{near['nearness']['float32']['worst_psnr']:.1f} dB or more" in README
    seconds = {row["arithmetic"]: row["seconds"] for row in near["stages"]["rows"]}
    assert "takes {lean:.1f} s instead of {stock:.1f}".format(**seconds) in README
    medians = json.loads((results / "qualities_tiny_cpu.json").read_text())["medians"]
    for name in ("fast", "draft"):
        row = medians[name]
        told = (
            f"| {row['psnr']:.1f} and {row['psnr_worst']:.1f} dB | {row['seconds_of_exact']:.2f} |"
        )
        assert f"{told} {row['unet_tflop_of_svd_xt_of_exact']:.2f} |" in README
    draft = medians["draft"]
    further = f"{draft['motion_of_exact']:.2f} times in the median"
    assert f"{further} and {draft['motion_of_exact_to']:.2f} at most" in README
    plain = medians["10 steps"]
    assert f"{plain['psnr']:.1f} and {plain['psnr_worst']:.1f} dB from exact" in README
    drawn = json.loads((results / "tiny_sd_evaluation.json").read_text())["figures"]
    shares = [drawn[name] for name in ("background_right", "colour_right", "thing_right")]
    assert shares[0] == 1
    assert (
        "the colour in {:.0%}, the thing in {:.0%}".format(*shares[1:]).replace("%", " %") in README
    )
    law = f"{drawn['animatediff_law_right']:.0%}".replace("%", " %")
    assert f"(the law right in {law})" in README
    chaining = json.loads((results / "chaining.json").read_text())
    drift = {way: f"{chaining['means'][way]['drift']:.3f}" for way in ("extended", "strung")}
    assert f"({drift['extended']} against\n  {drift['strung']} of white)" in README
    assert chaining["means"]["extended"]["share_of_jumps_to_1.5"] == 1
    seen = json.loads((results / "on_screen.json").read_text())
    assert f"could be seen {seen['median_seconds']:.1f} s after the last one was there" in README
    assert seen["clip"] == {"frames": 25, "height": 576, "width": 1024}
    looping = json.loads((results / "looping.json").read_text())["summary"]
    before = [looping[f"{kind} naive"]["median_seam"] for kind in ("painted", "model")]
    assert "(before: {:.1f} and {:.1f} in the median)".format(*before) in README
    assert all(looping[f"{kind} loop"]["good"] == 10 for kind in ("painted", "model"))


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
    links = r"\]\((?!http|#)([^)]+)\)"
    there = f"]({repository()}/blob/main/"
    assert text.endswith(re.sub(links, lambda match: f"{there}{match[1]})", README))
    assert len(re.findall(links, README)) > 10


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
