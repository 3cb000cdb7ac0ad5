"""Changes of what is inverted: when they are heard, and that they do not click."""

import numpy as np
import pytest
from hypothesis import given, settings

from device.model.contract import WINDOWS
from device.synthesis.presets import PRESETS
from tests.support.inversion import (
    HOP,
    N_BINS,
    N_FFT,
    SAMPLE_RATE,
    SIZES,
    chord,
    curvature_at_change,
    inversion,
    inversion_of,
    magnitudes,
    noise_magnitude,
    sine,
    stft_magnitude,
)

pytestmark = pytest.mark.usefixtures("every_implementation")


@pytest.mark.parametrize(("n_fft", "hop"), SIZES)
def test_an_abrupt_change_of_target_does_not_click(n_fft, hop):
    one = stft_magnitude(chord(220, 277.2, 329.6, 440), n_fft, hop)
    other = stft_magnitude(chord(246.9, 311, 392, 587), n_fft, hop)
    change = len(one) // 2
    stream = inversion(n_fft, hop)
    samples = stream.process(np.concatenate([one[:change], other[change:]]))
    # A click is a burst of curvature. Neither chord has less of it than the way between them.
    late = stream.look_ahead * hop
    assert curvature_at_change(samples, change * hop + late, stream) < 1.25


def measured_until(stream, share, n_smoothed):
    """Samples from the beginning of a sine's end until this share of it is gone, as measured."""
    # Four samples a period: the larger of two that follow each other is within 3 dB of its height.
    tone = sine(SAMPLE_RATE / 4, amplitude=1.0)
    target = stft_magnitude(tone, stream.n_fft, stream.hop_length, stream.window)[:150]
    stream.process(target)
    left = 1 - np.arange(1, n_smoothed + 1) / (n_smoothed + 1)
    after = np.zeros((15, stream.n_bins), np.float32)
    after[:n_smoothed] = left[:, np.newaxis] * target[-1]
    stream.revise(after[: stream.look_ahead])
    tail = stream.process(after[stream.look_ahead :])
    height = np.hypot(tail[:-1], tail[1:])
    return np.flatnonzero(height > 1 - share)[-1]


OF_CHANGES = {"look_ahead": 1, "n_iterations": 2}
every_window = pytest.mark.parametrize("window", WINDOWS)
every_size = pytest.mark.parametrize(("n_fft", "hop"), [*SIZES, (768, 128), (768, 192)])


