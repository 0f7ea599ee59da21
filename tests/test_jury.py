"""The judges of motion that svdkit brings: they vote, and know what things do."""

import json

import pytest
import torch

from svdkit.toyland import jury
from svdkit.toyland.jury import Jury, load_jury, train_jury
from svdkit.toyland.motion_judge import right_about_painted

CPU = torch.device("cpu")


def test_most_of_the_judges_decide():
    three = Jury(3).eval()
    for judge, certain in zip(three.judges, (-9.0, 1.0, 2.0), strict=True):
        torch.nn.init.zeros_(judge.say.weight)
        torch.nn.init.constant_(judge.say.bias, certain)
    assert three(torch.zeros(2, 14, 3, 64, 112), ["boat", "sun"]).tolist() == [1.0, 1.0]


def test_judges_differ():
    two = train_jury(1, CPU, judges=2, clips=2)
    first, second = (judge.say.weight for judge in two.judges)
    assert not torch.equal(first, second)


def test_the_judges_that_svdkit_brings_know_how_painted_things_move():
    right = right_about_painted(load_jury(CPU), 18)
    assert min(shares["all"] for shares in right.values()) >= 0.8


def test_judges_are_trained_into_a_file_and_told_of(tmp_path, capsys):
    path = tmp_path / "judges.safetensors"
    jury.main(["--steps", "1", "--scenes", "2", "--out", str(path)])
    assert json.loads(capsys.readouterr().out).keys() == {
        "forwards",
        "backwards",
        "jumbled",
        "still",
    }
    assert len(load_jury(CPU, path).judges) == 5


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--out", "nowhere/judges.safetensors"], "--out is nowhere/judges.safetensors; it is a f"),
        (["--out", "."], "--out is .; it is a file"),
        (["--out", "judges.safetensors", "--steps", "-1"], "--steps is -1; it is 1 or more"),
        (["--out", "judges.safetensors", "--scenes", "0"], "--scenes is 0; it is 1 or more"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_said_before_it_is_tried(asked, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as error:
        jury.main(asked)
    assert told in str(error.value)
