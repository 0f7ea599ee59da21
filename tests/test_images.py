import io

import numpy as np
import pytest
import torch
from PIL import Image

import svdkit as sk

COLOUR = (200, 100, 50)


def picture_of(mode, size=(40, 30)):
    """Make one colour in any of Pillow's modes."""
    if mode.startswith("I;16"):
        return Image.fromarray(np.full(size[::-1], 200 * 257, np.uint16))
    if mode in ("I", "F"):
        return Image.fromarray(
            np.full(
                size[::-1],
                200 * 257 if mode == "I" else 200 / 255,
                "int32" if mode == "I" else "float32",
            )
        )
    return Image.new("RGB", size, COLOUR).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "P"])
def test_colour_survives_every_colour_mode(mode):
    image = picture_of("RGB").convert(mode) if mode != "LAB" else None
    if mode == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(picture_of("RGB"), srgb, lab, outputMode="LAB")
    opened = sk.open_image(image)
    assert opened.mode == "RGB"
    assert np.abs(np.asarray(opened)[0, 0].astype(int) - COLOUR).max() < 16


@pytest.mark.parametrize("mode", ["I;16", "I", "F", "L", "LA"])
def test_grey_survives_every_depth(mode):
    image = picture_of(mode) if mode not in ("L", "LA") else Image.new("L", (40, 30), 200)
    opened = sk.open_image(image.convert(mode) if mode == "LA" else image)
    assert np.unique(np.asarray(opened)).tolist() == [200]


def test_black_and_white_is_black_and_white():
    assert set(np.unique(np.asarray(sk.open_image(Image.new("1", (4, 4), 1))))) == {255}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_put_upright(orientation):
    upright = np.zeros((30, 40, 3), np.uint8)
    upright[:10, :10] = 255  # the top left corner is white
    turn = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(turn(upright))).save(stream, "PNG", exif=exif)
    opened = sk.open_image(stream.getvalue())
    assert opened.size == (40, 30)
    assert opened.getpixel((2, 2)) == (255, 255, 255)


def test_what_is_transparent_shows_the_background():
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    assert sk.open_image(clear).getpixel((0, 0)) == (255, 255, 255)
    assert sk.open_image(clear, background="navy").getpixel((0, 0)) == (0, 0, 128)


def test_an_unknown_background_is_told():
    with pytest.raises(ValueError, match="background is 'rainbow'; a colour"):
        sk.open_image(Image.new("RGBA", (4, 4)), background="rainbow")


def test_a_damaged_picture_of_pil_is_told():
    stream = io.BytesIO()
    sk.sample_image().save(stream, "JPEG")
    cut = Image.open(io.BytesIO(stream.getvalue()[:20000]))
    with pytest.raises(ValueError, match="PIL picture is damaged"):
        sk.open_image(cut)


def test_a_palette_with_a_transparent_colour_shows_the_background():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30] * 256)
    image.info["transparency"] = 0
    assert sk.open_image(image).getpixel((0, 0)) == (255, 255, 255)


def test_a_path_bytes_and_a_picture_give_the_same(tmp_path):
    image = sk.sample_image()
    image.save(tmp_path / "p.png")
    data = (tmp_path / "p.png").read_bytes()
    for source in (str(tmp_path / "p.png"), tmp_path / "p.png", data, bytearray(data)):
        assert np.array_equal(np.asarray(sk.open_image(source)), np.asarray(image))


@pytest.mark.parametrize(
    "array",
    [
        np.full((30, 40, 3), 200, np.uint8),
        np.full((30, 40), 200, np.uint8),
        np.full((30, 40, 1), 200, np.uint8),
        np.full((3, 30, 40), 200, np.uint8),
        np.full((1, 30, 40, 3), 200, np.uint8),
        np.full((30, 40, 3), 200 * 257, np.uint16),
        np.full((30, 40, 3), 200, np.int64),
        np.full((30, 40, 3), 200 / 255, np.float32),
        torch.full((3, 30, 40), 200 / 255),
        torch.full((1, 3, 30, 40), 200 / 255),
        torch.full((3, 30, 40), 200, dtype=torch.uint8),
        torch.full((3, 30, 40), 200 / 255, requires_grad=True),
    ],
    ids=lambda array: f"{array.dtype}{tuple(array.shape)}",
)
def test_arrays_and_tensors_of_any_layout_open(array):
    opened = sk.open_image(array)
    assert opened.size == (40, 30)
    assert np.unique(np.asarray(opened)).tolist() == [200]


