"""Text of reports: typeset figures, lists, spans and key results."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """A key result: its figure, what it is the figure of, and an explanation."""

    figure: str
    claim: str
    text: str


def typeset_findings(findings: Iterable[Finding | None]) -> list[Finding]:
    """The findings that there are figures for, typeset."""
    return [
        Finding(typeset(each.figure), each.claim, typeset(each.text)) for each in findings if each
    ]


def typeset(text: str) -> str:
    """As in print: a minus sign for a hyphen, and no line ends between a number and its unit."""
    text = re.sub(r"(?<![\w-])-(?=\d)", "−", text)
    return re.sub(r"(?<=\d) (?=(?:dB|ms|s|min|%)(?!\w))", "\N{NO-BREAK SPACE}", text)


def duration(seconds: float) -> str:
    """Minutes and seconds; seconds alone below a minute."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes else f"{seconds:.1f} s"


def span(values: Sequence[float], unit: str, *, digits: int | None = None) -> str:
    """From the least to the most; one figure where they read the same."""
    if digits is None:
        digits = 2 if max(abs(value) for value in values) < 10 else 0
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    figures = low if low == high else f"{low} to {high}"
    return f"{figures} {unit}".rstrip()


def listing(items: Sequence[str]) -> str:
    """A, b and c."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
