"""Metrics of a recording, and comparisons in standard deviations of the reference."""

import numpy as np
import pytest

from training.metrics.audio_metrics import GROUPS, METRIC_NAMES, measure
from training.metrics.comparison import by_group, compare
from training.metrics.spectra import SAMPLE_RATE

BEAT_SECONDS = 0.75


def time(seconds=4.0, sample_rate=SAMPLE_RATE):
    return np.arange(round(seconds * sample_rate)) / sample_rate


def tone(hertz=1000.0, sample_rate=SAMPLE_RATE, amplitude=0.1):
    return (amplitude * np.sin(2 * np.pi * hertz * time(sample_rate=sample_rate))).astype(
        np.float32
    )


def noise(seconds=4.0, seed=0):
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))
    return samples.astype(np.float32)


def beats(every_seconds=BEAT_SECONDS, seconds=6.0):
    """Short bursts of noise, one a beat, always the same."""
    hit = noise(0.05, seed=3) * np.exp(-np.arange(round(0.05 * SAMPLE_RATE)) / 200)
    samples = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    for start in np.arange(0.1, seconds - 0.1, every_seconds):
        at = round(start * SAMPLE_RATE)
        samples[at : at + len(hit)] += hit
    return samples


def figures(samples, sample_rate=SAMPLE_RATE):
    return dict(zip(METRIC_NAMES, measure(samples.astype(np.float32), sample_rate), strict=True))


def test_every_figure_is_finite_for_any_sound():
    for samples in (np.zeros(5000), np.ones(3), noise(0.1), tone(), beats(), np.full(9000, np.nan)):
        assert np.isfinite(list(figures(samples).values())).all()


def test_a_tone_has_its_frequency_and_a_steady_phase():
    measured = figures(tone(1000))
    assert measured["centroid"] == pytest.approx(1000, abs=5)
    assert measured["phase_dev"] < 0.01
    assert measured["band_mid"] == pytest.approx(0, abs=0.1)
    assert measured["flatness_db"] < figures(noise())["flatness_db"] - 30


def test_noise_is_spread_over_all_frequencies():
    measured = figures(noise())
    assert 4000 < measured["centroid"] < 7000
    assert measured["phase_dev"] > 0.1
    assert measured["spec_sparsity"] > 20 * figures(tone())["spec_sparsity"]


def test_gain_changes_loudness_and_peaks_alone():
    music = beats(seconds=4.0) + 0.1 * noise()
    softer, louder = figures(music), figures(4 * music)
    changed = {name for name in METRIC_NAMES if abs(softer[name] - louder[name]) > 0.02}
    assert changed == {"lufs", "true_peak_db"}
    assert louder["lufs"] - softer["lufs"] == pytest.approx(20 * np.log10(4), abs=0.01)


def test_a_recording_of_another_rate_has_the_same_figures():
    ours, theirs = figures(tone()), figures(tone(sample_rate=44_100), 44_100)
    for name in ("lufs", "centroid", "rolloff95", "crest_db", "band_mid"):
        assert theirs[name] == pytest.approx(ours[name], rel=0.01, abs=0.1)


def test_silence_is_measured():
    samples = tone()
    samples[len(samples) // 2 :] = 0
    assert figures(samples)["silence_share"] == pytest.approx(0.5, abs=0.02)


def test_clipping_clicks_offset_and_seams_are_detected():
    clean = figures(tone())
    clicked = tone()
    clicked[10_000::20_000] += 0.4
    seamed = noise() * (1 + 2 * (np.arange(len(noise())) % 512 < 8))
    assert figures(np.clip(20 * tone(), -0.7, 0.7))["clip_share"] > 0.5 > clean["clip_share"]
    assert figures(clicked)["click_rate"] > 0.5 > clean["click_rate"]
    assert figures(tone() + 0.05)["dc"] == pytest.approx(0.05, abs=1e-3)
    assert figures(seamed)["block_z"] > 5 > figures(noise())["block_z"]


def test_beats_have_a_rate_a_pulse_and_a_tempo():
    measured = figures(beats())
    assert measured["onset_rate"] == pytest.approx(1 / BEAT_SECONDS, abs=0.2)
    assert measured["pulse_clarity"] > 0.9
    assert measured["tempo_bpm"] == pytest.approx(60 / BEAT_SECONDS, abs=1)
    assert measured["loop_repeat"] > 0.9 > figures(noise())["loop_repeat"]


def test_beats_lie_on_a_grid_and_chance_does_not():
    rng = np.random.default_rng(5)
    free = np.zeros_like(beats())
    for at in rng.uniform(0.1, 5.8, 24):
        start = round(at * SAMPLE_RATE)
        free[start : start + 800] += noise(1, seed=1)[:800]
    assert figures(beats(0.1875))["grid_excess"] > 0.3
    assert figures(free)["grid_excess"] < 0.2


def test_a_collection_has_distance_0_from_itself_in_every_group():
    some = np.random.default_rng(0).standard_normal((40, len(METRIC_NAMES)))
    assert all(each.shift == each.distance == 0 for each in compare(some, some))
    assert list(by_group(compare(some, some))) == list(GROUPS)


def test_a_shift_is_measured_in_the_spread_of_the_reference():
    reference = 10 * np.random.default_rng(0).standard_normal((4000, len(METRIC_NAMES)))
    measured = {each.name: each for each in compare(reference, reference + 20)}
    assert measured["centroid"].shift == pytest.approx(2, rel=0.05)
    assert measured["centroid"].distance == pytest.approx(2, rel=0.05)


def test_the_distance_of_one_figure_is_5_at_most():
    reference = np.random.default_rng(0).standard_normal((40, len(METRIC_NAMES)))
    elsewhere = reference.copy()
    elsewhere[:, METRIC_NAMES.index("centroid")] += 1000
    assert by_group(compare(reference, elsewhere))["timbre"] == pytest.approx(5 / 10)
