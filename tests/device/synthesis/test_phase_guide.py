"""The inversion guided by the phase advance of the lowest bins, in both implementations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.synthesis.kernel.fingerprint import as_rows
from tests.support.inversion import (
    HOP,
    N_BINS,
    N_FFT,
    SAMPLE_RATE,
    chord,
    inversion,
    sine,
    stft,
)

pytestmark = pytest.mark.usefixtures("every_implementation")

N_GUIDED = 40
CENTRES = np.exp(-2j * np.pi * np.arange(N_BINS) * HOP / N_FFT)


def advances(spectrum):
    """True phase advances, of length 1; nothing is known of the first frame."""
    vectors = np.zeros_like(spectrum)
    turned = spectrum[1:] * spectrum[:-1].conj() * CENTRES
    vectors[1:] = turned / np.maximum(np.abs(turned), 1e-9)
    return vectors


def frames_of(magnitude, vectors):
    return as_rows(magnitude, vectors.real[:, :N_GUIDED], vectors.imag[:, :N_GUIDED])


def with_errors(spectrum, n_db=4.0):
    """Magnitudes with lasting errors that differ from bin to bin."""
    errors_db = n_db * np.random.default_rng(0).standard_normal(spectrum.shape[1])
    return np.abs(spectrum) * 10 ** (errors_db / 20)


def wander(samples, hertz):
    """Deviation of the frequency of a sine, in Hz."""
    heard = stft(samples, N_FFT, HOP)
    settled = heard[8:-8, round(hertz * N_FFT / SAMPLE_RATE)]
    turns = np.angle(settled[1:] * settled[:-1].conj()) / (2 * np.pi)
    off = (turns - hertz * HOP / SAMPLE_RATE + 0.5) % 1 - 0.5
    return np.abs(off).mean() * SAMPLE_RATE / HOP


@pytest.mark.parametrize("hertz", [300.0, 710.0, 1550.0])
def test_a_tone_drawn_with_errors_keeps_its_frequency(hertz):
    spectrum = stft(sine(hertz), N_FFT, HOP)
    magnitude, vectors = with_errors(spectrum), advances(spectrum)
    streams = [inversion(n_guided=n) for n in (0, N_GUIDED)]
    inputs = (as_rows(magnitude), frames_of(magnitude, vectors))
    alone, guided = (s.process(f)[s.delay_samples :] for s, f in zip(streams, inputs, strict=True))
    assert wander(guided, hertz) < 0.5 * wander(alone, hertz)


def test_without_confidence_not_a_bit_changes():
    spectrum = stft(chord(300, 420, 560), N_FFT, HOP)
    magnitude = np.abs(spectrum)
    nothing = frames_of(magnitude, np.zeros_like(spectrum))
    guided, alone = inversion(n_guided=N_GUIDED), inversion()
    assert guided.process(nothing).tobytes() == alone.process(as_rows(magnitude)).tobytes()
    nothing, magnitude = nothing[:7], as_rows(magnitude[:7])
    guided.revise(nothing)
    alone.revise(magnitude)
    assert guided.process(nothing).tobytes() == alone.process(magnitude).tobytes()


def test_a_bin_that_is_struck_is_not_guided():
    spectrum = stft(chord(300, 420, 560), N_FFT, HOP)
    # Each frame is 7 dB above the one before.
    rising = np.abs(spectrum[[20] * 12]) * 10 ** (7 * np.arange(12)[:, np.newaxis] / 20)
    wrong = frames_of(rising, np.full(rising.shape, 1j))
    samples = inversion(n_guided=N_GUIDED).process(wrong)
    assert samples.tobytes() == inversion().process(as_rows(rising)).tobytes()


def test_a_bin_that_falls_is_guided():
    spectrum = stft(chord(300, 420, 560), N_FFT, HOP)
    falling = np.abs(spectrum[[20] * 12]) * 10 ** (-7 * np.arange(12)[:, np.newaxis] / 20)
    samples = inversion(n_guided=N_GUIDED).process(frames_of(falling, np.full(falling.shape, 1j)))
    assert not np.allclose(samples, inversion().process(as_rows(falling)), atol=1e-3)


@pytest.mark.parametrize("look_ahead", [0, 1, 7])
def test_the_first_guess_goes_on_from_the_frame_before(look_ahead):
    """Without iterations a tone with true advances is the tone, whatever is looked ahead."""
    spectrum = stft(sine(710.0), N_FFT, HOP)
    stream = inversion(n_guided=N_BINS, look_ahead=look_ahead, n_iterations=0)
    vectors = advances(spectrum)
    frames = as_rows(np.abs(spectrum), vectors.real, vectors.imag)
    assert wander(stream.process(frames)[stream.delay_samples :], 710.0) < 0.1


def test_revised_frames_go_on_from_the_frame_that_was_heard_last():
    spectrum = stft(sine(710.0), N_FFT, HOP)
    frames = frames_of(np.abs(spectrum), advances(spectrum))
    through, revised = (inversion(n_guided=N_GUIDED) for _ in range(2))
    at = 60
    expected = through.process(frames[: at + 20])
    start = revised.process(frames[:at])
    revised.revise(frames[at - revised.look_ahead : at])
    samples = np.concatenate([start, revised.process(frames[at : at + 20])])
    assert np.abs(samples - expected).max() < 0.02 * np.abs(expected).max()


def test_the_targets_are_whole_frames():
    spectrum = stft(sine(710.0), N_FFT, HOP)
    frames = frames_of(np.abs(spectrum), advances(spectrum))
    stream = inversion(n_guided=N_GUIDED)
    stream.process(frames[:30])
    assert stream.frame_size == N_BINS + 2 * N_GUIDED
    assert np.array_equal(stream.targets, frames[30 - stream.look_ahead - 1 : 30])


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, N_GUIDED, N_BINS]))
@settings(max_examples=25)
def test_any_vectors_up_to_1_give_finite_samples(seed, n_guided):
    rng = np.random.default_rng(seed)
    magnitude = rng.choice([0.0, 1e-30, 1.0, 2.0**20], (24, N_BINS))
    vectors = rng.choice([0, 0.3, 1], (24, n_guided)) * np.exp(6.3j * rng.random((24, n_guided)))
    frames = as_rows(magnitude, vectors.real, vectors.imag)
    samples = inversion(n_guided=n_guided).process(frames)
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("n_guided", [-1, N_BINS + 1])
def test_another_number_of_bins_is_refused(n_guided):
    with pytest.raises(ValueError, match=f"n_guided {n_guided}: expected 0 to {N_BINS} bins"):
        inversion(n_guided=n_guided)
