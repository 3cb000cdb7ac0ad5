"""The training report finds switches that do nothing, repeated bars and drift."""

import json

import pytest
import torch

from tests.support.tiny_run import CONFIG, networks
from training.run.switch_report import N_HELD_LOOPS, drift, measure_switches, recognise

N_LOOPS = 600


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(8)


@pytest.fixture
def bits(rng):
    return torch.randint(0, 2, (N_LOOPS, 3), generator=rng).float()


def test_switches_that_change_descriptors_are_recognised_and_others_guessed(bits, rng):
    noise = torch.randn(N_LOOPS, 5, generator=rng)
    described = noise.clone()
    described[:, :2] += 8 * bits[:, :2]
    recognised = recognise(described, bits)
    assert (recognised[:2] > 0.99).all()
    assert 0.35 < recognised[2] < 0.65


def test_every_switch_is_measured():
    made = networks()
    report = measure_switches(made, CONFIG)
    for figures in (report.recognised, report.coherence, report.strength):
        assert len(figures) == CONFIG.n_switches
        assert all(figure >= 0 for figure in figures)
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()
    assert report == measure_switches(made, CONFIG)


def test_a_state_without_a_variation_repeats_its_bars():
    made = networks()
    with torch.no_grad():
        made.composer.latent.weight[:, CONFIG.n_switches :] = 0
    made.composer.temperature = 0.0
    report = measure_switches(made, CONFIG)
    # At least some bars repeat in every loop but the first.
    assert report.repeated_bars >= N_HELD_LOOPS - 1
    assert report.drift == 0


def test_a_change_in_the_second_half_is_a_drift(rng):
    steady = torch.randn(50, 4, generator=rng)
    moving = steady.clone()
    moving[25:, 2] += 3
    assert drift(steady) < 0.8
    assert drift(moving) > 1.2
    assert drift(torch.ones(50, 4)) == 0


def test_a_switch_that_is_not_connected_has_no_effect():
    made = networks()
    with torch.no_grad():
        made.composer.latent.weight *= 30
        made.composer.latent.weight[:, 1] = 0
    report = measure_switches(made, CONFIG)
    assert report.strength[1] == 0
    assert report.strength[0] > 0
    assert report.recognised[1] < 0.65
