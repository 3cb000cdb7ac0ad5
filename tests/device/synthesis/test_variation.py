"""The walk of the variation: stationary, slow, repeatable and without state."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.synthesis.variation import VariationWalk

N_MANY = 4000

loop_indices = st.integers(0, 10**7)


@given(seed=st.integers(0, 2**32), loop_index=loop_indices)
def test_a_pass_of_a_seed_is_always_the_same_in_any_order(seed, loop_index):
    walk = VariationWalk(8, seed=seed)
    vector = walk.at(loop_index)
    walk.at(loop_index + 3)
    assert np.array_equal(walk.at(loop_index), vector)
    assert np.array_equal(VariationWalk(8, seed=seed).at(loop_index), vector)


@given(loop_indices)
def test_another_seed_or_another_pass_is_another_variation(loop_index):
    vector = VariationWalk(8, seed=1).at(loop_index)
    assert not np.array_equal(vector, VariationWalk(8, seed=2).at(loop_index))
    assert not np.array_equal(vector, VariationWalk(8, seed=1).at(loop_index + 1))


@pytest.mark.parametrize("loop_index", range(5))
def test_the_variance_is_one_at_and_between_the_knots(loop_index):
    # 4000 normal numbers: their variance scatters by sqrt(2 / 4000), 0.022; five times that.
    vector = VariationWalk(N_MANY, seed=4).at(loop_index)
    assert vector.var() == pytest.approx(1, abs=0.11)
    assert vector.mean() == pytest.approx(0, abs=0.08)


@pytest.mark.parametrize(("distance", "low", "high"), [(1, 0.85, 0.98), (8, -0.08, 0.08)])
def test_neighbouring_passes_are_alike_and_distant_ones_are_uncorrelated(distance, low, high):
    walk = VariationWalk(N_MANY, seed=5)
    assert low < np.mean(walk.at(0) * walk.at(distance)) < high


@given(loop_indices)
def test_no_pass_differs_much_from_the_one_before(loop_index):
    walk = VariationWalk(64, seed=6)
    # An eighth of a circle per pass between vectors of length sqrt(64): about 3.1.
    assert np.linalg.norm(walk.at(loop_index + 1) - walk.at(loop_index)) < 6


@given(loop_indices)
def test_frozen_it_stays_at_the_first_pass(loop_index):
    assert np.array_equal(
        VariationWalk(8, seed=7, frozen=True).at(loop_index), VariationWalk(8, seed=7).at(0)
    )


@pytest.mark.parametrize("n_variation", [0, 1, 256])
def test_it_has_the_shape_and_precision_of_the_networks_input(n_variation):
    vector = VariationWalk(n_variation, seed=8).at(11)
    assert (vector.shape, vector.dtype) == ((n_variation,), np.float32)
