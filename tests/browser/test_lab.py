"""In a real JupyterLab, in a real browser: the notebooks run, and what they show plays.

python -m pytest -m browser tests/browser       # all of it; pictures land in build/browser/
"""

import shutil
from pathlib import Path

import nbformat
import pytest
from lessons import RUNS, run
from write_headers import NOTEBOOKS

from browser.lab import PLAYING, errors_of, players

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1500)]
SMOKE = "01_animate_an_image"
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_and_one_always = pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.smoke] * (path.stem == SMOKE))
        for path in NOTEBOOKS
    ],
)
CLIP = """
import numpy as np, svdkit as sk
greys = np.repeat(np.arange(0, 240, 40, dtype=np.uint8), 64 * 112 * 3)
clip = sk.Clip(greys.reshape(6, 64, 112, 3), fps=7)
"""
SWEEP = """
cells = sk.grid(motion_bucket_id=[20, 240], num_frames=2, num_inference_steps=1, seed=7)
runs = sk.sweep(sk.sample_image(), "tiny", cells, "runs")
"""


@pytest.fixture(scope="session")
def executed(tmp_path_factory):
    """Run a notebook with papermill, small, once; its HTML stands beside it."""
    done = {}

    def execute(path):
        if path.stem not in done:
            folder = tmp_path_factory.mktemp("executed") / path.stem
            done[path.stem] = run(path, RUNS[path.stem], folder).with_suffix(".ipynb")
        return done[path.stem]

    return execute


def html_of(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("data", {}).get("text/html", "") for output in outputs)


def test_jupyterlab_alone_complains_of_nothing(lab):
    lab.open(lab.write("alone.ipynb", "1 + 1"))
    assert lab.run_all().cells[0].outputs[0].data["text/plain"] == "2"
    assert lab.complaints == []  # so what another test hears is ours


@each_and_one_always
def test_a_notebook_runs_as_it_is_and_all_its_clips_play(lab, path):
    folder = lab.server.root / path.stem
    folder.mkdir()
    lab.open(Path(shutil.copy(path, folder)))
    done = lab.run_all(seconds=1200)
    assert errors_of(done) == []
    assert all(cell.execution_count for cell in done.cells if cell.cell_type == "code")
    seen = lab.players()
    lab.photograph(path.stem)
    lab.wear("JupyterLab Dark")
    lab.photograph(f"{path.stem}_dark")
    assert len(seen) >= 3
    assert seen == [PLAYING] * len(seen)
    assert lab.complaints == []


@each
def test_what_papermill_ran_plays_in_a_page_that_does_not_trust_it(lab, executed, path):
    notebook = lab.server.root / f"{path.stem}_untrusted.ipynb"
    shutil.copy(executed(path), notebook)
    lab.open(notebook)
    assert not lab.trusted()
    count = html_of(nbformat.read(notebook, as_version=4)).count("<video")
    lab.page.locator("video").nth(count - 1).wait_for(state="attached")
    seen = lab.players(press=True)
    lab.photograph(f"{path.stem}_untrusted")
    assert seen == [PLAYING] * count
    assert "Error displaying widget" not in lab.page.content()
    assert lab.complaints == []


@each
def test_what_papermill_ran_plays_in_a_page_of_its_own(chromium, executed, path):
    page = chromium.new_page()
    page.goto(executed(path).with_suffix(".html").as_uri())
    seen = players(page, press=True)
    page.close()
    assert len(seen) >= 3
    assert seen == [PLAYING] * len(seen)


def test_the_scrubbers_slider_changes_its_picture(lab):
    lab.open(lab.write("scrub.ipynb", CLIP, "sk.scrub(clip)"))
    assert errors_of(lab.run_all()) == []
    picture, slider = lab.output(1).locator("img"), lab.output(1).locator(".noUi-handle")
    first = picture.get_attribute("src")
    slider.focus()
    slider.press("ArrowRight")
    changed = "([image, first]) => image.src != first"
    lab.page.wait_for_function(changed, arg=[picture.element_handle(), first])
    lab.photograph("scrub")
    slider.press("ArrowLeft")
    assert lab.complaints == []


def test_the_explorer_shows_what_is_chosen_and_the_difference(lab):
    lab.open(lab.write("explore.ipynb", "import svdkit as sk", SWEEP, "runs.explore()"))
    assert errors_of(lab.run_all()) == []
    explorer = lab.output(2)
    shown, lists = explorer.locator("video"), explorer.locator("select[size]")
    first, second = (shown.nth(n).get_attribute("src") for n in (0, 1))
    assert first != second
    source = "([output, source]) => output.querySelector('video').src == source"
    for index, expected in ((1, second), (0, first)):
        lists.nth(0).select_option(index=index)
        lab.page.wait_for_function(source, arg=[explorer.element_handle(), expected])
    explorer.get_by_role("button", name="difference").click()
    shown.nth(2).wait_for()
    assert lab.players() == [PLAYING] * shown.count()
    lab.photograph("explore")
    assert lab.complaints == []
