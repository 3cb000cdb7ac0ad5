"""Switches and variation become digits; a reader finds the switches in them."""

from itertools import product

import pytest
import torch

from tests.tiny_run import CONFIG, N_SLOTS, networks
from training.composer import Reading, composer_loss, readback_loss

N_LOOPS = 6


@pytest.fixture(scope="module")
def made():
    return networks()


@pytest.fixture
def classes():
    shape = (N_LOOPS, N_SLOTS, CONFIG.n_digits)
    return torch.randint(0, CONFIG.n_levels, shape, generator=torch.manual_seed(1))


def reading_of(signs):
    """A reader that is sure: +1 and -1 of each switch, (n_loops, n_switches)."""
    signs = torch.tensor(signs, dtype=torch.float32)
    nothing = torch.zeros(len(signs), CONFIG.n_variation)
    return Reading(8 * signs, nothing, nothing)


def switch_terms(reading):
    n_loops = len(reading.mean)
    logits = torch.zeros(n_loops, N_SLOTS, CONFIG.n_digits, CONFIG.n_levels)
    loss = composer_loss(logits, torch.zeros(logits.shape[:-1], dtype=torch.long), reading)
    return float(loss.total(1.0) - loss.cross_entropy - loss.divergence)


ALL_STATES = list(product((-1, 1), repeat=3))


def test_a_state_becomes_logits_of_every_digit(made):
    switches = torch.zeros(2, CONFIG.n_switches)
    logits = made.composer(switches, torch.zeros(2, CONFIG.n_variation))
    assert logits.shape == (2, N_SLOTS, CONFIG.n_digits, CONFIG.n_levels)


def test_what_is_played_is_the_loudest_logit(made):
    state = torch.ones(2, CONFIG.n_switches), torch.randn(2, CONFIG.n_variation)
    played = made.composer.classes(*state)
    assert played.dtype == torch.int64
    assert torch.equal(played, made.composer(*state).argmax(dim=-1))
    assert int(played.min()) >= 0
    assert int(played.max()) < CONFIG.n_levels


def test_loops_of_a_batch_do_not_mix(made, classes):
    switches = torch.eye(3)
    variation = torch.randn(3, CONFIG.n_variation)
    together = made.composer(switches, variation)
    torch.testing.assert_close(made.composer(switches[1:2], variation[1:2]), together[1:2])
    read = made.reader(classes)
    torch.testing.assert_close(made.reader(classes[2:3]).bit_logits, read.bit_logits[2:3])


def test_a_loop_is_read_as_bits_and_a_gaussian(made, classes):
    reading = made.reader(classes)
    assert reading.bits.shape == (N_LOOPS, CONFIG.n_switches)
    assert reading.mean.shape == reading.log_variance.shape == (N_LOOPS, CONFIG.n_variation)
    assert torch.equal(reading.sample(torch.zeros_like(reading.mean)), reading.mean)


def test_bits_are_hard_whatever_the_probabilities():
    logits = torch.tensor([[-9.0, -0.1, 0.1, 9.0]])
    bits = Reading(logits, logits, logits).bits
    torch.testing.assert_close(bits, torch.tensor([[0.0, 0.0, 1.0, 1.0]]))


def test_gradients_pass_hard_bits_as_if_they_were_probabilities():
    logits = torch.tensor([[-2.0, 0.5]], requires_grad=True)
    reading = Reading(logits, logits, logits)
    reading.bits.sum().backward()
    p = reading.probability.detach()
    torch.testing.assert_close(logits.grad, p * (1 - p))


