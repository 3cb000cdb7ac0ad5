"""The stage: the voice that is heard, and how another one takes its place while the music goes on.

Voices of one shape share a vocoder, so one only has to draw where the other stopped: a *hand-over*,
exact to the frame, a glide of magnitudes; or an *interruption*, which waits for no bar. Voices of
different shapes are two sounds: a *crossfade*, for which the newcomer plays along unheard for a
moment, exact to the sample.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.closeable import Closeable
from device.errors import ModelFailed
from device.switches.bits import Bits
from device.synthesis.transport import BEATS_PER_BAR, next_boundary
from device.synthesis.voice import Voice

Samples = NDArray[np.float32]

# As long as an analysis window, so that neither end of it is an edge to the ear.
CROSSFADE_SECONDS = 0.05


class Transition(Protocol):
    """What happens on the stage, block by block."""

    voice: Voice

    @property
    def next_scene(self) -> "Transition":
        """What comes after this block: the scene itself, until it is over."""
        ...

    @property
    def begun(self) -> bool:
        """Whether two voices play, so that it must go to its end."""
        ...

    def block(self, panel: Bits) -> Samples:
        """The next block of sound."""
        ...


class NoTransition:
    """One voice, for ever."""

    begun = False

    def __init__(self, voice: Voice) -> None:
        self.voice = voice

    @property
    def next_scene(self) -> Transition:
        """The scene itself: it is never over."""
        return self

    def block(self, panel: Bits) -> Samples:
        """The voice's next block."""
        return self.voice.block(panel)


class BarTransition:
    """A voice that draws on where another stops, in the first frame that is not before a beat."""

    begun = False

    def __init__(self, old: Voice, new: Voice, beat: float) -> None:
        self.voice = old
        self._new = new
        self._beat = beat

    @property
    def next_scene(self) -> Transition:
        """The newcomer alone, once it is its turn."""
        return NoTransition(self.voice) if self.voice is self._new else self

    def block(self, panel: Bits) -> Samples:
        """As many frames of the old voice as are before the beat, the rest of the new one."""
        old, new = self.voice, self._new
        n_old = max(old.transport.frame_at(self._beat) - old.n_frames, 0)
        if n_old >= old.block_frames:
            return old.block(panel)
        before = old.block(panel, n_old)
        new.enter(self._beat)
        self.voice = new
        return np.concatenate([before, new.block(panel, old.block_frames - n_old)])


class ImmediateTransition:
    """A voice that draws from now on, and anew what the other one has drawn ahead."""

    begun = False

    def __init__(self, old: Voice, new: Voice) -> None:
        self.voice = old
        self._new = new

    @property
    def next_scene(self) -> Transition:
        """The newcomer alone: there is only one block of this."""
        return NoTransition(self.voice)

    def block(self, panel: Bits) -> Samples:
        """What is left of the old voice's last block, and one of the new voice."""
        # Nothing is asked of the old voice's model: it is interrupted because it fails.
        left = self.voice.rest()
        self._new.interrupt(self.voice)
        self.voice = self._new
        return np.concatenate([left, self.voice.block(panel)])