@every_window
@every_size
@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_a_change_has_its_share_after_the_stated_samples(n_fft, hop, window, share):
    stream = inversion(n_fft, hop, window=window, **OF_CHANGES)
    measured = measured_until(stream, share, 0)
    assert measured == pytest.approx(stream.samples_until(share), abs=n_fft // 50)


# A sine that fades falls within each frame as well, so it is never later than stated.
@every_window
@every_size
@pytest.mark.parametrize("n_smoothed", [1, 3])
def test_a_glide_is_halfway_after_the_stated_samples_or_a_little_sooner(
    n_fft, hop, window, n_smoothed
):
    stream = inversion(n_fft, hop, window=window, **OF_CHANGES)
    stated = stream.samples_until(0.5, n_smoothed)
    assert stated - n_fft / 30 <= measured_until(stream, 0.5, n_smoothed) <= stated


@every_window
def test_a_frame_of_glide_puts_the_middle_of_a_change_off_by_half_a_hop(window):
    stream = inversion(768, 192, window=window)
    halfway = [stream.samples_until(0.5, n) for n in (0, 1, 2)]
    assert np.diff(halfway) == pytest.approx([96, 96], abs=30)


def test_a_change_is_halfway_after_half_the_latency_of_a_symmetric_window():
    stream = inversion(768, 192)
    assert stream.samples_until(0.5) == pytest.approx(stream.latency_samples / 2, abs=1)


def test_the_stated_samples_grow_with_the_share_up_to_the_latency():
    stream = inversion(768, 192)
    until = [stream.samples_until(share) for share in (0.0, 0.1, 0.5, 0.9, 0.9999)]
    assert until[0] == 0
    assert until == sorted(set(until))
    assert until[-1] <= stream.latency_samples + 1


def test_a_change_is_heard_sooner_under_the_asymmetric_window():
    hann, asymmetric = (inversion(768, 128, window=window) for window in WINDOWS)
    assert measured_until(asymmetric, 0.5, 0) < measured_until(hann, 0.5, 0) - 60
    assert asymmetric.delay_samples == hann.delay_samples - 128
    assert asymmetric.latency_samples == hann.latency_samples


@pytest.mark.parametrize("n_iterations", [0, 1, 3])
@pytest.mark.parametrize("look_ahead", [0, 1, 2, 3, 5])
def test_a_revised_change_is_whole_after_the_stated_latency(look_ahead, n_iterations):
    stream = inversion(look_ahead=look_ahead, n_iterations=n_iterations)
    stream.process(noise_magnitude(40))
    stream.revise(np.zeros((look_ahead, N_BINS), np.float32))
    after = stream.process(np.zeros((30, N_BINS), np.float32))
    assert stream.latency_samples == N_FFT - HOP
    assert not after[stream.latency_samples :].any()
    assert after[: stream.latency_samples - HOP].any()


@pytest.mark.parametrize("look_ahead", [0, 2, 3])
def test_a_change_without_a_revision_waits_for_the_frames_before_it(look_ahead):
    stream = inversion(look_ahead=look_ahead)
    stream.process(noise_magnitude(40))
    after = stream.process(np.zeros((30, N_BINS), np.float32))
    whole = stream.latency_samples + look_ahead * HOP
    assert not after[whole:].any()
    assert after[: whole - HOP].any()


def test_a_revision_begins_with_the_next_hop():
    target = noise_magnitude(40)
    one, other = inversion(), inversion()
    assert one.process(target).tobytes() == other.process(target).tobytes()
    other.revise(0.5 * target[-other.look_ahead :])
    after, revised = (stream.process(target) for stream in (one, other))
    assert np.flatnonzero(after != revised)[0] < HOP


def test_a_revision_comes_as_near_to_a_change_as_no_look_ahead_at_all():
    one, other = noise_magnitude(60, seed=1), noise_magnitude(60, seed=2)
    expected = np.concatenate([one[:30], other[30:]])

    def error(stream, samples):
        start = stream.delay_samples - stream.look_ahead * HOP
        actual = stft_magnitude(samples[start:], N_FFT, HOP)
        return np.linalg.norm(actual[30:36] - expected[30:36])

    ahead, without = inversion(), inversion(look_ahead=0)
    before = ahead.process(one[: 30 + ahead.look_ahead])[ahead.look_ahead * HOP :]
    ahead.revise(other[30 : 30 + ahead.look_ahead])
    revised = np.concatenate([before, ahead.process(other[30 + ahead.look_ahead :])])
    assert error(ahead, revised) < error(without, without.process(expected))


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_revised_change_does_not_click(preset):
    stream = inversion_of(preset)
    one, other = (
        stft_magnitude(chord(*hertz), preset.n_fft, preset.hop_length)
        for hertz in ((220, 277.2, 329.6, 440), (246.9, 311, 392, 587))
    )
    change = len(one) // 2
    before = stream.process(one[:change])
    stream.revise(other[change - stream.look_ahead : change])
    samples = np.concatenate([before, stream.process(other[change:])])
    assert curvature_at_change(samples, len(before), stream) < 1.5


def test_a_revision_of_another_length_is_refused():
    with pytest.raises(ValueError, match="found 2 frames to revise, expected 7"):
        inversion().revise(np.zeros((2, N_BINS), np.float32))


@given(magnitudes, magnitudes)
@settings(max_examples=20)
def test_a_revised_stream_survives_anything(before, after):
    stream = inversion()
    stream.process(before)
    stream.revise(np.resize(after, (stream.look_ahead, N_BINS)))
    assert np.isfinite(stream.process(after)).all()
