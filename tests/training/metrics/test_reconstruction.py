"""Distances measure the change of a signal, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.model.contract import WINDOWS
from device.synthesis.griffin_lim import GriffinLim
from training.metrics import reconstruction as distances
from training.metrics.reconstruction import (
    log_spectral_distance_db,
    mean_squared_error,
    spectral_convergence_db,
    spectral_convergence_to_db,
    stft_magnitude,
    streamed,
    undelayed,
)

SAMPLE_RATE = 22_050


@pytest.fixture(scope="module")
def chord():
    """Two seconds of three tones with harmonics, over a little noise."""
    seconds = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    tones = [np.sin(2 * np.pi * f * n * seconds) / n for f in (110, 139, 165) for n in range(1, 12)]
    noise = np.random.default_rng(0).standard_normal(len(seconds))
    return (0.1 * np.sum(tones, axis=0) + 0.003 * noise).astype(np.float32)


def every_distance(reference, estimate):
    return [
        spectral_convergence_db(reference, estimate, 512, 128),
        log_spectral_distance_db(reference, estimate, SAMPLE_RATE),
        mean_squared_error(reference, estimate),
    ]


def test_a_signal_has_no_distance_from_itself(chord):
    assert every_distance(chord, chord) == [-240.0, 0.0, 0.0]


@given(gain=st.floats(0.1, 3.0))
def test_a_change_of_level_is_measured(chord, gain):
    louder = (gain * chord).astype(np.float32)
    expected = 20 * np.log10(abs(gain - 1) + 1e-12)
    assert spectral_convergence_db(chord, louder, 512, 128) == pytest.approx(
        expected, abs=0.01
    ) or (abs(gain - 1) < 1e-4)
    # Bands below the floor count as the floor, so that the distance is never more than the gain.
    assert log_spectral_distance_db(chord, louder, SAMPLE_RATE) <= abs(20 * np.log10(gain)) + 1e-3


def test_six_decibels_are_six_decibels(chord):
    # Except for a frame at either end that is nearly silent.
    assert log_spectral_distance_db(chord, 2 * chord, SAMPLE_RATE) == pytest.approx(6.02, abs=0.05)


def test_the_sign_of_a_signal_changes_no_spectral_distance(chord):
    assert spectral_convergence_db(chord, -chord, 512, 128) == -240.0
    assert log_spectral_distance_db(chord, -chord, SAMPLE_RATE) == 0.0
    assert mean_squared_error(chord, -chord) == pytest.approx(4 * np.mean(chord**2), rel=1e-5)


def test_more_noise_is_further_away(chord):
    noise = np.random.default_rng(1).standard_normal(len(chord)).astype(np.float32)
    near, middle, far = (every_distance(chord, chord + part * noise) for part in (1e-3, 0.01, 0.1))
    assert all(a < b < c for a, b, c in zip(near, middle, far, strict=True))


def test_silence_instead_of_music_is_all_of_the_error(chord):
    silence = np.zeros_like(chord)
    assert spectral_convergence_db(chord, silence, 512, 128) == pytest.approx(0.0, abs=1e-6)
    assert 5 < log_spectral_distance_db(chord, silence, SAMPLE_RATE) < 80


def test_sound_80_db_below_the_loudest_does_not_count(chord):
    silent_half = chord.copy()
    silent_half[SAMPLE_RATE:] = 0
    hiss = silent_half.copy()
    noise = np.random.default_rng(2).standard_normal(SAMPLE_RATE)
    hiss[SAMPLE_RATE:] = 1e-7 * noise
    assert log_spectral_distance_db(silent_half, hiss, SAMPLE_RATE) < 1e-3


def test_a_long_signal_is_measured_piece_by_piece_to_the_same_figure(chord, monkeypatch):
    estimate = np.roll(chord, 7)
    whole = every_distance(chord, estimate)
    monkeypatch.setattr(distances, "_BLOCK_SAMPLES", 4096)
    assert every_distance(chord, estimate) == pytest.approx(whole, abs=1e-5)


def test_a_target_that_a_signal_has_is_measured_like_the_signal(chord):
    estimate = np.roll(chord, 50)
    target = stft_magnitude(chord, 256, 64)
    assert spectral_convergence_to_db(target, estimate, 64) == pytest.approx(
        spectral_convergence_db(chord, estimate, 256, 64), abs=1e-6
    )


@pytest.mark.parametrize("window", ["hann", "hamming"])
def test_frames_are_centred_on_the_grid(window):
    click = np.zeros(4000, np.float32)
    click[1000] = 1.0
    magnitude = stft_magnitude(click, 512, 128, window=window)
    centres = 128 * np.arange(len(magnitude)) - 256
    assert magnitude.dtype == np.float32
    assert magnitude.shape == (1 + (4000 + 512) // 128, 257)
    assert abs(centres[magnitude[:, 0].argmax()] - 1000) <= 64
    # Every sample lies under four frames, whose windows add up to the same wherever it lies.
    assert np.count_nonzero(np.abs(centres - 1000) < 256) == 4


def test_a_delay_is_removed():
    late = np.arange(10, dtype=np.float32)
    assert undelayed(late, 3, 4).tolist() == [3, 4, 5, 6]
    assert undelayed(late, 8, 4).tolist() == [8, 9, 0, 0]


@pytest.mark.parametrize("look_ahead", [0, 1, 3])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("n_fft", "hop_length"), [(256, 64), (512, 128), (512, 64)])
def test_a_streamed_inversion_is_aligned_with_its_source(
    chord, look_ahead, n_fft, hop_length, window
):
    bursts = chord.copy()
    bursts[: SAMPLE_RATE // 2] = 0
    bursts[-10_000:] = 0
    inversion = GriffinLim(n_fft=n_fft, hop_length=hop_length, window=window, look_ahead=look_ahead)
    magnitude = stft_magnitude(bursts, n_fft, hop_length, window=window)
    rebuilt = streamed(inversion, magnitude, len(bursts))
    assert rebuilt.shape == bursts.shape
    by_shift = {
        shift: spectral_convergence_db(bursts, np.roll(rebuilt, shift), 128, 16)
        for shift in (-hop_length, 0, hop_length)
    }
    assert min(by_shift, key=by_shift.get) == 0


def test_a_streamed_inversion_includes_the_last_samples(chord):
    inversion = GriffinLim(n_fft=512, hop_length=128, look_ahead=3)
    rebuilt = streamed(inversion, stft_magnitude(chord, 512, 128), len(chord))
    assert np.std(rebuilt[-512:]) > 0.5 * np.std(chord[-512:])


@pytest.mark.parametrize("rate", [8_000, 44_100, 96_000])
def test_the_distance_in_decibels_means_the_same_at_other_rates(rate):
    """The same two sounds at another sample rate are as far apart."""
    seconds = np.arange(rate) / rate

    def tones(part):
        notes = [220 * n for n in range(1, 12)]
        return sum(np.sin(2 * np.pi * f * seconds) * (part if f > 1000 else 1) for f in notes)

    near = log_spectral_distance_db(
        tones(1).astype(np.float32), tones(0.9).astype(np.float32), rate
    )
    far = log_spectral_distance_db(tones(1).astype(np.float32), tones(0.3).astype(np.float32), rate)
    assert 0.1 < near < 1 < far < 8


def test_signals_that_cannot_be_compared_are_rejected(chord):
    with pytest.raises(ValueError, match="one length"):
        spectral_convergence_db(chord, chord[1:], 512, 128)
    with pytest.raises(ValueError, match="two mono signals"):
        log_spectral_distance_db(chord[None], chord[None], SAMPLE_RATE)
    with pytest.raises(ValueError, match="one length"):
        mean_squared_error(chord, chord[:1])
    with pytest.raises(ValueError, match="target has 9 frames"):
        spectral_convergence_to_db(np.ones((9, 129), np.float32), chord, 64)


def test_a_silent_reference_is_rejected(chord):
    silence = np.zeros_like(chord)
    with pytest.raises(ValueError, match="reference is silent"):
        spectral_convergence_db(silence, chord, 512, 128)
    with pytest.raises(ValueError, match="reference is silent"):
        log_spectral_distance_db(silence, chord, SAMPLE_RATE)
