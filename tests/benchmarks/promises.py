"""Break each promise of the README once on purpose, and see that its tests notice:

    python tests/benchmarks/promises.py --out tests/benchmarks/results/promises.json

`tests/promises.toml` says which tests hold a promise, and which changes of the code break it. In a
copy of the checkout the tests pass first; then each change goes in alone, and they have to fail.
The inputs that the fuzz tests try, and the faults that are injected, are counted in the same run.
"""

import argparse
import json
import os
import re
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
FUZZED = re.compile(r"(\d+) passing examples, (\d+) failing examples, (\d+) invalid examples")
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
    tests = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "tests").glob("test_*.py"))
    fuzzing = [name for name in tests if "test_fuzz" in name]
    done = run_tests(checkout, "--hypothesis-show-statistics", *fuzzing)
    if done.returncode != PASSED:
        raise RuntimeError(done.stdout[-3000:])
    inputs = sum(sum(map(int, found)) for found in FUZZED.findall(done.stdout))
    faulty = [name for name in tests if "record_property" in (ROOT / name).read_text("utf-8")]
    report = checkout / "faults.xml"
    done = run_tests(checkout, "-o", "junit_family=xunit1", f"--junitxml={report}", *faulty)
    if done.returncode != PASSED:
        raise RuntimeError(done.stdout[-3000:])
    told = ElementTree.parse(report).iter("property")
    faults = sum(int(one.get("value")) for one in told if one.get("name") == "faults")
    return {"inputs_tried": inputs, "faults_injected": faults}


def write(report: dict, out: Path) -> None:
    """Keep what is known by now."""
    out.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")


def main(arguments: list[str]) -> None:
    """Break and count, and write what came of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--only", default="", help="a word of the promises to break")
    parser.add_argument("--no-counts", action="store_true", help="break only, and count nothing")
    options = parser.parse_args(arguments)
    report = {"promises": [], **circumstances(__file__, arguments)}
    with tempfile.TemporaryDirectory() as folder:
        checkout = copied(Path(folder))
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
        if not options.no_counts:
            report |= counted(checkout)
            write(report, options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
