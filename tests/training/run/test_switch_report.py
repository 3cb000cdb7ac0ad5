"""Panels that can be relied upon are told from those that cannot."""

import json

import pytest
import torch

from tests.support.tiny_run import CONFIG, networks
from training.run.switch_report import N_TURNS, coherence, drift, examine, recognise

N_LOOPS = 600


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(8)


@pytest.fixture
def bits(rng):
    return torch.randint(0, 2, (N_LOOPS, 3), generator=rng).float()


def test_switches_that_can_be_heard_are_recognised_and_others_guessed(bits, rng):
    noise = torch.randn(N_LOOPS, 5, generator=rng)
    described = noise.clone()
    described[:, :2] += 8 * bits[:, :2]
    recognised = recognise(described, bits)
    assert (recognised[:2] > 0.99).all()
    assert 0.35 < recognised[2] < 0.65


def test_a_change_that_is_always_the_same_is_coherent_and_one_that_depends_is_not(rng):
    always = torch.tensor([1.0, -2.0, 0.5]).expand(100, 3)
    sometimes = torch.randn(100, 3, generator=rng)
    assert coherence(always) == pytest.approx(1)
    assert coherence(sometimes) < 0.1
    assert 0.4 < coherence(always + sometimes * (5.25 / 3) ** 0.5) < 0.6
    assert coherence(torch.zeros(4, 3)) == 0


def test_every_switch_of_a_panel_is_examined():
    made = networks()
    report = examine(made, CONFIG)
    for figures in (report.recognised, report.coherence, report.strength):
        assert len(figures) == CONFIG.n_switches
        assert all(figure >= 0 for figure in figures)
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()
    assert report == examine(made, CONFIG)


def test_a_panel_without_a_variation_that_moves_repeats_itself():
    made = networks()
    with torch.no_grad():
        made.composer.latent.weight[:, CONFIG.n_switches :] = 0
    report = examine(made, CONFIG)
    # Some bars at least come back with every turn but the first.
    assert report.repeated_bars >= N_TURNS - 1
    assert report.drift == 0


def test_a_change_in_the_second_half_is_a_drift(rng):
    steady = torch.randn(50, 4, generator=rng)
    moving = steady.clone()
    moving[25:, 2] += 3
    assert drift(steady) < 0.8
    assert drift(moving) > 1.2
    assert drift(torch.ones(50, 4)) == 0


def test_a_switch_that_is_not_connected_is_found_dead():
    made = networks()
    with torch.no_grad():
        made.composer.latent.weight *= 30
        made.composer.latent.weight[:, 1] = 0
    report = examine(made, CONFIG)
    assert report.strength[1] == 0
    assert report.strength[0] > 0
    assert report.recognised[1] < 0.65
