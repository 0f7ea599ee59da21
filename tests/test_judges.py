"""The judges that svdkit brings: one of drawings, and five of motion, which vote."""

import json

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from svdkit.toyland import train_judges
from svdkit.toyland.judge import load_judge, painted_scenes, random_captions
from svdkit.toyland.jury import Jury, load_jury
from svdkit.toyland.measures import worn
from svdkit.toyland.motion_judge import right_about_painted
from svdkit.toyland.scenes import captions
from svdkit.toyland.train_judges import train_jury

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


def test_the_judge_that_svdkit_brings_knows_painted_pictures():
    judge, (named, pictures) = load_judge(CPU), painted_scenes(60, torch.Generator().manual_seed(1))
    assert min(judge.right(pictures, named).values()) >= 0.9
    soft = interpolate(adaptive_avg_pool2d(pictures, (32, 56)), (64, 112), mode="bilinear")
    grainy = pictures + 0.1 * torch.randn(pictures.shape, generator=torch.Generator())
    assert min(judge.right(soft, named)["thing"], judge.right(grainy, named)["thing"]) >= 0.85


def test_all_that_judges_learn_from_is_grainy_and_half_of_it_soft():
    checks = 2.0 * (torch.arange(8)[:, None] + torch.arange(14)) % 4 - 1
    pictures = checks.expand(1, 1, 3, 8, 14)
    seen = [worn(pictures, torch.Generator().manual_seed(seed)) for seed in range(40)]
    assert not any(torch.equal(some, pictures) for some in seen)
    soft = [some.abs().mean() < 0.5 for some in seen]
    assert 10 < sum(soft) < 30


def test_judges_are_asked_about_more_pictures_than_there_are_captions():
    many = len(captions()) + 1
    named = random_captions(many, torch.Generator().manual_seed(0))
    assert (len(named), len(set(named))) == (many, many - 1)


def test_judges_are_trained_into_a_folder_and_told_of(tmp_path, capsys):
    train_judges.main(
        ["motion", "drawings", "--steps", "1", "--scenes", "2", "--out", str(tmp_path)]
    )
    told = json.loads(capsys.readouterr().out)
    assert told["motion"].keys() == {"forwards", "backwards", "jumbled", "still"}
    assert told["drawings"].keys() == {"sky", "ground", "thing", "colour", "background"}
    files = [tmp_path / "drawing-judge.safetensors", tmp_path / "motion-judges.safetensors"]
    assert sorted(tmp_path.iterdir()) == files
    drawings, motion = load_judge(CPU, files[0]), load_jury(CPU, files[1])
    for one in (drawings, *motion.judges):
        assert one.look[1].num_batches_tracked == 1


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["motion", "--out", "nowhere"], "--out is nowhere; it is a folder that is there"),
        (["motion", "--out", ".", "--steps", "-1"], "--steps is -1; it is 1 or more"),
        (["drawings", "--out", ".", "--scenes", "0"], "--scenes is 0; it is 1 or more"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_said_before_it_is_tried(asked, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as error:
        train_judges.main(asked)
    assert told in str(error.value)
    assert list(tmp_path.iterdir()) == []
