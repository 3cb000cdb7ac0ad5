"""The drift of the variation: stationary, slow, repeatable and without memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.synthesis.variation import VariationWalk

N_MANY = 4000

turns = st.integers(0, 10**7)


@given(seed=st.integers(0, 2**32), turn=turns)
def test_a_turn_of_a_seed_is_always_the_same_in_any_order(seed, turn):
    wander = VariationWalk(8, seed=seed)
    found = wander.at(turn)
    wander.at(turn + 3)
    assert np.array_equal(wander.at(turn), found)
    assert np.array_equal(VariationWalk(8, seed=seed).at(turn), found)


@given(turns)
def test_another_seed_or_another_turn_is_another_variation(turn):
    found = VariationWalk(8, seed=1).at(turn)
    assert not np.array_equal(found, VariationWalk(8, seed=2).at(turn))
    assert not np.array_equal(found, VariationWalk(8, seed=1).at(turn + 1))


@pytest.mark.parametrize("turn", range(5))
def test_the_variance_is_one_at_and_between_the_knots(turn):
    # 4000 normal numbers: their variance scatters by sqrt(2 / 4000), 0.022; five times that.
    found = VariationWalk(N_MANY, seed=4).at(turn)
    assert found.var() == pytest.approx(1, abs=0.11)
    assert found.mean() == pytest.approx(0, abs=0.08)


@pytest.mark.parametrize(("distance", "low", "high"), [(1, 0.85, 0.98), (8, -0.08, 0.08)])
def test_neighbouring_turns_are_alike_and_far_ones_are_strangers(distance, low, high):
    wander = VariationWalk(N_MANY, seed=5)
    assert low < np.mean(wander.at(0) * wander.at(distance)) < high


@given(turns)
def test_no_turn_leaps(turn):
    wander = VariationWalk(64, seed=6)
    # An eighth of a circle per turn between vectors of length sqrt(64): about 3.1.
    assert np.linalg.norm(wander.at(turn + 1) - wander.at(turn)) < 6


@given(turns)
def test_held_still_it_stays_at_the_first_turn(turn):
    assert np.array_equal(
        VariationWalk(8, seed=7, frozen=True).at(turn), VariationWalk(8, seed=7).at(0)
    )


@pytest.mark.parametrize("n_variation", [0, 1, 256])
def test_it_has_the_shape_and_precision_the_network_wants(n_variation):
    found = VariationWalk(n_variation, seed=8).at(11)
    assert (found.shape, found.dtype) == ((n_variation,), np.float32)
