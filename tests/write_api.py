"""Write the reference: every public name on one page, from the docstrings.

python tests/write_api.py    # writes build/api/svdkit.html
"""

import os
import warnings
from importlib import import_module

import pdoc.doc
import pdoc.render
from pdoc.doc_ast import walk_tree
from write_headers import ROOT

import svdkit as sk

PAGE = ROOT / "build" / "api" / "svdkit.html"


def reference() -> pdoc.doc.Module:
    """Give the package as pdoc sees it, with the tables among its names told of, too."""
    public = {name: getattr(sk, name) for name in sk.__all__}
    vars(sk).update(public)  # pdoc sees only what has been loaded
    module = pdoc.doc.Module(sk)
    for name, member in module.members.items():
        if isinstance(member, pdoc.doc.Variable):
            home = import_module(f"svdkit.{sk._MODULE_OF[name]}") if name in sk._MODULE_OF else sk
            member.docstring = walk_tree(home).var_docstrings.get(name, "")
    return module


def page() -> str:
    """Lay the reference out as HTML."""
    version = f"svdkit {sk.__version__}"
    pdoc.render.configure(search=False, show_source=False, footer_text=version)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what only type checkers import cannot be resolved
        module = reference()
        return pdoc.render.html_module(module, {module.modulename: module})


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    written = PAGE.with_suffix(f".{os.getpid()}")  # others may be reading or writing the page
    written.write_text(page(), encoding="utf-8")
    os.replace(written, PAGE)
    print(f"{PAGE.relative_to(ROOT)}: written")
