"""Measure how soon a clip of the panel can be seen in a browser after its last frame is there:

    python tests/benchmarks/on_screen.py --out tests/benchmarks/results/on_screen.json

A real JupyterLab and a real Chromium on one machine, whose clock they share. The frames are the
sample picture under a moving crop and grain of its own in each frame, which codes worse than a
model's do. From when the panel gets them until the player can play through is what counts;
beside it what of that is the coding as a video.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from circumstances import circumstances

sys.path.insert(0, str(Path(__file__).parents[1]))

SET_UP = """
import time
import numpy as np
import svdkit as sk
from svdkit.jobs import Job

panel = sk.panel("tiny")
panel.set(num_frames=2, num_inference_steps=1)
panel.animate(); panel.wait()
recipe, picture = panel.clip.recipe, sk.sample_image().resize(({width} + 100, {height} + 100))
random = np.random.default_rng(7)

def arrive(job):
    shift = lambda n: (2 * n, n, 2 * n + {width}, n + {height})
    frames = np.stack([picture.crop(shift(n)) for n in range({frames})]).astype(np.int16)
    frames += random.integers(-4, 5, frames.shape, np.int16)
    clip = sk.Clip(frames.clip(0, 255).astype(np.uint8), 7, recipe)
    began = time.perf_counter()
    sk.Clip(clip.frames, 7).player()
    print("coded", time.perf_counter() - began)
    print("arrived", time.time())
    panel._made(panel._maker._order(), clip, None)
"""
ARRIVE = "Job(arrive).wait()"
SEEN = """
(number) => new Promise((seen) => {
  const look = () => {
    const figure = [...document.querySelectorAll(".svdkit-panel figure")]
      .find((figure) => figure.textContent.includes(`${number} · `));
    if (figure?.querySelector("video").readyState == 4) seen(Date.now() / 1000);
    else requestAnimationFrame(look);
  };
  look();
})
"""


def measured(lab, options: argparse.Namespace) -> list[dict[str, float]]:
    """Let clips arrive in a panel one after the other, and say how soon each could be seen."""
    set_up = SET_UP.replace("{width}", str(options.width)).replace("{height}", str(options.height))
    cells = ["panel", *[ARRIVE] * options.rounds]
    path = lab.write("on_screen.ipynb", set_up.replace("{frames}", str(options.frames)), *cells)
    lab.open(path)
    lab.page.evaluate("() => { window.seen = []; }")
    for number in range(2, options.rounds + 2):
        lab.page.evaluate(f"() => {{ ({SEEN})({number}).then((at) => window.seen.push(at)); }}")
    done = lab.run_all()
    lab.page.wait_for_function(f"() => window.seen.length == {options.rounds}")
    rows = []
    for seen, cell in zip(lab.page.evaluate("() => window.seen"), done.cells[2:], strict=True):
        told = dict(line.split() for line in cell.outputs[0].text.splitlines())
        seconds = seen - float(told["arrived"])
        rows.append({"seconds": round(seconds, 3), "coding": round(float(told["coded"]), 3)})
    return rows


def main(arguments: list[str]) -> None:
    """Measure, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--height", type=int, default=576)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    from browser.lab import Lab, Server
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder))
        try:
            server.wait()
            path = chromium or playwright.chromium.executable_path
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            lab = Lab(server, browser, Path(folder))
            rows = measured(lab, options)
            version = browser.version
            lab.close()
        finally:
            server.stop()
    report = {
        **circumstances(__file__, arguments),
        "chromium": version,
        "clip": {name: getattr(options, name) for name in ("frames", "height", "width")},
        "median_seconds": round(statistics.median(row["seconds"] for row in rows), 3),
        "most_seconds": max(row["seconds"] for row in rows),
        "rounds": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(
        f"on screen after {report['median_seconds']} s in the median, {report['most_seconds']} most"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
