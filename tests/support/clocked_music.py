"""An instrument on a simulated card with a clock of its own, and which beat is heard when."""

import numpy as np

from device.playback.beat_clock import BeatClock
from device.playback.instrument import Instrument
from device.switches.base import FixedSwitches
from device.synthesis.performance import Performance
from tests.support.simulated_audio import (
    BUILTIN,
    RATE,
    SimulatedBuffer,
    SimulatedClock,
    SimulatedPortAudio,
    play_on,
)

# A card interrupts so often; what it reports is as old as the last time.
PERIOD_SECONDS = 0.006
PULSES_PER_BEAT = 24


class EventClock(SimulatedClock):
    """A simulated clock that does something at times that are asked for again after each.

    `next_at` returns when, `do` is called then.
    """

    def __init__(self):
        super().__init__()
        self.next_at, self.do = lambda: float("inf"), lambda: None

    def sleep(self, seconds):
        end = self.now + seconds
        while (at := self.next_at()) <= end:
            self.now = max(self.now, at)
            self.do()
        self.now = max(self.now, end)


class _ReportingBuffer(SimulatedBuffer):
    def n_free(self, age=None):
        return super().n_free(self.time.now % PERIOD_SECONDS if age is None else age)


class DriftingAudio(SimulatedPortAudio):
    """A card whose clock is faster than the machine's by a share."""

    def __init__(self, speed):
        super().__init__(BUILTIN, accepted=[(RATE, 1), (RATE, 2)])
        self.speed = speed

    def open(self, card, sample_rate, n_channels, latency_seconds):
        stream = super().open(card, sample_rate, n_channels, latency_seconds)
        stream.buffer = _ReportingBuffer(self.time, sample_rate, stream.latency, self.speed)
        return stream


class ClockedMusic:
    """Plays a model, and knows what was heard at any time.

    Parameters
    ----------
    speed : float
        Of the card's clock, by the machine's.
    """

    def __init__(self, network, *, speed=1.0001, **performance):
        self.time = EventClock()
        self.audio = DriftingAudio(speed)
        self.speaker = play_on(self.audio, time=self.time)
        self.beats = BeatClock(self.speaker, clock=self.time.clock)
        self.heard = []  # (seconds of music, beats heard then by the transport)
        self.instrument = Instrument(
            network,
            FixedSwitches((True, True, True)),
            self.speaker,
            Performance(tape=0.0, **performance),
            ahead=False,
            listeners=[self.beats, self._note],
            clock=self.time.clock,
        )

    def _note(self, state):
        self.heard.append((state.seconds, state.heard_position))

    def play(self, seconds):
        self.instrument.play(seconds)
        assert self.speaker.n_underruns == 0

    @property
    def sound(self):
        """What the card played, (n,)."""
        return self.audio.streams[0].sound[:, 0]

    def sample_at(self, at):
        """Index in the sound of what is heard at a time, a float."""
        buffer = self.audio.streams[0].buffer
        return (at - buffer._began_at) * buffer._per_second + buffer._n_before

    def beat_of(self, sample):
        """The true beat of a sample of the sound."""
        n_silent = len(self.sound) - round(self.instrument.seconds * RATE)
        seconds, beats = np.array(self.heard).T
        return np.interp((sample - n_silent) / RATE, seconds, beats)


def onset_seconds(sound, beats, beats_per_second, grid=0.25):
    """How long after the lines of a grid the notes begin, in s, on average.

    A note begins where the power has risen half way; the power is averaged over all notes.

    Parameters
    ----------
    sound : (n,)
    beats : (n,)
        The beat of each sample.
    """
    half, step = 0.5 * grid / beats_per_second, 0.00025
    offsets = ((beats + grid / 2) % grid - grid / 2) / beats_per_second  # -half to half
    bins = ((offsets + half) / step).astype(int)
    power = np.bincount(bins, weights=sound.astype(float) ** 2) / np.maximum(np.bincount(bins), 1)
    middle, reach = round(half / step), round(0.015 / step)
    around = power[middle - reach : middle + reach]
    threshold = (around.min() + around.max()) / 2
    return (int(np.flatnonzero(around > threshold)[0]) - reach) * step
