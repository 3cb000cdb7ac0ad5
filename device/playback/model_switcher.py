"""The take-over: a new model in the store reaches the music, and leaves it if it must."""

from device.closeable import Closing
from device.playback.health_monitor import PROBATION_SECONDS, Probation
from device.playback.model_loader import Wings
from device.playback.state import InstrumentState
from device.playback.transition import Stage
from device.synthesis.voice import Voice

# A model that plays so long at the start has not crashed the box there.
START_SECONDS = 10.0
# One that plays so long without a break is no more to blame for earlier crashes than the box.
LONG_SECONDS = 3600.0


class TakeOver(Closing):
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
        self, stage: Stage, wings: Wings, *, probation_seconds: float = PROBATION_SECONDS
    ) -> None:
        self._stage = stage
        self._wings = wings
        self._probation_seconds = probation_seconds
        self._heard = stage.voice
        self._cued: Voice | None = None
        self._understudy: Voice | None = None
        self._probation: Probation | None = None
        self._started = False
        self._is_new = False
        self._endured = False
        self._since = 0.0

    def __call__(self, state: InstrumentState) -> None:
        """Another block has been played."""
        self._wings.state = state
        self._greet(state)
        self._note_start(state)
        if self._stage.voice is not self._heard:
            self._follow(state)
        if self._stage.is_free:
            self._judge(state)
            self._let_in()

    def close(self) -> None:
        """Let go of every voice but the one that is heard; idempotent."""
        self._wings.close()
        for voice in (self._cued, self._understudy):
            if voice is not None and voice is not self._stage.voice:
                voice.close()
        self._cued = self._understudy = None

    def __exit__(self, kind: object, error: object, trace: object, /) -> None:
        # Ctrl-C and the end of the time are no crash, however early.
        if not isinstance(error, Exception):
            self._wings.stopped()
        self.close()

    def _note_start(self, state: InstrumentState) -> None:
        if not self._started and state.seconds >= START_SECONDS and self._probation is None:
            self._started = True
            self._wings.proven()
        if not self._endured and state.seconds - self._since >= LONG_SECONDS:
            self._endured = True
            self._wings.endured()

    def _follow(self, state: InstrumentState) -> None:
        """Another voice is heard: a newcomer, or the understudy again."""
        before, self._heard = self._heard, self._stage.voice
        self._cued = None
        self._endured, self._since = False, state.seconds
        if self._heard is self._understudy:
            self._understudy = None
            self._wings.retire(before)
        else:
            self._release_understudy()
            self._understudy = before
            self._probation = Probation(state, seconds=self._probation_seconds)
            self._is_new = True

    def _greet(self, state: InstrumentState) -> None:
        """Once the panel has had the time to follow the newcomer."""
        if self._is_new:
            self._is_new = False
            self._wings.entered(state)

    def _judge(self, state: InstrumentState) -> None:
        if self._probation is None or self._understudy is None:
            return
        found = self._probation.judge(state)
        if found is not None:
            self._probation = None
            self._cue(self._understudy, at_once=found.at_once)
            digest, instead = state.digest, self._understudy.network.digest
            self._wings.condemn(digest, found.reason, instead=instead)
        elif self._probation.is_over(state):
            self._probation = None
            self._wings.proven()
            self._release_understudy()

    def _let_in(self) -> None:
        if self._cued is not None and self._cued is self._understudy:
            return  # One thing after the other.
        newcomer = self._wings.newcomer()
        if newcomer is not None:
            self._cue(newcomer)

    def _cue(self, voice: Voice, *, at_once: bool = False) -> None:
        if self._cued is not None:
            self._wings.retire(self._cued)
        self._cued = voice
        self._stage.cue(voice, at_once=at_once)

    def _release_understudy(self) -> None:
        if self._understudy is not None:
            self._wings.retire(self._understudy)
            self._understudy = None
