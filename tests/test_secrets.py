"""A canary for each secret, sent through every door: none of them may come out."""

import base64
import json
import os
import pickle
import re
import subprocess
import sys
import textwrap
import zlib
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
from small_hub import SmallHub, send
from write_headers import ROOT

import svdkit as sk
from svdkit.paths import HomePath, nameless, shown
from svdkit.reports import Check, cleaned

TOKEN, PERSON = "hf_canaryABCDEFGHIJKLMNOPQRSTUVWX", "canaryperson"
SAVED_TOKEN, LOGIN = "hf_canarySAVEDbyLOGIN", "canarylogin"
VALUE, SIGNATURE = "canaryvalueofavariable", "canarysignature"
CANARY = re.compile("canary", re.IGNORECASE)
REPO = "stabilityai/stable-video-diffusion-img2vid-xt-1-1"

PRELUDE = """
    import logging, os, pathlib, pickle, sys, traceback
    logging.basicConfig(level=logging.INFO)
    for name in ("httpx", "httpx2"):  # which log each address at this level, whoever asks for it
        logging.getLogger(name).setLevel(logging.WARNING)
    import svdkit as sk
    from svdkit.cli import main

    home = pathlib.Path.home()
    quick = {"num_inference_steps": 1, "num_frames": 2}

    def door(action, *arguments, **options):
        '''Say what comes out of a door: a value, or an error with all that led to it.'''
        try:
            print(repr(action(*arguments, **options)))
        except Exception as error:
            link = error
            while link is not None:
                print("".join(traceback.format_exception_only(link)))
                link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
"""
FILES = """
    sk.sample_image().save(home / "kite.png")
    clip = sk.animate(home / "kite.png", "tiny", seed=1, **quick)
    for name in ("a.mp4", "a.webm", "a.gif", "a.webp", "frames"):
        door(clip.save, home / name)
        door(sk.rerun, home / name)
    own = home / "own-svd"
    sk.load("tiny").save_pretrained(own)
    (clip + sk.animate("~/kite.png", own, height=64, width=112, **quick)).save("~/both.mp4")
    door(sk.rerun, "~/both.mp4")
    os.chdir("/")
    door(sk.animate(home / "kite.png", own, height=64, width=112, **quick).save, "~/own.mp4")
    os.chdir(home)
    (home / "clip.pickle").write_bytes(pickle.dumps(clip))
    (home / "drawing.pickle").write_bytes(pickle.dumps(sk.draw("a kite", "tiny-sd", seed=1)))
    sk.draw("a red balloon", "tiny-sd", seed=1).save(home / "balloon.png")
    sk.show_frames(clip).save(home / "sheet.png")
    door(sk.show_clips([clip, clip]).save, home / "grid.png")
    door(sk.extend, clip, "tiny", folder=home / "chain", overlap=0, **quick)
    door(sk.cinemagraph, home / "kite.png", (0, 0, 0.5, 1), "tiny", **quick)

    # what goes wrong, each with a path below the home
    (home / "odd.json").write_text("{")
    (home / "a.mp4.json").write_text("{")
    (home / "b.mp4").write_bytes(b"nonsense")
    (home / "cut.mp4").write_bytes((home / "a.mp4").read_bytes()[:900])
    (home / "b.png").write_bytes((home / "kite.png").read_bytes()[:500])
    (home / "d.mp4.json").mkdir()
    (home / "d.mp4").write_bytes((home / "a.mp4").read_bytes())
    (own / "unet" / "config.json").write_text("{")
    for action, path in [
        (sk.open_image, "none.png"), (sk.open_image, "own-svd"), (sk.open_image, "b.png"),
        (sk.open_image, "b.mp4"), (sk.open_image, "cut.mp4"), (sk.Clip.open, "none.mp4"),
        (sk.Clip.open, "a.mp4"), (sk.Clip.open, "b.mp4"), (sk.Clip.open, "cut.mp4"),
        (sk.Clip.open, "d.mp4"), (sk.Sweep.open, "own-svd"), (sk.Sweep.open, "none"),
        (sk.load, "own-svd"), (sk.load, "none.safetensors"), (sk.load, "none.ckpt"),
        (sk.load, "none"), (clip.save, "b.mp4"), (clip.save, "kite.png"), (clip.save, "own-svd"),
        (clip.save, "b.png/x.mp4"), (sk.rerun, "none.mp4"), (sk.show_clips([clip]).save, "a.mp4"),
        (sk.show_clips([clip]).save, "b.mp4/x.png"), (sk.show_clips([clip]).save, "new/x.png"),
    ]:
        door(action, home / path)
    door(sk.open_image, f"file://{home}/kite.png")
    door(sk.extend, clip, "tiny", folder=home / "b.mp4", progress=False)
    door(sk.panel, "tiny", folder=home / "b.mp4")
    door(sk.panel, "tiny", image=home / "none.png")
    door(lambda: sk.Clip.open("~/frames"))
"""
SWEEPS = """
    import json
    import ipywidgets
    from ipywidgets.embed import embed_minimal_html

    sk.sample_image().save(home / "kite.png")
    cells = sk.grid(image=[str(home / "kite.png")], fps=[5, 20], **quick)
    runs = sk.sweep(None, "tiny", cells, home / "runs")
    door(lambda: (runs, runs.folder, runs[0], runs[0].path, runs.table(), runs.best("motion")))
    door(runs.save, home / "sheet.png")
    door(runs.save, home / "page.html")
    bad = home / "broken"
    from svdkit.shelves import Shelf
    shelf = Shelf.open(home / "runs")
    order = {"image_sha256": runs[0].image_sha256, "seed": 1, "settings": {"fps": 9},
             "fit": {"how": "crop", "focus": [0.5, 0.5]}}
    shelf.fail("0" * 16, order, OSError(5, "cannot be read", str(home / "photos" / "kite.png")))
    runs = sk.Sweep.open("~/runs")
    print(runs.failures, runs._repr_mimebundle_()["text/html"])
    runs.save(home / "page.html")
    explored = runs.explore()

    server = os.environ["SOME_SERVER"]  # whose addresses hold a login and a key
    secret = server.replace("//", "//ada:canarylogin@") + "/kite.png?signature=canarysignature"
    panels = [sk.panel("tiny", image=home / "kite.png", folder="~/made")]
    panels += [sk.panel("tiny", image=sk.open_image(home / "kite.png"), folder="~/made")]
    import svdkit.drawings
    kept = svdkit.drawings.open_image
    # a panel asks for public addresses alone; this one stands for such
    svdkit.drawings.open_image = lambda source: (
        kept(source, private=True) if isinstance(source, str) else kept(source))
    panels += [sk.panel("tiny", image=secret)]
    panels[0]._picker.add("lost", str(home / "none.png"))
    panels[1]._picker.address.value = secret
    panels[1]._picker.address.value = str(home / "kite.png")
    for panel in panels:
        panel.set(**quick)
        panel._shows_code = True
        panel.animate()
        panel.wait()
        panel._viewer._save(None)
        print(panel.code, panel, panel._kept(), [take.code for take in panel._takes])
    embed_minimal_html(home / "widgets.html", views=[explored, *(each.box for each in panels)])
    state = ipywidgets.Widget.get_manager_state()
    (home / "state.json").write_text(json.dumps(state))
    assert "kite.png" in json.dumps(state)
    from svdkit import viewers
    print(sk.doctor(), sk.doctor()._repr_html_(), sk.plan("tiny", gpu="T4"))
    for panel in panels:
        panel.close()
"""
SHELL = """
    sk.sample_image().save(home / "kite.png")
    few = ["--model", "tiny", "--num-inference-steps", "1", "--num-frames", "2"]
    kite = str(home / "kite.png")
    for command in (["demo", "-o", str(home / "demo")], ["doctor"], ["models"],
                    ["animate", kite, "-o", str(home / "out"), *few],
                    ["animate", "~/kite.png", "-o", "~/one.mp4", *few],
                    ["animate", kite, "-o", str(home / "one.mp4" / "x.mp4"), *few],
                    ["animate", str(home / "none.png"), "-o", str(home / "x.mp4")],
                    ["animate", kite, "-o", str(home / "y.mp4"), "--model", str(home / "none")],
                    ["sweep", kite, "--fps", "5,9", "-o", str(home / "swept"), *few],
                    ["sweep", kite, "--fps", "5,9", "-o", str(home / "out"), *few],
                    ["rerun", str(home / "out" / "kite.mp4")],
                    ["rerun", str(home / "none.mp4")]):
        main(command)
"""
HUB = """
    for name in {names}:
        door(sk.load, name)
    print(sk.doctor())
    main(["doctor"])
"""
TOKENS = """
    for sign in ("\\x0b", "\\x7f", "\\u200b", "ä"):
        token = os.environ["TOKEN"]
        os.environ["HF_TOKEN"] = f"{token[:10]}{sign}{token[10:]}"
        door(sk.load, "svd-xt-1-1")
        print(sk.doctor())
"""


