"""What the stages share: a bound in time, reasons to skip, and a place for what was measured."""

import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest

from tests.appliance.root_filesystem import CACHE
from tests.appliance.shell import Failed

# A busy machine may take so many times as long as the box should; it is said, and not failed.
PATIENCE = 4.0


@dataclass(frozen=True)
class Figure:
    """Something measured, and what it should be at most."""

    what: str
    value: float
    unit: str
    at_most: float | None

    def __str__(self) -> str:
        value = f"{self.value:9.2f} {self.unit:3}"
        if self.at_most is None:
            return f"{value} {self.what}"
        verdict = "" if self.value <= self.at_most else ": NOT MET on this machine, now"
        return f"{value} {self.what} (at most {self.at_most:g}{verdict})"


Measured = Callable[..., None]
_FIGURES = pytest.StashKey[list[Figure]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bounded(seconds): what takes longer has failed")
    config.stash[_FIGURES] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Bounds a test together with the fixtures that it is the first to ask for."""

    def out_of_time(_signal: int, _frame: FrameType | None) -> None:
        raise Failed(f"not done within {seconds} s")

    marker = item.get_closest_marker("bounded")
    seconds = marker.args[0] if marker else 300
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(seconds)
    try:
        return (yield)
    finally:
        signal.alarm(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[pytest.TestReport]:
    """With a failure goes what the box said."""
    report = yield
    if report.failed and "box" in getattr(item, "funcargs", {}):
        with suppress(Failed):
            report.sections.append(("the box's journal", item.funcargs["box"].journal()))
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.stash[_FIGURES]:
        terminalreporter.section("measured")
        for figure in config.stash[_FIGURES]:
            terminalreporter.line(str(figure))


@pytest.fixture(scope="session")
def measured(pytestconfig: pytest.Config) -> Measured:
    """Notes a figure; fails one that is far from what it should be."""

    def note(what: str, value: float, unit: str, at_most: float | None = None) -> None:
        figure = Figure(what, value, unit, at_most)
        pytestconfig.stash[_FIGURES].append(figure)
        assert at_most is None or value <= PATIENCE * at_most, str(figure)

    return note


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder beside the trees, gone in the end; whoever has it is the only rehearsal here."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / "scratch"
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.exit("another rehearsal is going on; run this one after it")
        # What one that was killed left behind.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """Skips where what a stage stands on is not there, and says how it is had."""

    def need(*programs: str) -> None:
        if os.geteuid() != 0 or os.getpid() != 1:
            pytest.skip("needs root and a namespace of its own: run it by `sudo make rehearse`")
        missing = [program for program in programs if shutil.which(program) is None]
        if missing:
            pytest.skip(f"no {', '.join(missing)}: `make rehearsal-tools` installs them")

    return need


@contextmanager
def to_be_had(what: str) -> Iterator[None]:
    """Skips, for what is fetched from elsewhere: that may be out of reach, or too slow."""
    try:
        yield
    except Failed as error:
        pytest.skip(f"{what} cannot be had here: {error}")
