"""A real JupyterLab, started once, and pages in it."""

import pytest
from write_headers import ROOT

from browser.lab import Lab, Server

PICTURES = ROOT / "build" / "browser"


@pytest.fixture(scope="session")
def jupyter(chromium, tmp_path_factory):
    """A JupyterLab of the tests' own, that ends with them, kernels and all."""
    server = Server(tmp_path_factory.mktemp("jupyter"))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture
def lab(jupyter, chromium):
    """A page in JupyterLab; its kernel ends with the test."""
    lab = Lab(jupyter, chromium, PICTURES)
    yield lab
    lab.close()
