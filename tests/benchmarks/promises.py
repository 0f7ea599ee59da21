"""Break each promise of the README once on purpose, and see that its tests notice:

    python tests/benchmarks/promises.py --out tests/benchmarks/results/promises.json
    python tests/benchmarks/promises.py --out tests/benchmarks/results/promises.json --count

`tests/promises.toml` says which tests hold a promise, and which changes of the code break it. In a
copy of the checkout the tests pass first; then each change goes in alone, and they have to fail.
The second call runs the tests that count what they try, and adds the odd inputs and the faults.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from circumstances import circumstances

ROOT = Path(__file__).parents[2]
TABLE = Path("tests", "promises.toml")
PASSED, FAILED = 0, 1  # of pytest's exit codes


def promises() -> list[dict]:
    """Read the table of promises."""
    return tomllib.loads((ROOT / TABLE).read_text(encoding="utf-8"))["promise"]


def run_tests(checkout: Path, *words: str) -> subprocess.CompletedProcess:
    """Run tests of a checkout with its own package."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    return subprocess.run(
        command,
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )


def copied(folder: Path) -> Path:
    """Copy what git knows of this checkout."""
    told = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, told.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def is_noticed(checkout: Path, change: dict, tests: list[str]) -> bool:
    """Break the code, and tell whether a test fails: of those that the change names, if any."""
    file = checkout / change["file"]
    before = file.read_text(encoding="utf-8")
    if before.count(change["old"]) != 1:
        raise ValueError(f"{change['file']} holds {before.count(change['old'])} × {change['old']}")
    try:
        file.write_text(before.replace(change["old"], change["new"]), encoding="utf-8")
        done = run_tests(checkout, "-x", *change.get("tests", tests))
    finally:
        file.write_text(before, encoding="utf-8")
    if done.returncode not in (PASSED, FAILED):
        raise RuntimeError(done.stdout[-3000:] + done.stderr[-3000:])
    return done.returncode == FAILED


def counted(checkout: Path) -> dict:
    """Count the inputs that the fuzz tests try, and the faults that the others inject."""
    texts = {file.name: file.read_text("utf-8") for file in (ROOT / "tests").glob("test_*.py")}
    fuzzing = [name for name, text in texts.items() if "@inputs(" in text]
    faulty = [name for name, text in texts.items() if "record_property(" in text]
    report = checkout / "report.xml"
    words = ("-o", "junit_family=xunit1", f"--junitxml={report}")
    done = run_tests(checkout, *words, *(f"tests/{name}" for name in sorted({*fuzzing, *faulty})))
    if done.returncode != PASSED:
        raise RuntimeError(done.stdout[-3000:])
    told = ElementTree.parse(report).iter("property")
    faults = sum(int(one.get("value")) for one in told if one.get("name") == "faults")
    # each of these tests fails if it tried fewer than it says
    modules = ", ".join(name.removesuffix(".py") for name in fuzzing)
    code = f"import fuzzing, {modules}; print(sum(fuzzing.PROMISED.values()))"
    where = {"cwd": checkout / "tests", "env": os.environ | {"PYTHONPATH": str(checkout)}}
    inputs = subprocess.check_output([sys.executable, "-c", code], text=True, **where)
    return {"inputs_tried": int(inputs), "faults_injected": faults}


def write(report: dict, out: Path) -> None:
    """Keep what is known by now."""
    out.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")


def main(arguments: list[str]) -> None:
    """Break and count, and write what came of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--only", default="", help="a word of the promises to break")
    parser.add_argument("--count", action="store_true", help="add to the file what tests count")
    options = parser.parse_args(arguments)
    report = {"promises": [], **circumstances(__file__, arguments)}
    with tempfile.TemporaryDirectory() as folder:
        checkout = copied(Path(folder))
        if options.count:
            counts = counted(checkout) | {"counted_by": report["command"]}
            write(json.loads(options.out.read_text("utf-8")) | counts, options.out)
            return
        for promise in promises():
            if options.only not in promise["says"]:
                continue
            whole = run_tests(checkout, *promise["tests"])
            if whole.returncode != PASSED:
                raise RuntimeError(f"{promise['says']}\n{whole.stdout[-3000:]}")
            changes = promise["broken_by"]
            noticed = [is_noticed(checkout, change, promise["tests"]) for change in changes]
            row = {"says": promise["says"], "broken": len(noticed), "noticed": sum(noticed)}
            report["promises"].append(row)
            write(report, options.out)
            print(f"{sum(noticed)} of {len(noticed)}  {promise['says']}", flush=True)
            for change, seen in zip(changes, noticed, strict=True):
                if not seen:
                    print(f"   not noticed: {change}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
