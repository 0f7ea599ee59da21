import numpy as np
import pytest

import svdkit as sk


def test_a_contact_sheet_has_a_place_for_every_frame(clip):
    sheet = sk.show_frames(clip, columns=3, width=112)
    pixels = np.asarray(sheet)
    line = sheet.height // 2 - 64 - 4
    for number in range(6):
        x, y = number % 3 * 116, number // 3 * (sheet.height // 2) + line
        assert abs(pixels[y + 50, x + 100].astype(int) - 30 * number).max() <= 1


def test_a_contact_sheet_numbers_its_frames(clip):
    """The strips above frame 0 and frame 1 differ in nothing but their number."""
    pixels = np.asarray(sk.show_frames(clip, columns=2, width=112))
    strip = pixels[:12]
    first, second = strip[:, :112], strip[:, 116:228]
    assert (first != 255).any()
    assert (second != 255).any()
    assert not np.array_equal(first, second)


def test_a_contact_sheet_displays_itself_as_png(clip):
    assert sk.show_frames(clip)._repr_png_()[1:4] == b"PNG"


def test_a_grid_shows_every_clip_under_its_title(clip):
    shown = sk.show_clips({"slow & low": clip, "quick": clip.at(fps=24)}, columns=1)._repr_html_()
    assert shown.count('<video src="data:video/mp4;base64,') == 2
    assert shown.count("<tr>") == 2
    assert "slow &amp; low" in shown
    for tag in ("<source", "<script", "<style"):
        assert tag not in shown


def test_a_list_of_clips_is_numbered(clip):
    assert repr(sk.show_clips([clip, clip])) == "Grid(0, 1)"


def test_titles_may_be_numbers(clip):
    assert repr(sk.show_clips({60: clip, 127: clip})) == "Grid(60, 127)"


@pytest.mark.parametrize("size", [(2, 1600), (1600, 2)])
def test_clips_of_extreme_shapes_are_shown(size):
    thin = sk.Clip(np.zeros((2, *size, 3), np.uint8))
    assert sk.show_frames(thin).width > 100
    assert sk.show_clips([thin])._repr_mimebundle_()["image/png"]


def test_displaying_changes_nothing(clip):
    clips = {"one": clip}
    grid = sk.show_clips(clips)
    first = grid._repr_mimebundle_()
    assert grid._repr_mimebundle_() == first
    assert clips == {"one": clip}


def test_a_grid_falls_back_to_a_picture_and_saves_it(clip, tmp_path):
    grid = sk.show_clips([clip, clip])
    assert grid._repr_mimebundle_()["image/png"].startswith("iVBOR")
    saved = grid.save(tmp_path / "grids" / "grid.png")
    assert sk.open_image(saved).size == grid.image().size
    with pytest.raises(ValueError, match=r"'grid\.mp4' should end in \.png"):
        grid.save("grid.mp4")
    assert grid.save(saved) == saved  # what it saved itself it may replace


def test_a_grid_replaces_no_picture_of_others(clip, tmp_path):
    mine = tmp_path / "holiday.png"
    sk.sample_image().save(mine)
    before = mine.read_bytes()
    with pytest.raises(FileExistsError, match=r"holiday\.png' is there already .*overwrite=True"):
        sk.show_clips([clip]).save(mine)
    assert mine.read_bytes() == before
    sk.show_clips([clip]).save(mine, overwrite=True)
    assert mine.read_bytes() != before


def test_a_comparison_measures_and_amplifies_the_difference(clip):
    brighter = sk.Clip(np.clip(clip.frames.astype(int) + 2, 0, 255).astype(np.uint8), clip.fps)
    grid = sk.compare_clips(clip, brighter)
    label = list(grid.clips)[2]
    assert "at most 2 of 255, PSNR 42.1 dB" in label
    assert grid.clips[label].frames.max() == 254


def test_equal_clips_have_no_difference(clip):
    assert "no difference" in sk.compare_clips(clip, clip).clips


def test_clips_of_two_lengths_are_compared_as_far_as_both_go(clip):
    label = list(sk.compare_clips(clip, clip[:4]).clips)[2]
    assert label == "no difference (first 4 frames)"


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda clip: sk.show_clips(clip), TypeError, "several clips"),
        (lambda clip: sk.show_clips([]), ValueError, "no clips"),
        (lambda clip: sk.show_clips({"a": 3}), TypeError, "clip is 3; it is a Clip"),
        (lambda clip: sk.show_frames("b.mp4"), TypeError, r"Clip\.open"),
        (lambda clip: sk.scrub("b.mp4"), TypeError, r"Clip\.open"),
        (lambda clip: sk.compare_clips(clip, "b.mp4"), TypeError, "'b.mp4'; it is a Clip"),
        (lambda clip: sk.compare_clips(clip, clip, titles=("x", "x")), ValueError, "two different"),
        (lambda clip: sk.show_clips([clip], columns=0), ValueError, "columns is 0"),
        (lambda clip: sk.show_frames(clip, columns="2"), ValueError, "columns is '2'"),
        (lambda clip: sk.show_frames(clip, width=4), ValueError, "width is 4"),
        (
            lambda clip: sk.compare_clips(clip, sk.Clip(np.zeros((2, 8, 8, 3), np.uint8))),
            ValueError,
            "64×112 and 8×8",
        ),
    ],
)
def test_what_cannot_be_shown_is_told(clip, call, kind, said):
    with pytest.raises(kind, match=said):
        call(clip)


def test_the_scrubber_shows_the_frame_that_its_slider_names(clip):
    import io

    from PIL import Image

    picture, slider, play = sk.scrub(clip).children
    slider.value = 4
    shown = np.asarray(Image.open(io.BytesIO(picture.value)))
    assert np.array_equal(shown, clip.frames[4])
    assert (slider.max, play.max) == (5, 5)


def test_columns_may_be_a_whole_number_of_numpys(clip):
    assert sk.show_frames(clip, columns=np.int64(3)).size == sk.show_frames(clip, columns=3).size
