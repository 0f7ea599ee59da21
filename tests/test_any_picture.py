"""Whatever is brought gives a picture, or a sentence of ours that helps: thousands of odd ones."""

import io
import warnings
from contextlib import suppress

import numpy as np
import pillow_heif
import pytest
import torch
from fuzzing import inputs, result_or_error
from hypothesis import strategies as st
from PIL import Image

import svdkit as sk

MODES = ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "La"]
MODES += ["RGBX", "RGBa", "I;16", "I;16L", "I;16B", "I;16N"]
KINDS = ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "ICO", "TGA", "JPEG2000", "PCX"]
KINDS += [
    "SGI",
    "DDS",
    "IM",
    "MSP",
    "XBM",
    "ICNS",
    "DIB",
    "BLP",
    "PDF",
    "EPS",
    "SPIDER",
    "AVIF",
    "HEIF",
]
SUFFIXES = [".png", ".jpg", ".gif", ".mp4", ".heic", ".svg", ".txt", "", ".JPEG"]
HINTS = ("pip install", "Save it anew", "work", "picture", "needed", "address", "scale it down")


def picture_or_lesson(source):
    """Fit a picture; else make sure that the error is raised by us, and says something."""
    fitted, error = result_or_error(lambda: sk.fit(sk.open_image(source), 64, 112))
    if error is None:
        assert (fitted.mode, fitted.size, fitted.info) == ("RGB", (112, 64), {})
        return fitted
    assert isinstance(error, (ValueError, OSError, TypeError)), repr(error)
    assert any(hint in str(error) for hint in HINTS), str(error)
    return None


@st.composite
def sizes(draw):
    long, short = draw(st.integers(1, 4000)), draw(st.integers(1, 60))
    return draw(st.permutations((long, short)))


@st.composite
def pictures(draw):
    mode, size = draw(st.sampled_from(MODES)), tuple(draw(sizes()))
    image = Image.new(mode, size)
    if draw(st.booleans()):
        noise = np.random.default_rng(draw(st.integers(0, 99))).bytes
        with suppress(ValueError):  # some modes take no bytes
            image = Image.frombytes(mode, size, noise(len(image.tobytes())))
    return image


def through(kind, mode="RGB", size=(90, 60), **how):
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind, **how)
    return stream.getvalue()


pillow_heif.register_heif_opener()
OTHER_FILES = [through(kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "AVIF", "HEIF")]


@st.composite
def files(draw):
    """A picture in some format, perhaps with notes, frames, wrong bytes, an early or odd end."""
    image, kind = draw(pictures()), draw(st.sampled_from(KINDS))
    stream, more = io.BytesIO(), {}
    if draw(st.booleans()):
        more["icc_profile"] = draw(st.binary(max_size=200))
    if draw(st.booleans()):
        more["exif"] = b"Exif\0\0" + draw(st.sampled_from([b"II*\0", b"MM\0*", b""]))
        more["exif"] += draw(st.binary(max_size=60))
    if kind in ("GIF", "WEBP", "PNG", "TIFF") and draw(st.booleans()):
        more |= {"save_all": True, "append_images": [image.copy()] * draw(st.integers(1, 3))}
    image.encoderinfo = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.save(stream, kind, **more)
    except Exception:  # this format does not take this mode, size or note; PNG takes most
        stream = io.BytesIO()
        Image.new("L", image.size).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    for _ in range(draw(st.integers(0, 4))):
        near_start = draw(st.booleans())
        place = draw(st.integers(0, min(len(data), 200 if near_start else len(data)) - 1))
        data[place] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
        if draw(st.booleans()):
            other = draw(st.sampled_from(OTHER_FILES))
            data += other[draw(st.integers(0, len(other))) :]
    return bytes(data)


@inputs(250, pictures())
def test_any_picture_of_pil(image):
    picture_or_lesson(image)


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_opens(mode):
    assert picture_or_lesson(Image.new(mode, (40, 30)))


@inputs(700, files())
def test_any_bytes_of_a_picture(data):
    picture_or_lesson(data)


