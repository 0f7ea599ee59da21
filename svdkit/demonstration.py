"""The demonstration: the sample picture, animated by the model that comes with svdkit."""

import argparse
import time

from . import __version__
from .models import MODELS
from .paths import shown
from .storage import Bundle
from .video import ENCODERS
from .workshops import landing

MADE_BY = "made by svdkit"


def demo(options: argparse.Namespace) -> int:
    """Animate the sample picture with tiny, and show where the result is."""
    from PIL.PngImagePlugin import PngInfo

    from . import animate, load, sample_image, show_frames

    start = time.perf_counter()
    print("svdkit demo: the sample picture, animated by the model that comes with svdkit.")
    video, sheet = options.out / "demo.mp4", options.out / "demo.png"
    if options.out.suffix.lower() in ENCODERS:
        raise ValueError(f"{shown(options.out)!r} is named like a video; --out takes a folder.")
    Bundle(video).check_free()
    if sheet.is_dir() or (sheet.exists() and MADE_BY.encode() not in sheet.read_bytes()):
        raise FileExistsError(f"{shown(sheet)!r} is there already; name a folder with --out.")
    pipeline = load("tiny")
    clip = animate(sample_image(), pipeline, seed=options.seed)
    clip.save(video)
    mark = PngInfo()
    mark.add_text("Software", f"{MADE_BY} {__version__}")
    with landing(sheet) as draft:
        show_frames(clip).save(draft, pnginfo=mark)
    seconds = time.perf_counter() - start
    settings = clip.recipe["request"]["settings"]
    print(
        f"\n{clip!r}\n"
        f"  video          {shown(video.resolve())}\n"
        f"  contact sheet  {shown(sheet.resolve())}\n"
        f"  recipe         {shown(video.resolve())}.json\n"
        f"Made in {seconds:.1f} s on {clip.recipe['outcome']['device']}: "
        f"{settings['num_inference_steps']} steps, motion bucket {settings['motion_bucket_id']}, "
        f"seed {clip.recipe['request']['seed']}.\n"
        f"{MODELS['tiny'].name}: {MODELS['tiny'].notes}\n\n"
        "Next:\n"
        "  svdkit animate YOUR.jpg -o clip.mp4 --model tiny        the same with your picture\n"
        "  svdkit animate YOUR.jpg -o clip.mp4 --model svd-xt      the real model, on a GPU\n"
        "  svdkit models                                           which models there are\n"
        "  jupyter lab notebooks                                   the lessons, from a clone"
    )
    return 0
