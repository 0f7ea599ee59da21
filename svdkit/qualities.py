"""What a clip may trade for time: nothing, or a little exactness that is asked for by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from .lean import Shortcuts


@dataclass(frozen=True)
class Quality:
    """A way to be faster than exact.

    >>> QUALITIES["draft"].steps
    10
    """

    name: str
    summary: str
    shortcuts: Shortcuts = field(default_factory=Shortcuts)
    schedule: str | None = None
    """Of diffusers' AysSchedules: noise levels chosen for few steps."""
    steps: int | None = None
    """How many steps the schedule has."""

    @property
    def sigmas(self) -> list[float] | None:
        """The noise levels of its steps, and 0 at the end; None: the scheduler's own.

        >>> QUALITIES["draft"].sigmas[:2]
        [700.0, 54.5]
        """
        if self.schedule is None:
            return None
        from diffusers.schedulers import AysSchedules

        return list(AysSchedules[self.schedule])


QUALITIES: Mapping[str, Quality] = MappingProxyType(
    {
        quality.name: quality
        for quality in (
            Quality("exact", "The clip that the settings mean."),
            Quality(
                "fast",
                "Ten steps at the noise levels of Align Your Steps (Sabour et al., 2024), the last "
                "two without the unconditional pass.",
                Shortcuts(guided=0.8),
                schedule="StableDiffusionVideoSigmas",
                steps=10,
            ),
            Quality(
                "draft",
                "As fast, and every other step reuses the UNet's deep features.",
                Shortcuts(reuse=2, guided=0.8),
                schedule="StableDiffusionVideoSigmas",
                steps=10,
            ),
        )
    }
)
