"""Building blocks of synthesised sounds: waves, envelopes, filters, struck and plucked partials.

Plucked strings are after Karplus and Strong (1983) with the fractional delay of Jaffe and Smith
(1983).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

from training.corpus.format import SAMPLE_RATE

Signal = NDArray[np.float64]


TAU = 2.0 * np.pi


HIGHEST_PARTIAL_HZ = 0.45 * SAMPLE_RATE


def time_axis(seconds: float) -> Signal:
    """Times of the samples of a signal [s], (n_samples,)."""
    return np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def exponential_decay(time: Signal, per_second: float) -> Signal:
    """An envelope that falls by a factor of e in 1/`per_second` seconds."""
    return np.exp(-per_second * time)


def sine_wave(frequency: float, time: Signal) -> Signal:
    """A sine of a frequency [Hz] at these times."""
    return np.sin(TAU * frequency * time)


def fade_in(signal: Signal, seconds: float) -> Signal:
    """The signal, rising from silence within `seconds`."""
    n_samples = int(seconds * SAMPLE_RATE)
    signal[:n_samples] *= np.linspace(0.0, 1.0, n_samples) ** 0.7
    return signal


def butterworth(
    signal: Signal, cutoff_hz: float | Sequence[float], kind: str, order: int = 2
) -> Signal:
    """The signal through a Butterworth filter with these cutoffs [Hz]."""
    edges = np.clip(cutoff_hz, 1.0, 0.49 * SAMPLE_RATE)
    filtered: Signal = sosfilt(butter(order, edges, kind, fs=SAMPLE_RATE, output="sos"), signal)
    return filtered


def low_pass(signal: Signal, cutoff_hz: float) -> Signal:
    """The signal below a frequency [Hz]."""
    return butterworth(signal, cutoff_hz, "lowpass")


def damped_partial(
    frequency: float, decay_per_second: float, phase: float, n_samples: int
) -> Signal:
    """Ring one damped sine: the impulse response of a two-pole resonator."""
    angle = TAU * frequency / SAMPLE_RATE
    radius = np.exp(-decay_per_second / SAMPLE_RATE)
    impulse = np.zeros(n_samples)
    impulse[0] = 1.0
    numerator = [np.sin(phase), radius * np.sin(angle - phase)]
    ringing: Signal = lfilter(numerator, [1.0, -2.0 * radius * np.cos(angle), radius**2], impulse)
    return ringing


def struck_partials(
    frequency: float,
    seconds: float,
    partials: Sequence[tuple[float, float, float]],
    phases: Sequence[float] | None = None,
) -> Signal:
    """Add damped partials given as (frequency ratio, amplitude, decay per second)."""
    n_samples = int(seconds * SAMPLE_RATE)
    signal = np.zeros(n_samples)
    for number, (ratio, amplitude, decay) in enumerate(partials):
        if ratio * frequency < HIGHEST_PARTIAL_HZ:
            phase = phases[number] if phases is not None else 0.0
            signal += amplitude * damped_partial(ratio * frequency, decay, phase, n_samples)
    return signal


def plucked_string(
    frequency: float,
    seconds: float,
    rng: np.random.Generator,
    *,
    bright_hz: float,
    damping: float,
    pick_position: float,
) -> Signal:
    """Pluck a string: filtered noise going round a lossy delay of one period."""
    # The averaging filter delays by half a sample; linear interpolation tunes the rest.
    period = SAMPLE_RATE / frequency - 0.5
    n_delay = int(period)
    fraction = period - n_delay
    noise = low_pass(rng.uniform(-1.0, 1.0, n_delay + 4), bright_hz)[:n_delay]
    excitation = np.zeros(int(seconds * SAMPLE_RATE))
    excitation[:n_delay] = noise - np.roll(noise, max(1, int(pick_position * n_delay)))
    gain = 0.5 * damping ** (1.0 / frequency)
    loop = np.zeros(n_delay + 3)
    loop[0] = 1.0
    loop[n_delay:] = -gain * np.array([1.0 - fraction, 1.0, fraction])
    string: Signal = lfilter([1.0], loop, excitation)
    return string


def detuned_sawtooths(
    frequency: float,
    seconds: float,
    rng: np.random.Generator,
    *,
    detunings: Sequence[float],
    highest_hz: float,
) -> Signal:
    """Read one band-limited wave table at several slightly different speeds."""
    n_table = 4096
    n_harmonics = max(2, int(min(highest_hz, HIGHEST_PARTIAL_HZ) / frequency))
    spectrum = np.zeros(n_table // 2 + 1, dtype=np.complex128)
    harmonics = np.arange(1, n_harmonics + 1)
    spectrum[1 : n_harmonics + 1] = np.exp(TAU * 1j * rng.random(n_harmonics)) / harmonics
    table = np.fft.irfft(spectrum, n_table) * n_table / 2
    table = np.append(table, table[0])
    time, signal = time_axis(seconds), np.zeros(int(seconds * SAMPLE_RATE))
    for detuning in detunings:
        turns = frequency * (1.0 + detuning) * time + rng.random()
        signal += np.interp(turns % 1.0 * n_table, np.arange(n_table + 1), table)
    return signal
