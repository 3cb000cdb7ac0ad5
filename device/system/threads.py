"""Helper threads: each does one thing again and again, and goes on whatever happens meanwhile.

A step that raises costs that step. A thread that has ended all the same is started again by
`ThreadMonitor`, from the audio loop. A step that does not return cannot be ended: it is recorded.
What went wrong is on the `ThreadRegistry`, for the player and the status.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from device.closeable import Closeable
from device.console import without_errors
from device.errors import Interrupted

FIRST_PAUSE_SECONDS = 0.05
MOST_PAUSE_SECONDS = 4.0
JOIN_SECONDS = 1.0
CHECK_SECONDS = 1.0
# Longer than a slow card takes for anything that is written to it.
STALL_SECONDS = 60.0


@dataclass(frozen=True)
class ThreadFault:
    """What went wrong in the helpers of one name, since the process began.

    Attributes
    ----------
    n_faults : int
        Steps that raised or did not return in time.
    n_restarts : int
        Threads that had ended and were started again.
    latest : str
        The last error, in one line.
    """

    n_faults: int = 0
    n_restarts: int = 0
    latest: str = ""


class ErrorGuard:
    """A ``with`` block whose exception is noted on a registry, and goes no further.

    Attributes
    ----------
    failed : bool
        Whether there was one.
    """

    def __init__(self, registry: "ThreadRegistry", name: str) -> None:
        self.failed = False
        self._registry = registry
        self._name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object, /) -> bool:
        self.failed = isinstance(error, Exception)
        if error is not None and self.failed:
            self._registry.record_fault(self._name, error)
        return self.failed


class ThreadRegistry:
    """The helpers that should be running, and what went wrong in them; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._helpers: list[SupervisedThread] = []
        self._faults: dict[str, ThreadFault] = {}

    def add(self, helper: "SupervisedThread") -> None:
        """Expect this helper to run from now on."""
        with self._lock:
            self._helpers.append(helper)

    def remove(self, helper: "SupervisedThread") -> None:
        """Expect it no more; it may have left already."""
        with self._lock, suppress(ValueError):
            self._helpers.remove(helper)

    def record_fault(self, name: str, error: BaseException, *, restarted: bool = False) -> None:
        """Remember that a turn raised, or that a thread had ended."""
        latest = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        with self._lock:
            before = self._faults.get(name, ThreadFault())
            self._faults[name] = ThreadFault(
                before.n_faults + (not restarted), before.n_restarts + restarted, latest
            )

    def guard(self, name: str) -> ErrorGuard:
        """A ``with`` block that notes its exception."""
        return ErrorGuard(self, name)

    @property
    def faults(self) -> dict[str, ThreadFault]:
        """By the name of the helper; without an entry all went well."""
        with self._lock:
            return dict(self._faults)

    def restart_ended(self) -> None:
        """Start every helper again whose thread has ended."""
        with self._lock:
            ended = [helper for helper in self._helpers if not helper.is_alive]
        for helper in ended:
            helper.restart()

    def record_stalled(self, now: float) -> None:
        """Record every helper whose step has not returned in time, once for each such step.

        Parameters
        ----------
        now : float
            Seconds, of `time.monotonic`.
        """
        with self._lock:
            helpers = list(self._helpers)
        for helper in helpers:
            if (seconds := helper.stalled_seconds(now)) is not None:
                error = TimeoutError(f"a step has not returned for {seconds:.0f} s")
                self.record_fault(helper.name, error)


THREADS = ThreadRegistry()


class SupervisedThread(Closeable):
    """A thread that takes one turn of its work after another until it is closed.

    Parameters
    ----------
    name : str
        Of the thread, as the player reads it.
    step : callable
        One step of the work, which waits for work itself, for less than `stall_seconds`. An
        exception is recorded in the registry and followed by a pause, which doubles up to
        `MOST_PAUSE_SECONDS` until a step succeeds.
    every : float
        Seconds from one step to the next.
    stall_seconds : float
        A step that takes longer is recorded as a fault.
    registry : ThreadRegistry
        Where its name and its trouble are kept.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], object],
        *,
        every: float = 0.0,
        stall_seconds: float = STALL_SECONDS,
        registry: ThreadRegistry = THREADS,
    ) -> None:
        self.name = name
        self._step = step
        self._every = every
        self._stall_seconds = stall_seconds
        self._step_started_at: float | None = None
        self._registry = registry
        self._ended = threading.Event()
        self._killed_by: BaseException | None = None
        self._thread = self._start()
        registry.add(self)

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    @property
    def has_ended(self) -> bool:
        """Whether `end` was called."""
        return self._ended.is_set()

    def end(self) -> None:
        """Take no further turn; returns at once."""
        self._registry.remove(self)
        self._ended.set()

    def close(self, timeout: float = JOIN_SECONDS) -> None:
        """End, and wait so many seconds for the turn that is being taken; idempotent."""
        self.end()
        self.join(timeout)

    def join(self, timeout: float) -> None:
        """Wait so many seconds for the thread's end."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def restart(self) -> None:
        """Start the thread again after it has ended unasked."""
        if self.has_ended or self.is_alive:
            return
        cause, self._killed_by = self._killed_by or RuntimeError("the thread has ended"), None
        try:
            self._thread = self._start()
        except RuntimeError as error:  # no room for a thread now; there may be later
            self._registry.record_fault(self.name, error)
        else:
            self._registry.record_fault(self.name, cause, restarted=True)

    def stalled_seconds(self, now: float) -> float | None:
        """How long the current step has taken, if that is too long; each step once."""
        started_at = self._step_started_at
        if started_at is None or now - started_at <= self._stall_seconds:
            return None
        self._step_started_at = None
        return now - started_at

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        try:
            self._repeat()
        except Interrupted:
            pass  # the process ends
        except (SystemExit, KeyboardInterrupt) as error:
            # Not passed on: all that Python does with it is to print it, and that may fail.
            self._killed_by = error

    def _repeat(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._ended.wait(self._every):
            self._step_started_at = time.monotonic()
            with self._registry.guard(self.name) as guard:
                self._step()
            self._step_started_at = None
            if guard.failed:
                self._ended.wait(pause)
                pause = min(2 * pause, MOST_PAUSE_SECONDS)
            else:
                pause = FIRST_PAUSE_SECONDS


class ThreadMonitor:
    """A listener that starts ended helpers again, and says what went wrong in any.

    Parameters
    ----------
    report : callable
        Takes one line for the player; each fault is reported once, until there is another.
    """

    def __init__(
        self,
        report: Callable[[str], object],
        *,
        registry: ThreadRegistry = THREADS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = without_errors(report)
        self._registry = registry
        self._clock = clock
        self._next_at = float("-inf")
        self._reported = registry.faults

    def __call__(self, state: object) -> None:
        """Another block was taken by the speaker."""
        del state
        now = self._clock()
        if now < self._next_at:
            return
        self._next_at = now + CHECK_SECONDS
        self._registry.restart_ended()
        self._registry.record_stalled(now)
        for name, fault in self._registry.faults.items():
            before = self._reported.get(name, ThreadFault())
            self._reported[name] = fault
            if fault.n_restarts > before.n_restarts:
                self._report(f"helper {name!r} had ended ({fault.latest}) and is started again")
            elif fault.latest != before.latest:
                self._report(f"helper {name!r}: found {fault.latest}; it goes on")
