"""Sound output: the protocol of speakers, and those that need no sound card.

A speaker paces the instrument: `Speaker.write` blocks while its buffer is full. Sound cards are in
`device.audio.sound_card`.
"""

import time
from collections.abc import Callable
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from device.closeable import Closeable

Clock = Callable[[], float]
Sleep = Callable[[float], None]
Report = Callable[[str], None]

BUFFER_SECONDS = 0.06


class Speaker(Protocol):
    """Somewhere to play mono float32 samples between -1 and 1, in real time or as a file."""

    @property
    def name(self) -> str:
        """Name for messages."""
        ...

    @property
    def is_live(self) -> bool:
        """Whether it plays in real time."""
        ...

    @property
    def queued_seconds(self) -> float:
        """How long what is queued plays; 0 for files."""
        ...

    @property
    def latency_seconds(self) -> float:
        """From now until what was written last has been heard; 0 for files."""
        ...

    @property
    def n_underruns(self) -> int:
        """How often the sound broke off because a block came too late."""
        ...

    def wait(self, queued_seconds: float) -> float:
        """Return when no more than so much is queued; by how many seconds too late."""
        ...

    def write(self, samples: NDArray[np.float32]) -> None:
        """Queue samples of shape (n,); blocks while the buffer is full."""
        ...

    def close(self) -> None:
        """End cleanly; may be called again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: object, error: object, trace: object, /) -> None: ...


class Pacer:
    """A simulated queue: only the time at which it will have been played is kept."""

    def __init__(
        self, sample_rate: int, *, buffer_seconds: float, clock: Clock, sleep: Sleep
    ) -> None:
        self.n_underruns = 0
        self._sample_rate = sample_rate
        self._buffer_seconds = buffer_seconds
        self._clock = clock
        self._sleep = sleep
        self._played_at: float | None = None

    def advance(self, n_samples: int) -> None:
        """Queue `n_samples`; sleeps until they fit."""
        if n_samples == 0:
            return  # An empty block would count as a queue that has run dry.
        now = self._clock()
        start = now if self._played_at is None else self._played_at
        if now > start:
            self.n_underruns += 1
            start = now
        self._played_at = start + n_samples / self._sample_rate
        surplus = self._played_at - now - self._buffer_seconds
        if surplus > 0:
            self._sleep(surplus)

    @property
    def queued_seconds(self) -> float:
        """How long what is queued plays."""
        return 0.0 if self._played_at is None else max(self._played_at - self._clock(), 0.0)

    def wait(self, queued_seconds: float) -> float:
        """Sleep until no more than so much is queued; by how many seconds too late."""
        if self._played_at is None:
            return 0.0
        due = self._played_at - queued_seconds
        surplus = due - self._clock()
        if surplus <= 0:
            return 0.0
        self._sleep(surplus)
        return max(self._clock() - due, 0.0)

    def restart(self) -> None:
        """Begin with an empty queue that has not run dry."""
        self._played_at = None


class SilentSpeaker(Pacer, Closeable):
    """Plays nothing, in real time."""

    name = "silent"
    is_live = True

    def __init__(
        self,
        sample_rate: int,
        *,
        buffer_seconds: float = BUFFER_SECONDS,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        super().__init__(sample_rate, buffer_seconds=buffer_seconds, clock=clock, sleep=sleep)

    @property
    def latency_seconds(self) -> float:
        """From now until what was written last would have been heard."""
        return self.queued_seconds

    def write(self, samples: NDArray[np.float32]) -> None:
        """Wait as a card with this buffer would."""
        self.advance(len(samples))
