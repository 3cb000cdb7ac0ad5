"""Shared by the stages: a time limit, reasons to skip, and the list of what was measured."""

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

# A busy machine may take this many times as long as a device should: printed, not a failure.
PATIENCE = 4.0


@dataclass(frozen=True)
class Figure:
    """A measurement, and its upper limit."""

    name: str
    value: float
    unit: str
    at_most: float | None

    def __str__(self) -> str:
        value = f"{self.value:9.2f} {self.unit:3}"
        if self.at_most is None:
            return f"{value} {self.name}"
        verdict = "" if self.value <= self.at_most else ": NOT MET on this machine, now"
        return f"{value} {self.name} (at most {self.at_most:g}{verdict})"


Measured = Callable[..., None]
_FIGURES = pytest.StashKey[list[Figure]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bounded(seconds): what takes longer has failed")
    config.stash[_FIGURES] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Limits the time of a test together with the fixtures that it is the first to use."""

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
    """Adds the device's journal to a failure."""
    report = yield
    if report.failed and "device" in getattr(item, "funcargs", {}):
        with suppress(Failed):
            report.sections.append(("the device's journal", item.funcargs["device"].journal()))
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
    """Records a measurement; fails if it is far above its limit."""

    def record(name: str, value: float, unit: str, at_most: float | None = None) -> None:
        figure = Figure(name, value, unit, at_most)
        pytestconfig.stash[_FIGURES].append(figure)
        assert at_most is None or value <= PATIENCE * at_most, str(figure)

    return record


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder beside the trees, removed in the end; only one run at a time may have it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / "scratch"
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.exit("another run of these tests is in progress; run this one after it")
        # Files of a killed run.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """Skips where a stage's requirements are missing, and names the command that installs them."""

    def need(*programs: str) -> None:
        if os.geteuid() != 0 or os.getpid() != 1:
            pytest.skip(
                "needs root and a namespace of its own: run it by `sudo make test-appliance`"
            )
        missing = [program for program in programs if shutil.which(program) is None]
        if missing:
            pytest.skip(f"no {', '.join(missing)}: `make appliance-tools` installs them")

    return need


@contextmanager
def skip_unless_available(name: str) -> Iterator[None]:
    """Skips where a download fails: a server may be unreachable, or too slow."""
    try:
        yield
    except Failed as error:
        pytest.skip(f"{name} is not available here: {error}")
