"""Settings: the knobs of one animation, under the names and defaults of diffusers."""

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

from .limits import Limit, quoted
from .models import MODELS, Model, did_you_mean, find_model
from .qualities import QUALITIES, Quality
from .remarks import remarks_on

GUIDANCE_SHAPES = ("linear", "triangle")


# Beyond these the pipeline fails, or gives what nobody can want.
LIMITS = {
    "height": Limit(16, 4096, int, "SVD's native height is 576.", optional=True),
    "width": Limit(16, 4096, int, "SVD's native width is 1024.", optional=True),
    "num_frames": Limit(2, 1000, int, "The models were trained on 14 or 25 frames.", optional=True),
    "num_inference_steps": Limit(
        1, 1000, int, "25 is the usual number; more are slower and soon no better."
    ),
    "min_guidance_scale": Limit(0, 100, float, "Guidance runs from 1.0 to 3.0 by default."),
    "max_guidance_scale": Limit(0, 100, float, "Guidance runs from 1.0 to 3.0 by default."),
    "fps": Limit(1, 240, int, "Try 7; clip.at(fps=…) changes the playback alone."),
    "motion_bucket_id": Limit(0, 255, int, "Try 180 for lively motion."),
    "noise_aug_strength": Limit(
        0, 10, float, "Try 0.02; more noise frees the clip from the picture."
    ),
    "decode_chunk_size": Limit(
        1, 1000, int, "Fewer frames at a time need less memory; None decodes all at once.", True
    ),
}


