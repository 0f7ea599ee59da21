import io
import itertools
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

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
        np.full((30, 40, 3), 200 * 257, ">u2"),
        np.full((60, 80, 3), 200, np.uint8)[::-2, ::-2],
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
        ("http://127.0.0.1/kite.jpg", ValueError, ["private network", "private=True"]),
        ("s3://bucket/kite.jpg", ValueError, ["s3://bucket/kite.jpg", "save the picture"]),
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
        (np.zeros((5, 5), complex), ValueError, ["complex128", "numbers are needed"]),
        (np.zeros((5, 5), "m8[s]"), ValueError, ["timedelta64", "numbers are needed"]),
        (np.array(5), ValueError, ["shape ()"]),
        (np.broadcast_to(np.uint8(0), (10**6, 10**6, 3)), ValueError, ["too large"]),
        (torch.zeros(3, 5, 5, device="meta"), ValueError, ["cannot be read as numbers"]),
        (torch.zeros(5, 5).to_sparse(), ValueError, ["cannot be read as numbers"]),
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


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "WEBP"])
def test_other_kinds_that_unfold_beyond_reason_are_refused_too(kind):
    small = io.BytesIO()
    pages = [Image.new("1", (40, 30)), Image.new("1", (40, 30), 1)]
    pages[0].save(small, kind, save_all=True, append_images=pages[1:])
    data = bytearray(small.getvalue())
    if kind == "TIFF":  # the entries for width and height, in which numbers stand last
        for tag in (256, 257):
            place = data.index(struct.pack("<HHL", tag, 4, 1)) + 8
            data[place : place + 4] = struct.pack("<L", 60000)
    elif kind == "GIF":
        data[6:10] = struct.pack("<HH", 60000, 60000)
    else:
        place = data.index(b"VP8X") + 12
        data[place : place + 6] = 2 * (15999).to_bytes(3, "little")
    with pytest.raises(ValueError, match=r"bytes is (too large to open|damaged|no picture)"):
        sk.open_image(data)


NOTES = {"exif": b"Exif\0\0MM\0*", "comment": b"at home", "dpi": (72, 72)}


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "I;16"])
def test_no_notes_of_a_camera_go_on(mode):
    image = Image.new(mode, (4, 3))
    image.info.update(NOTES)
    opened = sk.open_image(image)
    assert opened.info == {}
    assert not opened.getexif()
    assert image.info == NOTES  # and the caller's picture keeps its own


def test_a_place_in_a_photo_does_not_go_on():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), COLOUR).save(stream, "JPEG", exif=exif)
    opened = sk.open_image(stream.getvalue())
    assert opened.size == (30, 40)
    assert opened.info == {}
    assert not opened.getexif()


@pytest.mark.parametrize("exif", [b"Exif\0\0broken", b"Exif\0\0II*\0\xff\xff\xff\xff", b"\0"])
def test_a_picture_with_broken_notes_opens(exif):
    image = Image.new("RGB", (4, 3), COLOUR)
    image.info["exif"] = exif
    assert sk.open_image(image).getpixel((0, 0)) == COLOUR


def test_what_pillow_raises_on_odd_data_is_told(monkeypatch):
    class Odd(Image.Image):
        def __init__(self, error):
            super().__init__()
            self.error = error

        def load(self):
            raise self.error

    odd = [IndexError, KeyError, zlib.error, struct.error, OverflowError, AssertionError]
    for kind in [*odd, TypeError, RuntimeError, MemoryError, RecursionError]:
        with pytest.raises(ValueError, match=f"PIL picture is damaged: {kind.__name__}?"):
            sk.open_image(Odd(kind("it")))
    with pytest.raises(KeyboardInterrupt):
        sk.open_image(Odd(KeyboardInterrupt()))


def test_a_path_at_home_is_shown_without_its_owner(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "words.png").write_text("only words")
    for name, kind in (("words.png", ValueError), ("none.png", FileNotFoundError)):
        with pytest.raises(kind, match=rf"^'~/{name}' is n") as error:
            sk.open_image(tmp_path / name)
        assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("at", [-1, float("nan"), float("inf"), "1", True, 1j, [1]])
def test_a_wrong_time_is_told(at):
    with pytest.raises(ValueError, match=r"at is .*; it is a time in seconds"):
        sk.open_image(stripes(), at=at)


@pytest.mark.parametrize("source", [np.zeros((4, 4)), Image.new("L", (4, 4))], ids=["numpy", "PIL"])
def test_what_has_no_time_takes_none(source):
    with pytest.raises(ValueError, match=r"at is 0\.5, and this \w+ has no time; leave at out"):
        sk.open_image(source, at=0.5)


ADOBE_RGB = {"r": (0.60974, 0.31111, 0.01947), "g": (0.20528, 0.62567, 0.06087)} | {
    "b": (0.14919, 0.06322, 0.74457)
}
SRGB = {"r": (0.43607, 0.22249, 0.01392), "g": (0.38515, 0.71687, 0.09708)} | {
    "b": (0.14307, 0.06061, 0.71410)
}
WHITE = (0.96420, 1.0, 0.82491)  # D50, as profiles have it


