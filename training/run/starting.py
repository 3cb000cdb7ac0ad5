"""How a run begins: fresh, from its checkpoint, or not at all because it is finished."""

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.run.config import Config, TrainingError

# A job that is started again may meet the one before while that ends.
LOCK_SECONDS = 60.0
# Errors of file systems that have no such locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class RunState:
    """What is to be done with the folder of a run.

    Attributes
    ----------
    resumes : bool
        Whether to go on from its checkpoint.
    is_finished : bool
        Whether nothing is left to do.
    settings : mapping
        Those of ``config.json``; empty for a fresh run.
    """

    resumes: bool
    is_finished: bool = False
    settings: Mapping[str, Any] | None = None


def find_state(directory: Path, resume: str | None) -> RunState:
    """Find out what is to be done, with the value of ``--resume``.

    Raises
    ------
    TrainingError
        If the settings of a run that is to be resumed cannot be read.
    """
    if resume == "auto" and (directory / "model.pt").is_file():
        return RunState(resumes=False, is_finished=True)
    if resume == "latest" or (resume == "auto" and (directory / "checkpoint.pt").is_file()):
        return RunState(resumes=True, settings=_settings(directory / "config.json"))
    return RunState(resumes=False)


def _settings(path: Path) -> Mapping[str, Any] | None:
    """Settings of a run; None where there is no run, which is explained later."""
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Config.from_dict(raw).to_dict()
    except (OSError, ValueError, RecursionError, TypeError, AttributeError) as error:
        raise TrainingError(
            f"{path}: cannot be read, expected the settings of the run; bring back a copy"
        ) from error


@contextmanager
def locked_run(directory: Path) -> Iterator[None]:
    """Let one training at a time write into a folder, which is made if it is not there.

    The lock is the kernel's, so a killed process leaves none behind.

    Raises
    ------
    TrainingError
        If another training holds it for longer than `LOCK_SECONDS`.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise TrainingError(
            f"{directory}: cannot be written ({error.strerror}); see --out"
        ) from error
    try:
        _lock(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise TrainingError(
                    f"{directory}: found another process that trains this run, expected none; "
                    "wait for it, or choose another --out"
                ) from error
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return None
            raise
        time.sleep(0.1)