@dataclass(frozen=True)
class Settings:
    """The knobs of one animation; None means: what suits the model and the picture.

    >>> Settings(motion_bucket_id=180).fps
    7
    >>> Settings(motion_bucket_id=300)
    Traceback (most recent call last):
    ValueError: motion_bucket_id is 300; 0–255 is allowed. Try 180 for lively motion.
    """

    height: int | None = None
    """Height of the frames in pixels."""
    width: int | None = None
    """Width of the frames in pixels."""
    num_frames: int | None = None
    """Length of the clip in frames."""
    num_inference_steps: int = 25
    """Denoising steps: the time a clip takes grows with them."""
    min_guidance_scale: float = 1.0
    """Guidance of the first frame: how strictly it follows the picture."""
    max_guidance_scale: float = 3.0
    """Guidance of the last frame; ≤ 1 halves the work by dropping guidance."""
    fps: int = 7
    """Frames a second that the model imagines: more means smaller steps."""
    motion_bucket_id: int = 127
    """Amount of motion, 0–255."""
    noise_aug_strength: float = 0.02
    """Noise added to the picture: more lets the clip leave it."""
    decode_chunk_size: int | None = None
    """Frames decoded at a time; None: all of them, which alone is exact: parts flicker."""
    guidance: str | tuple[float, ...] = "linear"
    """Guidance over the frames: "linear", "triangle", or a number per frame."""
    quality: str = "exact"
    """"exact", or less than that for time: "fast" or "draft", of 10 steps of their own."""

    def __post_init__(self):
        for name, limit in LIMITS.items():
            object.__setattr__(self, name, limit.checked(name, getattr(self, name)))
        for name in ("height", "width"):
            side = getattr(self, name)
            if side and side % 8:
                raise ValueError(
                    f"{name} is {side}; it must divide by 8. Try {round(side / 8) * 8}, or better "
                    "a multiple of 64."
                )
        object.__setattr__(self, "guidance", _checked_guidance(self.guidance))
        steps = _checked_quality(self.quality).steps
        if steps:
            if self.num_inference_steps != Settings.num_inference_steps:
                _check_steps(self.num_inference_steps, self.quality)
            object.__setattr__(self, "num_inference_steps", steps)
        if self.num_frames and not isinstance(self.guidance, str):
            self.curve()  # which counts its numbers
        # diffusers asks the last frame's scale whether to guide at all, then uses every frame's
        shaped = isinstance(self.guidance, str)
        if shaped and self.min_guidance_scale > self.max_guidance_scale:
            raise ValueError(
                f"min_guidance_scale {self.min_guidance_scale:g} is above max_guidance_scale "
                f"{self.max_guidance_scale:g}; swap them, or give guidance= a number per frame."
            )

    @classmethod
    def of(cls, values: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> "Settings":
        """Make settings from keywords, over a model's own defaults; None asks for the default.

        >>> Settings.of({"fps": 12}, MODELS["tiny"].defaults).num_inference_steps
        10
        """
        names = [field.name for field in fields(cls)]
        for name in values:
            if name not in names:
                raise TypeError(
                    f"{name!r} is not a setting.{did_you_mean(name, names)} "
                    f"There are: {', '.join(names)}."
                )
        given = {name: value for name, value in values.items() if value is not None}
        quality = given.get("quality", cls.quality)
        steps = _checked_quality(quality).steps
        if steps:
            _check_steps(given.setdefault("num_inference_steps", steps), quality)
        return cls(**{**(defaults or {}), **given})

    def curve(self) -> list[float] | None:
        """Give the guidance of each frame, or None where diffusers' own linear one is meant.

        >>> Settings(guidance="triangle", num_frames=5).curve()
        [1.0, 2.0, 3.0, 2.0, 1.0]
        """
        if self.guidance == "linear":
            return None
        if self.num_frames is None:
            raise ValueError("num_frames is None; a curve needs the number of frames, like 25.")
        if self.guidance == "triangle":
            # 2·|v − ⌊v + ½⌋| over v = 0…1, as in Stability's generative-models and in ComfyUI
            steps = [i / (self.num_frames - 1) for i in range(self.num_frames)]
            rise = [2 * abs(v - math.floor(v + 0.5)) for v in steps]
            low, high = self.min_guidance_scale, self.max_guidance_scale
            return [low + (high - low) * r for r in rise]
        if len(self.guidance) != self.num_frames:
            raise ValueError(
                f"guidance has {len(self.guidance)} numbers for {self.num_frames} frames; give "
                f"one per frame, or one of {', '.join(GUIDANCE_SHAPES)}."
            )
        return list(self.guidance)

    def remarks(self, model: str | Model = "svd-xt") -> list[str]:
        """Say in plain words what is unusual about these settings for a model.

        >>> Settings(fps=40, num_inference_steps=30).remarks("svd")
        ['fps 40 is outside 5–30, where SVD does well; clip.at(fps=40) changes the playback alone.']
        """
        row = find_model(model) if isinstance(model, str) else model
        if row is None:
            raise ValueError(
                f"{model!r} is no model of MODELS.{did_you_mean(model, MODELS)} "
                f"There are: {', '.join(MODELS)}."
            )
        return [sentence for _, sentence in remarks_on(self, row)]


def changed(known: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Change some settings; another quality brings its own number of steps, or the model's.

    >>> changed({"fps": 7, "num_inference_steps": 25}, {"quality": "fast"})
    {'fps': 7, 'quality': 'fast'}
    """
    before = known.get("quality") or Settings.quality
    other = (given.get("quality") or before) != before
    kept = {
        name: value
        for name, value in known.items()
        if not (other and name == "num_inference_steps")
    }
    return {**kept, **given}


def held(guidance: Any) -> Any:
    """Hold the numbers of any iterator, so that they can be looked at twice; but not without end.

    >>> held(iter([1, 2])), held("triangle")
    ((1, 2), 'triangle')
    """
    is_one = isinstance(guidance, (str, bytes, bytearray)) or getattr(guidance, "shape", 1) == ()
    if is_one or not isinstance(guidance, Iterable) or isinstance(guidance, (Mapping, Set)):
        return guidance
    return tuple(islice(guidance, LIMITS["num_frames"].high + 1))


def holding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give settings that can be looked at twice, also where their guidance is an iterator.

    >>> holding({"fps": 7, "guidance": iter([1, 2])})
    {'fps': 7, 'guidance': (1, 2)}
    """
    return {name: held(it) if name == "guidance" else it for name, it in settings.items()}


def _checked_quality(quality: Any) -> Quality:
    if not isinstance(quality, str) or quality not in QUALITIES:
        raise ValueError(
            f"quality is {quoted(quality)}; it is one of {', '.join(QUALITIES)}."
            f"{did_you_mean(quality, QUALITIES) if isinstance(quality, str) else ''}"
        )
    return QUALITIES[quality]


def _check_steps(steps: Any, quality: str) -> None:
    if steps != QUALITIES[quality].steps:
        raise ValueError(
            f"num_inference_steps is {quoted(steps)}; quality={quality!r} has "
            f"{QUALITIES[quality].steps} steps of its own: leave it out, or take 'exact'."
        )


def _checked_guidance(guidance: Any) -> str | tuple[float, ...]:
    if isinstance(guidance, str):
        if guidance not in GUIDANCE_SHAPES:
            raise ValueError(
                f"guidance is {quoted(guidance)}; it is one of {', '.join(GUIDANCE_SHAPES)}, or a "
                f"list with a number per frame.{did_you_mean(guidance, GUIDANCE_SHAPES)}"
            )
        return guidance
    given, guidance = guidance, held(guidance)
    if not isinstance(guidance, tuple):
        raise TypeError(
            f"guidance is {quoted(guidance)}; it is one of {', '.join(GUIDANCE_SHAPES)}, or a list "
            f"with a number per frame. For the same everywhere set min_guidance_scale and "
            f"max_guidance_scale to it."
        )
    if not guidance:
        raise ValueError("guidance is empty; give a number per frame, or one of linear, triangle.")
    if len(guidance) > LIMITS["num_frames"].high:
        raise ValueError(f"guidance is {quoted(given)}; a clip has no so many frames.")
    limit = LIMITS["max_guidance_scale"]
    return tuple(limit.checked(f"guidance[{i}]", g) for i, g in enumerate(guidance))


def settings_in(request: Mapping[str, Any]) -> Settings:
    """Read the settings of a recipe's request, which may come from a stranger.

    >>> settings_in({"settings": {"fps": 0}})
    Traceback (most recent call last):
    ValueError: The recipe's settings: fps is 0; 1–240 is allowed. Try 7; ...
    """
    settings = request.get("settings")
    if not isinstance(settings, dict):
        raise ValueError(f"The recipe's settings are {settings!r:.60}; a dict is needed.")
    try:
        return Settings.of(settings)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The recipe's settings: {error!s:.240}") from error
