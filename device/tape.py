"""The tape: what makes it sound old, and what keeps it from ever clipping."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

# The limiter is transparent below the knee. The ceiling leaves room for what a converter rebuilds
# between samples.
KNEE = 0.5
CEILING = 0.8

_HISS_SECONDS = 7
_CRACKLE_SECONDS = 11
_HISS_LEVEL = 0.004
_CRACKLE_LEVEL = 0.05
_POPS_PER_SECOND = 6.0


def limit(samples: Samples, scale: float = 1.0) -> None:
    """Bend what exceeds `KNEE` towards `CEILING`, both times `scale`: in place, no delay."""
    knee, room = KNEE * scale, (CEILING - KNEE) * scale
    level = np.abs(samples)
    if level.max(initial=0.0) <= knee:
        return
    loud = level > knee
    over = (level[loud] - knee) / room
    samples[loud] = np.sign(samples[loud]) * (knee + room * np.tanh(over))


class Tape:
    """Hiss and crackle under the music, then the limiter.

    The network learns dry music, because to a spectrogram hiss is as loud as a drum kit; the
    patina is laid on here. It comes from two loops of coprime lengths, so that it repeats only
    after minutes.

    Parameters
    ----------
    sample_rate : int
        Hz.
    patina : float
        0 is a clean tape, 1 a worn one.
    seed : int
    gain : float
        Linear, before the limiter.
    volume_limit : float
        Linear, times the limiter's ceiling: nothing comes out louder.
    """

    def __init__(
        self,
        sample_rate: int,
        *,
        patina: float,
        seed: int = 0,
        gain: float = 1.0,
        volume_limit: float = 1.0,
    ) -> None:
        self._volume_limit = volume_limit
        self.gain = np.float32(gain)
        self._at = 0
        self._beds: list[Samples] = []
        if patina > 0:
            rng = np.random.default_rng([seed, 77])
            self._beds = [
                np.float32(patina) * _hiss(sample_rate, rng),
                np.float32(patina) * _crackle(sample_rate, rng),
            ]

    def wind_to(self, n_samples: int) -> None:
        """Go on as after so many samples."""
        self._at = n_samples

    def process(self, samples: Samples) -> Samples:
        """Play over the tape: (n,) → the same array, changed in place."""
        samples *= self.gain
        for bed in self._beds:
            _add_wrapped(samples, bed, self._at)
        self._at += len(samples)
        limit(samples, self._volume_limit)
        return samples


def _add_wrapped(samples: Samples, bed: Samples, at: int) -> None:
    """Add a loop to samples, starting `at` samples into it."""
    done = 0
    while done < len(samples):
        start = (at + done) % len(bed)
        n = min(len(samples) - done, len(bed) - start)
        samples[done : done + n] += bed[start : start + n]
        done += n


def _shaped(noise: Samples, low_hertz: float, high_hertz: float, sample_rate: int) -> Samples:
    """Keep what lies between two corners; seamless, because the transform itself is circular."""
    spectrum = np.fft.rfft(noise)
    hertz = np.linspace(0, sample_rate / 2, len(spectrum), dtype=np.float32)
    spectrum *= hertz / (low_hertz + hertz) / (1 + (hertz / high_hertz) ** 2)
    return np.fft.irfft(spectrum, len(noise)).astype(np.float32, copy=False)


def _hiss(sample_rate: int, rng: np.random.Generator) -> Samples:
    noise = rng.standard_normal(_HISS_SECONDS * sample_rate, dtype=np.float32)
    hiss = _shaped(noise, 300.0, 6000.0, sample_rate)
    return np.asarray(hiss * (_HISS_LEVEL / hiss.std()), dtype=np.float32)


def _crackle(sample_rate: int, rng: np.random.Generator) -> Samples:
    n = _CRACKLE_SECONDS * sample_rate
    pops = np.zeros(n, np.float32)
    n_pops = rng.poisson(_POPS_PER_SECOND * _CRACKLE_SECONDS)
    sizes = np.minimum(rng.pareto(2.0, n_pops) + 0.2, 6.0) * rng.choice([-1.0, 1.0], n_pops)
    pops[rng.integers(0, n, n_pops)] = sizes
    crackle = _shaped(pops, 200.0, 3500.0, sample_rate)
    return np.asarray(crackle * (_CRACKLE_LEVEL / np.abs(crackle).max()), dtype=np.float32)
