"""A prompt, and the knobs of what is made from it, under the names of diffusers."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from .limits import Limit, quoted
from .models import did_you_mean
from .prompts import PromptModel
from .upstream import quietly

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

MOST_CHARACTERS = 100_000
MOST_SHOWN = 60  # characters of a prompt in a message
SIDE = "The models were trained on 512, the larger ones on 1024."
LIMITS = {
    "num_inference_steps": Limit(1, 1000, int, "25 to 50 are usual; turbo models take 1 to 4."),
    "guidance_scale": Limit(0, 100, float, "7.5 is usual; turbo models take 0."),
    "height": Limit(16, 4096, int, SIDE),
    "width": Limit(16, 4096, int, SIDE),
    "num_frames": Limit(1, 32, int, "AnimateDiff was trained on 16 frames, and knows 32 at most."),
}


@dataclass(frozen=True)
class PromptSettings:
    """What shapes a picture or a clip that is made from a prompt; None: as its model has it.

    >>> PromptSettings(guidance_scale=5).guidance_scale
    5.0
    """

    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    height: int | None = None
    width: int | None = None
    num_frames: int | None = None
    negative_prompt: str | None = None

    def __post_init__(self):
        for name, limit in LIMITS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, limit.checked(name, value))
        for name in ("height", "width"):
            side = getattr(self, name)
            if side is not None and side % 8:
                raise ValueError(
                    f"{name} is {side}; it has to divide by 8. Try {max(16, round(side / 8) * 8)}."
                )
        if self.negative_prompt is not None:
            checked_text("negative_prompt", self.negative_prompt)

    @classmethod
    def of(cls, values: Mapping[str, Any], verb: str) -> "PromptSettings":
        """Make settings of what was asked for, for the verb "draw" or "animate_prompt".

        >>> PromptSettings.of({"guidence_scale": 5}, "draw")
        Traceback (most recent call last):
        TypeError: draw has no 'guidence_scale'. Did you mean guidance_scale? There are: ...
        """
        known = [field.name for field in fields(cls)]
        if verb == "draw":
            known.remove("num_frames")
        for name in values:
            if name not in known:
                raise TypeError(
                    f"{verb} has no {name!r}.{did_you_mean(name, known)} "
                    f"There are: {', '.join(known)}."
                )
        return cls(**values)

    def resolved(self, pipeline: "DiffusionPipeline", row: PromptModel | None) -> "PromptSettings":
        """Fill in what is left to the model.

        >>> from svdkit.prompts import PROMPT_MODELS
        >>> PromptSettings(height=64).resolved(None, PROMPT_MODELS["tiny-sd"]).width
        112
        """
        own = {name: getattr(row, name) for name in LIMITS} if row else _defaults_of(pipeline)
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(self, **(own | known))

    def remarks(self) -> list[str]:
        """Say what of the settings changes nothing.

        >>> PromptSettings(negative_prompt="clouds", guidance_scale=1).remarks()
        ['negative_prompt changes nothing at guidance_scale=1.0; above 1 it is heeded']
        """
        if not self.negative_prompt or self.guidance_scale is None or self.guidance_scale > 1:
            return []
        return [
            f"negative_prompt changes nothing at guidance_scale={self.guidance_scale}; above 1 it "
            "is heeded"
        ]


def _defaults_of(pipeline: "DiffusionPipeline") -> dict[str, Any]:
    """Read from a pipeline that is in no row what diffusers would take."""
    parameters = inspect.signature(type(pipeline).__call__).parameters
    own = {name: parameters[name].default for name in LIMITS if name in parameters}
    size = pipeline.unet.config.sample_size or 64  # of Stable Diffusion, where it is not said
    sides = size if isinstance(size, (list, tuple)) else (size, size)
    return own | {
        name: side * pipeline.vae_scale_factor
        for name, side in zip(("height", "width"), sides, strict=True)
    }


def checked_text(name: str, text: Any) -> str:
    """Make sure that a prompt is text that a tokenizer can read.

    >>> checked_text("prompt", 7)
    Traceback (most recent call last):
    TypeError: prompt is 7; it is text, like 'a red balloon over green hills'.
    """
    if not isinstance(text, str):
        raise TypeError(
            f"{name} is {quoted(text)}; it is text, like 'a red balloon over green hills'."
        )
    if len(text) > MOST_CHARACTERS:
        raise ValueError(
            f"{name} is {len(text)} characters long; {MOST_CHARACTERS} are allowed, and the models "
            "read the first few hundred."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} holds half a character at {error.start}, {text[error.start]!r}; type it anew."
        ) from error
    return text


def checked_prompt(prompt: Any) -> str:
    """Make sure that a prompt says something.

    >>> checked_prompt("  ")
    Traceback (most recent call last):
    ValueError: prompt is '  ', which says nothing; say what to draw, ...
    """
    if not checked_text("prompt", prompt).strip():
        raise ValueError(
            f"prompt is {prompt[:MOST_SHOWN]!r}, which says nothing; say what to draw, like "
            "'a red balloon over green hills'."
        )
    return prompt


def remarks_on(prompt: str, pipeline: "DiffusionPipeline", row: PromptModel | None) -> list[str]:
    """Say which part of a prompt the model does not read, and which words it does not know.

    >>> from svdkit import load
    >>> from svdkit.prompts import PROMPT_MODELS
    >>> remarks_on("a red dragon", load("tiny-sd", device="cpu"), PROMPT_MODELS["tiny-sd"])
    ["tiny-sd does not know 'dragon'; it was trained on captions such as 'a red balloon ...'"]
    """
    reader, remarks = pipeline.tokenizer or getattr(pipeline, "tokenizer_2", None), []
    if reader is None:
        return []
    with quietly():  # it says in its own words that the prompt is long
        ids = reader(prompt).input_ids
        words = re.findall(r"\w+", prompt) if row and row.bundled else []
        unknown = [word for word in dict.fromkeys(words) if len(reader.tokenize(word)) != 1]
    most = reader.model_max_length
    if len(ids) > most:
        rest = reader.decode(ids[most - 1 : -1], skip_special_tokens=True)[:MOST_SHOWN]
        remarks.append(
            f"the model reads the first {most - 2} pieces of a prompt; the rest is lost"
            f"{f': {rest!r}' if rest else ''}"
        )
    if unknown:
        remarks.append(
            f"{row.name} does not know {', '.join(map(repr, unknown[:5]))}; it was trained on "
            f"captions such as {row.demo!r}"
        )
    return remarks
