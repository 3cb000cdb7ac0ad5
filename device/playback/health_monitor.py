"""The health monitor: whether a model that has just taken over may stay."""

from dataclasses import dataclass

from device.playback.state import InstrumentState

MONITOR_SECONDS = 60.0
# A machine that does other work too is late now and then without any fault of the model. A model
# that is too slow is late in most blocks and exceeds the limits within a second or two: so the
# limits apply to a short window.
WINDOW_SECONDS = 5.0
MOST_UNDERRUNS = 3
MOST_LATE = 8
LATE_SHARE = 0.1


@dataclass(frozen=True)
class Fault:
    """Why a model must be replaced.

    Attributes
    ----------
    reason : str
        For the report and the store.
    at_once : bool
        Whether the sound is broken already, so that the return does not wait for the bar.
    """

    reason: str
    at_once: bool


class HealthMonitor:
    """Checks one model from the snapshot in which it is first heard alone.

    Parameters
    ----------
    first : InstrumentState
        The snapshot of the takeover; counters are compared with it.
    seconds : float
        How much music the model is monitored for.
    """

    def __init__(self, first: InstrumentState, *, seconds: float = MONITOR_SECONDS) -> None:
        self._first = self._window = first
        self._seconds = seconds

    def is_over(self, state: InstrumentState) -> bool:
        """Whether the model has played for the whole time."""
        return state.seconds - self._first.seconds >= self._seconds

    def check(self, state: InstrumentState) -> Fault | None:
        """The model's fault, None without one; for every snapshot, by the audio loop."""
        if state.failure is not None:
            return Fault(state.failure, at_once=True)
        # Nothing is subtracted: the counter is the network's own and starts when it is loaded.
        if state.n_not_finite:
            return self._fault(state, f"{state.n_not_finite} frames not finite", True)
        n_underruns = state.n_underruns - self._window.n_underruns
        if n_underruns > MOST_UNDERRUNS:
            return self._fault(state, f"{n_underruns} underruns", True)
        n_late = state.n_late - self._window.n_late
        if n_late > max(MOST_LATE, LATE_SHARE * (state.n_blocks - self._window.n_blocks)):
            return self._fault(state, f"{n_late} blocks late", False)
        if state.seconds - self._window.seconds >= WINDOW_SECONDS:
            self._window = state
        return None

    def _fault(self, state: InstrumentState, what: str, at_once: bool) -> Fault:
        bits = "".join("1" if bit else "0" for bit in state.sounding)
        after = state.seconds - self._first.seconds
        reason = f"{what} with switches {bits}, {after:.1f} s after it took over"
        return Fault(reason, at_once)
