"""The notebooks as the tests run them: small, and with the solutions of their exercises."""

import os
import re
import shutil
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from write_headers import NOTEBOOKS, ROOT

BUILD = ROOT / "build" / "notebooks"
# Always tiny, always small; a name that a notebook does not have fails the test.
SMALL = {"model": "tiny", "num_frames": 4}
RUNS = {
    "01_animate_an_image": {"model": "tiny", "num_frames": 3, "num_inference_steps": 2},
    "02_motion_and_fps": SMALL
    | {"num_inference_steps": 1, "buckets": [20, 240], "noise_strengths": [0.02, 1.0]},
    "03_prompt_to_video": SMALL
    | {"picture_model": "tiny-sd", "film_model": "tiny-animatediff", "num_inference_steps": 2},
    "04_longer_clips_and_loops": {"model": "tiny", "num_frames": 8, "num_inference_steps": 1}
    | {"times": 2},
    "05_fit_your_gpu": SMALL | {"num_inference_steps": 1, "final_steps": 2},
    "06_measure_motion": SMALL
    | {"audition_steps": 1, "final_steps": 2, "seeds": [0, 1], "most_clips": 3},
    "07_interactive_panel": {"model": "tiny", "num_frames": 4, "num_inference_steps": 2},
    "08_inside_svd": SMALL | {"num_inference_steps": 2},
    "09_train_a_tiny_svd": {"model": "tiny", "minutes": 0.2, "tuning_minutes": 0.05}
    | {"clips_a_step": 4, "stars_a_step": 1, "num_inference_steps": 2},
}
# Small too, but not so small that noise is all that a solution has to measure
SMALL_BUT_TRUE = {"model": "tiny", "num_frames": 8, "num_inference_steps": 5}
SOLVED = RUNS | {
    "01_animate_an_image": SMALL_BUT_TRUE,
    "02_motion_and_fps": SMALL_BUT_TRUE
    | {"num_inference_steps": 10, "buckets": [20, 240], "noise_strengths": [0.02, 1.0]},
    "04_longer_clips_and_loops": SMALL_BUT_TRUE | {"times": 2},
    "05_fit_your_gpu": SMALL_BUT_TRUE | {"num_inference_steps": 2, "final_steps": 25},
    "07_interactive_panel": SMALL_BUT_TRUE,
    "08_inside_svd": SMALL_BUT_TRUE | {"num_frames": 6, "num_inference_steps": 6},
}
IN_FULL = bool(os.environ.get("NOTEBOOKS_IN_FULL"))
FOLD = re.compile(r"<details>.*?</details>", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells_of(path, kind=None, tag=None):
    cells = nbformat.read(path, as_version=4).cells
    return [
        cell
        for cell in cells
        if (kind is None or cell.cell_type == kind)
        and (tag is None or tag in cell.metadata.get("tags", []))
    ]


def run(path: Path, parameters: dict, folder: Path, seconds: int = 300) -> Path:
    """Run a notebook with papermill in a folder of its own, and write it there as HTML too.

    A cell may take `seconds`.
    """
    from nbconvert import HTMLExporter

    known = set(papermill.inspect_notebook(str(path)))
    unknown = set(parameters) - known
    if unknown:  # papermill itself only logs a warning
        raise KeyError(f"{path.name} has no parameters {unknown}; it has {known}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    done = folder / path.name
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MPLBACKEND", raising=False)  # a kernel shows its figures
        papermill.execute_notebook(
            str(path),
            str(done),
            parameters,
            cwd=str(folder),
            kernel_name="python3",
            execution_timeout=seconds,
            progress_bar=False,
        )
    html, _ = HTMLExporter().from_filename(str(done))
    (folder / f"{path.stem}.html").write_text(html, encoding="utf-8")
    return folder / f"{path.stem}.html"


def title_of(path: Path) -> str:
    return cells_of(path)[0].source.splitlines()[0].removeprefix("# ")


def write_index() -> None:
    """One page that leads to the pages of all notebooks, each in a folder beside it."""
    links = [
        f'<li><a href="{path.stem}/{path.stem}.html">{path.name[:2]} {title_of(path)}</a></li>'
        for path in NOTEBOOKS
    ]
    page = ["<!doctype html><meta charset='utf-8'><title>svdkit's notebooks, executed</title>"]
    page += ["<h1>The notebooks, executed with the small models</h1><ul>", *links, "</ul>"]
    written = BUILD / f"index.{os.getpid()}"  # other workers may be reading or writing it
    written.write_text("\n".join(page) + "\n", encoding="utf-8")
    os.replace(written, BUILD / "index.html")


def solutions_in(text):
    return [block.strip() for fold in FOLD.findall(text) for block in PYTHON.findall(fold)]


def with_solutions(notebook):
    """Make each solution a cell of its own, directly after the cell of text that folds it."""
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            for source in solutions_in(cell.source):
                cells.append(new_code_cell(source, metadata={"tags": ["solution"]}))
    return new_notebook(cells=cells, metadata=notebook.metadata)


def solve(path, folder, parameters, seconds=300):
    """Run a notebook with its solutions, each below its exercise; return its page."""
    with_them = folder / "with_solutions" / path.name
    with_them.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(with_solutions(nbformat.read(path, as_version=4)), with_them)
    return run(with_them, parameters, folder / path.stem, seconds)


def said_by_solutions(page):
    """What each solution of an executed notebook says last, by its code."""
    return {
        cell.source: next(
            (out.data["text/plain"] for out in cell.outputs if out.output_type == "execute_result"),
            None,
        )
        for cell in cells_of(page.with_suffix(".ipynb"), tag="solution")
    }
