"""Switches as principal components of a latent that was learnt without them."""

from dataclasses import replace

import pytest
import torch

from tests.support.tiny_run import CONFIG, N_SLOTS, trained
from training.features.descriptors import NAMES
from training.run.networks import Networks
from training.switch_axes.principal_components import ComponentAxes

N_LOOPS, N_SWITCHES, N_VARIATION, REACH = 4_000, 2, 3, 1.5
MIDDLE = torch.tensor([5.0, -1.0, 0.0, 2.0, 1.0])
DEVIATION = torch.tensor([1.0, 4.0, 0.2, 3.0, 0.5])
NO_LABELS = torch.zeros(0, 0)


@pytest.fixture(scope="module")
def settled():
    """Axes of latents whose strongest components are the numbers 1 and 3."""
    rng = torch.Generator().manual_seed(1)
    latent = MIDDLE + DEVIATION * torch.randn(N_LOOPS, 5, generator=rng)
    described = 0.1 * torch.randn(N_LOOPS, len(NAMES), generator=rng)
    described[:, NAMES.index("attacks")] -= latent[:, 1]
    described[:, NAMES.index("air")] += latent[:, 3]
    axes = ComponentAxes(N_SWITCHES, N_VARIATION, switch_range=REACH)
    axes.fit(described, NO_LABELS)
    axes.fit_latent(latent, described)
    return axes


def test_a_switch_moves_along_the_strongest_components_about_the_mean(settled):
    off, on = settled.latent(torch.eye(2)[[0, 1]], torch.zeros(2, N_VARIATION))
    torch.testing.assert_close((off + on) / 2, MIDDLE, atol=0.4, rtol=0)
    change = (on - off) / DEVIATION / (2 * REACH)
    # One switch goes on, the other off: k sigma along their components, the other components stay.
    torch.testing.assert_close(change.abs(), torch.tensor([0.0, 1, 0, 1, 0]), atol=0.15, rtol=0)


def test_the_variation_moves_along_all_other_components_as_far_as_loops_do(settled):
    rng = torch.Generator().manual_seed(2)
    variation = torch.randn(N_LOOPS, N_VARIATION, generator=rng)
    spread = settled.latent(torch.ones(N_LOOPS, N_SWITCHES), variation).std(dim=0)
    expected = DEVIATION * torch.tensor([1.0, 0, 1, 0, 1])
    torch.testing.assert_close(spread, expected, atol=0.2, rtol=0)


def test_on_means_more_activity_and_gives_the_switch_its_name(settled):
    assert settled.names() == ("more drums", "more air")
    step = settled.latent(torch.ones(1, 2), torch.zeros(1, 3)) - MIDDLE
    assert step[0, 1] < -1
    assert step[0, 3] > 1


def test_a_latent_that_does_not_move_gives_finite_axes():
    axes = ComponentAxes(N_SWITCHES, N_VARIATION, switch_range=REACH)
    axes.fit_latent(torch.ones(3, 5), torch.zeros(3, len(NAMES)))
    assert all(tensor.isfinite().all() for tensor in axes.state_dict().values())


def test_the_composer_learns_without_switches_and_is_analysed_afterwards(tmp_path):
    config = replace(CONFIG, switches="components")
    trainer = trained(tmp_path, config, 8)
    curves = (tmp_path / "curves.csv").read_text()
    assert "cross_entropy" in curves
    assert not {"aim", "echo", "panel_aim"} & set(curves.replace("\n", ",").split(","))
    steps = trainer.networks.axes.steps
    gram = steps.T @ steps
    torch.testing.assert_close(gram, gram.diag().diag(), atol=1e-5, rtol=0)
    strengths = gram.diag()
    assert (strengths.diff() <= 0).all()
    assert strengths[0] > 0
    again = Networks.build(config, N_SLOTS)
    again.load(trainer._latest()["networks"])
    assert torch.equal(again.axes.steps, steps)
