"""Probation: whether a model that has just taken over keeps its place."""

from dataclasses import dataclass

from device.state import InstrumentState

PROBATION_SECONDS = 60.0
# A machine that does something else as well may be late a few times without any fault of the
# model's. One that is too slow is late with every block, and out within a second or two.
MOST_UNDERRUNS = 2
MOST_LATE = 8


@dataclass(frozen=True)
class Misbehaviour:
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


class Probation:
    """Watches one model from the snapshot in which it is first heard alone.

    Parameters
    ----------
    seconds : float
        Of music.
    """

    def __init__(self, first: InstrumentState, *, seconds: float = PROBATION_SECONDS) -> None:
        self._first = first
        self._seconds = seconds

    def is_over(self, state: InstrumentState) -> bool:
        """Whether it has stood the test."""
        return state.seconds - self._first.seconds >= self._seconds

    def judge(self, state: InstrumentState) -> Misbehaviour | None:
        """What is wrong with it, if anything; cheap enough for the audio loop."""
        if state.failure is not None:
            return Misbehaviour(state.failure, at_once=True)
        # Nothing is subtracted: whatever this model has drawn, it has drawn since it was loaded.
        if state.n_not_finite:
            return self._misbehaviour(state, f"{state.n_not_finite} frames not finite", True)
        n_underruns = state.n_underruns - self._first.n_underruns
        if n_underruns > MOST_UNDERRUNS:
            return self._misbehaviour(state, f"{n_underruns} underruns", True)
        n_late = state.n_late - self._first.n_late
        if n_late > MOST_LATE:
            return self._misbehaviour(state, f"{n_late} blocks late", False)
        return None

    def _misbehaviour(self, state: InstrumentState, what: str, at_once: bool) -> Misbehaviour:
        bits = "".join("1" if bit else "0" for bit in state.sounding)
        after = state.seconds - self._first.seconds
        reason = f"{what} with switches {bits}, {after:.1f} s after it took over"
        return Misbehaviour(reason, at_once)
