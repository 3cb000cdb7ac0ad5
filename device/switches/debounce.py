"""A switch that chatters, because a wire is loose, is held where it was, and named."""

from collections.abc import Callable, Sequence

from device.switches.bits import Bits

# A bucket that fills by one with every change and leaks. A hand flips a switch six times a second
# for a second or two; whatever goes on like that is no hand.
LEAK_PER_SECOND = 2.0
BUCKET = 12.0
CALM_SECONDS = 2.0

Tell = Callable[[int, bool], None]


class _Contact:
    """One switch: believed as it is read, until it moves more than a hand can."""

    def __init__(self) -> None:
        self.chatters = False
        self._level: bool | None = None
        self._rest = False  # where it was before it began to move
        self._bucket = 0.0
        self._changed_at = float("-inf")
        self._seen_at = 0.0

    def update(self, level: bool, now: float) -> bool:
        self._leak(now)
        if self._level is None:
            self._level = self._rest = level
        elif level != self._level:
            self._moved(level, now)
        if self.chatters and now - self._changed_at >= CALM_SECONDS:
            self.chatters = False
            self._bucket = 0.0
        return self._rest if self.chatters else level

    def _leak(self, now: float) -> None:
        self._bucket = max(0.0, self._bucket - LEAK_PER_SECOND * (now - self._seen_at))
        self._seen_at = now

    def _moved(self, level: bool, now: float) -> None:
        if self._bucket == 0.0 and not self.chatters:
            self._rest = not level
        self._level = level
        self._bucket += 1.0
        self._changed_at = now
        self.chatters = self.chatters or self._bucket > BUCKET


class ChatterFilter:
    """Holds every switch that chatters at where it stood before, until it has been calm.

    Parameters
    ----------
    tell : callable or None
        Takes a switch, counted from 0, and whether it chatters; called when that changes.
    """

    def __init__(self, n: int, tell: Tell | None = None) -> None:
        self._contacts = [_Contact() for _ in range(n)]
        self._tell = tell

    @property
    def chattering(self) -> Bits:
        """Which switches are being held."""
        return tuple(contact.chatters for contact in self._contacts)

    def update(self, levels: Sequence[bool], now: float) -> Bits:
        """Return the switches as to be obeyed at `now` (seconds of any steady clock)."""
        return tuple(self._one(i, level, now) for i, level in enumerate(levels))

    def _one(self, i: int, level: bool, now: float) -> bool:
        contact = self._contacts[i]
        before = contact.chatters
        obeyed = contact.update(level, now)
        if self._tell is not None and contact.chatters != before:
            self._tell(i, contact.chatters)
        return obeyed


LOCKOUT_SECONDS = 0.03


class Debounce:
    """Believes a contact that moved at once, then is deaf to it for the lockout.

    So a flip costs no latency, and bounce is swallowed whether the contact closes or opens. After
    the lockout the level is read again: what the output says is then what the panel says.
    """

    def __init__(self, n: int, lockout_seconds: float) -> None:
        self._lockout_seconds = lockout_seconds
        self._levels = [False] * n
        self._deaf_until = [float("-inf")] * n

    def update(self, raw: Bits, now: float) -> Bits:
        """Return the contacts as believed at `now` (seconds of any steady clock)."""
        for i, level in enumerate(raw):
            if level != self._levels[i] and now >= self._deaf_until[i]:
                self._levels[i] = level
                self._deaf_until[i] = now + self._lockout_seconds
        return tuple(self._levels)
