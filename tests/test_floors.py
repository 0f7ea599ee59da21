"""The floors of the house: a module imports only from floors below its own."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "svdkit"
FLOORS = [
    {"paths", "kinds", "notes", "limits", "jobs", "easel", "progress", "ffmpeg"},
    {"frames"},
    {"models", "arrays", "web", "video", "workshops", "refusals", "drawing", "matching"}
    | {"upstream", "devices", "lending", "previews", "reports", "room", "counting", "qualities"},
    {"metadata", "tweening", "replacing", "stills", "storage", "layouts", "checkpoints", "prompts"}
    | {"encodings", "gpus", "drives"},
    {"images", "albums", "miniatures", "hub", "prompting", "measured"},
    {"files", "masks", "drawings", "remarks"},
    {"settings", "clips", "memory", "architectures"},
    {"origins", "tiles", "cards", "blueprints", "compiling", "calls", "dials"},
    {"residence", "assembly", "prediction", "pickers", "takes"},
    {"addresses", "reach"},
    {"rungs"},
    {"pipelines", "display", "metrics", "shelves", "links"},
    {"framing", "records", "tables", "galleries", "running", "engines"},
    {"animation", "explorers", "seams", "pictures", "plans", "stopwatch", "viewers"},
    {"cells", "extensions", "films", "loops", "cinemagraphs", "planning", "figures", "verdicts"},
    {"workers", "aiming", "chains", "comparisons", "forecasts", "makers"},
    {"sweeps", "bench", "panels"},
    {"edits", "health", "arguments", "demonstration"},
    {"verbs"},
    {"casting"},
    {"replay"},
    {"recipes"},
    {"cli"},
    {"__main__"},
]
FLOOR_OF = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}
HEAVY = {"torch", "diffusers", "transformers", "mediapy", "matplotlib", "ipywidgets", "accelerate"}


def imports_of(path, *, top_level_only=False):
    """Give (relative, name) of each import; those for type checkers alone do not count."""
    found = []

    def visit(node, depth):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.ImportFrom) and node.level:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found.extend(("ours", name.split(".")[0]) for name in names)
        elif isinstance(node, ast.ImportFrom):
            found.append(("theirs", node.module.split(".")[0]))
        elif isinstance(node, ast.Import):
            found.extend(("theirs", alias.name.split(".")[0]) for alias in node.names)
        if top_level_only and isinstance(node, ast.FunctionDef | ast.ClassDef):
            return
        for child in ast.iter_child_nodes(node):
            visit(child, depth + 1)

    visit(ast.parse(path.read_text(encoding="utf-8")), 0)
    return found


MODULES = sorted(path for path in PACKAGE.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_imports_only_from_floors_below(path):
    ours = {name for whose, name in imports_of(path) if whose == "ours"} - {"__version__"}
    assert path.stem in FLOOR_OF, f"{path.stem} has no floor yet; give it one here"
    too_high = {name for name in ours if name in FLOOR_OF and FLOOR_OF[name] >= FLOOR_OF[path.stem]}
    assert not too_high


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_heavy_libraries_are_imported_where_they_are_used(path):
    theirs = {name for whose, name in imports_of(path, top_level_only=True) if whose == "theirs"}
    assert not theirs & HEAVY


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_module_grows_past_300_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_toyland_stands_apart():
    """Its evaluation alone measures with the metrics of the package."""
    for path in (PACKAGE / "toyland").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        outward = {
            node.module
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.ImportFrom) and node.level > 1
        }
        allowed = {"clips", "metrics"} if path.stem in ("measures", "evaluate") else set()
        assert outward <= allowed, path
