"""The reference: one page, with every public name, a sentence about it and an example."""

import doctest
import re
import subprocess
import sys
from html import unescape

import pytest
from write_headers import ROOT

import svdkit as sk

PAGE = ROOT / "build" / "api" / "svdkit.html"


@pytest.fixture(scope="module")
def written():
    """Write the page as a person does, and cut it into what stands under each name."""
    command = [sys.executable, ROOT / "tests" / "write_api.py"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    html = PAGE.read_text(encoding="utf-8")
    body = html[html.index("<main") : html.index("</main>")]
    parts = re.split(r'<section id="(\w+)">', body)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def words_of(html):
    return unescape(re.sub(r"<[^>]+>", "", html))


def test_every_public_name_is_on_the_page_with_a_sentence_and_an_example(written):
    assert list(written) == sk.__all__
    for name, html in written.items():
        told = re.search(r'<div class="docstring">(.*?)</div>', html, re.DOTALL)
        assert told, name
        assert re.match(r"\s*[A-Z][^.]+\.", words_of(told[1])), name
        assert name == "__version__" or ">>>" in words_of(html), name


def test_the_tables_examples_run(written):
    """Those of functions and classes run as doctests of their modules."""
    names = {name: getattr(sk, name) for name in sk.__all__}
    tables = [name for name in sk.__all__ if name.isupper()]
    assert tables == ["MODELS", "PROMPT_MODELS", "PRESETS", "GPUS"]
    for name in tables:
        source = words_of(re.search(r"<pre>.*?</pre>", written[name], re.DOTALL)[0])
        test = doctest.DocTestParser().get_doctest(source + "\n", names, name, None, 0)
        assert test.examples
        assert doctest.DocTestRunner().run(test).failed == 0


def test_the_page_needs_nothing_from_elsewhere(written):
    html = PAGE.read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"https?:", html)


def test_the_page_shows_in_a_browser(written, chromium):
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.goto(PAGE.as_uri())
    page.locator("nav a[href='#animate']").click()
    assert page.locator("section#animate").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()
