import numpy as np
import pytest
from PIL import Image

import svdkit as sk


def test_a_grid_is_every_combination_in_order():
    cells = sk.grid(motion_bucket_id=[60, 180], fps=range(6, 8), seed=3)
    assert cells == [
        {"motion_bucket_id": bucket, "fps": fps, "seed": 3}
        for bucket in (60, 180)
        for fps in (6, 7)
    ]


def test_a_grid_of_nothing_is_one_cell_at_the_defaults():
    assert sk.grid() == [{}]


def test_grids_add_up():
    assert len(sk.grid(fps=[6, 12]) + sk.grid(seed=[1, 2, 3])) == 5


def test_arrays_and_generators_are_axes_too():
    assert (
        sk.grid(fps=np.array([6, 12])) == sk.grid(fps=(n for n in (6, 12))) == sk.grid(fps=[6, 12])
    )


def test_numbers_of_numpy_are_values():
    cells = sk.grid(fps=[np.int64(6), np.float32(12)], seed=np.int64(7))
    assert cells == [{"fps": 6, "seed": 7}, {"fps": 12, "seed": 7}]


def test_a_value_that_stands_twice_counts_once():
    assert sk.grid(fps=[6, 6, 12]) == [{"fps": 6}, {"fps": 12}]


def test_a_tuple_is_one_value():
    curve = (1.0, 2.0, 3.0)
    assert sk.grid(guidance=["triangle", curve], focus=(0.5, 0.2)) == [
        {"guidance": "triangle", "focus": (0.5, 0.2)},
        {"guidance": curve, "focus": (0.5, 0.2)},
    ]


def test_arrays_are_curves_and_points_too():
    cells = sk.grid(guidance=[np.array([1.0, 2.0]), "triangle"], focus=np.array([0.5, 0.2]))
    assert [cell["guidance"] for cell in cells] == [(1.0, 2.0), "triangle"]
    assert cells[0]["focus"] == (0.5, 0.2)
    assert sk.grid(fps=np.array(7)) == [{"fps": 7}]


def test_a_folder_of_pictures_is_an_axis(tmp_path):
    for name in ("b.png", "a.jpg"):
        Image.new("RGB", (64, 64)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    cells = sk.grid(image=tmp_path, fps=[6, 12])
    assert [(cell["image"].name, cell["fps"]) for cell in cells] == [
        ("a.jpg", 6),
        ("a.jpg", 12),
        ("b.png", 6),
        ("b.png", 12),
    ]


@pytest.mark.parametrize(
    ("axes", "kind", "told"),
    [
        ({"motion_bucket": [60]}, TypeError, "Did you mean motion_bucket_id"),
        ({"fps": []}, ValueError, "fps has no values"),
        ({"fps": [6, 0]}, ValueError, "fps is 0; 1–240 is allowed"),
        ({"fps": {6: 12}}, TypeError, "fps is {6: 12}"),
        ({"seed": [1, -1]}, ValueError, "seed is -1"),
        ({"seed": range(10**9)}, ValueError, "100000 are the most"),
        ({"seed": range(1000), "fps": range(1, 200)}, ValueError, "a grid of 199000 cells"),
        ({"focus": [(0.5, 2)]}, ValueError, "focus is"),
        ({"focus": [("0.5", "0.5")]}, ValueError, "focus is"),
        ({"image": []}, ValueError, "no pictures"),
        ({"progress": [True]}, TypeError, "'progress' is no axis"),
    ],
)
def test_what_is_no_grid_is_told_at_once(axes, kind, told):
    with pytest.raises(kind) as caught:
        sk.grid(**axes)
    assert told in str(caught.value)
