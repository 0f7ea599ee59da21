"""The notebooks: how they are built, and that they run."""

import ast
import re
from itertools import pairwise

import nbformat
import pytest
from lessons import BUILD, RUNS, by_name, cells_of, run, title_of
from write_headers import NOTEBOOKS, badge, with_header


@by_name
def test_a_notebook_is_valid_and_stripped(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in cells_of(path, "code"):
        assert cell.outputs == []
        assert cell.execution_count is None


@by_name
def test_badge_and_setup_come_from_the_one_address(path):
    assert with_header(path) == nbformat.read(path, as_version=4)
    assert badge(path) in cells_of(path)[0].source
    assert path.name in badge(path)


@by_name
def test_a_notebook_begins_with_title_aims_and_setup(path):
    first, second, third = cells_of(path)[:3]
    assert first.source.startswith("# ")
    assert second.source.startswith("## What you will learn")
    assert second.source.count("\n- ") == 3
    assert "**Needs:**" in second.source
    assert third.metadata["tags"] == ["setup"]
    assert cells_of(path)[-1].source.startswith("## What we saw")


def test_what_is_said_to_be_predicted_is_what_the_plan_predicts():
    import svdkit as sk

    plan = sk.plan("svd-xt", gpu="T4", progress=False)
    predicted = next(row.time for row in plan.rows if row.preset == plan.auto)
    told = [cells_of(path)[1].source for path in NOTEBOOKS]
    told = re.findall(r"on a T4 \w+ takes ([\d.]+ minutes) at the least", "".join(told))
    assert len(told) >= 6
    assert {f"≥ {time.replace('minutes', 'min')}" for time in told} == {predicted}


@by_name
def test_one_cell_holds_the_parameters_and_literals_only(path):
    (cell,) = cells_of(path, "code", "parameters")
    for statement in ast.parse(cell.source).body:
        assert isinstance(statement, ast.Assign)
        ast.literal_eval(statement.value)
    assert re.search(r'^model = "(auto|tiny)"$', cell.source, re.MULTILINE)


@by_name
def test_code_follows_prose_in_small_steps(path):
    cells = cells_of(path)
    code = [n for n, cell in enumerate(cells) if cell.cell_type == "code"]
    assert all(len(cells[n].source.splitlines()) <= 10 for n in code)
    assert sum(cells[n - 1].cell_type == "markdown" for n in code) >= 0.8 * len(code)


@pytest.mark.parametrize(
    ("path", "following"), list(pairwise(NOTEBOOKS)), ids=lambda path: path.stem[:2]
)
def test_a_notebook_leads_to_the_next_one(path, following):
    last = cells_of(path)[-1].source.splitlines()[-1]
    link = f"[{following.name[:2]} {title_of(following)}]({following.name})"
    assert last.startswith(f"Next: {link}")


@by_name
def test_a_clip_or_picture_comes_within_two_cells(path, executed):
    run = cells_of(executed(path).with_suffix(".ipynb"), "code")
    own = [c for c in run if not {"setup", "parameters"} & set(c.metadata.get("tags", []))]
    own = [cell for cell in own if "injected-parameters" not in cell.metadata.get("tags", [])]
    shown = {kind for cell in own[:2] for out in cell.outputs for kind in out.get("data", {})}
    assert any("image/" in kind or "html" in kind for kind in shown), shown


@by_name
def test_every_notebook_has_a_run(path):
    assert path.stem in RUNS


@by_name
def test_a_notebook_runs_and_its_clips_show_in_static_html(path, executed):
    page = executed(path)
    shown = [
        output.data["text/html"]
        for cell in nbformat.read(page.with_suffix(".ipynb"), as_version=4).cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    assert any('<video src="data:video/mp4;base64,' in html for html in shown)
    # the state of widgets, which no page without a kernel shows, is told apart
    html = re.sub("<script.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    players = re.findall(r"<video[^>]*>", html)
    assert len(players) == "".join(shown).count("<video")
    assert all('src="data:video/mp4;base64,' in player for player in players)
    assert "<source" not in html


@by_name
def test_every_player_of_a_notebook_plays_in_static_html(path, chromium, executed):
    page = chromium.new_page()
    page.goto(executed(path).as_uri())
    page.wait_for_function(
        "Array.from(document.querySelectorAll('video')).every(video => video.readyState == 4)"
    )
    assert page.locator("video").count() >= 3
    page.close()


def test_a_notebook_is_run_once_for_all_who_look_at_it(executed):
    first = executed(NOTEBOOKS[0]).stat().st_mtime_ns
    assert executed(NOTEBOOKS[0]).stat().st_mtime_ns == first


@by_name
def test_an_index_leads_to_the_page_of_every_notebook(path, executed):
    page = executed(path)
    links = re.findall('href="([^"]*)"', (BUILD / "index.html").read_text(encoding="utf-8"))
    assert page in [BUILD / link for link in links]
    assert page.exists()


def test_a_misspelt_parameter_fails():
    with pytest.raises(KeyError, match="num_framse"):
        run(NOTEBOOKS[0], {"num_framse": 3}, BUILD / "misspelt")
