"""Validation: the checks that a file has to pass before this device activates it.

They run in a process of their own (`device.updates.validation_worker`), in this order, and the
first one that fails is reported: size, graph, metadata, tensors, golden vector, memory, sound,
speed.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from device.errors import ExaminationFailed, SwitchboardError
from device.plain_text import one_line
from device.updates.validation_worker import ResourceLimits

CHECKS = ("size", "graph", "metadata", "tensors", "golden vector", "memory", "sound", "speed")

_ROOT = Path(__file__).parents[2]
_MOST_OUTPUT_BYTES = 64 * 1024

Report = Callable[[str], None]


class Child(Protocol):
    """The process that validates: the part of `subprocess.Popen` used here."""

    stdout: IO[bytes] | None

    def kill(self) -> None:
        """End it at once."""
        ...

    def wait(self) -> int:
        """Its exit status; negative: the signal that ended it."""
        ...


Start = Callable[[Path, ResourceLimits], Child]


@dataclass(frozen=True)
class ValidationResult:
    """The result of a validation.

    Attributes
    ----------
    accepted : bool
    seconds : float
        Elapsed time.
    check : str
        The one that failed; empty if none did.
    reason : str
        Of the refusal, one line.
    exit_code : int
        Of the refusal; 0 if there was none.
    figures : mapping
        What was measured: ``title``, ``n_states``, ``quietest_db``, ``loudest_db``,
        ``compose_ms``, ``block_ms``, ``deadline_ms``, ``model_mb``, ``peak_mb``; empty if
        refused.
    is_final : bool
        Whether the result will be the same at any time; false if the device was too busy.
    """

    accepted: bool
    seconds: float
    check: str = ""
    reason: str = ""
    exit_code: int = 0
    figures: Mapping[str, Any] = field(default_factory=dict)
    is_final: bool = True

    @property
    def line(self) -> str:
        """One line for people; of a refusal it names the check."""
        return "accepted" if self.accepted else f"refused at {self.check}: {self.reason}"

    def check_accepted(self, what: str) -> None:
        """Raise the refusal, if it is one.

        Parameters
        ----------
        what : str
            Names the file.

        Raises
        ------
        SwitchboardError
            Of the class that belongs to the check.
        """
        if not self.accepted:
            raise _error_class(self.exit_code)(f"{what}: {self.line}")


def start_process(path: Path, limits: ResourceLimits) -> Child:
    """Start the process that validates a file."""
    # -P: no module is imported from the current folder. -B: a child that may not write files would
    # leave damaged ones where Python keeps its compiled modules.
    command = [sys.executable, "-B", "-P", "-m", "device.updates.validation_worker", str(path)]
    command += [json.dumps(asdict(limits)), str(os.getpid())]
    # One thread of numpy: each further one takes 40 MB of address space.
    search = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": search, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )


def validate(
    path: Path,
    report: Report = lambda check: None,
    *,
    limits: ResourceLimits | None = None,
    start: Start = start_process,
) -> ValidationResult:
    """Validate an untrusted file; never raises because of its content.

    Nor if no process can be started: that is a result that is not final.

    Parameters
    ----------
    report : callable
        Called with the name of each check before it begins.
    """
    path, limits = path.absolute(), limits or ResourceLimits()
    started = time.monotonic()
    check, last = CHECKS[0], dict[str, Any]()
    try:
        child = start(path, limits)
    except OSError as error:
        return _verdict(_not_started(error), check, 0, path, 0.0)
    try:
        for last in _messages(child, started + limits.seconds):
            if "check" in last:
                check = str(last["check"])
                report(check)
    except TimeoutError:
        last = _unfinished(limits.seconds)
    except ValueError:
        last = {"crash": "an invalid result"}
    finally:
        child.kill()
        status = child.wait()
        if child.stdout is not None:
            child.stdout.close()
    return _verdict(last, check, status, path, round(time.monotonic() - started, 3))


def _messages(child: Child, deadline: float) -> Iterator[dict[str, Any]]:
    """Yield the lines of the child until it ends; raises TimeoutError, ValueError."""
    assert child.stdout is not None
    stdout, pending, n_bytes = child.stdout.fileno(), b"", 0
    while n_bytes < _MOST_OUTPUT_BYTES:
        ready, _, _ = select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        data = os.read(stdout, 4096)
        if not data:
            return
        n_bytes += len(data)
        *lines, pending = (pending + data).split(b"\n")
        yield from map(_message, lines)


def _message(line: bytes) -> dict[str, Any]:
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError(f"{type(message).__name__}, not an object")  # noqa: TRY004
    return message


def _verdict(
    last: dict[str, Any], check: str, status: int, path: Path, seconds: float
) -> ValidationResult:
    if last.get("accepted"):
        return ValidationResult(accepted=True, seconds=seconds, figures=last["figures"])
    if "reason" not in last:
        last = _crashed(last.get("crash") or _ending(status))
    # The file may have no name of its own yet.
    reason = one_line(str(last["reason"]).replace(f"{path}: ", ""))
    is_final = last.get("is_final", True)
    return ValidationResult(False, seconds, check, reason, last["exit_code"], is_final=is_final)


def _unfinished(seconds: float) -> dict[str, Any]:
    error = ExaminationFailed(
        f"found no end after {seconds:.0f} s, expected a result; try again when the device is less "
        "busy, or train a smaller network"
    )
    return {"reason": str(error), "exit_code": error.exit_code, "is_final": False}


def _not_started(cause: OSError) -> dict[str, Any]:
    error = ExaminationFailed(
        f"found {cause.strerror or cause}, expected a process for the validation; try again when "
        "the device is less busy"
    )
    return {"reason": str(error), "exit_code": error.exit_code, "is_final": False}


def _crashed(cause: str) -> dict[str, Any]:
    error = ExaminationFailed(f"found {cause}, expected a result; this file is not a model")
    return {"reason": str(error), "exit_code": error.exit_code}


def _ending(status: int) -> str:
    if status == -signal.SIGXCPU:
        return "too much to compute"
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def _error_class(exit_code: int) -> type[SwitchboardError]:
    classes = {kind.exit_code: kind for kind in SwitchboardError.__subclasses__()}
    return classes.get(exit_code, ExaminationFailed)
