"""Run a notebook with other parameters, in the environment that runs this.

python run_notebook.py NOTEBOOK DONE '{"model": "tiny"}'
"""

import json
import sys

import nbformat
from nbclient import NotebookClient


def run(source, done, parameters):
    notebook = nbformat.read(source, as_version=4)
    (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    setup = notebook.cells[2]
    setup.source += "\nimport sys\nprint(sys.executable)"  # the kernel must be this environment's
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    nbformat.write(notebook, done)
    kernel = setup.outputs[0].text.strip()
    if kernel != sys.executable:
        raise RuntimeError(f"The kernel ran {kernel}, not {sys.executable}.")


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
