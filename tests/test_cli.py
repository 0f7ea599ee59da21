import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import svdkit as sk
from svdkit.cli import main

SAMPLE = Path(sk.__file__).parent / "toyland" / "sample.png"

# A warning that is none of ours: torch's tensors do not know numpy 2's copy keyword
KNOWN = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
QUICK = ["--model", "tiny", "--num-frames", "2", "--num-inference-steps", "1"]


def test_the_demo_leaves_a_video_a_sheet_and_what_to_type_next(tmp_path, capsys):
    strict = [sys.executable, "-W", "error", "-W", KNOWN, "-m", "svdkit", "demo"]
    done = subprocess.run(strict, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert (tmp_path / "demo.mp4").exists()
    assert main(["demo", "-o", str(tmp_path)]) == 0  # it may be run again
    told = capsys.readouterr().out
    clip = sk.Clip.open(tmp_path / "demo.mp4")
    assert len(clip) == 14
    assert sk.open_image(tmp_path / "demo.png").width > 1000
    for words in (str(tmp_path / "demo.mp4"), str(tmp_path / "demo.png"), "Made in", "Next:"):
        assert words in told


@pytest.mark.parametrize("name", ["demo.mp4", "demo.png"])
def test_the_demo_does_not_replace_what_is_someone_elses(tmp_path, capsys, name):
    (tmp_path / name).write_bytes(b"my holidays")
    assert main(["demo", "-o", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == b"my holidays"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_picture_becomes_a_file_with_its_settings(tmp_path, picture, capsys):
    picture.save(tmp_path / "kite.png")
    out = tmp_path / "kite.webm"
    flags = ["--motion-bucket-id", "180", "--fps", "12", "--seed", "3", "--guidance", "triangle"]
    assert main(["animate", str(tmp_path / "kite.png"), "-o", str(out), *QUICK, *flags]) == 0
    request = sk.Clip.open(out).recipe["request"]
    assert request["seed"] == 3
    assert request["settings"]["motion_bucket_id"] == 180
    assert request["settings"]["guidance"] == "triangle"
    assert "kite.webm" in capsys.readouterr().out


def test_a_folder_of_pictures_becomes_a_folder_of_clips(tmp_path, picture, capsys):
    (tmp_path / "in").mkdir()
    for name in ("b.png", "a.jpg"):
        picture.save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("not a picture")
    (tmp_path / "in" / "broken.png").write_text("not a picture either")
    assert main(["animate", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *QUICK]) == 1
    assert {file.name for file in (tmp_path / "out").glob("*.mp4")} == {"a.mp4", "b.mp4"}
    told = capsys.readouterr().err
    assert "broken.png" in told
    assert "1 of 3 pictures failed" in told


def test_by_products_of_a_clip_are_not_animated(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    for _ in range(2):
        assert main(["animate", str(tmp_path), "-o", str(tmp_path), *QUICK]) == 0
    assert [file.name for file in tmp_path.glob("*.mp4")] == ["a.mp4"]
    picture.save(tmp_path / "my.input.png")  # of no clip: it only has such a name
    (tmp_path / "a.png.json").write_text("[1, 2]")  # a note of the user's, and no recipe
    sk.Clip([picture] * 2).save(tmp_path / "film.gif")
    assert main(["animate", str(tmp_path), "-o", str(tmp_path), *QUICK]) == 0
    assert {file.name for file in tmp_path.glob("*.mp4")} == {"a.mp4", "my.input.mp4"}


def test_what_cannot_be_saved_is_told_before_the_work(tmp_path, picture, capsys):
    picture.save(tmp_path / "a.png")
    (tmp_path / "mine.mp4").write_bytes(b"my film")
    (tmp_path / "file").write_text("no folder")
    for out, flags in (
        ("mine.mp4", []),
        ("file/x.mp4", []),
        ("x.gif", ["--fps", "60"]),
        ("x.avi", []),
    ):
        command = ["animate", str(tmp_path / "a.png"), "-o", str(tmp_path / out), *flags]
        assert main([*command, "--model", "someone/would-be-downloaded"]) == 1
        assert "would-be-downloaded" not in capsys.readouterr().err


def test_a_console_without_our_signs_is_no_obstacle(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    for arguments in (["models"], ["animate", "a.png", "-o", "a.mp4", *QUICK]):
        run = subprocess.run(
            [sys.executable, "-m", "svdkit", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
            capture_output=True,
        )
        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.jpg", "-o", "x.mp4", *QUICK], "'none.jpg' is not there"),
        (["", "-o", "x.mp4", *QUICK], "The path is empty"),
        (["a.jpg", "-o", "x.mp4", "--seed", "-3"], "seed is -3"),
        (["a.jpg", "-o", "x.mp4", "--motion-bucket-id", "300"], "Try 180"),
        ([".", "-o", "x.mp4", *QUICK], "holds no picture"),
    ],
)
def test_what_goes_wrong_is_told_in_a_line(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(["animate", *arguments]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []


def test_two_pictures_do_not_become_one_file(tmp_path, picture, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        picture.save(tmp_path / folder / "k.png")
    for out, said in (
        ("x.mp4", "there are 2 pictures; give a folder"),
        ("out", "Several pictures"),
    ):
        assert main(["animate", "a/k.png", "b/k.png", "-o", out, *QUICK]) == 1
        assert said in capsys.readouterr().err
    assert main(["animate", "a/k.png", "-o", "x.mp4", "--model", "svd-tx"]) == 1
    assert "Did you mean svd-xt" in capsys.readouterr().err


def test_the_table_of_models_names_each_with_its_terms(capsys):
    assert main(["models"]) == 0
    told = capsys.readouterr().out
    for model in (*sk.MODELS.values(), *sk.PROMPT_MODELS.values()):
        assert model.name in told
        assert model.licence.may in told
        assert (model.licence.notice or "") in told
    assert "(gated)" in told


@pytest.mark.parametrize(
    "flags", [["--focus", "middle"], ["--focus", "1"], ["--guidance", "foo"], ["--fps", "quick"]]
)
def test_a_wrong_flag_is_refused_by_the_parser(capsys, flags):
    with pytest.raises(SystemExit):
        main(["animate", "a.jpg", "-o", "x.mp4", *flags])
    assert flags[0] in capsys.readouterr().err


def test_a_reader_that_stops_early_is_no_error():
    command = f"set -o pipefail; {sys.executable} -m svdkit models | head -1"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_the_command_is_installed():
    command = shutil.which("svdkit", path=str(sys.prefix) + "/bin") or shutil.which("svdkit")
    run = subprocess.run([command, "--help"], capture_output=True, text=True)
    for name in ("demo", "animate", "models"):
        assert name in run.stdout


def test_listing_models_and_help_load_nothing_heavy():
    code = (
        "import sys; from svdkit.cli import main; main(['models']); print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip().endswith("False")


def test_a_clip_is_made_again_and_the_exit_code_says_whether_it_is_the_same(
    made, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    made.save("kite.mp4")
    assert main(["rerun", "kite.mp4", "-o", "again.mp4"]) == 0
    assert "kite.mp4: identical" in capsys.readouterr().out
    assert len(sk.Clip.open("again.mp4")) == len(made)
    (tmp_path / "kite.mp4.input.png").unlink()
    (tmp_path / "kite.mp4.json").unlink()
    assert main(["rerun", "kite.mp4"]) == 1
    assert "missing: the picture" in capsys.readouterr().out
    made.inputs[0].save("fitted.png")
    assert main(["rerun", "kite.mp4", "--image", "fitted.png"]) == 0
    assert main(["rerun", "none.mp4"]) == 1
    assert "is not there" in capsys.readouterr().err


def test_the_doctor_reports_and_its_exit_code_says_whether_all_is_well(capsys, monkeypatch):
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert "Nothing is wrong." in told
    assert "ffmpeg" in told


def test_a_web_address_names_its_clip(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    address = "http://127.0.0.1:9/photos/kite.jpg?key=secret"
    assert main(["animate", address, "-o", "clips", "--model", "tiny", *QUICK]) == 1
    told = capsys.readouterr().err
    assert "http://127.0.0.1:9/photos/kite.jpg is in a private network" in told
    assert "secret" not in told


def test_a_clip_can_be_made_again_into_a_folder_of_frames(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made.save("kite.mp4")
    assert main(["rerun", "kite.mp4", "-o", "frames"]) == 0
    assert len(list((tmp_path / "frames").glob("frame_*.png"))) == len(made)


@pytest.mark.parametrize(
    ("path", "said"), [("", "The path is empty"), ("https://a.b/c.mp4", "A web address is no path")]
)
def test_what_is_no_path_is_told(capsys, path, said):
    with pytest.raises(SystemExit):
        main(["rerun", path])
    assert said in capsys.readouterr().err


def test_hidden_files_and_folders_are_no_pictures(tmp_path, picture, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "z.jpg").mkdir(parents=True)
    picture.save(tmp_path / "in" / ".hidden.png")
    picture.save(tmp_path / "in" / "kite.png")
    assert main(["animate", "in", "-o", "out", "--model", "tiny", *QUICK]) == 0
    assert [file.name for file in (tmp_path / "out").glob("*.mp4")] == ["kite.mp4"]


def test_a_sweep_runs_goes_on_and_shows_itself(tmp_path, capsys):
    few = ["--num-inference-steps", "1", "--num-frames", "3", "--height", "32", "--width", "56"]
    folder = tmp_path / "runs"
    Image.new("RGB", (64, 64), "navy").save(tmp_path / "blue.png")
    command = ["sweep", str(tmp_path / "blue.png"), "--model", "tiny", "-o", str(folder), *few]
    assert main([*command, "--motion-bucket-id", "60,180", "--seed", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.count(".mp4  motion_bucket_id ") == 2
    assert "motion 0." in printed
    assert (folder / "sweep.html").read_text(encoding="utf-8").count("<video") == 2
    before = {file: file.stat().st_mtime_ns for file in folder.glob("*.mp4")}
    assert main([*command, "--motion-bucket-id", "60,180,240", "--seed", "1"]) == 0
    assert len(sk.Sweep.open(folder)) == 3
    assert all(file.stat().st_mtime_ns == when for file, when in before.items())


def test_a_sweep_compares_guidances_and_qualities(tmp_path, capsys):
    few = ["--num-frames", "3", "--height", "32", "--width", "56", "--seed", "1"]
    command = ["sweep", str(SAMPLE), "--model", "tiny", "-o", str(tmp_path / "runs"), *few]
    assert main([*command, "--quality", "exact,draft", "--guidance", "linear,triangle"]) == 0
    printed = capsys.readouterr().out
    assert "guidance linear · quality exact" in printed
    assert "guidance triangle · quality draft" in printed
    made = [cell.clip.recipe["request"]["settings"] for cell in sk.Sweep.open(tmp_path / "runs")]
    assert [settings["quality"] for settings in made].count("draft") == 2


def test_a_sweep_goes_to_workers(tmp_path, capsys):
    few = ["--num-inference-steps", "1", "--num-frames", "3", "--height", "32", "--width", "56"]
    command = ["sweep", str(SAMPLE), "--model", "tiny", "-o", str(tmp_path / "runs"), *few]
    assert main([*command, "--seed", "1,2", "--workers", "2"]) == 0
    assert len(sk.Sweep.open(tmp_path / "runs")) == 2
    assert main([*command, "--workers", "1", "--device", "cpu"]) == 1
    assert "--memory and --device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--fps", "6,fast"], "'6,fast' is no list"),
        (["--fps", "0"], "fps is 0"),
        (["--quality", "exact,quick"], "quality is 'quick'; it is one of exact, fast, draft"),
        (["--quality", "fast", "--num-inference-steps", "2"], "num_inference_steps is 2"),
        (["--metrics", "speed"], "'speed' is no metric"),
        (["--workers", "0"], "--workers is 0"),
        (["--workers", "1", "--scheduler", "tcp://127.0.0.1:1"], "not allowed with"),
    ],
)
def test_a_sweep_that_cannot_be_is_told(tmp_path, capsys, words, told):
    command = ["sweep", str(SAMPLE), "--model", "tiny", "-o", str(tmp_path / "runs")]
    try:
        code = main([*command, *words])
    except SystemExit as stopped:
        code = stopped.code
    assert code in (1, 2)
    assert told in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
