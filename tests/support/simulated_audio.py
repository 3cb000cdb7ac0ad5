"""A simulated clock, PortAudio and sound card for the tests of speakers."""

import wave

import numpy as np

from device.audio.port_audio import Card
from device.audio.sound_card import CardSpeaker

RATE = 22_050
BLOCK = np.zeros(441, np.float32)  # 20 ms


class SimulatedClock:
    """A clock that moves only while something sleeps."""

    def __init__(self):
        self.now = 0.0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        assert seconds >= 0
        self.now += seconds


class SoundError(Exception):
    """In place of sounddevice.PortAudioError."""


class SimulatedStream:
    def __init__(self, system, card, rate, n_channels, latency):
        self.system, self.card, self.rate, self.n_channels = system, card, rate, n_channels
        self.latency = latency
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
        return self.system.underflows.pop(0) if self.system.underflows else False

    def close(self):
        self.closed = True

    @property
    def sound(self):
        return np.concatenate(self.blocks)


class SimulatedPortAudio:
    """PortAudio with cards that can be unplugged; its list changes at a rescan only."""

    error = SoundError

    def __init__(self, *cards, accepted=None):
        self.plugged = list(cards)
        self.known = list(cards)
        self.accepted = accepted
        self.underflows = []
        self.streams = []
        self.n_rescans = 0
        self.is_busy = False

    def cards(self):
        return list(self.known)

    def accepts(self, card, sample_rate, n_channels):
        return self.accepted is None or (sample_rate, n_channels) in self.accepted

    def open(self, card, sample_rate, n_channels, latency_seconds):
        if self.is_busy or card not in self.plugged:
            raise SoundError("device busy")
        stream = SimulatedStream(self, card, sample_rate, n_channels, latency_seconds)
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
    time = time or SimulatedClock()
    report = (reports if reports is not None else []).append
    times = {"clock": time.clock, "sleep": time.sleep}
    return CardSpeaker(name, RATE, report=report, backend=backend, **times, **options)


def tone(n, frequency=440.0):
    return np.float32(0.5) * np.sin(2 * np.pi * frequency / RATE * np.arange(n)).astype(np.float32)


def read_wav(path):
    with wave.open(str(path)) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, RATE)
        return np.frombuffer(wav.readframes(wav.getnframes()), "<i2")
