"""svdkit: turn a still image into a short clip with Stable Video Diffusion, in a notebook.

>>> import svdkit as sk
>>> clip = sk.animate(sk.sample_image(), "tiny", num_inference_steps=2, progress=False)
>>> clip
Clip(14 frames, 64×112, 7 fps, 2.0 s)

The import is instant: a public name loads its module when it is first used, so that torch and
diffusers wait until something is animated.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"
"""The version of svdkit, as the changelog lists it."""

_MODULE_OF = {
    "MODELS": "models",
    "PROMPT_MODELS": "prompts",
    "PromptModel": "prompts",
    "Licence": "models",
    "Model": "models",
    "licence": "prompts",
    "fit": "images",
    "natural_frame": "images",
    "open_image": "images",
    "sample_image": "images",
    "Settings": "settings",
    "Clip": "clips",
    "Grid": "display",
    "PRESETS": "memory",
    "NotEnoughMemory": "room",
    "Preset": "memory",
    "load": "pipelines",
    "unload": "pipelines",
    "compare_clips": "display",
    "scrub": "display",
    "show_clips": "display",
    "show_frames": "display",
    "camera": "metrics",
    "drift": "metrics",
    "flicker": "metrics",
    "likeness": "metrics",
    "motion": "metrics",
    "seam": "metrics",
    "show_fit": "framing",
    "animate": "animation",
    "draw": "pictures",
    "Drawing": "drawings",
    "animate_prompt": "films",
    "extend": "chains",
    "joins": "seams",
    "grid": "cells",
    "sweep": "sweeps",
    "Sweep": "sweeps",
    "Cell": "cards",
    "aim": "aiming",
    "Aim": "aiming",
    "loop": "loops",
    "cinemagraph": "cinemagraphs",
    "keep": "drives",
    "panel": "panels",
    "Panel": "panels",
    "plan": "planning",
    "Plan": "plans",
    "GPUS": "gpus",
    "Gpu": "gpus",
    "rerun": "recipes",
    "Rerun": "recipes",
    "doctor": "health",
    "Report": "health",
}

__all__ = ["__version__", *_MODULE_OF]

if TYPE_CHECKING:  # for editors; a test holds these lines against the table above
    from .aiming import Aim as Aim
    from .aiming import aim as aim
    from .animation import animate as animate
    from .cards import Cell as Cell
    from .cells import grid as grid
    from .chains import extend as extend
    from .cinemagraphs import cinemagraph as cinemagraph
    from .clips import Clip as Clip
    from .display import Grid as Grid
    from .display import compare_clips as compare_clips
    from .display import scrub as scrub
    from .display import show_clips as show_clips
    from .display import show_frames as show_frames
    from .drawings import Drawing as Drawing
    from .drives import keep as keep
    from .films import animate_prompt as animate_prompt
    from .framing import show_fit as show_fit
    from .gpus import GPUS as GPUS
    from .gpus import Gpu as Gpu
    from .health import Report as Report
    from .health import doctor as doctor
    from .images import fit as fit
    from .images import natural_frame as natural_frame
    from .images import open_image as open_image
    from .images import sample_image as sample_image
    from .loops import loop as loop
    from .memory import PRESETS as PRESETS
    from .memory import Preset as Preset
    from .metrics import camera as camera
    from .metrics import drift as drift
    from .metrics import flicker as flicker
    from .metrics import likeness as likeness
    from .metrics import motion as motion
    from .metrics import seam as seam
    from .models import MODELS as MODELS
    from .models import Licence as Licence
    from .models import Model as Model
    from .panels import Panel as Panel
    from .panels import panel as panel
    from .pictures import draw as draw
    from .pipelines import load as load
    from .pipelines import unload as unload
    from .planning import plan as plan
    from .plans import Plan as Plan
    from .prompts import PROMPT_MODELS as PROMPT_MODELS
    from .prompts import PromptModel as PromptModel
    from .prompts import licence as licence
    from .recipes import Rerun as Rerun
    from .recipes import rerun as rerun
    from .room import NotEnoughMemory as NotEnoughMemory
    from .seams import joins as joins
    from .settings import Settings as Settings
    from .sweeps import Sweep as Sweep
    from .sweeps import sweep as sweep


def __getattr__(name: str):
    if name in _MODULE_OF:
        return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    raise AttributeError(f"module 'svdkit' has no attribute {name!r}; it offers {sorted(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
