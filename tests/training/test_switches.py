"""What a switch does is measured, turned the right way round, and named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.tiny_run import ANALYSIS, CONFIG, N_SLOTS, networks
from training.analysis import Analysis
from training.switches import WORDS, Effects, descriptors, draw, measure, name, settle, turn_round

N_LOOPS = 5
# Enough frames for the descriptor of attacks, which looks at the 32 strongest.
SLOTS = 2 * N_SLOTS


@pytest.fixture
def made():
    return networks(n_slots=SLOTS)


@pytest.fixture
def states():
    rng = np.random.default_rng(3)
    switches = rng.integers(0, 2, (N_LOOPS, CONFIG.n_switches)).astype(np.float32)
    return switches, rng.standard_normal((N_LOOPS, CONFIG.n_variation)).astype(np.float32)


def effects(*rows):
    return Effects(np.array(rows, np.float64))


def effect(descriptor, size):
    row = [0.0] * len(WORDS)
    row[list(WORDS).index(descriptor)] = size
    return row


def test_turning_switches_round_keeps_what_the_mirrored_panel_plays(made, states):
    switches, variation = (torch.from_numpy(array) for array in states)
    chosen = np.array([True, False, True])
    before = made.composer(switches, variation)
    turn_round(made, chosen)
    mirrored = torch.where(torch.from_numpy(chosen), 1 - switches, switches)
    torch.testing.assert_close(made.composer(mirrored, variation), before)


def test_the_reader_agrees_with_a_turned_panel(made):
    classes = torch.randint(0, CONFIG.n_levels, (4, SLOTS, CONFIG.n_digits))
    chosen = np.array([True, False, True])
    before = made.reader(classes)
    turn_round(made, chosen)
    after = made.reader(classes)
    sign = torch.tensor([-1.0, 1.0, -1.0])
    torch.testing.assert_close(after.bit_logits, before.bit_logits * sign)
    torch.testing.assert_close(after.mean, before.mean)
    torch.testing.assert_close(after.log_variance, before.log_variance)


def test_turning_twice_changes_nothing(made, states):
    before = draw(made, CONFIG, *states)
    for _ in range(2):
        turn_round(made, np.array([True, True, False]))
    assert torch.equal(draw(made, CONFIG, *states), before)


def test_settling_turns_the_switches_that_empty_the_music(made):
    fullness = measure(made, CONFIG).fullness
    before = made.composer.latent.weight.detach().clone()
    assert len(settle(made, CONFIG)) == CONFIG.n_switches
    turned = (made.composer.latent.weight == -before).all(dim=0)[: CONFIG.n_switches]
    assert turned.tolist() == (fullness < 0).tolist()
    assert torch.equal(before[:, CONFIG.n_switches :], made.composer.latent.weight[:, 3:])


def test_measuring_twice_gives_the_same(made):
    np.testing.assert_array_equal(measure(made, CONFIG).shift, measure(made, CONFIG).shift)


def test_loops_are_drawn_whole(made, states):
    assert draw(made, CONFIG, *states).shape == (
        N_LOOPS,
        SLOTS * ANALYSIS.frames_per_slot,
        ANALYSIS.n_bands,
    )


def test_loops_are_drawn_where_the_networks_are(made, states):
    made.to(torch.device("meta"))
    assert draw(made, CONFIG, *states).device.type == "meta"


def test_a_switch_is_named_after_what_it_moves_most():
    given = effects(effect("bass", 2.0), effect("brightness", -1.0), effect("attacks", 3.0))
    assert name(given) == ("more bass", "darker", "more drums")


def test_the_clearer_of_two_switches_takes_the_name():
    second = np.add(effect("bass", 2.0), effect("air", 0.5))
    assert name(effects(second, effect("bass", 3.0))) == ("more air", "more bass")


@pytest.mark.parametrize("n_switches", [1, 8, 12, 16])
@pytest.mark.parametrize("size", [0.0, 1.0])
def test_names_are_distinct_whatever_the_number_of_switches(n_switches, size):
    shift = size * np.random.default_rng(1).standard_normal((n_switches, len(WORDS)))
    labels = name(Effects(shift))
    assert len(set(labels)) == len(labels) == n_switches
    assert all(0 < len(label) <= 40 for label in labels)


def test_louder_brighter_and_busier_loops_are_described_so():
    quiet = torch.full((1, 64, ANALYSIS.n_bands), ANALYSIS.log_floor)
    loud, bright, busy = quiet + 1, quiet.clone(), quiet.clone()
    bright[..., -8:] += 3
    busy[:, ::4] += 3
    words = list(WORDS)

    def described(log_bands, word):
        return float(descriptors(log_bands, ANALYSIS)[0, words.index(word)])

    assert described(loud, "level") > described(quiet, "level")
    assert described(bright, "brightness") > described(quiet, "brightness")
    assert described(busy, "motion") > described(quiet, "motion")
    assert described(busy, "attacks") > described(quiet, "attacks")


def test_a_low_sample_rate_without_air_is_described_in_numbers():
    low = Analysis(sample_rate=8_000, n_fft=256, hop_length=64, n_bands=32, n_linear=24)
    columns = descriptors(torch.zeros(2, 64, 32), low)
    assert columns.shape == (2, len(WORDS))
    assert np.isfinite(columns).all()
    config = replace(CONFIG, analysis=replace(ANALYSIS, sample_rate=8_000))
    assert np.isfinite(measure(networks(n_slots=SLOTS), config).shift).all()
