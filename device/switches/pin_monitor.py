"""Live levels, flips and bounce of every switch, to check the wiring."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from device.plain_text import visible
from device.switches.bits import Bits
from device.switches.debounce import LOCKOUT_SECONDS
from device.switches.pinout import ChipLine, Pin, header_pin

POLL_SECONDS = 0.001
REFRESH_SECONDS = 0.1
# More changes than this within one lockout are chatter, not bounce.
_CHATTER_CHANGES = 20


@dataclass
class Contact:
    """Measurements of one switch.

    Attributes
    ----------
    closed : bool
    n_flips : int
    bounce_ms : float
        From the first to the last change of its worst flip.
    n_changes : int
        Changes within its worst flip; 1 is a clean one.
    """

    closed: bool
    n_flips: int = 0
    bounce_ms: float = 0.0
    n_changes: int = 0

    @property
    def verdict(self) -> str:
        """Assessment of the contact, in words."""
        if self.n_changes > _CHATTER_CHANGES:
            return "chatters: check its wire"
        if self.n_flips == 0:
            return "closed: flip it, or it touches ground" if self.closed else "flip it"
        return "works" if self.n_flips > 1 else "flip it back"


class Watch:
    """Counts flips and measures bounce, from levels polled every `POLL_SECONDS`."""

    def __init__(self, n: int) -> None:
        self._n = n
        self.contacts: list[Contact] = []
        self._raw: list[bool] = []
        self._flip_at = [float("-inf")] * n
        self._changes = [0] * n

    def update(self, levels: Bits, now: float) -> None:
        """Take the raw levels at `now` (seconds of a monotonic clock)."""
        if not self.contacts:
            self.contacts = [Contact(level) for level in levels]
            self._raw = list(levels)
        for i, level in enumerate(levels):
            if level != self._raw[i]:
                self._raw[i] = level
                self._changed(i, now)
            if now - self._flip_at[i] > LOCKOUT_SECONDS and self.contacts[i].closed != level:
                # A flip that ended where the next one began, inside one lockout.
                self._changed(i, now)

    def _changed(self, i: int, now: float) -> None:
        contact = self.contacts[i]
        if now - self._flip_at[i] > LOCKOUT_SECONDS:
            contact.n_flips += 1
            contact.closed = not contact.closed
            self._flip_at[i], self._changes[i] = now, 0
        self._changes[i] += 1
        contact.n_changes = max(contact.n_changes, self._changes[i])
        contact.bounce_ms = max(contact.bounce_ms, 1e3 * (now - self._flip_at[i]))

    def rows(self, pins: Sequence[Pin], labels: Sequence[str]) -> list[dict[str, Any]]:
        """One dict per switch, JSON-able."""
        return [
            {
                "switch": i + 1,
                "label": labels[i] if i < len(labels) else "",
                "bcm": str(pins[i]) if isinstance(pins[i], ChipLine) else pins[i],
                "header_pin": header_pin(pins[i]),
                "closed": contact.closed,
                "flips": contact.n_flips,
                "bounce_ms": round(contact.bounce_ms, 1),
                "verdict": contact.verdict,
            }
            for i, contact in enumerate(self.contacts)
        ]


def watch(
    levels: Callable[[], Bits],
    show: Callable[[Watch], None],
    n: int,
    *,
    seconds: float | None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Watch:
    """Poll until the time is up, or for ever; `show` is called ten times a second."""
    counts, started, next_show = Watch(n), clock(), float("-inf")
    while True:
        now = clock()
        counts.update(levels(), now)
        if now >= next_show:
            show(counts)
            next_show = now + REFRESH_SECONDS
        if seconds is not None and now - started >= seconds:
            return counts
        sleep(POLL_SECONDS)


def table(rows: list[dict[str, Any]]) -> Any:
    """A rich table of `Watch.rows`."""
    from rich.table import Table
    from rich.text import Text

    columns = ("switch", "", "header pin", "BCM", "", "flips", "bounce", "")
    grid = Table(*columns, title="Flip every switch, there and back; Ctrl-C ends")
    for row in rows:
        grid.add_row(
            str(row["switch"]),
            Text(visible(row["label"])),
            str(row["header_pin"] or "–"),
            str(row["bcm"]),
            "[bold green]on[/]" if row["closed"] else "[dim]off[/]",
            str(row["flips"]),
            f"{row['bounce_ms']:.0f} ms" if row["flips"] else "",
            row["verdict"] if row["verdict"] != "works" else "[green]works[/]",
        )
    return grid
