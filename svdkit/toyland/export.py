"""From checkpoints to models: folders that `from_pretrained` loads, in fp16, each with a card that
says what it is.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .architectures import image_pipeline, millions, video_pipeline, video_unet
from .motion_parts import motion_adapter
from .scenes import training_batch
from .train_motion import FPS, MOTION_BUCKET
from .trained import part, read_checkpoint, trained_eye, trained_image_parts, trained_vaes
from .words import tokenizer, write_vocabulary

# What a wheel can carry without being noticed: `tiny` and `tiny-sd` together, and the adapter.
MODELS_MB, ADAPTER_MB = 32, 8
WEIGHTS = Path(__file__).parent / "weights"

CARD = """# {name}

A very small {kind}, trained from nothing on Toyland, the painted world of
`svdkit.toyland.scenes`. {loads}
and draws {height} × {width} pixels on any CPU within seconds. It exists so that svdkit can be
tried, tested and taught anywhere; it knows nothing of the real world.

- **Parameters**: {millions:.1f} million, stored in fp16.
- **Training data**: scenes painted by a program while training went on: skies, grounds{heaps}
  and eleven kinds of moving things. No photograph and no other model's output was used.
- **Training**: {training}. `python -m svdkit.toyland.train` makes it again from nothing.
- **Licence**: that of svdkit's code.
- **Limits**: {limits}
- **Figures**: `python -m svdkit.toyland.evaluate` measures what it can do and what it cannot; what
  it wrote for the model as shipped is in `tests/benchmarks/results/` of svdkit's repository.