@pytest.fixture
def home(tmp_path):
    """The home of somebody who has a token in every place that there is for one."""
    folder = tmp_path / "home" / PERSON
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "token").write_text(SAVED_TOKEN)
    for name in (".netrc", "_netrc"):
        (folder / name).write_text(f"machine huggingface.co login {LOGIN} password {LOGIN}")
        (folder / name).chmod(0o600)
    return folder


def environment(home, **more):
    """Give the environment of a person who is at home there, and has a token."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    kept |= {"HOME": str(home), "USERPROFILE": str(home), "USER": PERSON, "LOGNAME": PERSON}
    kept |= {"HF_TOKEN": TOKEN, "HUGGING_FACE_HUB_TOKEN": TOKEN, "SOME_KEY": VALUE}
    kept |= {"HF_HOME": str(home / "weights"), "HF_HUB_OFFLINE": "1"}
    return {name: value for name, value in (kept | more).items() if value is not None}


def ran(home, script, **more):
    script = textwrap.dedent(PRELUDE) + textwrap.dedent(script)
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=home,
        env=environment(home, **more),
        capture_output=True,
        text=True,
    )


def said_by(run):
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout + run.stderr


def dirty(text):
    return [line[:300] for line in text.splitlines() if CANARY.search(line)]


def insides(data):
    """Give bytes, and what is packed into them: PNG's chunks, and base64 in pages and JSON."""
    yield data
    if data.startswith(b"\x89PNG"):
        place = 8
        while place < len(data):
            size = int.from_bytes(data[place : place + 4])
            chunk = data[place + 8 : place + 8 + size]
            place += size + 12
            for start in (0, *(i + 1 for i, byte in enumerate(chunk[:200]) if byte == 0)):
                with suppress(zlib.error):
                    yield zlib.decompressobj().decompress(chunk[start:])
    for found in re.finditer(rb"[A-Za-z0-9+/]{40,}={0,2}", data):
        with suppress(ValueError):
            yield from insides(base64.b64decode(found[0]))


