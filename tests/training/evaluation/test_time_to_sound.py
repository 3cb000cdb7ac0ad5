"""A change is found when it happens, and flips of a model sound as soon as its inversion allows."""

import numpy as np
import pytest

from device.model.network import Network
from device.synthesis.performance import Performance
from device.synthesis.voice import Voice
from tests.support import tiny_model as tiny
from training.evaluation.contribution import (
    MOMENT_SECONDS,
    Contribution,
    power,
    seconds_of_change,
)
from training.evaluation.time_to_sound import FlipJob, Milliseconds, measure_flips
from training.metrics.spectra import SAMPLE_RATE

SECONDS, CHANGE = 2.0, 1.234
WINDOW_MS = 23


def tone(level):
    return level * np.sin(2 * np.pi * 2000 * np.arange(round(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE)


def noise(seed):
    drawn = np.random.default_rng(seed).standard_normal(round(SECONDS * SAMPLE_RATE))
    return 0.001 * drawn


def powers(samples):
    return power(samples.astype(np.float32), SAMPLE_RATE)


@pytest.fixture(scope="module")
def contribution():
    """A tone in noise, which is another one in each render."""
    return Contribution(powers(noise(1)), powers(noise(2) + tone(0.1)))


# -- shares and changes ---------------------------------------------------------------------------


@pytest.mark.parametrize("share", [1.0, 0.5, 0.01])
def test_the_share_of_a_sound_is_read_off_a_render_with_other_noise(contribution, share):
    found = contribution.share(powers(noise(3) + np.sqrt(share) * tone(0.1)))
    assert contribution.is_clear(share).mean() > 0.95
    assert np.median(found) == pytest.approx(share, rel=0.05, abs=0.003)


def test_a_sound_that_is_hardly_there_is_not_clear(contribution):
    faint = Contribution(powers(noise(1)), powers(noise(2) + tone(0.001)))
    assert faint.is_clear(0.01).mean() < 0.05
    assert contribution.turned.is_clear(0.01).mean() < 0.05
    assert contribution.is_clear(0.01).mean() > 0.95


@pytest.mark.parametrize("is_end", [True, False])
def test_a_change_is_found_when_it_happens(contribution, is_end):
    is_before = np.arange(round(SECONDS * SAMPLE_RATE)) < CHANGE * SAMPLE_RATE
    share = contribution.share(powers(noise(4) + np.where(is_before == is_end, tone(0.1), 0)))
    for limit, late in ((0.5, 0.0), (0.01, 0.5e-3 * WINDOW_MS * is_end)):
        is_new = share <= limit if is_end else share >= limit
        found = seconds_of_change(is_new, contribution.is_clear(limit), 1.0, 1.6)
        assert CHANGE - 0.012 < found < CHANGE + 0.004 + late


def test_a_change_at_a_moment_that_is_not_clear_is_not_guessed():
    is_new = np.arange(200) >= 100
    seconds = 200 * MOMENT_SECONDS
    is_clear = np.ones(200, bool)
    assert seconds_of_change(is_new, is_clear, 0, seconds) == pytest.approx(99.5 * MOMENT_SECONDS)
    is_clear[95:105] = False
    assert seconds_of_change(is_new, is_clear, 0, seconds) is None


def test_what_comes_back_at_once_has_not_changed():
    is_new = np.arange(200) >= 100
    is_new[50:53] = True
    found = seconds_of_change(is_new, np.ones(200, bool), 0, 200 * MOMENT_SECONDS)
    assert found == pytest.approx(99.5 * MOMENT_SECONDS)


def test_times_of_no_flip_are_unknown():
    assert Milliseconds.of([]) == Milliseconds(0, None, None)
    assert Milliseconds.of([0.02, 0.04]) == Milliseconds(2, 30.0, 39.0)


# -- flips of a model -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The voice of a model with short and one with long windows, and times of a switch of each."""
    folder, found = tmp_path_factory.mktemp("models"), []
    for n_fft in (256, 1024):
        path = tiny.build(folder / f"{n_fft}.onnx", n_fft=n_fft, hop_length=n_fft // 4)
        with Voice(Network.open(path), Performance()) as voice:
            found.append((voice.vocoder, *measure_flips(FlipJob(path, 1, 1))))
    return found


def test_a_sound_is_gone_when_the_inversion_has_left_it(measured):
    for vocoder, switch, times in measured:
        hop_ms = 1000 * vocoder.inversion.hop_length / vocoder.sample_rate
        half_ms, latest_ms = 1000 * vocoder.halfway_seconds, 1000 * vocoder.latency_seconds
        assert (switch, times.is_of_on) == (1, True)
        assert times.gone.n >= 4 <= times.starts.n
        assert half_ms < times.gone.p50 <= times.gone.p95 < latest_ms + hop_ms + WINDOW_MS
        assert half_ms - WINDOW_MS < times.starts.p50 < times.gone.p50


def test_longer_windows_take_longer(measured):
    (_, _, short), (_, _, long) = measured
    assert long.gone.p50 > short.gone.p50 + 10


def test_a_flip_that_waits_sounds_at_its_line(measured):
    for vocoder, _, times in measured:
        hop_ms = 1000 * vocoder.inversion.hop_length / vocoder.sample_rate
        assert times.beat.n >= 4
        assert times.bar.n >= 2
        assert times.beat.p50 < hop_ms + WINDOW_MS / 2
        assert times.bar.p50 < hop_ms + WINDOW_MS / 2


def test_times_of_one_seed_are_the_same_again(small_model):
    job = FlipJob(small_model, 0, 3)
    assert measure_flips(job) == measure_flips(job)