"""
LIMITS = {
    "tiny": "what goes far breaks up; to a picture of another world the camera comes a little "
    "nearer, and nothing in it moves; detail below 4 pixels is lost.",
    "tiny-sd": "only the words of Toyland's captions mean anything to it.",
    "tiny-animatediff": "it fits no other model than `tiny-sd`; all clips it saw were painted at "
    f"motion bucket {MOTION_BUCKET:.0f} and {FPS:.0f} fps and had 14 frames or fewer.",
}


def preview_matrix(vae: torch.nn.Module) -> list[list[float]]:
    """The least-squares map from a scaled latent to RGB in −1…1: five rows (four channels and a
    constant) of three.

    It makes a rough picture of a latent without a decoder.

    >>> from svdkit.toyland.architectures import video_vae
    >>> len(preview_matrix(video_vae()))
    5
    """
    device = next(vae.parameters()).device
    frames = training_batch(32, 2**30 + 3, num_frames=1).frames[:, 0]
    with torch.no_grad():
        latents = vae.encode(frames.to(device)).latent_dist.mode().float().cpu()
    latents = latents * vae.config.scaling_factor
    colours = torch.nn.functional.avg_pool2d(frames, frames.shape[-1] // latents.shape[-1])
    points = latents.movedim(1, -1).flatten(0, -2)
    points = torch.cat([points, torch.ones(len(points), 1)], 1)
    fitted = torch.linalg.lstsq(points, colours.movedim(1, -1).flatten(0, -2)).solution
    return [[round(value, 5) for value in row] for row in fitted.tolist()]


def export(out: Path, to: Path) -> float:
    """Write `tiny` and, where they are trained, `tiny-sd` and `tiny-animatediff` below `to` from
    the checkpoints below `out`, in place of those that are there: all of them, or none. Returns
    their size in MB.

    >>> export(Path("nowhere"), Path("models"))
    Traceback (most recent call last):
    FileNotFoundError: nowhere/vae/checkpoint.pt is missing; train it first: ...
    """
    out, to = Path(out), Path(to)
    stages = {"tiny": "svd", "tiny-sd": "sd", "tiny-animatediff": "motion"}
    trained_vaes(out)  # which says what is missing
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=to) as room:
        new, old = Path(room, "new"), Path(room, "old")
        size = _write_all(out, new)
        for name, stage in stages.items():
            if (to / name).exists() and not (new / name).exists():
                raise FileExistsError(
                    f"{to / name} would stay beside models of another training, whose latents and "
                    f"layers it does not fit. Train {stage} in {out} too, or choose another --to."
                )
        _exchange(new, to, old)
    print(f"{to}: {size:.1f} MB of models; load them by their folders, such as {to / 'tiny'}")
    return size


def _exchange(new: Path, to: Path, old: Path) -> None:
    """Move all models from `new` below `to`, and those that were there to `old`; or none at all."""
    old.mkdir()
    names = sorted(model.name for model in new.iterdir())
    try:
        for name in names:
            if (to / name).exists():
                (to / name).rename(old / name)
            (new / name).rename(to / name)
    except BaseException:
        for name in names:
            if not (new / name).exists():
                (to / name).rename(new / name)
            if (old / name).exists():
                (old / name).rename(to / name)
        raise


def _write_all(out: Path, to: Path) -> float:
    video_vae, image_vae = trained_vaes(out)
    preview = preview_matrix(video_vae)
    learned = read_checkpoint(out, "svd")
    beside, sight = learned["state"]["sight"], read_checkpoint(out, "sight")["step"]
    if beside != sight:
        raise ValueError(
            f"sight has learned on since svd learned beside it, from step {beside} to {sight}. "
            "Train svd on with --resume: its UNet does not know this encoder yet."
        )
    unet = video_unet()
    unet.load_state_dict(part(learned["average"], "unet"))
    _write(
        video_pipeline(video_vae, unet, trained_eye(out)),
        to / "tiny",
        "Stable Video Diffusion",
        learned,
        preview,
    )
    if (out / "sd" / "checkpoint.pt").exists():
        learned, words = read_checkpoint(out, "sd"), tokenizer()
        _write(
            image_pipeline(image_vae, *trained_image_parts(out, words), words),
            to / "tiny-sd",
            "Stable Diffusion",
            learned,
            preview,
        )
        if (out / "motion" / "checkpoint.pt").exists():
            _write_adapter(to / "tiny-animatediff", read_checkpoint(out, "motion"))
    adapter_mb = _size_mb(to / "tiny-animatediff")
    models_mb = _size_mb(to) - adapter_mb
    if models_mb > MODELS_MB or adapter_mb > ADAPTER_MB:
        raise ValueError(
            f"the models are {models_mb:.1f} MB and the adapter is {adapter_mb:.1f} MB; "
            f"the limits are {MODELS_MB} and {ADAPTER_MB} MB. Narrow CHANNELS."
        )
    return models_mb + adapter_mb


def _size_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _write(
    pipeline: object, folder: Path, kind: str, learned: dict, preview: list[list[float]]
) -> None:
    networks = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    _make_portable(folder)
    (folder / "preview.json").write_text(json.dumps({"latent_to_rgb": preview}) + "\n")
    loads = f"It loads as an ordinary `{type(pipeline).__name__}`"
    _write_card(folder, f"{kind} model", loads, networks, learned)


def _write_adapter(folder: Path, learned: dict) -> None:
    adapter = motion_adapter()
    adapter.load_state_dict(part(learned["average"], "adapter"))
    adapter.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    loads = "It loads as an ordinary `MotionAdapter` for the `tiny-sd` beside it"
    _write_card(folder, "AnimateDiff motion adapter", loads, [adapter], learned)


def _write_card(
    folder: Path, kind: str, loads: str, networks: list[torch.nn.Module], learned: dict
) -> None:
    seconds = learned["seconds"] + learned.get("earlier_seconds", 0.0)
    card = CARD.format(
        name=folder.name,
        kind=kind,
        loads=loads,
        heaps="" if kind.endswith("adapter") else ", photo-like heaps of textured shapes",
        height=64,
        width=112,
        millions=sum(millions(network) for network in networks),
        training=f"{learned['step']} steps in {seconds / 60:.0f} minutes",
        limits=LIMITS[folder.name],
    )
    (folder / "README.md").write_text(card)


def _make_portable(folder: Path) -> None:
    """Write what the newest transformers writes so that older ones, from 4.50 on, read it too."""
    for file in folder.glob("*/config.json"):
        # transformers loads a model in the type named here, diffusers in fp32: the same for both.
        config = json.loads(file.read_text())
        config |= {key: "float32" for key in ("dtype", "torch_dtype") if key in config}
        file.write_text(json.dumps(config, indent=2) + "\n")
    index = folder / "model_index.json"  # the Pil class stands in where torchvision is missing
    index.write_text(index.read_text().replace("CLIPImageProcessorPil", "CLIPImageProcessor"))
    reader = folder / "text_encoder" / "model.safetensors"
    if reader.exists():  # version 5 leaves out the prefix that version 4 asks for, and reads both
        names = {key.removeprefix("text_model."): w for key, w in load_file(reader).items()}
        prefixed = {f"text_model.{name}": weight for name, weight in names.items()}
        save_file(prefixed, reader, metadata={"format": "pt"})
        write_vocabulary(folder / "tokenizer")  # version 5 writes tokenizer.json alone