def files_of(home, *besides):
    """List what was written in a home, which is at least a picture and a clip."""
    files = [file for file in home.rglob("*") if file.is_file()]
    kept = [file for file in files if not {"weights", ".netrc", "_netrc", *besides} & {*file.parts}]
    assert len(kept) > 3
    return kept


def check_clean(files):
    for file in files:
        for data in insides(file.read_bytes()):
            assert not CANARY.search(data.decode("latin-1")), file.name


def test_the_search_finds_what_is_packed(tmp_path):
    """Else the tests below would hold whatever happens."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    note.add_text("Comment", PERSON, zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=note)
    png = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.html").write_bytes(b'<img src="data:image/png;base64,' + base64.b64encode(png))
    for name in ("a.png", "a.html"):
        assert PERSON.encode() not in (tmp_path / name).read_bytes()
        with pytest.raises(AssertionError):
            check_clean([tmp_path / name])


def test_files_values_and_errors_hold_no_secret(home):
    told = said_by(ran(home, FILES))
    assert not dirty(told)
    for sign in ("~/none.mp4", "Path('~/a.mp4')", "'~/own-svd'", "file://~/kite.png"):
        assert sign in told
    check_clean(files_of(home, "own-svd"))
    assert pickle.loads((home / "clip.pickle").read_bytes()).recipe["request"]["seed"] == 1


def test_sweeps_pages_and_widgets_hold_no_secret(home):
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Pictures(BaseHTTPRequestHandler):
        def do_GET(self):
            data = Path(sk.__file__).with_name("toyland").joinpath("sample.png").read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        told = said_by(ran(home, SWEEPS, SOME_SERVER=f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()
    assert not dirty(told)
    assert "sk.animate(&quot;~/kite.png&quot;" in told
    assert "~/photos/kite.png" in told  # in what a failed cell says
    files = files_of(home)
    assert {"page.html", "widgets.html", "state.json", "sheet.png"} < {file.name for file in files}
    check_clean(files)
    assert not [file for file in files if CANARY.search(str(file.relative_to(home)))]


def test_the_command_line_tells_no_secret(home):
    told = said_by(ran(home, SHELL))
    assert not dirty(told)
    assert "~/kite.png → ~/out/kite.mp4" in told
    check_clean(files_of(home))


class Treacherous(SmallHub):
    """A hub that fails with each model in another way, and leads to an address that is a key."""

    def __init__(self):
        super().__init__({})
        self.tokens = []

    def answer(self, request):
        self.tokens.append(request.headers.get("Authorization") or "")
        repo = next((repo for repo in WAYS if f"/{repo}" in request.path), None)
        return WAYS[repo][1](self, request) if repo else send(request, 500)


def answers(status):
    return lambda hub, request: send(request, status, b"no")


def leads_on(hub, request):
    return send(request, 307, headers={"Location": f"{hub.url}/signed?X-Sig={SIGNATURE}"})


def breaks_off(hub, request):
    request.send_response(200)
    request.send_header("Content-Length", "100000")
    request.end_headers()
    request.wfile.write(b"{")
    request.close_connection = True


# What is said of each model, and how the hub answers when it is asked for it
WAYS = {
    sk.MODELS["svd-xt-1-1"].repo: ("refused your token", answers(401)),
    sk.MODELS["svd-xt"].repo: ("refused your token", answers(403)),
    sk.MODELS["svd"].repo: ("cannot be asked", answers(500)),
    "someone/that-is-signed": ("cannot be asked", leads_on),
    "someone/that-breaks-off": ("cannot be asked", breaks_off),
}


def test_a_hub_that_fails_is_told_without_token_and_signature(home):
    with Treacherous() as hub:
        asking = HUB.replace("{names}", repr(list(WAYS)))
        told = said_by(ran(home, asking, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE=None))
    assert not dirty(told)
    for repo, (words, _) in WAYS.items():
        assert any(repo in line and words in line for line in told.splitlines()), repo
    assert f"Bearer {TOKEN}" in hub.tokens  # it was sent, and could have come back


def test_a_token_with_a_strange_sign_is_not_quoted(home, checkpoint):
    """Pasted from a page or a terminal; whoever refuses such a header quotes it."""
    with SmallHub({REPO: checkpoint}, gated=[REPO]) as hub:
        online = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": None, "TOKEN": TOKEN}
        told = said_by(ran(home, TOKENS, **online))
    assert not dirty(told)
    assert told.count("Your token holds a sign that no token has") == 4


def test_a_gated_model_is_told_without_the_token_that_login_saved(home, checkpoint):
    with SmallHub({REPO: checkpoint}, gated=[REPO]) as hub:
        more = {"HF_TOKEN": None, "HUGGING_FACE_HUB_TOKEN": None}
        asking = HUB.replace("{names}", "['svd-xt-1-1']")
        told = said_by(ran(home, asking, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE=None, **more))
    assert not dirty(told)
    assert "is gated, and your token's account has not been let in" in told


NOTEBOOK_OF_ERRORS = [
    "import svdkit as sk, pathlib\nhome = pathlib.Path.home()\nclip = sk.animate(sk.sample_image(),"
    " 'tiny', num_inference_steps=1, num_frames=2)\n(home / 'b.mp4').write_bytes(b'nonsense')",
    "clip.save('~/kite.mp4')",
    "sk.Clip.open('~/b.mp4')",
    "sk.Clip.open('~/none.mp4')",
    "sk.open_image(home / 'none.png')",
    "sk.load(home / 'none')",
    "sk.load('tiny').save_pretrained(home / 'own')\n(home / 'own/vae/config.json').write_text('{')",
    "sk.load(home / 'own')",
    "clip.save('~/b.mp4/x.mp4')",
    "sk.show_clips([clip]).save('~/b.mp4/x.png')",
    "sk.sweep(home, 'tiny', sk.grid(fps=[5]), '~/b.mp4')",
    "runs = sk.sweep('~/kite.mp4', 'tiny', sk.grid(fps=[5], num_frames=2), '~/runs')\nruns.folder",
    "sk.panel('tiny', image=home / 'none.png')",
    "sk.panel('tiny', folder=home / 'made')",
    "sk.load('svd-xt-1-1')",
    "sk.doctor()",
]


def test_a_notebook_full_of_errors_can_be_published(home):
    """Tracebacks tell of the causes, too, and the cell's last value is shown."""
    cells = [nbformat.v4.new_code_cell(source) for source in NOTEBOOK_OF_ERRORS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), home / "errors.ipynb")
    done = executed(home, "errors.ipynb", "--allow-errors")
    failed = [
        cell.source
        for cell in done.cells
        if any(output.output_type == "error" for output in cell.outputs)
    ]
    assert len(failed) == 10, failed
    assert "sk.load(home / 'own')" in failed


