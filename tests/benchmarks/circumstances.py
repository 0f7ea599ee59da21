"""Where and how figures came about: what every result of a benchmark has to say."""

import platform
import re
from datetime import UTC, datetime
from pathlib import Path

import svdkit as sk


def circumstances(script: str, arguments: list[str]) -> dict:
    """Tell the day, the machine, the versions, how far the models had learned, and the command."""
    import diffusers
    import torch

    from svdkit.toyland.export import WEIGHTS
    from svdkit.toyland.restore import trained_for

    return {
        "date": datetime.now(UTC).date().isoformat(),
        "card": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "versions": {
            "svdkit": sk.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
        },
        "steps": {
            card.parent.name: trained_for(card.parent)[0]
            for card in sorted(WEIGHTS.glob("*/README.md"))
        },
        "command": " ".join([f"python tests/benchmarks/{Path(script).name}", *arguments]),
    }


def cpu_name() -> str:
    """Name the processor, as Linux tells it."""
    try:
        told = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        told = None
    return told[1] if told else platform.processor() or platform.machine()
