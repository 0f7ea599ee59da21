"""From models back to checkpoints, so that training goes on from what is shipped."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from diffusers import MotionAdapter, StableDiffusionPipeline, StableVideoDiffusionPipeline

from .export import WEIGHTS
from .loop import write_whole
from .train_sight import questions
from .train_vae import CROP_STEPS

STAGES = ("vae", "sight", "sd", "svd", "motion")
TRAINED = re.compile(r"(\d+) steps in (\d+) minutes")  # what export writes on a card


def trained_for(model: Path) -> tuple[int, int]:
    """For how many steps, in how many minutes, a model was trained, as its card says.

    >>> trained_for(WEIGHTS / "tiny")[0] > 6000
    True
    """
    steps, minutes = TRAINED.search((model / "README.md").read_text()).groups()
    return int(steps), int(minutes)


def restore(out: Path, weights: Path = WEIGHTS) -> list[Path]:
    """Write checkpoints of the stages vae, sight, sd, svd and motion below `out` from the models
    below `weights`; returns their paths. Train on from them with --resume.

    The models hold averaged weights in fp16 and nothing of the optimizer or of what `sight` asked
    with, which begin anew, and so does the plan: its minutes are those that come on top of the ones
    that the cards name.

    >>> restore(Path("runs"), Path("nowhere"))
    Traceback (most recent call last):
    FileNotFoundError: nowhere/tiny is missing; there has to be what export writes: tiny, tiny-sd...
    """
    out, weights = Path(out), Path(weights)
    for name in ("tiny", "tiny-sd", "tiny-animatediff"):
        if not (weights / name).exists():
            raise FileNotFoundError(
                f"{weights / name} is missing; there has to be what export writes: tiny, tiny-sd "
                "and tiny-animatediff. Leave out the folder to take those that svdkit brings."
            )
    stages = (*STAGES, "decoders")
    taken = [path for stage in stages if (path := out / stage / "checkpoint.pt").exists()]
    if taken:
        raise FileExistsError(
            f"{taken[0]} exists, and would be lost; choose another --out to train on from models."
        )
    video = StableVideoDiffusionPipeline.from_pretrained(weights / "tiny")
    image = StableDiffusionPipeline.from_pretrained(weights / "tiny-sd")
    adapter = MotionAdapter.from_pretrained(weights / "tiny-animatediff")
    torch.manual_seed(4)  # as stage `sight` begins
    learned = {
        "vae": ("tiny", {"video": video.vae, "image": image.vae}),
        "sd": ("tiny-sd", {"unet": image.unet, "encoder": image.text_encoder}),
        "sight": ("tiny", {"encoder": video.image_encoder, "heads": questions()}),
        "svd": ("tiny", {"unet": video.unet}),
        "motion": ("tiny-animatediff", {"adapter": adapter}),
    }
    written = []
    for stage, (name, networks) in learned.items():
        average = torch.nn.ModuleDict(networks).float().state_dict()
        steps, minutes = trained_for(weights / name)
        checkpoint = {"networks": average, "average": average, "state": {}}
        checkpoint |= {"step": steps, "seconds": 0.0, "earlier_seconds": 60.0 * minutes}
        if stage in ("vae", "sight"):  # the card tells of the UNet
            checkpoint |= {"step": 0, "earlier_seconds": 0.0}
        if stage == "svd":
            checkpoint["state"] = {"sight": 0}
        if stage == "vae":  # on from here, whole frames are learned
            state = {"latent_std": 1 / video.vae.config.scaling_factor}
            checkpoint |= {"step": CROP_STEPS, "state": state}
        path = out / stage / "checkpoint.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda part, whole=checkpoint: torch.save(whole, part))
        written.append(path)
    return written
