"""Transitions: how one voice takes the place of another while the music goes on.

Voices whose models have the same shape share a vocoder, so the next one draws where the current one
stopped: `BarTransition`, exact to the frame, magnitudes smoothed; or `ImmediateTransition`, which
does not wait for the bar and replaces the open frames. Voices of different shapes are two signals:
`Crossfade`, exact to the sample; the next voice plays unheard for a moment before it.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.switches.bits import Bits
from device.synthesis.voice import Voice

Samples = NDArray[np.float32]

# As long as an analysis window, so that neither end is audible as an edge.
CROSSFADE_SECONDS = 0.05


class Transition(Protocol):
    """Makes the sound of one or two voices, block by block.

    Attributes
    ----------
    voice : Voice
        The one that is heard.
    """

    voice: Voice

    @property
    def next_transition(self) -> "Transition":
        """What makes the next block: this transition, until it is over."""
        ...

    @property
    def begun(self) -> bool:
        """Whether two voices play, so that it must be completed."""
        ...

    @property
    def voices(self) -> tuple[Voice, ...]:
        """Those that are heard, or will be."""
        ...

    def block(self, switch_states: Bits) -> Samples:
        """The next block of sound."""
        ...


class NoTransition:
    """One voice, without an end."""

    begun = False

    def __init__(self, voice: Voice) -> None:
        self.voice = voice

    @property
    def next_transition(self) -> Transition:
        """The same one: it is never over."""
        return self

    @property
    def voices(self) -> tuple[Voice, ...]:
        """The one voice."""
        return (self.voice,)

    def block(self, switch_states: Bits) -> Samples:
        """The voice's next block."""
        return self.voice.block(switch_states)


class BarTransition:
    """The next voice draws from the first frame on that is not before a beat."""

    begun = False

    def __init__(self, old: Voice, new: Voice, beat: float) -> None:
        self.voice = old
        self._new = new
        self._beat = beat

    @property
    def next_transition(self) -> Transition:
        """The next voice alone, once the beat has come."""
        return NoTransition(self.voice) if self.voice is self._new else self

    @property
    def voices(self) -> tuple[Voice, ...]:
        """The current voice and the next one."""
        return self.voice, self._new

    def block(self, switch_states: Bits) -> Samples:
        """The frames of the old voice up to the beat, then those of the new one."""
        old, new = self.voice, self._new
        n_old = max(old.transport.frame_at(self._beat) - old.n_frames, 0)
        if n_old >= old.block_frames:
            return old.block(switch_states)
        before = old.block(switch_states, n_old)
        # In a journey the frames of the two have no common grid.
        new.seek(old.beat if new.performance.journey else self._beat)
        self.voice = new
        return np.concatenate([before, new.block(switch_states, old.block_frames - n_old)])


class ImmediateTransition:
    """The next voice draws from now on, and replaces the open frames of the current one."""

    begun = False

    def __init__(self, old: Voice, new: Voice) -> None:
        self.voice = old
        self._new = new

    @property
    def next_transition(self) -> Transition:
        """The next voice alone: this takes one block."""
        return NoTransition(self.voice)

    @property
    def voices(self) -> tuple[Voice, ...]:
        """The current voice and the next one."""
        return self.voice, self._new

    def block(self, switch_states: Bits) -> Samples:
        """The rest of the old voice's last block, and one block of the new voice."""
        # The old voice's model is not called: it is replaced because it fails.
        left = self.voice.rest()
        self._new.replace_open_frames(self.voice)
        self.voice = self._new
        return np.concatenate([left, self.voice.block(switch_states)])


class Crossfade:
    """An equal-power fade from one signal into another that ends where a beat is heard."""

    def __init__(self, old: Voice, new: Voice, beat: float) -> None:
        self.voice = old
        self._old = old
        self._new = new
        self._beat = beat
        self._sample_rate = old.vocoder.sample_rate
        self._n_lead = round(lead_seconds(new) * self._sample_rate)
        # Of the new voice, sample by sample; the old one's is the same, reversed. A table, because
        # the sine of a number may depend on its place in a block.
        n_fade = round(CROSSFADE_SECONDS * self._sample_rate)
        self._gain = np.sin(np.linspace(0, 0.5 * np.pi, n_fade + 1)).astype(np.float32)
        self._left: int | None = None

    @property
    def next_transition(self) -> Transition:
        """The next voice alone, once the fade is over."""
        return NoTransition(self._new) if self._left == 0 else self

    @property
    def voices(self) -> tuple[Voice, ...]:
        """The current voice and the next one."""
        return self._old, self._new

    @property
    def begun(self) -> bool:
        """Whether the next voice plays, heard or not."""
        return self._left is not None

    def block(self, switch_states: Bits) -> Samples:
        """The old voice; from the lead before the beat on, mixed with the new one."""
        to_beat = self._samples_to_beat
        samples = self._old.block(switch_states)
        if self._left is None and to_beat < self._n_lead + len(samples):
            self._left = to_beat
            self._run_in(switch_states, min(to_beat, self._n_lead) / self._sample_rate)
        return samples if self._left is None else self._mixed(samples, switch_states, self._left)

    @property
    def _samples_to_beat(self) -> int:
        beats = self._beat - self._old.heard_beat
        seconds = max(beats / self._old.transport.beats_per_second, 0.0)
        return round(seconds * self._sample_rate)

    def _run_in(self, switch_states: Bits, to_beat: float) -> None:
        """Start the next voice so that it is at the beat `to_beat` seconds later."""
        new = self._new
        transport = new.transport
        lag = (to_beat - new.vocoder.delay_seconds) * transport.beats_per_second
        new.seek_before(self._beat - lag)
        early = (self._beat - new.heard_beat) / transport.beats_per_second - to_beat
        new.take(switch_states, max(round(early * self._sample_rate), 0))

    def _mixed(self, old: Samples, switch_states: Bits, left: int) -> Samples:
        """Both voices, the old one's part falling to nothing within `left` samples."""
        # It begins inside a block, so that its phases do not depend on the block boundaries.
        n_alone = min(max(left - self._n_lead, 0), len(old))
        new = np.zeros(len(old), np.float32)
        new[n_alone:] = self._new.take(switch_states, len(old) - n_alone)
        n_fade = len(self._gain) - 1
        done = np.clip(n_fade - left + np.arange(len(old)), 0, n_fade)
        self._left = max(left - len(old), 0)
        self.voice = self._new if self._left == 0 else self._old
        return self._gain[n_fade - done] * old + self._gain[done] * new


def lead_seconds(voice: Voice) -> float:
    """How long before it is heard alone a voice has to start, in seconds.

    It plays unheard until the silence that its inversion starts from has left the output.
    """
    run_in_seconds = voice.vocoder.delay_seconds + voice.vocoder.latency_seconds
    return run_in_seconds * voice.vocoder.longest_stretch + CROSSFADE_SECONDS


def fade_out(next_block: Callable[[], Samples], n_samples: int) -> Iterator[Samples]:
    """The end of the music: blocks of `n_samples` in all, falling to silence without a click."""
    gain, done = np.linspace(1, 0, n_samples, dtype=np.float32), 0
    while done < n_samples:
        samples = next_block()[: n_samples - done]
        yield samples * gain[done : done + len(samples)]
        done += len(samples)
