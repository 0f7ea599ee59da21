"""Write the Colab badge and the set-up cell of every notebook from the address in pyproject.toml.

python tests/write_headers.py
"""

import re
import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BADGE = re.compile(r"\[badge\]|\[!\[Open in Colab\].*\)")


def repository() -> str:
    """The one place where the address of the repository stands."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]


def badge(path: Path) -> str:
    where = repository().removeprefix("https://github.com/")
    link = f"https://colab.research.google.com/github/{where}/blob/main/notebooks/{path.name}"
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open in Colab]({image})]({link})"


def setup() -> str:
    return (
        "try:\n"
        "    import svdkit as sk\n"
        "except ImportError:\n"
        f'    %pip install -q "svdkit @ git+{repository()}"\n'
        "    import svdkit as sk"
    )


def with_header(path: Path) -> nbformat.NotebookNode:
    """Read a notebook and put its badge and set-up cell right."""
    notebook = nbformat.read(path, as_version=4)
    first = notebook.cells[0]
    first.source = BADGE.sub(lambda _: badge(path), first.source)
    for cell in notebook.cells:
        if "setup" in cell.metadata.get("tags", []):
            cell.source = setup()
    return notebook


if __name__ == "__main__":
    for path in NOTEBOOKS:
        nbformat.write(with_header(path), path)
        print(f"{path.relative_to(ROOT)}: written")
