"""Switches and variation become codes, and the sound follows the switches."""

import pytest
import torch

from tests.support.tiny_run import CONFIG, N_SLOTS, networks
from training.networks.composer import (
    Posterior,
    composer_loss,
    descriptor_loss,
    frozen,
    straight_through_argmax,
)

N_LOOPS = 6


@pytest.fixture(scope="module")
def made():
    return networks()


@pytest.fixture
def code_indices():
    shape = (N_LOOPS, N_SLOTS, CONFIG.n_codes)
    return torch.randint(0, CONFIG.n_levels, shape, generator=torch.manual_seed(1))


@pytest.fixture
def prior():
    nothing = torch.zeros(N_LOOPS, CONFIG.n_variation)
    return Posterior(nothing, nothing)


def states(made, bits):
    """Latents of switch states in random variations."""
    return made.axes.latent(bits, torch.randn(len(bits), CONFIG.n_variation))


def test_a_state_becomes_logits_of_every_code(made):
    logits = made.composer(states(made, torch.zeros(2, CONFIG.n_switches)))
    assert logits.shape == (2, N_SLOTS, CONFIG.n_codes, CONFIG.n_levels)


def test_a_switch_state_lies_in_its_corner_of_the_latent_space(made):
    switches, variation = torch.tensor([[0.0, 1.0, 1.0]]), torch.randn(1, CONFIG.n_variation)
    latent = made.axes.latent(switches, variation)
    corner = made.axes.switch_position(switches)
    assert (corner.sign() == torch.tensor([[-1.0, 1.0, 1.0]])).all()
    assert corner.abs().unique().tolist() == [CONFIG.switch_range]
    torch.testing.assert_close(latent, torch.cat([corner, variation], dim=1))


def test_the_largest_logit_is_played(made):
    latent = states(made, torch.ones(2, CONFIG.n_switches))
    variation = torch.randn(2, CONFIG.n_variation)
    chosen, logits = made.composer.code_indices(latent, variation), made.composer(latent)
    assert chosen.dtype == torch.int64
    *_, (_, rated) = made.composer.choices(latent, variation)
    last = made.composer.rounds == made.composer.n_rounds - 1
    assert torch.equal(chosen[:, last], rated.argmax(dim=-1)[:, last])
    chosen = logits.argmax(dim=-1)
    hard = torch.nn.functional.one_hot(chosen, CONFIG.n_levels).float()
    torch.testing.assert_close(straight_through_argmax(logits), hard, atol=1e-6, rtol=0)


def test_gradients_reach_the_levels_that_are_not_played():
    logits = torch.tensor([[[[2.0, 0.0, -1.0]]]], requires_grad=True)
    straight_through_argmax(logits)[..., 1].sum().backward()
    assert (logits.grad != 0).all()


def test_loops_of_a_batch_do_not_mix(made, code_indices):
    latent = states(made, torch.eye(3))
    together = made.composer(latent)
    torch.testing.assert_close(made.composer(latent[1:2]), together[1:2])
    torch.testing.assert_close(
        made.posterior_encoder(code_indices[2:3]).mean,
        made.posterior_encoder(code_indices).mean[2:3],
    )


def test_a_loop_is_encoded_as_a_gaussian(made, code_indices):
    posterior = made.posterior_encoder(code_indices)
    assert posterior.mean.shape == posterior.log_variance.shape == (N_LOOPS, CONFIG.n_variation)
    assert torch.equal(posterior.sample(torch.zeros_like(posterior.mean)), posterior.mean)


def test_gradients_reach_posterior_encoder_and_composer(made, code_indices):
    posterior = made.posterior_encoder(code_indices)
    noise = torch.randn(N_LOOPS, CONFIG.n_variation)
    position = torch.randn(N_LOOPS, CONFIG.n_switches)
    known = torch.zeros(*code_indices.shape, CONFIG.n_levels)
    logits = made.composer(torch.cat([position, posterior.sample(noise)], dim=1), known)
    parts = composer_loss(logits, code_indices, posterior)
    (parts.cross_entropy + parts.divergence).backward()
    for network in (made.posterior_encoder, made.composer):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_a_posterior_equal_to_the_prior_has_no_divergence(prior, code_indices):
    logits = torch.zeros(*code_indices.shape, CONFIG.n_levels)
    assert composer_loss(logits, code_indices, prior).divergence == 0
    wide = Posterior(prior.mean + 1, prior.log_variance)
    assert composer_loss(logits, code_indices, wide).divergence == pytest.approx(
        CONFIG.n_variation / 2
    )


def test_cross_entropy_counts_nats_per_loop(prior, code_indices):
    logits = torch.zeros(*code_indices.shape, CONFIG.n_levels)
    expected = N_SLOTS * CONFIG.n_codes * torch.tensor(float(CONFIG.n_levels)).log()
    torch.testing.assert_close(composer_loss(logits, code_indices, prior).cross_entropy, expected)


def test_descriptors_as_predicted_have_no_loss():
    expected = torch.randn(6, 5)
    assert descriptor_loss(expected, expected, 3) == 0
    assert descriptor_loss(expected + torch.randn(6, 5), expected, 3) > 0


def test_an_error_common_to_a_variation_weighs_less_than_one_of_single_states():
    expected = torch.randn(6, 5)
    common, alone = torch.zeros(6, 5), torch.zeros(6, 5)
    common[:3], alone[::3] = 1.0, 1.0
    in_common = descriptor_loss(expected + common, expected, 3)
    assert in_common < 0.5 * descriptor_loss(expected + 1.5**0.5 * alone, expected, 3)
    assert in_common > 0


def test_gradients_pass_through_frozen_networks_without_reaching_their_weights(made, code_indices):
    posterior_encoder = networks().posterior_encoder
    one_hot = torch.nn.functional.one_hot(code_indices, CONFIG.n_levels).float().requires_grad_()
    with frozen(posterior_encoder):
        posterior_encoder.encode(one_hot).mean.sum().backward()
    assert one_hot.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in posterior_encoder.parameters())
