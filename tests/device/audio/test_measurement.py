"""Figures of a recording, and the distance between two."""

import numpy as np
import pytest

from device.audio.measurement import distance_db, measure, nearest

RATE = 22050


def sine(hertz, amplitude=0.3, seconds=2.0):
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def test_loudness_peak_and_silence_of_a_sine_are_right():
    measured = measure(sine(1000, 0.5), RATE)
    assert measured.true_peak_db == pytest.approx(-6.02, abs=0.05)
    assert measured.lufs == pytest.approx(-9.0, abs=0.2)
    assert measured.silent_share == 0
    assert measured.is_finite


def test_the_silent_share_is_the_part_of_the_time_in_which_nothing_sounds():
    samples = np.concatenate([sine(440, seconds=1.0), np.zeros(3 * RATE, np.float32)])
    assert measure(samples, RATE).silent_share == pytest.approx(0.75, abs=0.03)


def test_silence_is_silent_throughout():
    measured = measure(np.zeros(RATE, np.float32), RATE)
    assert measured.silent_share == 1
    assert (measured.lufs, measured.is_finite) == (-70.0, True)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_finite_is_reported_and_the_figures_stay_finite(wrong):
    samples = sine(440)
    samples[1000] = wrong
    measured = measure(samples, RATE)
    assert not measured.is_finite
    assert np.isfinite([measured.lufs, measured.true_peak_db, measured.silent_share]).all()
    assert np.isfinite(measured.band_levels).all()


def test_a_recording_is_no_distance_from_itself():
    one = measure(sine(440), RATE)
    assert distance_db(one, one) == 0


def test_distance_is_the_same_both_ways():
    one, other = measure(sine(440), RATE), measure(sine(880), RATE)
    assert distance_db(one, other) == distance_db(other, one) > 1


def test_a_tenfold_louder_noise_is_twenty_decibels_away():
    noise = 0.02 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    loud, quiet = measure(10 * noise, RATE), measure(noise, RATE)
    assert distance_db(loud, quiet) == pytest.approx(20, abs=2.5)


def test_other_notes_are_farther_than_a_little_louder():
    one = measure(sine(440), RATE)
    louder, higher = measure(sine(440, 0.33), RATE), measure(sine(1400), RATE)
    assert distance_db(one, louder) < 0.5 * distance_db(one, higher)


def test_the_same_notes_in_another_order_are_a_distance_apart():
    samples = np.concatenate([sine(440, seconds=1.0), sine(1400, seconds=1.0)])
    assert distance_db(measure(samples, RATE), measure(samples[::-1].copy(), RATE)) > 1


def test_the_nearest_recording_is_another_one():
    pitches = [440, 1400, 450, 1450]
    neighbours = nearest([measure(sine(hertz), RATE) for hertz in pitches])
    assert [other for other, _ in neighbours] == [2, 3, 0, 1]
    assert neighbours[0][1] == neighbours[2][1]


def test_of_recordings_of_unequal_length_the_common_part_is_compared():
    one, longer = measure(sine(440), RATE), measure(sine(440, seconds=3.0), RATE)
    # Only the last moment differs: there one has ended.
    assert distance_db(one, longer) < 1
