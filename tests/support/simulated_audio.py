"""A simulated clock, PortAudio and sound card for the tests of speakers."""

import math
import wave

import numpy as np

from device.audio.port_audio import Card
from device.audio.sound_card import CardSpeaker

RATE = 22_050
BLOCK = np.zeros(441, np.float32)  # 20 ms


class SimulatedClock:
    """A clock that moves only while something sleeps, by `overslept` longer than was asked for."""

    def __init__(self):
        self.now = 0.0
        self.overslept = 0.0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        assert seconds >= 0
        self.now += seconds + self.overslept


class SoundError(Exception):
    """In place of sounddevice.PortAudioError."""


class SimulatedBuffer:
    """A card's buffer, which plays by the simulated clock.

    Parameters
    ----------
    time : SimulatedClock
    rate : int
        In Hz.
    seconds : float
        How long a full buffer plays.
    speed : float
        Of the card's clock, by the simulated one.
    """

    def __init__(self, time, rate, seconds, speed=1.0):
        self.time = time
        self.capacity = round(seconds * rate)
        self._per_second = rate * speed
        self._n_written = 0
        # When the buffer was last empty, and how much had been played by then.
        self._began_at, self._n_before = 0.0, 0

    @property
    def queued_seconds(self):
        return self._n_queued / self._per_second

    def n_free(self, age=0.0):
        """How many samples it takes, as the card knew that many seconds ago."""
        n_queued = self._n_written - self._n_played(self.time.now - age)
        return max(math.floor(self.capacity - n_queued), 0)

    def write(self, n_samples):
        """Queue so many, and sleep until they fit; whether it had been played empty."""
        is_empty = self._n_queued == 0
        has_broken_off = is_empty and self._n_written > 0
        if is_empty:
            self._began_at, self._n_before = self.time.now, self._n_written
        self._n_written += n_samples
        surplus = self._n_queued - self.capacity
        if surplus > 0:
            self.time.sleep(surplus / self._per_second)
        return has_broken_off

    @property
    def _n_queued(self):
        return self._n_written - self._n_played(self.time.now)

    def _n_played(self, at):
        n_played = self._n_before + max(at - self._began_at, 0) * self._per_second
        return min(n_played, self._n_written)


class SimulatedStream:
    def __init__(self, system, card, rate, n_channels, latency):
        self.system, self.card, self.rate, self.n_channels = system, card, rate, n_channels
        self.latency = latency
        self.buffer = SimulatedBuffer(system.time, rate, latency)
        self.blocks = []
        self.started = self.closed = False

    def start(self):
        self.started = True

    def write(self, data):
        assert self.started and not self.closed
        assert data.dtype == np.float32 and data.shape[1] == self.n_channels
        assert data.flags.c_contiguous
        if self.card not in self.system.plugged:
            raise SoundError("device unavailable")
        self.blocks.append(data.copy())
        has_broken_off = self.buffer.write(len(data))
        return self.system.underflows.pop(0) if self.system.underflows else has_broken_off

    @property
    def write_available(self):
        assert self.started and not self.closed
        if self.card not in self.system.plugged:
            raise SoundError("device unavailable")
        return self.buffer.n_free()

    def close(self):
        self.closed = True

    @property
    def sound(self):
        return np.concatenate(self.blocks)


class SimulatedPortAudio:
    """PortAudio with cards that can be unplugged; its list changes at a rescan only.

    A card's buffer is as long as requested, but not shorter than `least_seconds`.
    """

    error = SoundError

    def __init__(self, *cards, accepted=None):
        self.plugged = list(cards)
        self.known = list(cards)
        self.accepted = accepted
        self.underflows = []
        self.streams = []
        self.time = SimulatedClock()
        self.least_seconds = 0.0
        self.n_rescans = 0
        self.is_busy = False

    def cards(self):
        return list(self.known)

    def accepts(self, card, sample_rate, n_channels):
        return self.accepted is None or (sample_rate, n_channels) in self.accepted

    def open(self, card, sample_rate, n_channels, latency_seconds):
        if self.is_busy or card not in self.plugged:
            raise SoundError("device busy")
        seconds = max(latency_seconds, self.least_seconds)
        stream = SimulatedStream(self, card, sample_rate, n_channels, seconds)
        self.streams.append(stream)
        return stream

    def rescan(self):
        self.n_rescans += 1
        if not self.plugged:
            self.known = []
            raise SoundError("no device")
        self.known = list(self.plugged)


BUILTIN = Card(0, "bcm2835 Headphones", 44_100, is_default=True)
DAC = Card(3, "HiFiBerry DAC: pcm5102a (hw:1,0)", 48_000, is_default=False)


def play_on(backend, name=None, reports=None, time=None, **options):
    backend.time = time = time or backend.time
    report = (reports if reports is not None else []).append
    times = {"clock": time.clock, "sleep": time.sleep}
    return CardSpeaker(name, RATE, report=report, backend=backend, **times, **options)


def tone(n, frequency=440.0):
    return np.float32(0.5) * np.sin(2 * np.pi * frequency / RATE * np.arange(n)).astype(np.float32)


def read_wav(path):
    with wave.open(str(path)) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, RATE)
        return np.frombuffer(wav.readframes(wav.getnframes()), "<i2")
