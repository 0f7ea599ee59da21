"""The files around the package: what they promise holds, and they agree with one another."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from write_headers import ROOT, repository

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
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
    colab = {
        "torch": "2.11", "diffusers": "0.39", "transformers": "5.15", "accelerate": "1.14",
        "ipywidgets": "7.7.1", "numpy": "2.1", "pillow": "11.3", "imageio-ffmpeg": "0.6",
    }  # fmt: skip
    floors = {Requirement(line).name: Requirement(line) for line in PROJECT["dependencies"]}
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
    for file in (*ROOT.glob("*.md"), *ROOT.glob("notebooks/*.ipynb")):
        text = file.read_text(encoding="utf-8")
        for found in re.findall(r"github(?:\.com)?/([\w-]+/[\w-]+)", text):
            assert found == where, file


def test_every_link_of_the_documents_leads_somewhere():
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / name).read_text("utf-8")):
            assert (ROOT / link).exists(), f"{name}: {link}"


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


def test_the_wheel_brings_what_the_package_needs(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = Path(tmp_path).glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "svdkit/py.typed",
        "svdkit/toyland/sample.png",
        "svdkit/configs/svd-xt/unet/config.json",
        "svdkit/toyland/weights/tiny/model_index.json",
    ):
        assert needed in names
    assert wheel.stat().st_size < 40e6
    assert {name.split("/")[0] for name in names} == {"svdkit", f"svdkit-{version()}.dist-info"}


def version():
    import svdkit

    return svdkit.__version__


def test_the_changelog_has_this_version():
    assert f"## {version()}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
