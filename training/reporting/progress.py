"""Progress of long work: a bar on a terminal, lines in a log."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from device.console import say

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

LINE_SECONDS = 60.0
"""A log gets a line at least this often."""
_POLL_SECONDS = 1.0

Write = Callable[[str], None]


def _now() -> float:
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class WorkProgress:
    """Progress of work.

    Attributes
    ----------
    words : str
        Such as '12/40 files'.
    share : float or None
        Of the whole work, 0 to 1; None where it is unknown.
    n_done : int
    unit : str
        What is counted, such as 'files'; the unit of the rate.
    part : str
        Name of the current part: the rate is measured within one part.
    """

    words: str
    share: float | None = None
    n_done: int = 0
    unit: str = ""
    part: str = ""


class ProgressLog:
    """Lines of a log: one for every tenth of the work or every minute, whichever comes first.

    A thread of its own writes those of the minutes, for a single step may take longer than one.

    Parameters
    ----------
    write : callable
        Takes a line.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, write: Write, clock: Callable[[], float] = _now) -> None:
        self._write = write
        self._clock = clock
        # The latest progress, and the first of its part, from which the rate is measured.
        self._latest: WorkProgress | None = None
        self._since = 0.0
        self._first: tuple[WorkProgress, float] | None = None
        self._line_at = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick_until_ended, daemon=True)

    def __enter__(self) -> ProgressLog:
        self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._ticker.join()

    def show(self, latest: WorkProgress) -> None:
        """Record progress, and write a line if one is due."""
        with self._lock:
            now, before = self._clock(), self._latest
            self._latest, self._since = latest, now
            if self._first is None or self._first[0].part != latest.part:
                self._first = latest, now
            if before is None:
                # Work done before the first call is not logged.
                self._line_at = now
            elif _tenth(latest) > _tenth(before) or now - self._line_at >= LINE_SECONDS:
                self._write_line(now)

    def begin(self, what: str) -> None:
        """Write at once what begins, where nothing can be counted."""
        with self._lock:
            now = self._clock()
            self._latest, self._since = WorkProgress(what, part=what), now
            self._first = self._latest, now
            self._write_line(now)

    def tick(self) -> None:
        """Write a line if the last one is a minute old."""
        with self._lock:
            now = self._clock()
            if self._latest is not None and now - self._line_at >= LINE_SECONDS:
                self._write_line(now)

    def _tick_until_ended(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            self.tick()

    def _write_line(self, now: float) -> None:
        assert self._latest is not None
        assert self._first is not None
        words = [self._latest.words, *_rate_and_time_left(*self._first, self._latest, now)]
        if now - self._since >= LINE_SECONDS:
            words.append(f"unchanged for {span(now - self._since)}")
        self._line_at = now
        self._write(", ".join(words))


def _tenth(latest: WorkProgress) -> int:
    return math.floor(10 * (latest.share or 0.0) + 1e-9)


def _rate_and_time_left(
    first: WorkProgress, started: float, latest: WorkProgress, now: float
) -> Iterator[str]:
    """Rate and time left, as far as they are known."""
    n_new, seconds = latest.n_done - first.n_done, max(now - started, 1e-3)
    if n_new > 0:
        yield _format_rate(n_new / seconds, latest.unit)
    if latest.share is not None and first.share is not None and latest.share > first.share:
        yield f"{span((1 - latest.share) * seconds / (latest.share - first.share))} left"


def _format_rate(rate: float, unit: str) -> str:
    """Units a second, or seconds a unit where that is more than two."""
    return f"{rate:.1f} {unit}/s" if rate >= 0.5 else f"{1 / rate:.0f} s each"


def span(seconds: float) -> str:
    """Format a time in the unit that fits, such as '90 s', '14 min' or '1 h 12 min'."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def log_line(line: str, *, err: bool) -> None:
    """Write a line of a log at once; that it cannot be written does not stop the work.

    Parameters
    ----------
    err : bool
        Whether to standard error, else to standard output.
    """
    try:
        say(line, err=err)
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error, BrokenPipeError):
            # The reader has gone, such as `head`: later lines go nowhere, without a complaint.
            _discard_output()
            reason = "its reader has gone"
        say(f"switchboard: standard output: {reason}; the work goes on", err=True)


def _discard_output() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    # A stream in memory has no descriptor.
    with suppress(OSError):
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


# -- work that is counted -------------------------------------------------------------------


@contextmanager
def shown_progress(
    unit: str, *, what: str = "", err: bool = True
) -> Iterator[Callable[[int, int], None]]:
    """Yield what shows (done, total): a bar on a terminal, lines of `ProgressLog` elsewhere.

    Parameters
    ----------
    unit : str
        What is counted, such as 'files'.
    what : str
        Stands before it.
    err : bool
        Whether on standard error, else on standard output.
    """
    console = _console(err=err)
    prefix = f"{what}: " if what else ""
    if not console.is_terminal:
        with ProgressLog(lambda line: log_line(line, err=err)) as log:
            yield lambda n_done, n_total: log.show(
                WorkProgress(f"{prefix}{n_done}/{n_total} {unit}", n_done / n_total, n_done, unit)
            )
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    rate = TextColumn("{task.fields[rate]}")
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(unit), rate, TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None, rate="", visible=False)

        def show(n_done: int, n_total: int) -> None:
            progress.update(task, completed=n_done, total=n_total, visible=True)
            speed = progress.tasks[0].speed
            progress.update(task, rate=_format_rate(speed, unit) if speed else "")

        yield show


def _console(*, err: bool) -> Console:
    from rich.console import Console

    return Console(stderr=err)


# -- a training -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """Progress of a training.

    Attributes
    ----------
    stage : str
    step : int
    done, done_of_run : float
        Shares of the stage and of the whole run, 0 to 1.
    figures : mapping
        The latest losses, the most informative first.
    """

    stage: str
    step: int
    done: float
    done_of_run: float
    figures: Mapping[str, float]

    def latest(self, n_figures: int) -> list[str]:
        """Format the first figures."""
        return [f"{name} {value:.3g}" for name, value in list(self.figures.items())[:n_figures]]


class TrainingDisplay(Protocol):
    """Display of the progress of a training."""

    def report(self, progress: TrainingProgress) -> None:
        """Show a step."""
        ...

    def begin(self, what: str) -> None:
        """Show what begins, where nothing can be counted."""
        ...


@contextmanager
def shown_training(*, hidden: bool) -> Iterator[TrainingDisplay]:
    """Show a training on standard output: bars on a terminal, else lines of `ProgressLog`.

    Parameters
    ----------
    hidden : bool
        Show nothing: another process does.
    """
    console = _console(err=False)
    if hidden:
        yield _Log(ProgressLog(lambda line: None))
    elif console.is_terminal:
        bars = _Bars(console)
        with bars.progress:
            yield bars
    else:
        with ProgressLog(lambda line: log_line(line, err=False)) as log:
            yield _Log(log)


class _Log:
    """A training in a log."""

    def __init__(self, log: ProgressLog) -> None:
        self.log = log

    def report(self, progress: TrainingProgress) -> None:
        position = f"{progress.stage} {min(progress.done, 1.0):.0%}, step {progress.step:,}"
        self.log.show(
            WorkProgress(
                ", ".join([position, *progress.latest(2)]),
                min(progress.done_of_run, 1.0),
                progress.step,
                "steps",
                progress.stage,
            )
        )

    def begin(self, what: str) -> None:
        self.log.begin(what)


class _Bars:
    """A bar for each stage, with the latest losses and the time left."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.progress: Progress = Progress(
            TextColumn("{task.description:9}"),
            BarColumn(),
            TextColumn("{task.percentage:5.1f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rate]} {task.fields[figures]}"),
            refresh_per_second=1,
            console=console,
        )
        self._tasks: dict[str, int] = {}

    def report(self, progress: TrainingProgress) -> None:
        # First: `tasks` is a list of those that there are now.
        number = self._task(progress.stage, total=1.0)
        task = self.progress.tasks[number]
        n_steps = task.fields.get("n_steps", 0) + 1
        self.progress.update(
            task.id,
            completed=min(progress.done, 1.0),
            figures="  ".join(progress.latest(2)),
            rate=f"{n_steps / task.elapsed:.1f} steps/s" if task.elapsed else "",
            n_steps=n_steps,
        )

    def begin(self, what: str) -> None:
        self._task(what, total=None)

    def _task(self, name: str, *, total: float | None) -> int:
        if name not in self._tasks:
            self._tasks[name] = self.progress.add_task(name, total=total, rate="", figures="")
        return self._tasks[name]