class Crossfade:
    """An equal-power fade from one sound into another that ends where a beat is heard."""

    def __init__(self, old: Voice, new: Voice, beat: float) -> None:
        self.voice = old
        self._old = old
        self._new = new
        self._beat = beat
        self._sample_rate = old.vocoder.sample_rate
        self._n_lead = round(lead_seconds(new) * self._sample_rate)
        # Of the new voice, sample by sample; the old one's is the same, backwards. A table, because
        # the sine of a number may depend on where in a block it stands.
        n_fade = round(CROSSFADE_SECONDS * self._sample_rate)
        self._gain = np.sin(np.linspace(0, 0.5 * np.pi, n_fade + 1)).astype(np.float32)
        self._left: int | None = None

    @property
    def next_scene(self) -> Transition:
        """The newcomer alone, once the fade is over."""
        return NoTransition(self._new) if self._left == 0 else self

    @property
    def begun(self) -> bool:
        """Whether the newcomer plays along already."""
        return self._left is not None

    def block(self, panel: Bits) -> Samples:
        """The old voice, and when its time has come the new one with it."""
        to_beat = self._samples_to_beat
        samples = self._old.block(panel)
        if self._left is None and to_beat < self._n_lead + len(samples):
            self._left = to_beat
            self._run_in(panel, min(to_beat, self._n_lead) / self._sample_rate)
        return samples if self._left is None else self._mixed(samples, panel, self._left)

    @property
    def _samples_to_beat(self) -> int:
        beats = self._beat - self._old.heard_beat
        seconds = max(beats / self._old.transport.beats_per_second, 0.0)
        return round(seconds * self._sample_rate)

    def _run_in(self, panel: Bits, to_beat: float) -> None:
        """Bring the newcomer to where it is heard, `to_beat` seconds later, at the beat."""
        new = self._new
        transport = new.transport
        lag = (to_beat - new.vocoder.delay_seconds) * transport.beats_per_second
        frame = max(math.floor((self._beat - lag) / transport.beats_per_frame), 0)
        new.enter(transport.beat_at(frame))
        early = (self._beat - new.heard_beat) / transport.beats_per_second - to_beat
        new.take(panel, max(round(early * self._sample_rate), 0))

    def _mixed(self, old: Samples, panel: Bits, left: int) -> Samples:
        """Both voices, the old one's part falling to nothing within `left` samples."""
        # It begins inside a block, so that its phases do not depend on how blocks fall.
        n_alone = min(max(left - self._n_lead, 0), len(old))
        new = np.zeros(len(old), np.float32)
        new[n_alone:] = self._new.take(panel, len(old) - n_alone)
        n_fade = len(self._gain) - 1
        done = np.clip(n_fade - left + np.arange(len(old)), 0, n_fade)
        self._left = max(left - len(old), 0)
        self.voice = self._new if self._left == 0 else self._old
        return self._gain[n_fade - done] * old + self._gain[done] * new


class VoiceSwitcher(Closeable):
    """Plays one voice, and lets another take its place without a gap or a click.

    For one thread, the audio loop's.
    """

    def __init__(self, voice: Voice) -> None:
        self._scene: Transition = NoTransition(voice)

    @property
    def voice(self) -> Voice:
        """The voice that is heard."""
        return self._scene.voice

    @property
    def is_free(self) -> bool:
        """Whether `schedule` will be obeyed: no fade has begun."""
        return not self._scene.begun

    def close(self) -> None:
        """End the voice that is heard; idempotent."""
        self.voice.close()

    def block(self, panel: Bits) -> Samples:
        """The next block of sound for a panel state."""
        samples = self._scene.block(panel)
        self._scene = self._scene.next_scene
        return samples

    def schedule(self, voice: Voice, *, at_once: bool = False) -> None:
        """Let a voice take over, at the next bar or as soon as can be, instead of any other."""
        old = self.voice
        if voice.vocoder is not old.vocoder:
            self._scene = Crossfade(old, voice, _fade_beat(old, voice, at_once=at_once))
        elif at_once:
            self._scene = ImmediateTransition(old, voice)
        else:
            self._scene = BarTransition(old, voice, next_boundary(old.beat, BEATS_PER_BAR))

    def check(self) -> None:
        """Give up where the voice that is heard has failed and no other is to follow.

        Raises
        ------
        ModelFailed
        """
        failure = self.voice.failure
        if failure is not None and isinstance(self._scene, NoTransition):
            raise ModelFailed(str(failure)) from failure


def lead_seconds(voice: Voice) -> float:
    """How long before it is heard alone a voice has to begin.

    It plays unheard until the silence in which its inversion began has left it.
    """
    run_in_seconds = voice.vocoder.delay_seconds + voice.vocoder.latency_seconds
    return run_in_seconds + CROSSFADE_SECONDS


def _fade_beat(old: Voice, new: Voice, *, at_once: bool) -> float:
    """Where a fade may end: the first beat, or bar line, that leaves the newcomer its lead."""
    lead_beats = lead_seconds(new) * old.transport.beats_per_second
    beat = max(old.heard_beat, 0.0) + lead_beats
    return beat if at_once else next_boundary(beat, BEATS_PER_BAR)
