"""When each beat leaves the speaker: the music's position by the machine's clock."""

import math
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from device.playback.state import InstrumentState

# Points of the music that are kept: half a second, longer than anything is queued.
_N_POINTS = 9
# The time to which errors of the queue's estimate are averaged, and the error that is a jump: the
# card was opened again, or the queue has run dry.
_AVERAGE_SECONDS = 0.5
_JUMP_SECONDS = 0.005
# Between two readings of the clock the thread was interrupted: what was read does not fit together.
_MOST_BETWEEN_SECONDS = 0.0005


class Playing(Protocol):
    """The part of a speaker used here."""

    @property
    def latency_seconds(self) -> float:
        """From now until what was written last has been heard."""
        ...


@dataclass(frozen=True)
class _Line:
    """Points (seconds of music, beats), the slope after them, and when second 0 is heard."""

    seconds: tuple[float, ...]
    beats: tuple[float, ...]
    beats_per_second: float
    offset: float


class BeatClock:
    """A listener that knows which beat leaves the speaker at which time.

    The card's clock decides, not the machine's: what has been written and is not yet played says
    where the card is. For any thread: a reading takes one immutable line.

    Parameters
    ----------
    clock : callable
        Seconds; the one by which the speaker's latency is measured.
    """

    def __init__(self, speaker: Playing, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._speaker = speaker
        self._clock = clock
        self._line: _Line | None = None
        self._updated_at = 0.0

    def __call__(self, state: InstrumentState) -> None:
        """Another block was taken by the speaker."""
        before = self._clock()
        latency_seconds = self._speaker.latency_seconds
        now = self._clock()
        if now - before <= _MOST_BETWEEN_SECONDS or self._line is None:
            self._update(state, now, now + latency_seconds - state.seconds)

    @property
    def is_running(self) -> bool:
        """Whether a beat was heard."""
        return self._line is not None

    @property
    def beats_per_second(self) -> float:
        """How fast the beats come now; 0 before the first one."""
        return 0.0 if self._line is None else self._line.beats_per_second

    def beat_at(self, at: float) -> float:
        """Beats since the start that are heard at a time; nan before the first one."""
        line = self._line
        if line is None:
            return math.nan
        return _interpolated(at - line.offset, line.seconds, line.beats, line.beats_per_second)

    def time_of(self, beat: float) -> float:
        """When a beat is heard, as far as it is known now; infinity before the first one."""
        line = self._line
        if line is None:
            return math.inf
        slope = 1 / line.beats_per_second
        return line.offset + _interpolated(beat, line.beats, line.seconds, slope)

    def _update(self, state: InstrumentState, now: float, offset: float) -> None:
        before, bps = self._line, state.tempo_bpm / 60
        seconds: tuple[float, ...] = (state.seconds,)
        beats: tuple[float, ...] = (state.heard_position,)
        if before is not None:
            elapsed, self._updated_at = now - self._updated_at, now
            error = offset - before.offset
            if abs(error) < _JUMP_SECONDS:
                offset = before.offset + error * (1 - math.exp(-elapsed / _AVERAGE_SECONDS))
            if before.seconds[-1] < state.seconds and before.beats[-1] < state.heard_position:
                seconds = (*before.seconds[1 - _N_POINTS :], state.seconds)
                beats = (*before.beats[1 - _N_POINTS :], state.heard_position)
        self._updated_at = now
        self._line = _Line(seconds, beats, bps, offset)


def _interpolated(
    x: float, xs: tuple[float, ...], ys: tuple[float, ...], slope_after: float
) -> float:
    """The ordinate at `x` of a line through points; beyond them it goes on straight."""
    i = bisect_left(xs, x)
    if i == len(xs):
        return ys[-1] + (x - xs[-1]) * slope_after
    i = max(i, 1)
    if len(xs) == 1:
        return ys[0] + (x - xs[0]) * slope_after
    slope = (ys[i] - ys[i - 1]) / (xs[i] - xs[i - 1])
    return ys[i] + (x - xs[i]) * slope
