"""A real JupyterLab on this machine, and a person at a notebook in it."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat

NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}  # or a pop-up asks

# The notebook in front, as JupyterLab holds it
NOTEBOOK = "window.jupyterapp.shell.currentWidget"
READY = f"""
() => {{
  const panel = window.jupyterapp && {NOTEBOOK};
  return Boolean(panel?.context?.isReady && panel.isAttached && panel.sessionContext.isReady
    && panel.sessionContext.session?.kernel?.status == "idle");
}}
"""
RUN_ALL = """
() => {
  window.ranAll = false;
  window.jupyterapp.commands.execute("notebook:run-all-cells").finally(() => window.ranAll = true);
}
"""
# Running is over when the command says so, and the kernel has nothing left to do
DONE = f"""
() => window.ranAll && {NOTEBOOK}.sessionContext.session.kernel.status == "idle" &&
  {NOTEBOOK}.content.widgets.every(
    cell => cell.model.type != "code" || cell.model.executionState == "idle")
"""
TRUSTED = f"""
() => {NOTEBOOK}.content.widgets.filter(cell => cell.model.type == "code")
  .every(cell => cell.model.trusted)
"""
# A player is looked at: off-screen, browsers rest a muted one. In a long notebook, cells that are
# drawn only now push it out of sight again
LOOK = """
async (video) => {
  const until = async (happened) => {
    for (let waits = 0; waits < 600 && !happened(); waits++) {
      video.scrollIntoView({block: "center"});
      await new Promise(later => setTimeout(later, 50));
    }
    return happened();
  };
  video.scrollIntoView({block: "center"});
  const poster = new Image();
  poster.src = video.poster;
  await poster.decode().catch(() => {});
  const ready = await until(() => video.readyState == 4), start = video.currentTime;
  const moves = await until(() => video.currentTime != start);
  return {ready, moves, poster: poster.naturalWidth > 0};
}
"""
# A paused player that comes into sight begins by itself, if at all, within a moment
RESTS = """
async (video) => {
  video.scrollIntoView({block: "center"});
  for (let waits = 0; waits < 20 && video.paused; waits++)
    await new Promise(later => setTimeout(later, 50));
  return video.paused;
}
"""
TALL = """
() => {
  document.querySelector(".jp-WindowedPanel-outer").scrollTop = 0;
  const cells = Array.from(document.querySelectorAll(".jp-Notebook .jp-Cell"));
  return Math.ceil(cells.at(-1).getBoundingClientRect().bottom + 80);
}
"""
SIZE = {"width": 1280, "height": 900}
PLAYING = {"ready": True, "moves": True, "poster": True}
SVG = "image/svg+xml"
IMAGE = '<svg xmlns="http://www.w3.org/2000/svg" width="117" height="20"/>'
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"


class Server:
    """A JupyterLab that knows nothing of the person who runs the tests, and nothing of the net."""

    def __init__(self, folder: Path):
        self.root = folder / "notebooks"
        self.root.mkdir(parents=True)
        settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(NO_NEWS))
        self.log = folder / "server.log"
        self.token = secrets.token_hex(16)
        own = {name: folder / name.lower() for name in ("config", "data", "runtime")}
        environment = os.environ | {f"JUPYTER_{name.upper()}_DIR": str(own[name]) for name in own}
        environment |= {
            "IPYTHONDIR": str(folder / "ipython"),
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_CACHE": str(folder / "hub"),
            "OMP_NUM_THREADS": "1",
        }
        environment.pop("MPLBACKEND", None)  # figures shall show, as they do for everybody
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": port,
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": self.root,
            "ServerApp.allow_root": True,
            "ServerApp.open_browser": False,
            # should the tests be killed, the server ends by itself
            "ServerApp.shutdown_no_activity_timeout": 1800,
            "MappingKernelManager.cull_idle_timeout": 1800,
            "IdentityProvider.token": self.token,
            "LabApp.expose_app_in_browser": True,
            "LabApp.extension_manager": "readonly",
            "LabApp.news_url": "None",
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
            "LabApp.user_settings_dir": folder / "settings",
            "LabApp.workspaces_dir": folder / "workspaces",
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *(f"--{k}={v}" for k, v in options.items())],
                cwd=self.root,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a process group, kernels and all, that can be ended whole
            )

    def wait(self, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/api?token={self.token}", timeout=10):
                    return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()[-4000:]}")

    def stop(self) -> None:
        for ending in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, ending)
                self.process.wait(timeout=20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


class Lab:
    """One page with one notebook: what a person does with it, and what the browser complains of."""

    def __init__(self, server: Server, browser, pictures: Path):
        self.server, self.pictures = server, pictures
        self.page = browser.new_page(viewport=SIZE)
        self.page.set_default_timeout(60_000)
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(f"{error}"))
        self.page.on("console", self._hear)
        # the one thing that the notebooks take from the net
        self.page.route(BADGE, lambda route: route.fulfill(body=IMAGE, content_type=SVG))

    def _hear(self, message) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def write(self, name: str, *cells: str) -> Path:
        """Put a notebook of these cells where the server finds it."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
                "language_info": {"name": "python"},
            },
        )
        path = self.server.root / name
        nbformat.write(notebook, path)
        return path

    def open(self, path: Path) -> None:
        where = path.relative_to(self.server.root).as_posix()
        self.path = path
        self.page.goto(f"{self.server.url}/lab/tree/{where}?token={self.server.token}&reset")
        self.page.wait_for_function(READY)
        self.wear("JupyterLab Light")  # JupyterLab keeps what the page before wore

    def run_all(self, seconds: float = 300) -> nbformat.NotebookNode:
        """Run all cells, wait for the last, save, and read what stands on the disk."""
        self.page.evaluate(RUN_ALL)
        self.page.wait_for_function(DONE, timeout=1000 * seconds)
        self.page.evaluate(f"() => {NOTEBOOK}.context.save()")
        return nbformat.read(self.path, as_version=4)

    def trusted(self) -> bool:
        return self.page.evaluate(TRUSTED)

    def players(self, press: bool = False) -> list[dict]:
        return players(self.page, press)

    def output(self, number: int):
        """What stands below a code cell, counted from 0."""
        return self.page.locator(".jp-CodeCell").nth(number).locator(".jp-Cell-outputArea")

    def wear(self, theme: str) -> None:
        """Take another theme; JupyterLab keeps it for the pages to come."""
        self.page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
        )

    def photograph(self, name: str) -> Path:
        """Keep a picture of the whole notebook, for people to look at."""
        path = self.pictures / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):  # the heights of cells that were never seen are guesses
            tall = min(self.page.evaluate(TALL), 16000)
            self.page.set_viewport_size({"width": 1280, "height": tall})
            self.page.wait_for_timeout(500)  # only a picture hangs on it
        self.page.screenshot(path=path)
        self.page.set_viewport_size(SIZE)
        return path

    def close(self) -> None:
        """Close the page, and end its kernel."""
        self.page.evaluate(
            "async () => { const app = window.jupyterapp;"
            " if (app) await app.serviceManager.sessions.shutdownAll(); }"
        )
        self.page.close()


def players(page, press: bool = False) -> list[dict]:
    """What each player of a page does once it is looked at; and, where it rests, clicked.

    In a page that opens, what is off-screen may wait for a click; right after a cell has run, all
    play by themselves.
    """
    seen = []
    for video in page.locator("video").all():
        for _ in range(3 * press):  # it may begin just as it is clicked, which stops it
            if video.evaluate(RESTS):
                video.click(position={"x": 8, "y": 8})  # controls cover half of a small player
        seen.append(video.evaluate(LOOK))
    return seen


def errors_of(notebook: nbformat.NotebookNode) -> list[str]:
    """What went wrong in the cells of a notebook that ran."""
    return [
        "\n".join(output.traceback)
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]
