"""Debouncing of contacts, and detection of contact chatter from a loose wire."""

from collections.abc import Callable, Sequence

from device.switches.bits import Bits

# Leaky bucket: one per change. A player flips a switch at most six times a second for a second or
# two; more than that is chatter.
LEAK_PER_SECOND = 2.0
BUCKET = 12.0
CALM_SECONDS = 2.0

Report = Callable[[int, bool], None]


class _Contact:
    """One switch: passed through until it changes more often than a player can flip it."""

    def __init__(self) -> None:
        self.chatters = False
        self._level: bool | None = None
        self._rest = False  # level before the changes began
        self._bucket = 0.0
        self._changed_at = float("-inf")
        self._updated_at = 0.0

    def update(self, level: bool, now: float) -> bool:
        self._bucket = max(0.0, self._bucket - LEAK_PER_SECOND * (now - self._updated_at))
        self._updated_at = now
        if self._level is None:
            self._level = self._rest = level
        elif level != self._level:
            self._record_change(level, now)
        if self.chatters and now - self._changed_at >= CALM_SECONDS:
            self.chatters = False
            self._bucket = 0.0
        return self._rest if self.chatters else level

    @property
    def is_settled(self) -> bool:
        return self._bucket == 0.0 and not self.chatters

    def _record_change(self, level: bool, now: float) -> None:
        if self._bucket == 0.0 and not self.chatters:
            self._rest = not level
        self._level = level
        self._bucket += 1.0
        self._changed_at = now
        self.chatters = self.chatters or self._bucket > BUCKET


class ChatterFilter:
    """Holds every switch that chatters at its earlier level until it is calm for `CALM_SECONDS`.

    Parameters
    ----------
    report : callable or None
        Takes a switch, counted from 0, and whether it chatters; called when that changes.
    """

    def __init__(self, n: int, report: Report | None = None) -> None:
        self._contacts = [_Contact() for _ in range(n)]
        self._report = report

    @property
    def chattering(self) -> Bits:
        """Which switches are held."""
        return tuple(contact.chatters for contact in self._contacts)

    @property
    def is_settled(self) -> bool:
        """Whether the same levels would be returned unfiltered however often they are given."""
        return all(contact.is_settled for contact in self._contacts)

    def update(self, levels: Sequence[bool], now: float) -> Bits:
        """Return the filtered levels at `now` (seconds of a monotonic clock)."""
        return tuple(self._one(i, level, now) for i, level in enumerate(levels))

    def _one(self, i: int, level: bool, now: float) -> bool:
        contact = self._contacts[i]
        before = contact.chatters
        filtered = contact.update(level, now)
        if self._report is not None and contact.chatters != before:
            self._report(i, contact.chatters)
        return filtered


LOCKOUT_SECONDS = 0.03


class Debounce:
    """Passes a change at once, then ignores further changes of that contact for the lockout.

    A flip has no added latency, and bounce is suppressed whether the contact closes or opens.
    After the lockout the output follows the level again.
    """

    def __init__(self, n: int, lockout_seconds: float) -> None:
        self._lockout_seconds = lockout_seconds
        self._levels = [False] * n
        self._locked_until = [float("-inf")] * n

    def update(self, raw: Bits, now: float) -> Bits:
        """Return the debounced levels at `now` (seconds of a monotonic clock)."""
        for i, level in enumerate(raw):
            if level != self._levels[i] and now >= self._locked_until[i]:
                self._levels[i] = level
                self._locked_until[i] = now + self._lockout_seconds
        return tuple(self._levels)
