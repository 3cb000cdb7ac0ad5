"""Streams of magnitudes to invert, of known signals, for both implementations of the inversion."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.kernel.griffin_lim import CompiledGriffinLim
from device.synthesis.windows import analysis_window, window_peak

SAMPLE_RATE = 22050
SIZES = [(256, 64), (1024, 256)]
N_FFT, HOP = 256, 64
N_BINS = N_FFT // 2 + 1
IMPLEMENTATIONS = {"numpy": GriffinLim, "compiled": CompiledGriffinLim}

magnitudes = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 24), st.just(N_BINS)),
    elements=st.floats(0, 2.0**20, width=32, allow_subnormal=False),
    fill=st.sampled_from([np.float32(0), np.float32(1e-3), np.float32(1e6)]),
)


class Chosen:
    """The implementation that `inversion` makes; see the fixture `every_implementation`."""

    implementation = GriffinLim


def seconds(n):
    return np.arange(round(n * SAMPLE_RATE)) / SAMPLE_RATE


def sine(hertz, amplitude=0.5, length=2.0):
    return amplitude * np.sin(2 * np.pi * hertz * seconds(length))


def chord(*hertz, length=2.0):
    return sum(sine(h, 0.2, length) for h in hertz)


def stft(signal, n_fft, hop, window="hann"):
    """As the contract has it, the position of the first frame at the first sample."""
    peak = window_peak(window, n_fft)
    padded = np.pad(signal, (peak, n_fft - peak))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    return np.fft.rfft(frames * analysis_window(window, n_fft), axis=1)


def stft_magnitude(signal, n_fft, hop, window="hann"):
    return np.abs(stft(signal, n_fft, hop, window)).astype(np.float32)


def noise_magnitude(n_frames, seed=0):
    noise = 0.1 * np.random.default_rng(seed).standard_normal(n_frames * HOP)
    return stft_magnitude(noise, N_FFT, HOP)[:n_frames]


def inversion(n_fft=N_FFT, hop=HOP, **options):
    return Chosen.implementation(n_fft=n_fft, hop_length=hop, **options)


def inversion_of(preset):
    return Chosen.implementation.of(preset)


def curvature_at_change(samples, change, stream):
    """Largest second difference around a change, relative to the usual after it."""
    curvature = np.abs(np.diff(samples, 2))
    around = slice(change - stream.n_fft, change + stream.latency_samples + stream.n_fft)
    return curvature[around].max() / np.percentile(curvature[around.stop : -stream.n_fft], 99.9)
