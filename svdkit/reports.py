"""A report: what was looked at, line by line, for others to read."""

import html
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .paths import shown

COLOURS = {"right": "green", "remark": "darkorange", "wrong": "crimson"}
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


@dataclass(frozen=True)
class Check:
    """One line of a report; its state is right, remark or wrong.

    >>> Check("ffmpeg", "wrong", "none", "pip install imageio-ffmpeg").state
    'wrong'
    """

    name: str
    state: str
    found: str
    cure: str = ""


@dataclass(frozen=True, repr=False)
class Report:
    """What was looked at, line by line.

    >>> Report((Check("RAM", "right", "16 GiB"), Check("GPU", "remark", "none", "tiny needs none")))
    right   RAM  16 GiB
    remark  GPU  none
                   tiny needs none
    Nothing is wrong.
    """

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; there may be remarks.

        >>> Report((Check("GPU", "remark", "none"),)).ok
        True
        """
        return all(check.state != "wrong" for check in self.checks)

    def __str__(self) -> str:
        width = max((len(check.name) for check in self.checks), default=0)
        lines = []
        for check in self.checks:
            lines.append(f"{check.state:6}  {check.name:{width}}  {check.found}")
            lines += [" " * (width + 12) + line for line in check.cure.splitlines()]
        return "\n".join([*lines, self._verdict()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        left, rows = "text-align:left;vertical-align:top;white-space:nowrap", []
        for check in self.checks:
            name, found, cure = map(html.escape, (check.name, check.found, check.cure))
            below = cure and f'<pre style="text-align:left;margin:0">{cure}</pre>'
            rows.append(
                f'<tr><td style="{left};color:{COLOURS[check.state]}">{check.state}</td>'
                f'<td style="{left}">{name}</td><td style="{left}">{found}{below}</td></tr>'
            )
        return f"<table>{''.join(rows)}</table><p>{html.escape(self._verdict())}</p>"

    def _verdict(self) -> str:
        wrong = ", ".join(check.name for check in self.checks if check.state == "wrong")
        return f"Wrong: {wrong}." if wrong else "Nothing is wrong."


def line(name: str, found: str, cure: str = "", *, sick: str = "remark") -> Check:
    """Make a line that is right where there is nothing to cure.

    >>> line("GPU", "none", "take one").state
    'remark'
    """
    return Check(name, sick if cure else "right", found, cure)


def looked_at(name: str, look: Callable[[], Iterator[Check]], cure: str = "") -> Iterator[Check]:
    """Give the lines of one look; whatever breaks in it becomes a line too.

    >>> Report(tuple(looked_at("luck", lambda: 1 / 0, "try again")))
    wrong   luck  could not be looked at: ZeroDivisionError: division by zero
                    try again
    Wrong: luck.
    """
    try:
        yield from look()
    except (Exception, SystemExit) as error:  # broken libraries raise anything as they are imported
        says = next(iter(str(error).strip().splitlines()), "")[:200]
        found = f"could not be looked at: {type(error).__name__}: {says}"
        yield Check(name, "wrong", found, cure)


def cleaned(check: Check) -> Check:
    """Take out what is nobody else's business: reports are pasted where all can read them.

    >>> cleaned(Check("cache", "right", str(Path.home() / "hub"))).found
    '~/hub'
    """
    secrets = [os.environ[name].strip() for name in TOKENS if name in os.environ]
    person = Path(os.path.expanduser("~")).name  # found in /scratch/<person>/cache too

    def clean(text: str) -> str:
        for secret in filter(None, secrets):
            text = text.replace(secret, "(token)")
        text = shown(text)
        return re.sub(rf"(?<=[/\\]){re.escape(person)}(?![\w.-])", "…", text) if person else text

    return replace(check, found=clean(check.found), cure=clean(check.cure))
