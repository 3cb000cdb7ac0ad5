"""Statistics that the audio loop updates."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.playback.statistics import Percentiles, level_db, resident_mb


def filled(values, **options):
    percentiles = Percentiles(**options)
    for value in values:
        percentiles.add(value)
    return percentiles


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=100), st.floats(0, 100))
def test_percentiles_are_those_of_all_values(values, percent):
    assert filled(values).at(percent) == pytest.approx(np.percentile(values, percent), abs=1e-9)


def test_the_extremes_are_the_smallest_and_the_largest():
    percentiles = filled([3.0, 1.0, 2.0])
    assert (percentiles.at(0), percentiles.at(50), percentiles.at(100)) == (1.0, 2.0, 3.0)


def test_without_values_a_percentile_is_nan():
    assert math.isnan(Percentiles().at(50))


def test_only_the_latest_values_count_while_all_are_counted():
    percentiles = filled([1000.0] * 5 + [1.0, 2.0, 3.0], capacity=3)
    assert (percentiles.at(0), percentiles.at(100)) == (1.0, 3.0)
    assert percentiles.n == 8


@pytest.mark.parametrize(
    ("samples", "level"),
    [
        (np.ones(100), 0.0),
        (np.full(64, 0.1), -20.0),
        (np.sin(2 * np.pi * np.arange(1000) / 100), -3.01),
        (np.zeros(100), -math.inf),
        (np.zeros(0), -math.inf),
    ],
    ids=["full", "tenth", "sine", "silence", "nothing"],
)
def test_a_level_is_the_rms_below_full_scale(samples, level):
    assert level_db(samples.astype(np.float32)) == pytest.approx(level, abs=0.01)


def test_resident_memory_is_that_of_a_process_with_numpy_in_it():
    assert 10 < resident_mb() < 10_000
