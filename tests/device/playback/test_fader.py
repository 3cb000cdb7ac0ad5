"""Levels of the fader: exact at both ends, without steps, and the same in blocks of any length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.playback.fader import Fader

ONES = np.ones(1_600, np.float32)


def test_at_level_1_the_samples_are_the_same_array():
    assert Fader().process(ONES) is ONES


def test_a_fade_is_12_db_down_half_way_and_silent_at_its_end():
    fader = Fader()
    fader.fade(0.0, 800)
    assert not fader.is_silent
    levels = fader.process(ONES)
    assert levels[0] == 1.0
    assert levels[400] == 0.25
    assert np.all(levels[800:] == 0)
    assert np.all(np.diff(levels) <= 0)
    assert fader.is_silent
    assert np.all(ONES == 1)


def test_a_fade_that_is_turned_round_goes_on_from_its_level():
    fader = Fader()
    fader.fade(0.0, 1000)
    last = fader.process(ONES[:500])[-1]
    fader.fade(1.0, 1000)
    levels = fader.process(ONES)
    assert levels[0] == pytest.approx(last, abs=2e-3)
    assert fader.process(ONES)[0] == 1.0


def test_from_silence_to_silence_nothing_is_to_be_computed():
    fader = Fader()
    fader.fade(0.0, 0)
    assert fader.is_silent
    fader.fade(0.0, 1000)
    assert fader.is_silent


@given(
    fades=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 300)), min_size=1, max_size=4),
    lengths=st.lists(st.integers(0, 200), min_size=1, max_size=8),
)
def test_the_lengths_of_the_blocks_change_no_sample(fades, lengths):
    whole, parts = Fader(), Fader()
    for level, n_samples in fades:
        whole.fade(level, n_samples)
        parts.fade(level, n_samples)
        one = whole.process(ONES[: sum(lengths)])
        many = np.concatenate([parts.process(ONES[:n]) for n in lengths])
        assert one.tobytes() == many.tobytes()
