"""The take-over: a new model in the store reaches the music, and leaves it if it must."""

from device.closeable import Closeable
from device.playback.health_monitor import MONITOR_SECONDS, HealthMonitor
from device.playback.model_loader import ModelLoader
from device.playback.state import InstrumentState
from device.playback.transition import VoiceSwitcher
from device.synthesis.voice import Voice

# A model that plays so long at the start has not crashed the box there.
START_SECONDS = 10.0
# One that plays so long without a break is no more to blame for earlier crashes than the box.
LONG_SECONDS = 3600.0


class ModelSwitcher(Closeable):
    """A listener of the instrument that lets newcomers on the stage and sends bad ones back.

    The voice that a newcomer replaces stays ready until the newcomer has stood its probation: to go
    back takes no loading.

    Parameters
    ----------
    wings : Wings
        Where newcomers are made ready; closed with this.
    probation_seconds : float
        Of music.
    """

    def __init__(
        self, stage: VoiceSwitcher, wings: ModelLoader, *, monitor_seconds: float = MONITOR_SECONDS
    ) -> None:
        self._stage = stage
        self._wings = wings
        self._probation_seconds = monitor_seconds
        self._heard = stage.voice
        self._scheduled: Voice | None = None
        self._fallback_voice: Voice | None = None
        self._probation: HealthMonitor | None = None
        self._started = False
        self._is_new = False
        self._endured = False
        self._since = 0.0

    def __call__(self, state: InstrumentState) -> None:
        """Another block has been played."""
        self._wings.state = state
        self._record_takeover(state)
        self._note_start(state)
        if self._stage.voice is not self._heard:
            self._follow(state)
        if self._stage.is_free:
            self._check_health(state)
            self._start_pending()

    def close(self) -> None:
        """Let go of every voice but the one that is heard; idempotent."""
        self._wings.close()
        for voice in (self._scheduled, self._fallback_voice):
            if voice is not None and voice is not self._stage.voice:
                voice.close()
        self._scheduled = self._fallback_voice = None

    def __exit__(self, kind: object, error: object, trace: object, /) -> None:
        # Ctrl-C and the end of the time are no crash, however early.
        if not isinstance(error, Exception):
            self._wings.stopped()
        self.close()

    def _note_start(self, state: InstrumentState) -> None:
        if not self._started and state.seconds >= START_SECONDS and self._probation is None:
            self._started = True
            self._wings.confirm_running()
        if not self._endured and state.seconds - self._since >= LONG_SECONDS:
            self._endured = True
            self._wings.endured()

    def _follow(self, state: InstrumentState) -> None:
        """Another voice is heard: a newcomer, or the understudy again."""
        before, self._heard = self._heard, self._stage.voice
        self._scheduled = None
        self._endured, self._since = False, state.seconds
        if self._heard is self._fallback_voice:
            self._fallback_voice = None
            self._wings.release(before)
        else:
            self._release_understudy()
            self._fallback_voice = before
            self._probation = HealthMonitor(state, seconds=self._probation_seconds)
            self._is_new = True

    def _record_takeover(self, state: InstrumentState) -> None:
        """Once the panel has had the time to follow the newcomer."""
        if self._is_new:
            self._is_new = False
            self._wings.record_takeover(state)

    def _check_health(self, state: InstrumentState) -> None:
        if self._probation is None or self._fallback_voice is None:
            return
        found = self._probation.judge(state)
        if found is not None:
            self._probation = None
            self._schedule(self._fallback_voice, at_once=found.at_once)
            digest, instead = state.digest, self._fallback_voice.network.digest
            self._wings.reject(digest, found.reason, instead=instead)
        elif self._probation.is_over(state):
            self._probation = None
            self._wings.confirm_running()
            self._release_understudy()

    def _start_pending(self) -> None:
        if self._scheduled is not None and self._scheduled is self._fallback_voice:
            return  # One thing after the other.
        next_voice = self._wings.next_voice()
        if next_voice is not None:
            self._schedule(next_voice)

    def _schedule(self, voice: Voice, *, at_once: bool = False) -> None:
        if self._scheduled is not None:
            self._wings.release(self._scheduled)
        self._scheduled = voice
        self._stage.schedule(voice, at_once=at_once)

    def _release_understudy(self) -> None:
        if self._fallback_voice is not None:
            self._wings.release(self._fallback_voice)
            self._fallback_voice = None
