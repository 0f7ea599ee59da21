"""The exercises of the notebooks: each has a solution, and what a solution claims is true.

NOTEBOOKS_IN_FULL=1 python -m pytest tests/test_exercises.py  # with their own parameters
"""

import ast
import builtins
import re
import subprocess
import sys

import nbformat
import pytest
from lessons import (
    FOLD,
    IN_FULL,
    PYTHON,
    SOLVED,
    by_name,
    said_by_solutions,
    solutions_in,
    solve,
    with_solutions,
)
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from write_headers import NOTEBOOKS, ROOT

EXERCISE = "**Exercise.**"
SCOPES = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def names(source):
    """Tell which names a cell assigns for others to see, and which it needs from elsewhere."""
    tree = ast.parse(re.sub(r"^(\s*)%.*$", r"\1pass", source, flags=re.MULTILINE))
    given, bound, used = set(), set(), set()

    def visit(node, inner):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound.update((name.asname or name.name).split(".")[0] for name in node.names)
        if isinstance(node, ast.FunctionDef):
            (bound if inner else given).add(node.name)
        if isinstance(node, ast.arg):
            bound.add(node.arg)
        if isinstance(node, ast.Name):
            stored = bound if inner else given
            (used if isinstance(node.ctx, ast.Load) else stored).add(node.id)
        for child in ast.iter_child_nodes(node):
            visit(child, inner or isinstance(node, SCOPES))

    visit(tree, False)
    return given, bound, used - given - bound


def is_check(source):
    """Say whether the last line is an expression that asks for what was found out."""
    last = ast.parse(source).body[-1]
    asks = (ast.Compare, ast.BoolOp, ast.Call)
    return (
        isinstance(last, ast.Expr)
        and isinstance(last.value, asks)
        and any(isinstance(node, ast.Compare) for node in ast.walk(last))
        and any(isinstance(node, ast.Name) for node in ast.walk(last))
    )


def faults_of(notebook):
    """List what is wrong with the exercises of a notebook."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = re.findall(rf"{re.escape(EXERCISE)}|<details>", text)
    faults = [] if found == [EXERCISE, "<details>"] * (len(found) // 2) else ["not one fold each"]
    if any(len(PYTHON.findall(fold)) != 1 for fold in FOLD.findall(text)):
        faults.append("a fold without its one block of python")
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    taken = set().union(*(names(source)[0] for source in code))
    known, learned = set(dir(builtins)), set()
    for cell in with_solutions(notebook).cells:
        if cell.cell_type != "code":
            continue
        given, bound, needed = names(cell.source)
        if "solution" not in cell.metadata.get("tags", []):
            if needed & (learned - known):
                faults.append(f"{needed & (learned - known)} come from a solution alone")
            known |= given | bound
            continue
        learned |= given | bound
        if not is_check(cell.source):
            faults.append(f"no check at the end of {cell.source!r}")
        if given & taken:
            faults.append(f"{given & taken} mean something else in the notebook")
        if needed - known:
            faults.append(f"{needed - known} are not there yet")
    return faults


@by_name
def test_each_exercise_is_answered_by_one_fold_whose_code_ends_in_a_check(path):
    notebook = nbformat.read(path, as_version=4)
    assert faults_of(notebook) == []
    assert any(EXERCISE in cell.source for cell in notebook.cells)


@pytest.mark.timeout(3600 if IN_FULL else 600)
@by_name
def test_every_solution_is_true_where_a_learner_runs_it(path, executed):
    said = said_by_solutions(executed(path))
    assert said
    assert [source for source, last in said.items() if last != "True"] == []


def test_solutions_are_formatted_as_the_notebooks_are(tmp_path):
    for path in NOTEBOOKS:
        text = "".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
        for number, source in enumerate(solutions_in(text)):
            (tmp_path / f"{path.stem}_{number}.py").write_text(source + "\n", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--check",
        "--config",
        ROOT / "pyproject.toml",
    ]
    ruff = subprocess.run([*command, tmp_path], capture_output=True, text=True)
    assert ruff.returncode == 0, ruff.stdout + ruff.stderr


def made_up(*solutions, text=EXERCISE, code="answer = 42"):
    folds = [f"{text}\n\n<details>\n\n```python\n{code}\n```\n\n</details>" for code in solutions]
    cells = [new_markdown_cell(fold) for fold in folds]
    return new_notebook(cells=[new_code_cell(code), *cells])


def test_a_wrong_solution_is_told_apart(tmp_path):
    right, wrong, numpys = "answer == 42", "answer == 41", "import numpy as np\n\nnp.equal(1, 1)"
    nbformat.write(made_up(right, wrong, numpys), tmp_path / "made_up.ipynb")
    page = solve(tmp_path / "made_up.ipynb", tmp_path / "solved", {})
    assert said_by_solutions(page) == {right: "True", wrong: "False", numpys: "np.True_"}


def test_the_rules_of_exercises_notice_what_breaks_them():
    assert faults_of(made_up("answer == 42", "[n for n in [answer] if n][0] == 42")) == []
    assert faults_of(made_up("answer == 42", text="")) == ["not one fold each"]
    assert faults_of(new_notebook(cells=[new_markdown_cell(EXERCISE)])) == ["not one fold each"]
    twice = new_markdown_cell("<details>\n\n```python\n1 == len('a')\n```\n\n</details>")
    again = made_up("answer == 42")
    again.cells.append(twice)
    assert faults_of(again) == ["not one fold each"]
    words = made_up("answer == 42")
    words.cells[1].source = f"{EXERCISE}\n\n<details>Words.</details>"
    assert faults_of(words) == ["a fold without its one block of python"]
    for empty in ("True", "answer", "print(answer)", "found = answer == 42"):
        assert "no check at the end" in faults_of(made_up(empty))[0]
    assert "mean something else" in faults_of(made_up("answer = 1\nanswer == 1"))[0]
    assert "not there yet" in faults_of(made_up("later == 1"))[0]
    leaning = made_up("half = answer / 2\nhalf == 21")
    leaning.cells.append(new_code_cell("print(half)"))
    assert faults_of(leaning) == ["{'half'} come from a solution alone"]


def test_what_is_solved_is_in_the_series():
    assert set(SOLVED) <= {path.stem for path in NOTEBOOKS}