@inputs(80, data=files(), suffix=st.sampled_from(SUFFIXES))
def test_any_file_under_any_name(data, suffix, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"kite{suffix}"
    path.write_bytes(data)
    picture_or_lesson(path)
    picture_or_lesson(str(path))


STARTS = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\0", b"MM\0*", b"BM", b"8BPS\0\1"]
STARTS += [
    b"RIFF\0\0\0\0WEBPVP8X",
    b"\0\0\0\x1cftypavif",
    b"\0\0\0\x1cftypheic",
    b"",
    b"P6 9 9 255 ",
]
STARTS += [b"\x00\x00\x01\x00\x01\x00", b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"qoif", b"\x93NUMPY"]


@inputs(250, start=st.sampled_from(STARTS), rest=st.binary(max_size=300))
def test_any_bytes_after_any_start(start, rest):
    picture_or_lesson(start + rest)


@inputs(
    12,
    start=st.sampled_from([b"\x1aE\xdf\xa3", b"FLV\x01", b"OggS", b"\0\0\0\x18ftypisom"]),
    rest=st.binary(max_size=300),
)
def test_any_bytes_after_the_start_of_a_video(start, rest):
    picture_or_lesson(start + rest)


NUMBERS = ["u1", "i1", "u2", ">u2", "i2", "i4", "u4", "i8", "u8", "f2", "f4", ">f4", "f8", "g"]
OTHERS = ["?", "c8", "c16", "M8[s]", "m8[s]", "U3", "S3", "O", "V4", [("r", "u1"), ("g", "u1")]]
SIDES = st.one_of(st.sampled_from([0, 1, 2, 3, 4]), st.integers(1, 300))


@st.composite
def arrays(draw):
    dtype = np.dtype(draw(st.sampled_from(NUMBERS + OTHERS)))
    shape = tuple(draw(st.lists(SIDES, max_size=4)))
    if np.prod(shape, dtype=float) > 1_000_000:
        shape = shape[:2]
    array = np.zeros(shape, dtype)
    if dtype.kind in "iufc" and array.size:
        fill = [0, 1, 0.5, 255, 65535, -1, 1e30, np.nan, np.inf, -np.inf]
        fill = [value for value in fill if _holds(dtype, value)]
        array[...] = draw(st.sampled_from(fill))
        array.flat[draw(st.integers(0, array.size - 1))] = draw(st.sampled_from(fill))
    if array.ndim and draw(st.booleans()):
        array = array[
            tuple(slice(None, None, draw(st.sampled_from([-2, -1, 1, 2]))) for _ in shape)
        ]
    if draw(st.booleans()):
        array = array.T
    return array


def _holds(dtype, value):
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.isfinite(value) and value == int(value) and limits.min <= value <= limits.max
    return not np.isfinite(value) or abs(value) <= float(np.finfo(dtype).max)


@inputs(400, arrays())
def test_any_array(array):
    picture_or_lesson(array)


@inputs(
    150,
    arrays(),
    st.sampled_from([None, torch.bfloat16, torch.float16, torch.bool, torch.complex64]),
)
def test_any_tensor(array, dtype):
    try:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
    except (TypeError, ValueError):  # torch has no such dtype
        tensor = torch.zeros(array.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of casting complex numbers away
        picture_or_lesson(tensor if dtype is None else tensor.to(dtype))


class Unwilling:
    def __init__(self, error):
        self.error = error

    def __array__(self, *_, **__):
        raise self.error


@pytest.mark.parametrize(
    "source",
    [
        *(Unwilling(kind("no")) for kind in (RuntimeError, MemoryError, OSError, KeyError)),
        np.ma.masked_array(np.zeros((4, 4)), mask=True),
        np.array([[None, 1]]),
        np.memmap,
        torch.zeros(3, 4, 4, device="meta"),
        torch.zeros(4, 4).to_sparse(),
        torch.zeros(4, 4, dtype=torch.complex64).conj(),
        torch.nested.nested_tensor([torch.zeros(3)], layout=torch.jagged),
        torch.nn.Parameter(torch.zeros(4, 4)),
        Image,
        Image.Image(),
        open,
        {"image": 1},
        [[0, 1], [1, 0]],
        [],
        "",
        " ",
        ".",
        "/dev/null",
        "/dev/zero",
        "~",
        "\0",
        "data:image/png;base64,AAAA",
        "http://",
        "https://[",
        "HTTP://127.0.0.1:99999/",
        "file:///etc/passwd",
        b"",
        bytearray(b"GIF89a"),
        memoryview(b"\x89PNG\r\n\x1a\n"),
        memoryview(bytes(64)).cast("B", (8, 8)),
        io.BytesIO(b"GIF89a"),
        1e9,
        True,
    ],
    ids=lambda source: repr(source).partition(" at 0x")[0][:40].replace("\0", "NUL"),
)
def test_whatever_else_is_brought(source):
    picture_or_lesson(source)


ALL_THE_WAY = {
    "one pixel in two colours": Image.new("1", (1, 1), 1),
    "a column": Image.new("CMYK", (1, 4000)),
    "a row": Image.new("LAB", (4000, 1)),
    "premultiplied": Image.new("RGBa", (90, 60)),
    "premultiplied grey": Image.new("La", (90, 60)),
    "a palette with alpha": Image.new("PA", (90, 60)),
    "16 bits the other way": Image.new("I;16B", (90, 60)),
    "an animation": through("GIF", "P", save_all=True, append_images=[Image.new("P", (90, 60), 1)]),
    "JPEG 2000": through("JPEG2000", "RGBA"),
    "a broken profile": through("PNG", icc_profile=b"no profile"),
    "floats in half": np.full((60, 90, 3), 0.5, np.float16),
    "upside down": np.zeros((60, 90, 4), ">u2")[::-1, ::-2],
}


@pytest.mark.parametrize("name", ALL_THE_WAY)
def test_an_odd_picture_goes_all_the_way(name):
    quick = {"num_inference_steps": 1, "num_frames": 2, "progress": False}
    assert len(sk.animate(ALL_THE_WAY[name], "tiny", seed=1, **quick)) == 2
