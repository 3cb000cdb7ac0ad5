"""Switches and variation become codes, and the sound follows the switches."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from tests.support.tiny_run import CONFIG, N_SLOTS, networks
from training.networks.composer import (
    GumbelNoise,
    Posterior,
    composer_loss,
    frozen,
    rounds_of_codes,
    separate_position,
    straight_through_argmax,
)

N_LOOPS = 6
POSITIONS = torch.randn(N_LOOPS, CONFIG.n_switches, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def made():
    """Networks that compose in several rounds, as those of versions do."""
    return networks(replace(CONFIG, n_rounds=4, temperature=0.7))


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
    chosen = made.axes.prior(variation)
    torch.testing.assert_close(latent, torch.cat([corner, chosen], dim=1))


def test_the_largest_logit_is_played(made):
    latent = states(made, torch.ones(2, CONFIG.n_switches))
    variation = torch.randn(2, CONFIG.n_variation)
    chosen, logits = made.composer.code_indices(latent, variation), made.composer(latent)
    assert chosen.dtype == torch.int64
    *_, (_, rated, _) = made.composer.choices(latent, variation)
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
        made.posterior_encoder(code_indices[2:3], POSITIONS[2:3]).mean,
        made.posterior_encoder(code_indices, POSITIONS).mean[2:3],
    )


def test_a_loop_is_encoded_as_a_gaussian(made, code_indices):
    posterior = made.posterior_encoder(code_indices, POSITIONS)
    assert posterior.mean.shape == posterior.log_variance.shape == (N_LOOPS, CONFIG.n_variation)
    assert torch.equal(posterior.sample(torch.zeros_like(posterior.mean)), posterior.mean)


def test_what_follows_from_the_position_moves_from_the_variation_into_the_composer():
    made, generator = networks(), torch.Generator().manual_seed(3)
    n_loops = 3_000
    follows = torch.randn(CONFIG.n_switches, CONFIG.n_variation, generator=generator)
    position = torch.randn(n_loops, CONFIG.n_switches, generator=generator)
    other = torch.randn(n_loops, CONFIG.n_variation, generator=generator)
    inferred = position @ follows + other
    with torch.no_grad():
        before = made.composer(torch.cat([position, inferred], dim=1)[:8])
        separate_position(made.composer, made.posterior_encoder, position, inferred)
        slopes = made.posterior_encoder.slopes
        rest = inferred - position @ slopes
        after = made.composer(torch.cat([position, rest], dim=1)[:8])
    torch.testing.assert_close(slopes, follows, atol=0.15, rtol=0)
    torch.testing.assert_close(rest, other, atol=0.5, rtol=0)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_of_few_loops_little_follows_from_the_position():
    made, generator = networks(), torch.Generator().manual_seed(3)
    # As many numbers as loops: without a ridge all would follow.
    position = torch.randn(CONFIG.n_switches, CONFIG.n_switches, generator=generator)
    inferred = torch.randn(CONFIG.n_switches, CONFIG.n_variation, generator=generator)
    separate_position(made.composer, made.posterior_encoder, position, inferred)
    rest = inferred - position @ made.posterior_encoder.slopes
    assert rest.square().mean() > 0.5 * inferred.square().mean()


def test_what_the_position_predicts_is_subtracted(code_indices):
    encoder = networks().posterior_encoder
    with torch.no_grad():
        raw = encoder(code_indices, POSITIONS)
        encoder.slopes.normal_(generator=torch.Generator().manual_seed(4))
        posterior = encoder(code_indices, POSITIONS)
    torch.testing.assert_close(posterior.mean, raw.mean - POSITIONS @ encoder.slopes)
    torch.testing.assert_close(posterior.log_variance, raw.log_variance)


def test_weights_of_a_version_that_subtracted_nothing_are_accepted():
    state = networks().state()
    del state["reader"]["slopes"]
    made = networks()
    with torch.no_grad():
        made.posterior_encoder.slopes += 1
    made.load(state)
    assert not made.posterior_encoder.slopes.any()


def test_gradients_reach_posterior_encoder_and_composer(made, code_indices):
    posterior = made.posterior_encoder(code_indices, POSITIONS)
    noise = torch.randn(N_LOOPS, CONFIG.n_variation)
    known = torch.zeros(*code_indices.shape, CONFIG.n_levels)
    logits = made.composer(torch.cat([POSITIONS, posterior.sample(noise)], dim=1), known)
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


def test_gradients_pass_through_frozen_networks_without_reaching_their_weights(made, code_indices):
    posterior_encoder = networks().posterior_encoder
    one_hot = torch.nn.functional.one_hot(code_indices, CONFIG.n_levels).float().requires_grad_()
    with frozen(posterior_encoder):
        posterior_encoder.encode(one_hot, POSITIONS).mean.sum().backward()
    assert one_hot.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in posterior_encoder.parameters())


def test_every_code_is_chosen_in_one_round_and_more_in_later_ones():
    rounds = rounds_of_codes(64, 20, 4)
    sizes = [int((rounds == number).sum()) for number in range(4)]
    assert sum(sizes) == 64 * 20
    assert sizes == sorted(sizes)
    assert sizes[0] >= 64


def test_choices_stay_as_they_were_in_later_rounds(made):
    latent, variation = (
        states(made, torch.ones(2, CONFIG.n_switches)),
        torch.randn(2, CONFIG.n_variation),
    )
    chosen = [codes.detach() for codes, _, _ in made.composer.choices(latent, variation)]
    for earlier, later in pairwise(chosen):
        is_known = earlier.sum(dim=-1) > 0.5
        torch.testing.assert_close(later[is_known], earlier[is_known])
    torch.testing.assert_close(chosen[-1].sum(dim=-1), torch.ones(2, N_SLOTS, CONFIG.n_codes))


def test_known_codes_change_the_logits_of_others(made):
    latent = states(made, torch.zeros(1, CONFIG.n_switches))
    known = torch.zeros(1, N_SLOTS, CONFIG.n_codes, CONFIG.n_levels)
    with_one = known.clone()
    with_one[0, 0, 0, 0] = 1
    change = made.composer(latent, with_one) - made.composer(latent, known)
    assert change[0, 1:].abs().max() > 0


def test_in_one_round_the_most_likely_codes_are_played():
    made = networks()
    latent = states(made, torch.ones(2, CONFIG.n_switches))
    variation = torch.randn(2, CONFIG.n_variation)
    chosen = made.composer.code_indices(latent, variation)
    assert torch.equal(chosen, made.composer(latent).argmax(dim=-1))
    assert torch.equal(chosen, made.composer.code_indices(latent, -variation))


def test_the_same_variation_is_the_same_noise_and_another_one_is_another():
    noise = GumbelNoise(16, 64, 4, 3)
    one, other = torch.randn(2, 1, 16)
    assert torch.equal(noise(one), noise(one))
    torch.testing.assert_close(noise(3 * one), noise(one))
    assert (noise(one) - noise(other)).abs().mean() > 0.5
    assert torch.equal(noise(one)[:, :16], noise(one)[:, 16:32])


def test_noise_makes_a_choice_as_likely_as_its_logit():
    noise = GumbelNoise(16, 16, 4, 3)(torch.randn(500, 16))
    logits = torch.tensor([0.0, 1.0, 2.0])
    shares = F.one_hot((logits + noise).argmax(dim=-1), 3).float().mean(dim=(0, 1, 2))
    torch.testing.assert_close(shares, logits.softmax(dim=0), atol=0.08, rtol=0)


def test_only_unknown_codes_are_to_be_predicted(prior, code_indices):
    right = 20.0 * F.one_hot(code_indices, CONFIG.n_levels).float()
    wrong_first = right.clone()
    wrong_first[:, 0] = 0
    unknown = torch.ones_like(code_indices, dtype=torch.bool)
    unknown[:, 0] = False
    nats = composer_loss(wrong_first, code_indices, prior, unknown).cross_entropy
    assert nats == pytest.approx(0, abs=1e-3)
    assert composer_loss(wrong_first, code_indices, prior).cross_entropy > 1
