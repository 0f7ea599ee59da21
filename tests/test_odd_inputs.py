"""Odd pictures and odd settings, through the whole of animate: a clip, or an error that helps."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from small_settings import QUICK

import svdkit as sk


def encoded(image, kind, **how):
    stream = io.BytesIO()
    image.save(stream, kind, **how)
    return stream.getvalue()


RED = Image.new("RGB", (90, 60), "red")
ODD_PICTURES = {
    "one pixel": Image.new("RGB", (1, 1)),
    "one column": Image.new("RGB", (1, 900)),
    "one row": Image.new("RGB", (900, 1)),
    "a tall one": Image.new("RGB", (30, 2000)),
    "a huge one": Image.new("RGB", (6000, 4000)),
    "odd sides": Image.new("RGB", (113, 65)),
    "black and white": Image.new("1", (90, 60)),
    "grey": Image.new("L", (90, 60)),
    "grey with alpha": Image.new("LA", (90, 60)),
    "all transparent": Image.new("RGBA", (90, 60)),
    "a palette": RED.convert("P"),
    "CMYK": RED.convert("CMYK"),
    "a CMYK JPEG": encoded(RED.convert("CMYK"), "JPEG"),
    "16 bits": Image.fromarray(np.full((60, 90), 40000, np.uint16)),
    "a 16-bit PNG": encoded(Image.fromarray(np.full((60, 90), 40000, np.uint16)), "PNG"),
    "32-bit numbers": Image.fromarray(np.full((60, 90), 40000, np.int32)),
    "floats": Image.fromarray(np.full((60, 90), 0.5, np.float32)),
    "a GIF": encoded(RED, "GIF"),
    "a BMP": encoded(RED, "BMP"),
    "a TIFF": encoded(RED, "TIFF"),
    "a WebP": encoded(RED, "WEBP"),
    "a float array": np.full((60, 90, 3), 0.5),
    "a tensor": torch.rand(3, 60, 90, generator=torch.manual_seed(0)),
    "a tensor in bfloat16": torch.zeros(1, 3, 60, 90, dtype=torch.bfloat16),
}


@pytest.mark.parametrize("name", ODD_PICTURES)
def test_an_odd_picture_gives_a_clip(name):
    settings = QUICK | {"num_frames": 2, "num_inference_steps": 1}
    assert len(sk.animate(ODD_PICTURES[name], "tiny", seed=1, **settings)) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"height": 16, "width": 16},
        {"height": 24, "width": 200},
        {"height": 200, "width": 24},
        {"num_frames": 2, "decode_chunk_size": 1000},
        {"num_frames": 3, "decode_chunk_size": 2},
        {"fps": 240},
        {"fps": 1},
        {"motion_bucket_id": 0},
        {"motion_bucket_id": 255},
        {"noise_aug_strength": 0},
        {"noise_aug_strength": 10},
        {"min_guidance_scale": 0, "max_guidance_scale": 0},
        {"min_guidance_scale": 3, "max_guidance_scale": 3},
        {"min_guidance_scale": 0.5, "max_guidance_scale": 1.5},
        {"max_guidance_scale": 100},
        {"guidance": [0, 0]},
        {"guidance": [9, 1]},
        {"guidance": np.array([1.0, 2.0])},
        {"guidance": "triangle"},
        {"num_inference_steps": 1},
        {"seed": 2**63 - 1},
        {"seed": np.int64(5)},
        {"how": "pad", "focus": (0, 1)},
        {"how": "stretch"},
        {"height": None, "num_frames": None},
    ],
    ids=str,
)
def test_odd_settings_give_a_clip(picture, settings):
    usual = {"num_frames": 2, "num_inference_steps": 1, "progress": False, "seed": 1}
    clip = sk.animate(picture, "tiny", **usual | settings)
    assert clip.frames.dtype == np.uint8
    assert len(clip) == (settings.get("num_frames", 2) or 14)
