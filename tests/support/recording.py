"""A WAV file that a test has recorded, and its measurements."""

import wave
from dataclasses import dataclass

import numpy as np

EDGE_SECONDS = 0.25
WINDOW = 1024


@dataclass(frozen=True)
class Recording:
    """Samples between -1 and 1, and their rate."""

    samples: np.ndarray
    rate: int

    def __len__(self):
        """Whole seconds, and one more."""
        return len(self.samples) // self.rate + 1

    def inner(self):
        """Without the start and the fade at the end."""
        edge = round(EDGE_SECONDS * self.rate)
        return self.samples[edge:-edge]

    def longest_silence_seconds(self):
        loud = np.flatnonzero(np.abs(self.inner()) > 10 ** (-80 / 20))
        return (np.diff(loud).max() - 1) / self.rate

    def curvature(self):
        return np.abs(np.diff(self.samples, 2))

    def around(self, seconds):
        """The samples of 0.3 s."""
        first, last = (round((seconds + side) * self.rate) for side in (-0.15, 0.15))
        return np.r_[max(first, 0) : last]

    def spectra(self):
        """Magnitudes of overlapping windows, each of unit length."""
        starts = np.arange(0, len(self.samples) - WINDOW, WINDOW // 4)
        windows = self.samples[starts[:, None] + np.arange(WINDOW)] * np.hanning(WINDOW)
        magnitude = np.abs(np.fft.rfft(windows))
        return magnitude / (np.linalg.norm(magnitude, axis=1, keepdims=True) + 1e-9)

    def middles(self):
        """Middles of the same windows, in seconds."""
        starts = np.arange(0, len(self.samples) - WINDOW, WINDOW // 4)
        return (starts + WINDOW / 2) / self.rate


def read_wav(path):
    with wave.open(str(path)) as wav:
        rate, pcm = wav.getframerate(), wav.readframes(wav.getnframes())
    return Recording(np.frombuffer(pcm, "<i2").astype(np.float32) / 32768, rate)
