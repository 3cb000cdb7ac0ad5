"""Commands, waits and mounts, each with a bound and an end."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

COMMAND_SECONDS = 60.0
# Higher priority than other processes of this machine: the service has real time on a device, which
# a container cannot be given.
PREFERRED = ("nice", "--adjustment=-15")


class Failed(Exception):
    """A command or wait that failed, with the end of its output."""


def run(
    *command: str | Path, stdin: str | None = None, timeout_seconds: float = COMMAND_SECONDS
) -> str:
    """Output of a command.

    Raises
    ------
    Failed
        If its status is not 0, or it is still running after `timeout_seconds`.
    """
    # timeout(1) ends a command's children too, which subprocess does not.
    words = ["timeout", "--kill-after=5", str(timeout_seconds), *map(str, command)]
    source = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    done = subprocess.run(
        words, check=False, capture_output=True, text=True, errors="replace", **source
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        ended = "ran out of time" if done.returncode in (124, 137) else f"gave {done.returncode}"
        raise Failed(f"{' '.join(words[3:])} {ended}: {last}")
    return done.stdout


def wait_until(
    condition: Callable[[], T], name: str, *, timeout_seconds: float, every_seconds: float = 0.02
) -> T:
    """Poll a condition until it is true; return its value."""
    deadline = time.monotonic() + timeout_seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Failed(f"waited {timeout_seconds:.0f} s in vain: {name}")
        time.sleep(every_seconds)
    return value


@contextmanager
def mounted(source: str | Path, target: Path, *options: str) -> Iterator[Path]:
    """Mount for as long as it is needed."""
    run("mount", *options, source, target)
    try:
        yield target
    finally:
        run("umount", "--lazy", target)


@contextmanager
def running(
    *command: str | Path, log: Path, ending: signal.Signals = signal.SIGTERM, **options: Any
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process for as long as it is needed; its standard error goes to `log`."""
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=options.pop("stdout", stderr),
            stderr=stderr,
            **options,
        )
        try:
            yield process
        finally:
            _end(process, ending)


def _end(process: "subprocess.Popen[bytes]", ending: signal.Signals) -> None:
    process.send_signal(signal.SIGCONT)
    process.send_signal(ending)
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    process.kill()
    process.wait()