def test_half_precision_tensors_open():
    opened = sk.open_image(torch.full((3, 30, 40), 0.5, dtype=torch.bfloat16))
    assert opened.getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("no/such.jpg", FileNotFoundError, ["'no/such.jpg' is not there"]),
        (".", FileNotFoundError, ["is a folder"]),
        ("https://example.com/kite.jpg", ValueError, ["web address", "save the picture"]),
        (b"", ValueError, ["0 bytes", "no picture"]),
        (b"hello, this is text", ValueError, ["19 bytes", "no picture"]),
        (None, TypeError, ["NoneType", "a path"]),
        (7, TypeError, ["int"]),
        (np.zeros((5, 5, 7)), ValueError, ["(5, 5, 7)", "(height, width"]),
        (np.zeros((0, 5, 3)), ValueError, ["(0, 5, 3)"]),
        (np.zeros(5), ValueError, ["(5,)"]),
        (np.full((5, 5, 3), np.nan), ValueError, ["NaN"]),
        (np.full((5, 5, 3), 99.0), ValueError, ["99", "divide by 255"]),
        (np.full((5, 5, 3), -1.0), ValueError, ["-1", "(x + 1) / 2"]),
        (np.full((5, 5, 3), 300), ValueError, ["300"]),
        (np.array([["a"]]), ValueError, ["numbers are needed"]),
        (np.zeros((2, 5, 5, 3), np.uint8), ValueError, ["(2, 5, 5, 3)"]),
        (Image.fromarray(np.full((5, 5), 70000, np.int32)), ValueError, ["70000"]),
        (Image.fromarray(np.full((5, 5), -300, np.int32)), ValueError, ["-300"]),
        ("~kite.jpg", FileNotFoundError, ["'~kite.jpg' is not there"]),
        ("x" * 5000, FileNotFoundError, ["is not there"]),
        ("nul\0.jpg", FileNotFoundError, ["is not there"]),
    ],
    ids=lambda value: None if isinstance(value, Image.Image) else str(value)[:40],
)
def test_what_is_no_picture_is_told(source, kind, said):
    with pytest.raises(kind) as error:
        sk.open_image(source)
    for words in said:
        assert words in str(error.value)


def test_a_truncated_picture_is_told(tmp_path):
    stream = io.BytesIO()
    sk.sample_image().save(stream, "JPEG")
    path = tmp_path / "cut.jpg"
    path.write_bytes(stream.getvalue()[:20000])
    with pytest.raises(ValueError, match=r"cut\.jpg.*damaged"):
        sk.open_image(path)


def test_a_picture_that_unfolds_beyond_reason_is_refused():
    stream = io.BytesIO()
    Image.new("1", (20000, 20000)).save(stream, "PNG")
    assert len(stream.getvalue()) < 100_000
    with pytest.raises(ValueError, match="48610 bytes is too large to open"):
        sk.open_image(stream.getvalue())


def test_a_photo_of_a_hundred_megapixels_opens():
    stream = io.BytesIO()
    Image.new("1", (12000, 9000)).save(stream, "PNG")
    assert sk.fit(stream.getvalue(), 64, 112).size == (112, 64)


def stripes(width=90, height=30):
    """Left third red, middle green, right blue."""
    values = np.zeros((height, width, 3), np.uint8)
    for third in range(3):
        values[:, third * width // 3 : (third + 1) * width // 3, third] = 255
    return Image.fromarray(values)


@pytest.mark.parametrize(("x", "colour"), [(0, 0), (0.5, 1), (1, 2)])
def test_a_crop_keeps_its_focus_in_view(x, colour):
    fitted = np.asarray(sk.fit(stripes(), 30, 30, focus=(x, 0.5)))
    assert fitted.shape == (30, 30, 3)
    assert fitted[15, 15].argmax() == colour


def test_padding_keeps_the_whole_picture_and_stretching_fills_the_frame():
    padded = np.asarray(sk.fit(stripes(), 90, 90, how="pad"))
    assert padded[45, 15].argmax() == 0
    assert padded[45, 85].argmax() == 2
    assert not padded[5].any()
    stretched = np.asarray(sk.fit(stripes(), 90, 90, how="stretch"))
    assert stretched[5, 15, 0] == 255


def test_a_picture_that_fits_is_left_as_it_is():
    image = sk.sample_image()
    for how in ("crop", "pad", "stretch"):
        fitted = sk.fit(image, image.height, image.width, how=how)
        assert np.array_equal(np.asarray(fitted), np.asarray(image))


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (3, 2), (4000, 3000)])
@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
def test_any_size_fits(size, how):
    assert sk.fit(Image.new("RGB", size, COLOUR), 64, 112, how=how).size == (112, 64)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"how": "zoom"}, "'zoom'.*crop, pad, stretch"),
        ({"focus": (2, 0)}, r"\(2, 0\).*fractions"),
        ({"focus": 0.5}, "0.5.*fractions"),
        ({"height": 0}, "height is 0"),
        ({"width": 1.5}, "width is 1.5"),
        ({"width": "a"}, "width is 'a'"),
        ({"width": None}, "width is None"),
        ({"width": float("inf")}, "width is inf"),
    ],
)
def test_a_wrong_fit_is_told(arguments, said):
    with pytest.raises(ValueError, match=said):
        sk.fit(stripes(), **{"height": 30, "width": 30} | arguments)


@pytest.mark.parametrize(
    ("size", "frame"),
    [
        ((1920, 1080), (576, 1024)),
        ((4032, 3024), (576, 1024)),
        ((1080, 1920), (1024, 576)),
        ((3024, 4032), (1024, 576)),
        ((1000, 1000), (768, 768)),
        ((1100, 1000), (768, 768)),
        ((5000, 100), (576, 1024)),
    ],
)
def test_a_picture_gets_the_frame_of_its_shape(size, frame):
    assert sk.natural_frame(size) == frame
