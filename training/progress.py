"""How far a long piece of work has come: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from device.terminal import say


@contextmanager
def shown_progress(unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what shows (done, total): a bar on a terminal, a line every tenth in a log."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _log_tenths(unit)
        return
    rate = TextColumn("{task.fields[rate]}")
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(unit), rate, TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None, rate="")

        def show(n_done: int, n_total: int) -> None:
            progress.update(task, completed=n_done, total=n_total)
            speed = progress.tasks[0].speed
            progress.update(task, rate=_pace(speed, unit) if speed else "")

        yield show


def _log_tenths(unit: str) -> Callable[[int, int], None]:
    started = time.monotonic()
    n_before: list[int] = []
    tenths_shown: list[int] = []

    def show(n_done: int, n_total: int) -> None:
        tenth = 10 * n_done // n_total
        if n_before and tenth > tenths_shown[-1]:
            rate = (n_done - n_before[0]) / max(time.monotonic() - started, 1e-3)
            seconds_left = (n_total - n_done) / rate
            line = f"{n_done}/{n_total} {unit}, {_pace(rate, unit)}, {seconds_left:.0f} s left"
            say(line, err=True)
        n_before.append(n_done)
        tenths_shown.append(tenth)

    return show


def _pace(rate: float, unit: str) -> str:
    """Units a second, or seconds a unit where that says more."""
    return f"{rate:.1f} {unit}/s" if rate >= 0.5 else f"{1 / rate:.0f} s each"
