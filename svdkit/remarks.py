"""What is unusual about settings, in plain words: the table of remarks."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .models import Model

if TYPE_CHECKING:
    from .settings import Settings

DIFFUSERS_DEFAULTS = {"num_inference_steps": 25, "min_guidance_scale": 1, "max_guidance_scale": 3}


def remarks_on(settings: "Settings", row: Model) -> list[tuple[tuple[str, ...], str]]:
    """Give what is unusual about settings for a model: the names concerned, and a sentence.

    >>> from svdkit.models import MODELS
    >>> from svdkit.settings import Settings
    >>> remarks_on(Settings(noise_aug_strength=2), MODELS["tiny"])
    [(('noise_aug_strength',), 'noise_aug_strength 2 is more noise than picture.')]
    """
    return [
        (names, sentence(settings, row))
        for names, unusual, sentence in REMARKS
        if unusual(settings, row)
    ]


def _strongest(settings: "Settings") -> float:
    shaped = isinstance(settings.guidance, str)
    return settings.max_guidance_scale if shaped else max(settings.guidance)


def _departures(settings: "Settings", wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if getattr(settings, name) != value}


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in settings.items())


Says = Callable[["Settings", Model], Any]

# The settings concerned, what is unusual, and how to say it; each is known from the models'
# training or their users.
REMARKS: tuple[tuple[tuple[str, ...], Says, Says], ...] = (
    (
        ("fps",),
        lambda s, m: not 5 <= s.fps <= 30,
        lambda s, m: (
            f"fps {s.fps} is outside 5–30, where SVD does well; "
            f"clip.at(fps={s.fps}) changes the playback alone."
        ),
    ),
    (
        ("num_frames",),
        lambda s, m: (s.num_frames or 0) > m.num_frames,
        lambda s, m: (
            f"{s.num_frames} frames is beyond the {m.num_frames} that {m.name} saw in "
            "training; expect it to drift or freeze."
        ),
    ),
    (
        ("height", "width"),
        lambda s, m: not m.bundled and max(s.height or m.height, s.width or m.width) <= 256,
        lambda s, m: (
            f"{s.height}×{s.width} in fp16 is known to give black frames; "
            f"{m.height}×{m.width} is native."
        ),
    ),
    (
        ("height", "width"),
        lambda s, m: (s.height or m.height) > (s.width or m.width),
        lambda s, m: (
            f"{s.height}×{s.width} is portrait; {m.name} was trained on landscape "
            f"({m.height}×{m.width})."
        ),
    ),
    (
        ("noise_aug_strength",),
        lambda s, m: s.noise_aug_strength > 1,
        lambda s, m: f"noise_aug_strength {s.noise_aug_strength:g} is more noise than picture.",
    ),
    (
        ("max_guidance_scale",),
        lambda s, m: _strongest(s) <= 1,
        lambda s, m: (
            f"Guidance of {_strongest(s):g} at most is none at all: half the work, and a clip "
            "that follows the picture less."
        ),
    ),
    (
        ("decode_chunk_size",),
        lambda s, m: s.decode_chunk_size and s.decode_chunk_size < (s.num_frames or m.num_frames),
        lambda s, m: (
            f"decode_chunk_size {s.decode_chunk_size} saves memory and may flicker where "
            "one chunk meets the next."
        ),
    ),
    (
        ("fps", "motion_bucket_id"),
        lambda s, m: _departures(s, m.tuned),
        lambda s, m: (
            f"{m.name} was tuned at {_listed(m.tuned)}; this is "
            f"{_listed({name: getattr(s, name) for name in _departures(s, m.tuned)})}."
        ),
    ),
    (
        ("num_inference_steps",),
        lambda s, m: _departures(s, m.demo) and not _departures(s, DIFFUSERS_DEFAULTS),
        lambda s, m: f"The authors' own demo of {m.name} uses {_listed(_departures(s, m.demo))}.",
    ),
)
