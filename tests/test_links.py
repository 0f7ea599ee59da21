"""The links of the documents and of the lessons lead somewhere."""

import re

import nbformat
import pytest
from write_headers import NOTEBOOKS, ROOT, repository

DOCUMENTS = (*sorted(ROOT.glob("*.md")), ROOT / "notebooks" / "README.md")
LINK = re.compile(r"\]\((<[^>]*>|[^)\s]+)")
by_name = pytest.mark.parametrize(
    "path", [*DOCUMENTS, *NOTEBOOKS], ids=lambda path: str(path.relative_to(ROOT))
)


def prose_of(path):
    """The Markdown of a document or a notebook, without its code."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "`code`", text)


def anchors_of(path):
    """The names that GitHub gives to the headings of a document."""
    text = path.read_text(encoding="utf-8") if path.suffix == ".md" else prose_of(path)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


@by_name
def test_every_link_leads_somewhere(path):
    for link in LINK.findall(prose_of(path)):
        if re.match(r"[a-z]+:", link):
            assert re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]+(/[^\s<>\"{}|\\^`]*)?", link), link
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


@by_name
def test_the_address_of_the_repository_is_the_same_everywhere(path):
    where = repository().removeprefix("https://github.com/")
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"github(?:\.com)?/([\w-]+/svdkit\b[\w-]*)", text)
    assert set(found) <= {where}


def test_every_document_has_links_to_look_at():
    assert all(LINK.search(prose_of(path)) for path in NOTEBOOKS)
    assert len(LINK.findall(prose_of(ROOT / "README.md"))) > 60
