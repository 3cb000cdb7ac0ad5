"""Recognition rate and coherence of a switch, for the training report and the evaluation."""

import numpy as np
import pytest

from training.metrics.switches import coherence, recognition_rate


def test_a_change_that_is_always_the_same_is_coherent_and_one_that_depends_is_not():
    always = np.tile([1.0, -2.0, 0.5], (100, 1))
    sometimes = np.random.default_rng(8).standard_normal((100, 3))
    assert coherence(always) == pytest.approx(1)
    assert coherence(sometimes) < 0.1
    assert 0.4 < coherence(always + sometimes * (5.25 / 3) ** 0.5) < 0.6
    assert coherence(np.zeros((4, 3))) == 0


def test_rounding_error_of_a_disconnected_switch_is_not_coherent():
    assert coherence(np.full((24, 23), 1e-7)) < 0.01


def test_the_recogniser_reads_a_connected_switch_and_guesses_a_disconnected_one():
    rng = np.random.default_rng(3)

    def sounds(n):
        bits = rng.integers(0, 2, (n, 2))
        features = rng.standard_normal((n, 4))
        features[:, 1] -= 8.0 * bits[:, 0]
        return features, bits

    rates = recognition_rate(sounds(300), sounds(300), ridge=2.0)
    assert rates[0] > 0.99
    assert 0.35 < rates[1] < 0.65


def test_test_sounds_of_several_seeds_count_together():
    rng = np.random.default_rng(4)
    bits = rng.integers(0, 2, (200, 2))
    seeds = 3.0 * bits + rng.standard_normal((3, 200, 2))
    rates = recognition_rate((seeds[0], bits), (seeds, bits), ridge=2.0)
    each = [recognition_rate((seeds[0], bits), (seed, bits), ridge=2.0) for seed in seeds]
    np.testing.assert_allclose(rates, np.mean(each, axis=0))
