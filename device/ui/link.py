"""Ableton Link: the instrument and the session of its peers share tempo and bars.

A process of its own beside the instrument, off by default. While the session has no other peer, its
tempo and bars are the instrument's. With peers the session decides: its tempo is set, and bars move
towards its bars by at most 2 % of the tempo. A tempo that a hand sets is given to all peers.
"""

import math
import selectors
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from device.closeable import Closeable
from device.ui.control_client import ControlClient

BEATS_PER_BAR = 4.0
LEAST_BPM, MOST_BPM = 20.0, 400.0
# Of the tempo, to catch up with the bars.
MOST_SLEW = 0.02
# Share of the tempo by which bars that are a beat off are corrected, before that bound.
_SLEW_PER_BEAT = 0.2
# Between two tempos that are sent: each has the frames ahead drawn again.
_EVERY_SECONDS = 0.3
# Share of the tempo; a smaller change is none.
_LEAST_CHANGE = 1e-4
# In bpm: states have two decimals.
_ROUNDING_BPM = 0.006
# In beats; a smaller difference is left when the session has no other peer.
_LEAST_BEATS = 0.01


class Session(Protocol):
    """The part of a Link session used here; times are those of `time.monotonic`."""

    @property
    def n_peers(self) -> int:
        """How many others there are."""
        ...

    @property
    def tempo_bpm(self) -> float:
        """Of the session."""
        ...

    def beat_in_bar(self, at: float) -> float:
        """From 0 to 4."""
        ...

    def set_tempo(self, bpm: float) -> None:
        """For all peers, from now on."""
        ...

    def set_beat(self, beat: float, at: float) -> None:
        """Put a beat at a time, for all peers."""
        ...


class LinkSession(Closeable):
    """`Session` on LinkPython-extern; it joins at once, on every network that this process has."""

    def __init__(self, tempo_bpm: float) -> None:
        from link import Link

        self._link = Link(tempo_bpm)
        self._link.enabled = True

    @property
    def n_peers(self) -> int:
        """How many others there are."""
        return int(self._link.numPeers())

    @property
    def tempo_bpm(self) -> float:
        """Of the session."""
        return float(self._link.captureAppSessionState().tempo())

    def beat_in_bar(self, at: float) -> float:
        """From 0 to 4."""
        state = self._link.captureAppSessionState()
        return float(state.phaseAtTime(self._micros(at), BEATS_PER_BAR))

    def set_tempo(self, bpm: float) -> None:
        """For all peers, from now on."""
        state = self._link.captureAppSessionState()
        state.setTempo(bpm, self._micros(time.monotonic()))
        self._link.commitAppSessionState(state)

    def set_beat(self, beat: float, at: float) -> None:
        """Put a beat at a time, for all peers."""
        state = self._link.captureAppSessionState()
        state.forceBeatAtTime(beat, self._micros(at), BEATS_PER_BAR)
        self._link.commitAppSessionState(state)

    def close(self) -> None:
        """Leave the session; idempotent."""
        self._link.enabled = False

    def _micros(self, at: float) -> int:
        # Link's clock is another one of the machine, that nothing adjusts.
        return int(self._link.clock().micros()) + round(1e6 * (at - time.monotonic()))


class LinkFollower:
    """Decides what the session and the instrument are told, state by state.

    Parameters
    ----------
    set_tempo : callable
        Sets the instrument's tempo, in bpm.
    """

    def __init__(self, session: Session, set_tempo: Callable[[float], None]) -> None:
        self._session = session
        self._set_tempo = set_tempo
        # Those that were sent of late: a state may still have one before the last.
        self._sent: deque[float] = deque(maxlen=8)
        self._seen_bpm: float | None = None
        self._next_at = float("-inf")
        self._had_peers = False

    def take(self, state: dict[str, Any]) -> None:
        """Take a state of the instrument; one without its beat, before the first sound, is left."""
        numbers = [state.get(name) for name in ("tempo_bpm", "heard_beat", "heard_at")]
        if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
            return
        bpm, beat, at = (float(n) for n in numbers if n is not None)
        is_of_hand = self._seen_bpm not in (None, bpm) and not any(
            abs(bpm - sent) <= _ROUNDING_BPM for sent in self._sent
        )
        self._seen_bpm = bpm
        if self._session.n_peers and not is_of_hand:
            self._follow(beat, at)
        elif self._had_peers and not self._session.n_peers:
            self._send(self._session.tempo_bpm, at)  # without what caught up with the bars
        else:
            self._lead(bpm, beat, at)
        self._had_peers = self._session.n_peers > 0

    def _lead(self, bpm: float, beat: float, at: float) -> None:
        if abs(bpm / self._session.tempo_bpm - 1) > _LEAST_CHANGE:
            self._session.set_tempo(bpm)
        if not self._session.n_peers and abs(self._early(beat, at)) > _LEAST_BEATS:
            self._session.set_beat(beat, at)

    def _follow(self, beat: float, at: float) -> None:
        if at < self._next_at:
            return
        slew = min(max(_SLEW_PER_BEAT * self._early(beat, at), -MOST_SLEW), MOST_SLEW)
        self._send(self._session.tempo_bpm * (1 + slew), at)

    def _send(self, bpm: float, at: float) -> None:
        bpm = min(max(bpm, LEAST_BPM), MOST_BPM)
        if not self._sent or abs(bpm / self._sent[-1] - 1) > _LEAST_CHANGE:
            self._sent.append(bpm)
            self._next_at = at + _EVERY_SECONDS
            self._set_tempo(bpm)

    def _early(self, beat: float, at: float) -> float:
        """By how many beats the session's bars come before the instrument's, -2 to 2."""
        early = self._session.beat_in_bar(at) - beat
        return early - BEATS_PER_BAR * round(early / BEATS_PER_BAR)


class LinkBridge(Closeable):
    """Carries tempo and bars between a session and the control socket of an instrument.

    Parameters
    ----------
    control : Path
        Control socket; connected again whenever it comes back.
    report : callable
        Takes lines for people.
    """

    def __init__(
        self, session: Session, control: Path, *, report: Callable[[str], None] = lambda line: None
    ) -> None:
        self._session = session
        self._n_peers = 0
        self._selector = selectors.DefaultSelector()
        self._control = ControlClient(control, self._selector, report)
        self._follower = self._new_follower()

    def serve(self, seconds: float) -> None:
        """Carry what comes within so many seconds, at least one round."""
        if not self._control.is_connected:
            self._control.keep_connected()
            self._follower = self._new_follower()
        if not self._selector.get_map():
            time.sleep(seconds)
        elif self._selector.select(seconds):
            for state in self._control.receive():
                self._follower.take(state)
        if self._session.n_peers != self._n_peers:
            self._n_peers = self._session.n_peers
            self._control.say(f"{self._n_peers} peers, {self._session.tempo_bpm:.2f} bpm")

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._control.close()
        self._selector.close()

    def _new_follower(self) -> LinkFollower:
        def set_tempo(bpm: float) -> None:
            self._control.send({"do": "tempo", "bpm": round(bpm, 4)})

        return LinkFollower(self._session, set_tempo)
