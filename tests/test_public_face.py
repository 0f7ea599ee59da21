"""What a person sees of the package before doing anything with it."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import svdkit as sk

PUBLIC = [name for name in sk.__all__ if name != "__version__"]


def test_the_import_is_light():
    heavy = ["torch", "diffusers", "transformers", "mediapy", "matplotlib", "numpy", "PIL"]
    code = f"import sys, svdkit; print([m for m in {heavy} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip() == "[]", printed


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_reads_the_same_twice(name):
    first, second = getattr(sk, name), getattr(sk, name)
    assert first is second
    assert not inspect.ismodule(first)


@pytest.mark.parametrize("name", [name for name in PUBLIC if callable(getattr(sk, name))])
def test_a_public_name_has_a_docstring_with_an_example(name):
    thing = getattr(sk, name)
    assert ">>>" in thing.__doc__


def test_no_function_shares_the_name_of_a_module():
    modules = {path.stem for path in Path(sk.__file__).parent.glob("*.py")}
    assert not modules & set(PUBLIC)


def test_editors_see_the_names_that_are_there():
    tree = ast.parse(Path(sk.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    told = {alias.name: node.module for node in block.body for alias in node.names}
    assert told == sk._MODULE_OF


def test_dir_lists_what_can_be_had():
    assert set(PUBLIC) <= set(dir(sk))


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(AttributeError, match="animate"):
        _ = sk.animat


def test_python_dash_m_runs_the_command_line():
    run = subprocess.run(
        [sys.executable, "-m", "svdkit", "--version"], capture_output=True, text=True
    )
    assert run.stdout.strip() == f"svdkit {sk.__version__}"
