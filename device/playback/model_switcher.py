"""The hot swap: a model that becomes active in the store is heard, and replaced if it has a fault.

`ModelSwitcher` is one state machine. It receives one snapshot per block; every transition is one
row:

=========  ====================  =========================  =========  ==========================
state      voices it holds       event                      next       what is done
=========  ====================  =========================  =========  ==========================
Starting   current, next or no   `START_SECONDS` of music   Steady     confirm running
..         ..                    next voice is current      Monitored  ..
Steady     current, next or no   next voice is current      Monitored  ..
Monitored  current, fallback,    one block later            Monitored  record the takeover
           next or none
..         ..                    next voice is current      Monitored  release fallback
..         ..                    fault                      Returning  release next, schedule
                                                                       fallback, reject current
..         ..                    monitor is over            Steady     confirm running, release
                                                                       fallback
Returning  current, fallback     fallback is current        Starting   release what was rejected
=========  ====================  =========================  =========  ==========================

In all states but Returning a voice that the loader has ready is scheduled, and one that was
scheduled before is released. While a crossfade runs, nothing is checked and nothing is scheduled.
"""

import math
from dataclasses import dataclass, replace

from device.closeable import Closeable
from device.playback.health_monitor import MONITOR_SECONDS, HealthMonitor
from device.playback.model_loader import ModelLoader
from device.playback.state import InstrumentState
from device.playback.voice_switcher import VoiceSwitcher
from device.synthesis.voice import Voice

# A model that plays so long at the start has not crashed the device there.
START_SECONDS = 10.0
# After this time without a break, earlier crashes may as well be the machine's fault.
LONG_SECONDS = 3600.0


@dataclass(frozen=True)
class Starting:
    """The current model has not yet played for `START_SECONDS`."""

    current: Voice
    next_voice: Voice | None = None


@dataclass(frozen=True)
class Steady:
    """The current model plays, and is trusted."""

    current: Voice
    next_voice: Voice | None = None


@dataclass(frozen=True)
class Monitored:
    """The current model is new; the voice before it stays loaded, ready for a return."""

    current: Voice
    fallback: Voice
    monitor: HealthMonitor
    next_voice: Voice | None = None
    is_recorded: bool = False


@dataclass(frozen=True)
class Returning:
    """The current model has a fault; the fallback is scheduled in its place."""

    current: Voice
    fallback: Voice


State = Starting | Steady | Monitored | Returning


class ModelSwitcher(Closeable):
    """A listener of the instrument that schedules new models and takes faulty ones back.

    Parameters
    ----------
    switcher : VoiceSwitcher
        The instrument's.
    loader : ModelLoader
        Makes the next voice ready; closed with this.
    monitor_seconds : float
        How much music a new model is monitored for.
    """

    def __init__(
        self,
        switcher: VoiceSwitcher,
        loader: ModelLoader,
        *,
        monitor_seconds: float = MONITOR_SECONDS,
    ) -> None:
        self._switcher = switcher
        self._loader = loader
        self._monitor_seconds = monitor_seconds
        self._state: State = Starting(switcher.voice)
        self._long_at = LONG_SECONDS

    def __call__(self, snapshot: InstrumentState) -> None:
        """Another block has been played."""
        self._loader.state = snapshot
        self._note_progress(snapshot)
        if self._switcher.voice is not self._state.current:
            self._follow(snapshot)
        if self._switcher.is_free:
            self._check_health(snapshot)
            self._schedule_next()

    def close(self) -> None:
        """Release every voice but the one that is heard; idempotent."""
        self._loader.close()
        for voice in vars(self._state).values():
            if isinstance(voice, Voice) and voice is not self._switcher.voice:
                voice.close()
        self._state = Steady(self._switcher.voice)

    def __exit__(self, kind: object, error: object, trace: object, /) -> None:
        # Ctrl-C and the end of the time are no crash, however early.
        if not isinstance(error, Exception):
            self._loader.record_clean_stop()
        self.close()

    def _note_progress(self, snapshot: InstrumentState) -> None:
        match self._state:
            case Monitored(is_recorded=False):
                # Not in the block of the takeover: the switches follow the model one block later.
                self._loader.record_takeover(snapshot)
                self._state = replace(self._state, is_recorded=True)
            case Starting(current, next_voice) if snapshot.seconds >= START_SECONDS:
                self._loader.confirm_running()
                self._state = Steady(current, next_voice)
        if snapshot.seconds >= self._long_at:
            self._loader.clear_crash_history()
            self._long_at = math.inf

    def _follow(self, snapshot: InstrumentState) -> None:
        """Another voice is heard: the next one, or the fallback."""
        current, self._long_at = self._switcher.voice, snapshot.seconds + LONG_SECONDS
        if isinstance(self._state, Returning):
            self._loader.release(self._state.current)
            self._state = Starting(current)
            return
        if isinstance(self._state, Monitored):
            self._loader.release(self._state.fallback)
        monitor = HealthMonitor(snapshot, seconds=self._monitor_seconds)
        self._state = Monitored(current, self._state.current, monitor)

    def _check_health(self, snapshot: InstrumentState) -> None:
        if not isinstance(self._state, Monitored):
            return
        current, fallback, next_voice = (
            self._state.current,
            self._state.fallback,
            self._state.next_voice,
        )
        if fault := self._state.monitor.check(snapshot):
            if next_voice is not None:
                self._loader.release(next_voice)
            self._state = Returning(current, fallback)
            self._switcher.schedule(fallback, at_once=fault.at_once)
            self._loader.reject(snapshot.digest, fault.reason, instead=fallback.network.digest)
        elif self._state.monitor.is_over(snapshot):
            self._state = Steady(current, next_voice)
            self._loader.confirm_running()
            self._loader.release(fallback)

    def _schedule_next(self) -> None:
        # After a return, what has become ready meanwhile is scheduled.
        if isinstance(self._state, Returning):
            return
        if next_voice := self._loader.next_voice():
            if self._state.next_voice is not None:
                self._loader.release(self._state.next_voice)
            self._state = replace(self._state, next_voice=next_voice)
            self._switcher.schedule(next_voice)
