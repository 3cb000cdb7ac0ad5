"""Which voice is heard, block by block, and when another one takes its place."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.closeable import Closeable
from device.errors import ModelFailed
from device.playback.fader import Fader
from device.playback.transition import (
    BarTransition,
    Crossfade,
    ImmediateTransition,
    NoTransition,
    Transition,
    lead_seconds,
)
from device.switches.bits import Bits
from device.synthesis.transport import BEATS_PER_BAR, next_boundary
from device.synthesis.voice import Voice

Samples = NDArray[np.float32]


class Observer(Protocol):
    """Told by a voice switcher of all that its samples depend on."""

    def follow(self, voice: Voice) -> int:
        """The voice will be heard: observe its flips."""
        ...

    def count_block(self, n_samples: int) -> None:
        """A block was made."""
        ...

    def note_takeover(self, voice: Voice, *, at_once: bool) -> None:
        """A voice was scheduled."""
        ...

    def note_quality(self, n_iterations: int, held_frames: int) -> None:
        """The quality of the voice that is heard was set."""
        ...

    def note_setting(self, name: str, value: float | None) -> None:
        """The tempo or the gain was set."""
        ...

    def note_fade(self, level: float, n_samples: int) -> None:
        """A fade of all sound to a level began."""
        ...

    def note_failure(self, voice: Voice) -> None:
        """The voice that is heard has failed; told again while it is heard."""
        ...


class VoiceSwitcher(Closeable):
    """Plays one voice, and replaces it by another without a gap or a click.

    For one thread, the audio loop's; others may read `voice`. Blocks made ahead are played without
    asking the voice again: it is told by `account`, and before anything is done with it, which is
    done here alone.

    Attributes
    ----------
    fader : Fader
        What all sound goes through; `fade` is to be called here.
    n_ready : int
        Blocks that are made ahead, for the states of the last one.
    """

    def __init__(self, voice: Voice, observer: Observer | None = None) -> None:
        self._transition: Transition = NoTransition(voice)
        self._settings: dict[str, float | None] = {}
        self.fader = Fader()
        self._observer = observer
        # Made ahead for these states; the last `n_ready` of them are not played yet.
        self._ready: Sequence[Samples] = ()
        self.n_ready = 0
        self._states: Bits = ()
        if observer is not None:
            observer.follow(voice)

    @property
    def voice(self) -> Voice:
        """The voice that is heard, to be read; its position is that of the last `account`."""
        return self._transition.voice

    @property
    def beat(self) -> float:
        """Position of the next frame, in beats since the start."""
        voice = self.voice
        return voice.transport.beat_at(voice.n_frames + len(self._ready) - self.n_ready)

    @property
    def is_free(self) -> bool:
        """Whether `schedule` may be called: no fade has begun."""
        return not self._transition.begun

    def close(self) -> None:
        """End the voice that is heard; idempotent."""
        self.voice.close()

    def block(self, switch_states: Bits) -> Samples:
        """The next block of samples for the states of all switches."""
        if self.n_ready and switch_states == self._states:
            samples = self._ready[-self.n_ready]
            self.n_ready -= 1
            return samples
        self._settle()
        self._states = switch_states
        transition = self._transition
        samples = self.fader.process(transition.block(switch_states))
        if type(transition) is not NoTransition:
            self._transition = transition.next_transition
        if self._observer is not None:
            self._observer.count_block(len(samples))
        return samples

    def work_ahead(self) -> None:
        """Make the next blocks if none is left, for the time between two.

        They are played if the states of the switches stay as they are.
        """
        if self.n_ready:
            return
        self._settle()
        if type(self._transition) is NoTransition:
            ready = self.voice.work_ahead(self._states)
            self._ready = ready if self.fader.is_open else ()
            self.n_ready = len(self._ready)

    def account(self) -> None:
        """Tell the voice and the observer about the blocks made ahead that were played."""
        n = len(self._ready) - self.n_ready
        if n:
            played, self._ready = self._ready[:n], self._ready[n:]
            self.voice.skip(n)
            if self._observer is not None:
                for samples in played:
                    self._observer.count_block(len(samples))

    def _settle(self) -> None:
        """Account for the blocks made ahead that were played, and drop the others."""
        self.account()
        self._ready, self.n_ready = (), 0

    def set_quality(self, n_iterations: int, held_frames: int) -> None:
        """Set the quality of the voice that is heard, see `Voice.set_quality`."""
        voice = self.voice
        if (n_iterations, held_frames) != (voice.vocoder.inversion.n_iterations, voice.held_frames):
            self._settle()
            voice.set_quality(n_iterations, held_frames)
            if self._observer is not None:
                self._observer.note_quality(n_iterations, held_frames)

    def schedule(self, voice: Voice, *, at_once: bool = False) -> None:
        """Let a voice take over, at the next bar or at once; replaces an earlier call."""
        self._settle()
        old = self.voice
        if self._observer is not None:
            self._observer.note_takeover(voice, at_once=at_once)
        for name, value in self._settings.items():
            _adjust(voice, name, value)
        if voice.vocoder is not old.vocoder:
            lead_beats = lead_seconds(voice) * old.transport.beats_per_second
            beat = max(old.heard_beat, 0.0) + lead_beats
            beat = beat if at_once else next_boundary(beat, BEATS_PER_BAR)
            self._transition = Crossfade(old, voice, beat)
        elif at_once:
            self._transition = ImmediateTransition(old, voice)
        else:
            self._transition = BarTransition(old, voice, next_boundary(old.beat, BEATS_PER_BAR))

    def adjust(self, name: str, value: float | None) -> None:
        """Set the tempo (BPM, None for the model's) or the gain (dB) of all voices from now on."""
        self._settle()
        self._settings[name] = value
        for voice in self._transition.voices:
            _adjust(voice, name, value)
        if self._observer is not None:
            self._observer.note_setting(name, value)

    def fade(self, level: float, n_samples: int) -> None:
        """Fade all sound to a level, 0 to 1, within so many samples."""
        self._settle()
        self.fader.fade(level, n_samples)
        if self._observer is not None:
            self._observer.note_fade(level, n_samples)

    def check(self) -> None:
        """Check that the voice that is heard can play, or that another one is scheduled.

        Raises
        ------
        ModelFailed
            If neither holds.
        """
        failure = self.voice.failure
        if failure is not None and self._observer is not None:
            self._observer.note_failure(self.voice)
        if failure is not None and isinstance(self._transition, NoTransition):
            raise ModelFailed(str(failure)) from failure


def _adjust(voice: Voice, name: str, value: float | None) -> None:
    if name == "tempo":
        voice.set_tempo(value)
    else:
        voice.set_gain(value or 0.0)
