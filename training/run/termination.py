"""SIGTERM, by which schedulers end a job: the training saves its state and ends with status 75."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from device.errors import SwitchboardError


class TrainingInterrupted(SwitchboardError):
    """SIGTERM ended a training; the same command with --resume auto goes on."""

    # EX_TEMPFAIL of sysexits.h, by which schedulers tell "again, please" from "failed".
    exit_code = 75


class Termination:
    """Handles SIGTERM within a `with` block: raises `TrainingInterrupted`, at once or deferred.

    Attributes
    ----------
    is_requested : bool
        Whether the signal has arrived.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._is_deferred = False
        self._handler_before: Any = None

    def __enter__(self) -> Self:
        self._handler_before = signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._handler_before)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Raise at the end of the block, so that what it does is whole."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
        if self.is_requested:
            raise TrainingInterrupted("SIGTERM ended the training")

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.is_requested = True
        if not self._is_deferred:
            raise TrainingInterrupted("SIGTERM ended the training")
