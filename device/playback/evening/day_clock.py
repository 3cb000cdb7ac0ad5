"""Times of day as commands: when to wake, and when the quiet hours begin and end."""

from collections.abc import Callable
from datetime import datetime

from device.closeable import Closeable
from device.console import without_errors
from device.errors import SettingsError
from device.switches.commands import CommandQueue, SetQuiet, Wake
from device.system.host import Host
from device.system.threads import SupervisedThread

CHECK_SECONDS = 10.0
# A clock that was set between two checks has not passed the times between.
MOST_STEP_SECONDS = 300.0
_DAY_MINUTES = 24 * 60


class DayClock(Closeable):
    """Queues `Wake` and `SetQuiet`, in local time, as soon as the time of day is known.

    Parameters
    ----------
    wake_at : int or None
        Minute of the day.
    quiet : (int, int) or None
        Minutes of the day at which the quiet hours begin and end; they may include midnight.
    may_wait : bool
        Begin later where the time is not known yet, as after a start without network; else it is an
        error.
    report : callable
        Takes one line if the time is not known yet, and one when it is.

    Raises
    ------
    SettingsError
        If the time is not known, and `may_wait` is not set.
    """

    def __init__(
        self,
        queue: CommandQueue,
        *,
        wake_at: int | None,
        quiet: tuple[int, int] | None,
        may_wait: bool,
        report: Callable[[str], object],
        host: Host | None = None,
    ) -> None:
        self._queue = queue
        self._wake_at = wake_at
        self._quiet = quiet
        self._host = host or Host()
        self._report = without_errors(report)
        self._is_known = self._host.knows_the_time()
        self._checked_at: float | None = None
        self._is_quiet = False
        if not self._is_known:
            reason = (
                "found a clock that was neither set by the network nor by a clock with a battery, "
                "expected the right time"
            )
            if not may_wait:
                raise SettingsError(
                    f"wake_at, quiet: {reason}; connect it to a network, or take sleep, wake_after "
                    "and wander, which count minutes"
                )
            self._report(f"wake_at and quiet wait: {reason}")
        self.check()
        self._helper = SupervisedThread("day clock", self.check, every=CHECK_SECONDS)

    def check(self) -> None:
        """Queue what is due."""
        if not self._is_known:
            self._is_known = self._host.knows_the_time()
            if not self._is_known:
                return
            self._report("the time of day is known: wake_at and quiet apply from now on")
        now, before = self._host.now(), self._checked_at
        self._checked_at = now
        is_step = before is not None and 0 < now - before < MOST_STEP_SECONDS
        if before is not None and is_step and _passes(self._wake_at, before, now):
            self._queue.put(Wake())
        if self._quiet is not None:
            start, end = self._quiet
            elapsed = (_minute(now) - start) % _DAY_MINUTES
            is_quiet = elapsed < (end - start) % _DAY_MINUTES
            if is_quiet != self._is_quiet:
                self._is_quiet = is_quiet
                self._queue.put(SetQuiet(is_quiet))

    def close(self) -> None:
        """End the thread; idempotent."""
        self._helper.close()


def _minute(now: float) -> float:
    """Of the local day."""
    local = datetime.fromtimestamp(now)
    return 60 * local.hour + local.minute + local.second / 60


def _passes(minute: int | None, before: float, now: float) -> bool:
    """Whether a minute of the day begins after one time, and not after another."""
    if minute is None:
        return False
    start = _minute(before)
    return 0 < (minute - start) % _DAY_MINUTES <= (_minute(now) - start) % _DAY_MINUTES
