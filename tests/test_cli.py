import shutil
import subprocess
import sys

import pytest

import svdkit as sk
from svdkit.cli import main

QUICK = ["--model", "tiny", "--num-frames", "2", "--num-inference-steps", "1"]


def test_the_demo_leaves_a_video_a_sheet_and_what_to_type_next(tmp_path, capsys):
    for _ in range(2):  # it may be run again
        assert main(["demo", "-o", str(tmp_path)]) == 0
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.jpg", "-o", "x.mp4", *QUICK], "'none.jpg' is not there"),
        (["none.jpg", "-o", "x.avi", *QUICK], "x.avi"),
        (["a.jpg", "b.jpg", "-o", "x.mp4", *QUICK], "there are 2 pictures; give a folder"),
        (["a/k.jpg", "b/k.jpg", "-o", "out", *QUICK], "Several pictures would become"),
        (["a.jpg", "-o", "x.mp4", "--motion-bucket-id", "300"], "Try 180"),
        (["a.jpg", "-o", "x.mp4", "--model", "svd-tx"], "Did you mean svd-xt"),
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


def test_the_table_of_models_names_each_with_its_terms(capsys):
    assert main(["models"]) == 0
    told = capsys.readouterr().out
    for model in sk.MODELS.values():
        assert model.name in told
        assert model.licence.terms in told
    assert "(gated)" in told


def test_a_wrong_flag_is_refused_by_the_parser(capsys):
    with pytest.raises(SystemExit):
        main(["animate", "a.jpg", "-o", "x.mp4", "--focus", "middle"])
    assert "--focus" in capsys.readouterr().err


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