def test_gradients_reach_reader_and_composer(made, classes):
    reading = made.reader(classes)
    noise = torch.randn(N_LOOPS, CONFIG.n_variation)
    logits = made.composer(reading.bits, reading.sample(noise))
    composer_loss(logits, classes, reading).total(0.7).backward()
    for network in (made.reader, made.composer):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(
    ("fault", "states"),
    [
        ("undecided", [(0, 0, 0)] * 8),
        ("always on", [(1, 1, 1)] * 8),
        ("one never moves", [(1, b, c) for _, b, c in ALL_STATES]),
        ("two are the same", [(a, a, c) for a, _, c in ALL_STATES]),
        ("one mirrors another", [(a, -a, c) for a, _, c in ALL_STATES]),
    ],
)
def test_balanced_decided_independent_switches_cost_least(fault, states):
    assert switch_terms(reading_of(ALL_STATES)) < switch_terms(reading_of(states)) - 0.5, fault


def test_a_posterior_that_is_the_prior_costs_nothing():
    reading = reading_of(ALL_STATES)
    logits = torch.zeros(8, N_SLOTS, CONFIG.n_digits, CONFIG.n_levels)
    classes = torch.zeros(logits.shape[:-1], dtype=torch.long)
    assert composer_loss(logits, classes, reading).divergence == 0
    wide = Reading(reading.bit_logits, reading.mean + 1, reading.log_variance)
    assert composer_loss(logits, classes, wide).divergence == pytest.approx(CONFIG.n_variation / 2)


def test_cross_entropy_counts_nats_per_loop():
    logits = torch.zeros(2, N_SLOTS, CONFIG.n_digits, CONFIG.n_levels)
    classes = torch.zeros(logits.shape[:-1], dtype=torch.long)
    loss = composer_loss(logits, classes, reading_of(ALL_STATES[:2]))
    expected = N_SLOTS * CONFIG.n_digits * torch.tensor(float(CONFIG.n_levels)).log()
    torch.testing.assert_close(loss.cross_entropy, expected)


def test_a_batch_of_one_loop_and_a_sure_reader_keep_the_loss_finite():
    reading = Reading(torch.tensor([[200.0, -200.0]]), torch.zeros(1, 1), torch.zeros(1, 1))
    logits = torch.zeros(1, N_SLOTS, CONFIG.n_digits, CONFIG.n_levels)
    loss = composer_loss(logits, torch.zeros(logits.shape[:-1], dtype=torch.long), reading)
    assert loss.total(1.0).isfinite()


def test_a_reader_that_is_sure_has_a_finite_loss_in_bfloat16(made, classes):
    reader = made.reader
    bias = reader.out.bias.detach().clone()
    try:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            reader.out.bias[: CONFIG.n_switches] = 40.0
            reading = reader(classes)
            logits = made.composer(reading.bits, reading.mean)
            loss = composer_loss(logits, classes, reading)
    finally:
        with torch.no_grad():
            reader.out.bias.copy_(bias)
    assert all(torch.isfinite(part) for part in vars(loss).values())


def test_the_readback_teaches_the_composer_and_leaves_the_reader_alone():
    made = networks()
    switches = torch.randint(0, 2, (N_LOOPS, CONFIG.n_switches)).float()
    variation = torch.zeros(N_LOOPS, CONFIG.n_variation)
    loss = readback_loss(made.reader, made.composer(switches, variation), switches, variation)
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in made.composer.parameters())
    assert all(p.grad is None for p in made.reader.parameters())
    assert all(p.requires_grad for p in made.reader.parameters())


def test_the_readback_is_small_only_where_the_state_is_found_again(made):
    classes = torch.randint(0, CONFIG.n_levels, (N_LOOPS, N_SLOTS, CONFIG.n_digits))
    logits = 50.0 * torch.nn.functional.one_hot(classes, CONFIG.n_levels).float()
    with torch.no_grad():
        reading = made.reader(classes)
        found = (reading.bit_logits > 0).float()
        right = readback_loss(made.reader, logits, found, reading.mean)
        wrong = readback_loss(made.reader, logits, 1 - found, reading.mean)
        astray = readback_loss(made.reader, logits, found, reading.mean + 2.0)
    assert right < wrong
    assert astray == pytest.approx(float(right) + CONFIG.n_variation, rel=1e-4)
