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
# Before whatever else this machine does: what is rehearsed has real time on the box, and no
# container can be given that.
PREFERRED = ("nice", "--adjustment=-15")


class Failed(Exception):
    """What did not work, and its last words."""


def run(
    *command: str | Path, stdin: str | None = None, timeout_seconds: float = COMMAND_SECONDS
) -> str:
    """What the command prints.

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
    found: Callable[[], T], what: str, *, timeout_seconds: float, every_seconds: float = 0.02
) -> T:
    """Ask again and again until the answer is true; return it."""
    deadline = time.monotonic() + timeout_seconds
    while not (answer := found()):
        if time.monotonic() > deadline:
            raise Failed(f"waited {timeout_seconds:.0f} s in vain: {what}")
        time.sleep(every_seconds)
    return answer


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
    """A process for as long as it is needed; what it complains of goes to `log`."""
    with log.open("wb") as complaints:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=options.pop("stdout", complaints),
            stderr=complaints,
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