def fixed(*values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def icc(colours, between, tags):
    """Put tags into a profile, with the few that each must have."""
    text = b"desc" + struct.pack(">II", 0, 5) + b"kite\0" + bytes(75)
    tags = tags | {b"desc": text, b"wtpt": b"XYZ \0\0\0\0" + fixed(*WHITE)}
    tags[b"cprt"] = b"text\0\0\0\0none\0"
    place, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", place + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    kind = b"prtr" if colours == b"CMYK" else b"mntr"
    head = struct.pack(">I4sI", place + len(body), bytes(4), 0x02100000) + kind + colours + between
    head += bytes(12) + b"acsp" + bytes(28) + fixed(*WHITE)
    return head.ljust(128, b"\0") + table + body


def profile_of(columns=None, gamma=563 / 256):
    """Build the least profile: three primaries, or none for grey, and one power curve."""
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256))
    if columns is None:
        return icc(b"GRAY", b"XYZ ", {b"kTRC": curve})
    tags = {f"{name}TRC".encode(): curve for name in "rgb"}
    for name, column in columns.items():
        tags[f"{name}XYZ".encode()] = b"XYZ \0\0\0\0" + fixed(*column)
    return icc(b"RGB ", b"XYZ ", tags)


def in_srgb(pixel, columns=ADOBE_RGB, gamma=563 / 256):
    """Take the known way: power curve, matrix to D50, matrix to sRGB, sRGB's curve."""
    to_white = np.array([columns[name] for name in "rgb"]).T
    linear = to_white @ (np.array(pixel) / 255) ** gamma
    linear = np.clip(np.linalg.inv(np.array([SRGB[name] for name in "rgb"]).T) @ linear, 0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return 255 * curved


LOSSLESS = {"WEBP": {"lossless": True}}
PIXELS = [(200, 100, 50), (60, 160, 90), (128, 128, 128), (30, 40, 120), (255, 255, 255), (0, 0, 0)]


@pytest.mark.parametrize("pixel", PIXELS)
@pytest.mark.parametrize("way", ["PIL", "PNG", "JPEG", "TIFF", "WEBP"])
def test_colours_of_another_space_become_srgb(pixel, way):
    source, profile = Image.new("RGB", (32, 32), pixel), profile_of(ADOBE_RGB)
    if way == "PIL":
        source.info["icc_profile"] = profile
    else:
        stream = io.BytesIO()
        source.save(stream, way, icc_profile=profile, **LOSSLESS.get(way, {}))
        source = stream.getvalue()
        with Image.open(stream) as stored:  # JPEG may have changed it a little
            pixel = stored.getpixel((16, 16))
    opened = sk.open_image(source)
    assert np.abs(np.array(opened.getpixel((16, 16))) - in_srgb(pixel)).max() <= 2
    assert "icc_profile" not in opened.info


def test_transparency_survives_a_profile():
    image = Image.new("RGBA", (4, 4), (200, 100, 50, 255))
    image.putpixel((0, 0), (200, 100, 50, 0))
    image.info["icc_profile"] = profile_of(ADOBE_RGB)
    opened = sk.open_image(image, background="navy")
    assert opened.getpixel((0, 0)) == (0, 0, 128)
    assert np.abs(np.array(opened.getpixel((2, 2))) - in_srgb((200, 100, 50))).max() <= 2


@pytest.mark.parametrize("mode", ["P", "RGBX"])
def test_a_profile_counts_in_other_modes_of_colour(mode):
    image = Image.new("RGB", (4, 4), (255, 0, 255)).convert(mode)
    plain = image.convert("RGB").getpixel((0, 0))
    image.info["icc_profile"] = profile_of(ADOBE_RGB | {"b": ADOBE_RGB["g"], "g": ADOBE_RGB["b"]})
    assert sk.open_image(image).getpixel((0, 0)) != plain


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_of_another_curve_becomes_srgb(mode):
    image = Image.new("L", (4, 4), 128).convert(mode) if mode != "I;16" else picture_of(mode)
    value = 128 if mode != "I;16" else 200
    image.info["icc_profile"] = profile_of(gamma=1.0)
    expected = in_srgb((value,) * 3, SRGB, 1.0)
    assert np.abs(np.array(sk.open_image(image).getpixel((0, 0))) - expected).max() <= 2


def test_cmyk_goes_through_its_profile():
    """Let a press's table say that its cyan is grey, as no guess would."""
    plain = bytes(range(256))
    corners = itertools.product((0, 1), repeat=4)
    lab = [(255 * (2 - cyan) // 2 * (1 - black), 128, 128) for cyan, _, _, black in corners]
    one = (struct.pack(">i", 65536) + bytes(12)) * 2 + struct.pack(">i", 65536)
    table = b"mft1\0\0\0\0\4\3\2\0" + one + plain * 4 + bytes(sum(lab, ())) + plain * 3
    image = Image.new("CMYK", (4, 4), (255, 0, 0, 0))
    assert np.ptp(sk.open_image(image).getpixel((0, 0))) > 100
    image.info["icc_profile"] = icc(b"CMYK", b"Lab ", {b"A2B0": table})
    assert np.abs(np.array(sk.open_image(image).getpixel((0, 0))) - 119).max() <= 2


def test_srgb_under_any_name_leaves_the_pixels_untouched():
    image = sk.sample_image()
    lcms = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (lcms, lcms.replace(b"sRGB", b"mine"), lcms.replace(b"s\0R\0G", b"m\0i\0n")):
        marked = image.copy()
        marked.info["icc_profile"] = profile
        assert np.array_equal(np.asarray(sk.open_image(marked)), np.asarray(image))


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("RGB", b"broken"),
        ("RGB", profile_of(ADOBE_RGB)[:200]),
        ("RGB", profile_of()),
        ("L", profile_of(ADOBE_RGB)),
        ("CMYK", profile_of(ADOBE_RGB)),
        ("RGB", "text"),
        ("RGB", 7),
    ],
)
def test_a_profile_that_is_broken_or_of_another_mode_is_ignored(mode, profile):
    image = Image.new("RGB", (4, 4), (200, 100, 50)).convert(mode)
    plain = sk.open_image(image).getpixel((0, 0))
    image.info["icc_profile"] = profile
    assert sk.open_image(image).getpixel((0, 0)) == plain


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
