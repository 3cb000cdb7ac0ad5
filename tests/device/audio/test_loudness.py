"""Loudness against an independent meter, true peaks against signals whose peak is known."""

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.audio.loudness import SILENCE_LUFS, integrated_lufs, true_peak_db

RATES = [22050, 44100, 48000]


def sine(hertz, amplitude, sample_rate, seconds=4.0):
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def noise(amplitude, sample_rate, seconds=4.0):
    rng = np.random.default_rng(0)
    return (amplitude * rng.standard_normal(round(seconds * sample_rate))).astype(np.float32)


def bursts(sample_rate):
    """A third of a second of noise each second, so that the relative gate is used."""
    samples = noise(0.1, sample_rate)
    samples[np.arange(len(samples)) % sample_rate > sample_rate // 3] *= 0.01
    return samples


SIGNALS = {
    "white noise": lambda rate: noise(0.1, rate),
    "997 Hz": lambda rate: sine(997, 0.5, rate),
    "40 Hz": lambda rate: sine(40, 0.5, rate),
    "9 kHz": lambda rate: sine(9000, 0.1, rate),
    "bursts": bursts,
    # 16 dB apart: the softer half passes the absolute gate and not the relative one.
    "loud, then softer": lambda rate: np.concatenate([noise(0.3, rate), noise(0.048, rate)]),
    "loud, then quiet": lambda rate: np.concatenate([noise(0.3, rate), noise(0.001, rate)]),
}


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("name", SIGNALS)
def test_loudness_agrees_with_pyloudnorm_to_a_tenth_of_a_unit(name, sample_rate):
    samples = SIGNALS[name](sample_rate)
    expected = pyloudnorm.Meter(sample_rate).integrated_loudness(samples.astype(np.float64))
    assert integrated_lufs(samples, sample_rate) == pytest.approx(expected, abs=0.1)


def test_a_full_scale_sine_at_997_hertz_has_the_loudness_of_the_standard():
    # ITU-R BS.1770-4, annex 1: -3.01 LKFS for 0 dB FS in one channel.
    assert integrated_lufs(sine(997, 1.0, 48000), 48000) == pytest.approx(-3.01, abs=0.01)


@settings(max_examples=20)
@given(st.floats(-40, 10))
def test_loudness_follows_the_gain(gain_db):
    samples = noise(0.05, 22050, seconds=1.0)
    louder = samples * np.float32(10 ** (gain_db / 20))
    measured = integrated_lufs(louder, 22050) - integrated_lufs(samples, 22050)
    assert measured == pytest.approx(gain_db, abs=1e-3)


@pytest.mark.parametrize("n_samples", [1, 4000, 44100])
def test_silence_of_any_length_has_a_finite_loudness(n_samples):
    assert integrated_lufs(np.zeros(n_samples, np.float32), 22050) == SILENCE_LUFS
    assert true_peak_db(np.zeros(n_samples, np.float32)) == pytest.approx(-120)


def test_silence_around_the_music_does_not_make_it_quieter():
    samples = noise(0.1, 22050)
    padded = np.concatenate([samples, np.zeros(10 * 22050, np.float32)])
    assert integrated_lufs(padded, 22050) == pytest.approx(integrated_lufs(samples, 22050), abs=0.3)


@pytest.mark.parametrize("phase", [0, np.pi / 8, np.pi / 4, 1.0])
@pytest.mark.parametrize("amplitude_db", [-20.0, -1.0, 0.0, 3.0])
def test_the_true_peak_of_a_sine_is_its_amplitude_wherever_it_is_sampled(phase, amplitude_db):
    # A quarter of the sample rate, the standard's hard case: samples miss the peak by up to 3 dB.
    time = np.arange(4800)
    samples = 10 ** (amplitude_db / 20) * np.sin(np.pi / 2 * time + phase)
    measured = true_peak_db(samples.astype(np.float32))
    # Four times oversampled, a quarter-rate sine is seen every 22.5 degrees: 0.17 dB at worst.
    assert amplitude_db - 0.17 < measured < amplitude_db + 0.01


@given(st.integers(3, 400), st.integers(0, 2**32))
def test_the_true_peak_is_never_below_the_sample_peak(n_samples, seed):
    samples = np.random.default_rng(seed).uniform(-1, 1, n_samples).astype(np.float32)
    assert true_peak_db(samples) >= 20 * np.log10(np.abs(samples).max()) - 1e-3


@pytest.mark.parametrize("n_samples", [999, 1000])
def test_the_true_peak_of_a_click_is_its_height(n_samples):
    samples = np.zeros(n_samples, np.float32)
    samples[n_samples // 2] = 0.5
    assert true_peak_db(samples) == pytest.approx(-6.02, abs=0.01)


def test_the_true_peak_does_not_ring_where_a_recording_was_cut_out():
    # It ends near its highest and begins near its lowest.
    samples = sine(400, 0.5, 22050)[17 : 17 + 22050 - 27]
    assert samples[0] > 0.4
    assert samples[-1] < -0.4
    assert true_peak_db(samples) == pytest.approx(-6.02, abs=0.15)


def test_the_true_peak_at_half_the_sample_rate_is_not_doubled():
    samples = np.tile(np.array([0.5, -0.5], np.float32), 500)
    assert true_peak_db(samples) == pytest.approx(-6.02, abs=0.05)
