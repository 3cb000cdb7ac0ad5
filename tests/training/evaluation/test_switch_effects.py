"""Effects of switches and distances between states, of sweeps with known effects."""

import dataclasses
import itertools

import numpy as np
import pytest

from training.evaluation.effect_names import WORDS, named_effects, names_by_sound, sentence
from training.evaluation.state_similarity import compare_states, pairwise, place_on_map
from training.evaluation.switch_effects import (
    Effect,
    Sweep,
    Switch,
    coherence,
    measure_switches,
    recognise,
)
from training.metrics.audio_metrics import METRIC_NAMES

N_FIGURES = len(METRIC_NAMES)


def sweep_of(effects, *, n_seeds=3, spread=0.0, interaction=0.0, n_switches=3):
    """Renders of a model whose switches add `effects`, (n_switches, n_figures), and interact."""
    states = tuple(itertools.product((False, True), repeat=n_switches))
    bits = np.array(states, float)
    rng = np.random.default_rng(0)
    alone = rng.standard_normal((len(states), N_FIGURES))
    centres = bits @ effects + interaction * alone
    noise = spread * rng.standard_normal((n_seeds + 1, len(states), N_FIGURES))
    return Sweep(states, centres + noise[1:], centres + noise[0])


def separate_effects(n_switches=3):
    """Every figure depends on one switch."""
    return np.array([np.arange(N_FIGURES) % n_switches == n for n in range(n_switches)], float)


# -- effects of switches ------------------------------------------------------------------------


def test_switches_that_only_add_up_are_coherent_and_recognised():
    switches = measure_switches(sweep_of(separate_effects(), spread=0.01), ("a", "b", "c"))
    assert all(switch.coherence > 0.99 for switch in switches)
    assert all(switch.recognised == 1 for switch in switches)
    strongest = switches[1].effects[: len(METRIC_NAMES[1::3])]
    assert {effect.name for effect in strongest} == set(METRIC_NAMES[1::3])
    assert all(effect.share == 1 and effect.change > 1.9 for effect in strongest)


def test_switches_whose_effect_depends_on_the_others_are_not_coherent():
    changes = np.random.default_rng(0).standard_normal((2000, 5))
    assert coherence(changes) < 0.01
    assert coherence(np.ones((7, 5))) == pytest.approx(1)
    assert coherence(np.zeros((7, 5))) == 0
    interacting = measure_switches(sweep_of(separate_effects(), interaction=2.0), ("a", "b", "c"))
    assert max(switch.coherence for switch in interacting) < 0.6


def test_variation_lowers_the_coherence_of_single_renders_more_than_of_their_mean():
    switches = measure_switches(
        sweep_of(separate_effects(), spread=0.5, n_seeds=8), ("a", "b", "c")
    )
    assert all(switch.coherence > switch.coherence_of_takes + 0.1 for switch in switches)


def test_a_switch_without_effect_is_not_recognised():
    effects = separate_effects(6)
    effects[2] = 0
    rates = recognise(sweep_of(effects, spread=1.0, n_switches=6))
    assert rates[2] < 0.7
    assert np.delete(rates, 2).min() > 0.7


def test_the_description_of_a_switch_names_its_strongest_effects():
    effects = (
        Effect("centroid", 1.4, 1.0),
        Effect("rolloff95", 1.3, 1.0),
        Effect("onset_rate", -1.1, 0.95),
        Effect("lufs", 0.2, 0.5),
    )
    switch = Switch(0, "x", 1.0, 0.9, 0.8, 1.0, effects)
    assert sentence(switch) == (
        "on: brighter (+1.4 sd), sparser (-1.1 sd); the same in 9 of 10 states"
    )
    weak = dataclasses.replace(switch, effects=(Effect("lufs", 0.2, 1.0),))
    assert sentence(weak) == "on: louder (+0.2 sd); the same in every state"
    assert len(named_effects(weak)) == 1


def test_every_figure_has_a_name_that_fits_a_label():
    assert set(WORDS) == set(METRIC_NAMES)
    assert all(1 <= len(word) <= 20 for pair in WORDS.values() for word in pair)


def test_no_two_switches_get_one_name():
    strong, weak = Effect("centroid", 2.0, 1.0), Effect("centroid", 1.0, 1.0)
    other = Effect("lufs", 0.5, 1.0)
    switches = [
        Switch(n, "", 1, 1, 1, 1, effects)
        for n, effects in enumerate([(weak, other), (strong, other)])
    ]
    assert names_by_sound(switches) == ("louder", "brighter")


# -- distances between states -------------------------------------------------------------------


def test_a_map_of_points_in_a_plane_keeps_their_distances():
    points = np.random.default_rng(0).standard_normal((12, 2))
    places, shown = place_on_map(pairwise(points))
    # A mean over two figures against a sum over two axes.
    assert np.sqrt(2) * pairwise(places) == pytest.approx(pairwise(points))
    assert shown == pytest.approx(1)


def test_states_nearer_than_their_renders_are_indistinguishable():
    effects = separate_effects()
    effects[1] *= 0.02
    similarity = compare_states(sweep_of(effects, spread=0.3, n_seeds=16))
    assert len(similarity.indistinguishable_pairs) == 4
    assert all(abs(one - other) == 2 for one, other in similarity.indistinguishable_pairs)
    assert compare_states(sweep_of(separate_effects(), spread=0.1)).indistinguishable_pairs == []


def test_distance_grows_with_the_flips_where_effects_add_up():
    rows = compare_states(sweep_of(separate_effects(), spread=0.01)).by_flips
    assert [(row.n_flips, row.n_pairs) for row in rows] == [(1, 12), (2, 12), (3, 4)]
    assert rows[0].middle < rows[1].middle < rows[2].middle