def test_an_executed_lesson_can_be_published(home):
    lesson = nbformat.read(ROOT / "notebooks" / "01_animate_an_image.ipynb", as_version=4)
    for cell in lesson.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source += '\nmodel, num_frames, num_inference_steps, seed = "tiny", 2, 1, 7'
    nbformat.write(lesson, home / "lesson.ipynb")
    executed(home, "lesson.ipynb")


def executed(home, name, *options):
    """Execute a notebook, export it, and look through both."""
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to"]
    steps = ["notebook", "--execute", *options, name, "--output", "done.ipynb"]
    for told in (steps, ["html", "done.ipynb"]):
        run = subprocess.run(
            [*command, *told], cwd=home, env=environment(home), capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr[-3000:]
    done = nbformat.read(home / "done.ipynb", as_version=4)
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert outputs
    assert not dirty(json.dumps(outputs, indent=1))
    check_clean([home / "done.ipynb", home / "done.html"])
    return done


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("{home}/kite.png", "~/kite.png"),
        ("'{home}' is full", "'~' is full"),
        ("file://{home}/kite.png", "file://~/kite.png"),
        ("file:{home}/kite.png", "file:~/kite.png"),
        ("{home}s/kite.png", "{home}s/kite.png"),
        ("/backup{home}/kite.png", "/backup{home}/kite.png"),
        ("a:{home}:b", "a:~:b"),
    ],
)
def test_the_home_is_told_from_what_only_looks_like_it(monkeypatch, text, clean):
    monkeypatch.setenv("HOME", "/somewhere/ada")
    home = "/somewhere/ada"
    assert shown(text.format(home=home)) == clean.format(home=home)


def test_a_path_at_home_stays_a_path(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    path = HomePath(home / "kite.mp4")
    assert isinstance(path, Path)
    assert path == home / "kite.mp4"
    assert pickle.loads(pickle.dumps(path)) == path
    assert repr(path.parent / "a b.mp4") == "Path('~/a b.mp4')"
    (home / "kite.mp4").touch()
    assert path.exists()


def test_causes_are_told_without_the_home_and_stay_what_they_are(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    try:
        try:
            (home / "none.png").read_bytes()
        except OSError as error:
            raise ValueError(f"{home}/none.png is not there", 7) from error
    except ValueError as error:
        told = nameless(error)
    assert told.args == ("~/none.png is not there", 7)
    assert isinstance(told.__cause__, FileNotFoundError)
    assert told.__cause__.errno == 2
    assert str(told.__cause__) == "[Errno 2] No such file or directory: '~/none.png'"


def test_a_report_names_nobody(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    check = Check("a", "wrong", f"{TOKEN} in {home}/x and /scratch/{PERSON}/y", f"rm {home}")
    told = cleaned(check)
    assert not dirty(told.found + told.cure)
    assert (told.found, told.cure) == ("(token) in ~/x and /scratch/…/y", "rm ~")
