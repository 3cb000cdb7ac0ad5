"""The tape: wow, flutter, saturation, noise; and the limiter that prevents clipping."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

# The limiter is transparent below the knee. The ceiling leaves headroom for the peaks that a
# converter reconstructs between samples.
KNEE = 0.5
CEILING = 0.8
# Inverted phases undo what the limiter of a recording did: peaks are 4 dB higher for the same
# loudness. So they are limited before all else, to those of the loops that models are trained on,
# which have -21 LUFS.
MUSIC_KNEE = 0.25
MUSIC_CEILING = 0.45

_HISS_SECONDS = 7
_CRACKLE_SECONDS = 11
_HISS_LEVEL = 0.0016
_CRACKLE_LEVEL = 0.05
_POPS_PER_SECOND = 6.0
# Of a worn tape: hertz and share of the speed, from an eccentric reel and from a capstan.
_WOW = (0.55, 0.004)
_FLUTTER = (6.3, 0.0008)
_DRIVE = 1.5
# A worn head passes half the power at this frequency, in Hz, and half the amplitude an octave up.
_CUTOFF_HERTZ = 4_500.0
_N_TAPS = 8
# From one gain to another: long enough that no step is heard, short enough to follow a knob.
_GAIN_SECONDS = 0.02


def limit(samples: Samples, knee: float = KNEE, ceiling: float = CEILING) -> None:
    """Compress what exceeds `knee` towards `ceiling`: in place, no delay."""
    room = ceiling - knee
    level = np.abs(samples)
    if level.max(initial=0.0) <= knee:
        return
    loud = level > knee
    over = (level[loud] - knee) / room
    samples[loud] = np.sign(samples[loud]) * (knee + room * np.tanh(over))


class TapeTransport:
    """Uneven speed (wow and flutter), soft saturation and a low-pass head.

    Speed changes are a modulated delay of 1.5 ms at most; its phase depends only on the number of
    samples played and the seed.

    Parameters
    ----------
    sample_rate : int
        Hz.
    wear : float
        Above 0, to 1.

    Attributes
    ----------
    modulations : list of (float, float, float)
        Of wow and flutter: speed in radians per sample, depth in samples, start in radians.
    middle : float
        Mean delay in samples.
    drive : float
    taps : (_N_TAPS,)
        Impulse response of the head.
    n_before : int
        Samples of the input that are kept.
    """

    def __init__(self, sample_rate: int, wear: float, rng: np.random.Generator) -> None:
        self.modulations: list[tuple[float, float, float]] = [
            (
                2 * np.pi * hertz / sample_rate,
                wear * share * sample_rate / (2 * np.pi * hertz),
                start,
            )
            for (hertz, share), start in zip(
                (_WOW, _FLUTTER), rng.uniform(0, 2 * np.pi, 2), strict=True
            )
        ]
        self.middle = sum(depth for _, depth, _ in self.modulations)
        self.drive = np.float32(_DRIVE * wear)
        self.taps = _lowpass_taps(sample_rate, wear)
        self.n_before = int(2 * self.middle) + 2 + _N_TAPS - 1
        self._before = np.zeros(self.n_before, np.float32)

    def process(self, samples: Samples, at: int) -> None:
        """Play samples (n,), `at` from the start of the tape: in place."""
        if len(samples) == 0:
            # With fewer samples than taps np.convolve swaps its arguments.
            return
        tape = np.concatenate([self._before, samples])
        self._before = tape[len(samples) :]
        # The earlier output that the head needs is computed anew, so that only input is kept.
        n = len(samples) + _N_TAPS - 1
        delay = self._delay(at - _N_TAPS + 1, n)
        whole = delay.astype(np.int32)
        part = delay - whole
        newer = np.arange(len(tape) - n, len(tape)) - whole
        delayed = tape[newer] * (1 - part) + tape[newer - 1] * part
        delayed = np.tanh(self.drive * delayed) / self.drive
        samples[:] = np.convolve(delayed, self.taps, "valid")

    def _delay(self, at: int, n: int) -> Samples:
        """Delay of samples from `at` on, (n,), in samples; it does not depend on the blocks."""
        moment = np.arange(at, at + n, dtype=np.float64)
        delay = np.full(n, self.middle, np.float32)
        for speed, depth, start in self.modulations:
            # Modulo in double precision: after hours the angle would lose its phase in single
            # precision, in which sines are far faster.
            angle = (speed * moment + start) % (2 * np.pi)
            delay += np.float32(depth) * np.sin(angle.astype(np.float32))
        return delay


def _lowpass_taps(sample_rate: int, wear: float) -> Samples:
    """Impulse response of a first-order low-pass, gain 1 at 0 Hz; more wear lowers its cutoff."""
    decay = np.exp(-2 * np.pi * _CUTOFF_HERTZ / sample_rate / wear)
    taps = decay ** np.arange(_N_TAPS)
    return np.asarray(taps / taps.sum(), dtype=np.float32)


class Tape:
    """A limiter; wow, flutter, saturation and a low-pass head; hiss and crackle; a limiter.

    The network is trained on dry music, because in a spectrogram hiss is as loud as a drum kit, and
    a spectrogram cannot hold wow and crackle: they are added here. Hiss and crackle are two loops
    of coprime lengths, 7 and 11 s, so that they repeat together after 77 s.

    Parameters
    ----------
    sample_rate : int
        Hz.
    wear : float
        0 for no tape, which leaves every sample below the limiters unchanged, to 1.
    seed : int
    gain : float
        Linear, before the limiter; `set_gain` changes it while it plays.
    volume_limit : float
        Linear, times the limiter's ceiling: no sample is louder.
    """

    def __init__(
        self,
        sample_rate: int,
        *,
        wear: float,
        seed: int = 0,
        gain: float = 1.0,
        volume_limit: float = 1.0,
    ) -> None:
        self._volume_limit = volume_limit
        self._sample_rate = sample_rate
        self.gain = np.float32(gain)
        self._n_ramp = round(_GAIN_SECONDS * sample_rate)
        self._ramp_left = 0
        self._gain_step = np.float32(0)
        self._at = 0
        self._noise_loops: list[Samples] = []
        self._transport: TapeTransport | None = None
        if wear > 0:
            rng = np.random.default_rng([seed, 77])
            self._noise_loops = [
                np.float32(wear) * _hiss(sample_rate, rng),
                np.float32(wear) * _crackle(sample_rate, rng),
            ]
            self._transport = TapeTransport(sample_rate, wear, rng)

    def seek(self, n_samples: int) -> None:
        """Go on as after `n_samples`."""
        self._at = n_samples

    @property
    def delay_seconds(self) -> float:
        """Mean delay of the uneven speed."""
        return self._transport.middle / self._sample_rate if self._transport else 0.0

    def set_gain(self, gain: float) -> None:
        """Change the gain, linear, along a straight line of 20 ms from the next sample on."""
        now = self.gain - self._gain_step * np.float32(self._ramp_left)
        self.gain, self._ramp_left = np.float32(gain), self._n_ramp
        self._gain_step = (self.gain - now) / np.float32(self._n_ramp)

    def process(self, samples: Samples) -> Samples:
        """Process (n,), n from 0 on → the same array, changed in place."""
        limit(samples, MUSIC_KNEE, MUSIC_CEILING)
        if self._transport:
            self._transport.process(samples, self._at)
        n_ramp = min(self._ramp_left, len(samples))
        if n_ramp:
            left = np.arange(self._ramp_left, self._ramp_left - n_ramp, -1, dtype=np.float32)
            samples[:n_ramp] *= self.gain - self._gain_step * left
            self._ramp_left -= n_ramp
        samples[n_ramp:] *= self.gain
        for loop in self._noise_loops:
            _add_wrapped(samples, loop, self._at)
        self._at += len(samples)
        limit(samples, KNEE * self._volume_limit, CEILING * self._volume_limit)
        return samples


def _add_wrapped(samples: Samples, loop: Samples, at: int) -> None:
    """Add a loop to samples, starting `at` samples into it."""
    done = 0
    while done < len(samples):
        start = (at + done) % len(loop)
        n = min(len(samples) - done, len(loop) - start)
        samples[done : done + n] += loop[start : start + n]
        done += n


def _shaped(noise: Samples, low_hertz: float, high_hertz: float, sample_rate: int) -> Samples:
    """Band-pass between two corner frequencies; the result loops, as the transform is circular."""
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
