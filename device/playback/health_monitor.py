"""Probation: whether a model that has just taken over keeps its place."""

from dataclasses import dataclass

from device.playback.state import InstrumentState

MONITOR_SECONDS = 60.0
# A machine that does something else as well may be late now and then without any fault of the
# model's. One that is too slow is late again and again, and out within a second or two: so bounds
# are for a short while.
WINDOW_SECONDS = 5.0
MOST_UNDERRUNS = 3
MOST_LATE = 8
LATE_SHARE = 0.1


@dataclass(frozen=True)
class Fault:
    """Why a model must go.

    Attributes
    ----------
    reason : str
        For the owner.
    at_once : bool
        Whether what is heard is broken, so that there is no bar worth waiting for.
    """

    reason: str
    at_once: bool


class HealthMonitor:
    """Watches one model from the snapshot in which it is first heard alone.

    Parameters
    ----------
    seconds : float
        Of music.
    """

    def __init__(self, first: InstrumentState, *, seconds: float = MONITOR_SECONDS) -> None:
        self._first = self._window = first
        self._seconds = seconds
        self._n_blocks = 0

    def is_over(self, state: InstrumentState) -> bool:
        """Whether it has stood the test."""
        return state.seconds - self._first.seconds >= self._seconds

    def judge(self, state: InstrumentState) -> Fault | None:
        """What is wrong with it, if anything; asked once a block, by the audio loop."""
        if state.failure is not None:
            return Fault(state.failure, at_once=True)
        # Nothing is subtracted: whatever this model has drawn, it has drawn since it was loaded.
        if state.n_not_finite:
            return self._misbehaviour(state, f"{state.n_not_finite} frames not finite", True)
        self._n_blocks += 1
        n_underruns = state.n_underruns - self._window.n_underruns
        if n_underruns > MOST_UNDERRUNS:
            return self._misbehaviour(state, f"{n_underruns} underruns", True)
        n_late = state.n_late - self._window.n_late
        if n_late > max(MOST_LATE, LATE_SHARE * self._n_blocks):
            return self._misbehaviour(state, f"{n_late} blocks late", False)
        if state.seconds - self._window.seconds >= WINDOW_SECONDS:
            self._window, self._n_blocks = state, 0
        return None

    def _misbehaviour(self, state: InstrumentState, what: str, at_once: bool) -> Fault:
        bits = "".join("1" if bit else "0" for bit in state.sounding)
        after = state.seconds - self._first.seconds
        reason = f"{what} with switches {bits}, {after:.1f} s after it took over"
        return Fault(reason, at_once)
