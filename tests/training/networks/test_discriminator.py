"""The discriminator separates music from codes with the same marginal statistics."""

import pytest
import torch

from training.networks.discriminator import Discriminator, discriminator_loss, generator_loss

N_SLOTS, N_CODES, N_LEVELS = 8, 4, 5


@pytest.fixture
def discriminator():
    torch.manual_seed(0)
    return Discriminator(n_slots=N_SLOTS, n_codes=N_CODES, n_levels=N_LEVELS, width=16)


def loops(n, *, together, seed):
    """Codes all equal to the first, or independent: each code alone has the same distribution."""
    shape = (n, N_SLOTS, N_CODES)
    codes = torch.randint(0, N_LEVELS, shape, generator=torch.manual_seed(seed))
    if together:
        codes = codes[..., :1].expand(shape)
    return torch.nn.functional.one_hot(codes, N_LEVELS).float()


def test_every_slot_gets_a_score_and_features(discriminator):
    score, features = discriminator(
        loops(3, together=True, seed=1), torch.ones(3, N_SLOTS, N_CODES)
    )
    assert score.shape == (3, N_SLOTS)
    assert features.shape == (3, N_SLOTS, 16)


def test_masked_codes_do_not_count(discriminator):
    one, other = loops(2, together=False, seed=1).split(1)
    nothing = torch.zeros(1, N_SLOTS, N_CODES)
    torch.testing.assert_close(discriminator(one, nothing), discriminator(other, nothing))


def test_it_learns_which_codes_belong_together(discriminator):
    shown = torch.ones(32, N_SLOTS, N_CODES)
    optimiser = torch.optim.AdamW(discriminator.parameters(), 3e-3)
    for step in range(60):
        music, composed = (
            discriminator(loops(32, together=together, seed=2 * step), shown)[0]
            for together in (True, False)
        )
        optimiser.zero_grad()
        sum(discriminator_loss(music, composed)).backward()
        optimiser.step()
    music, composed = (
        discriminator(loops(32, together=together, seed=999), shown)[0]
        for together in (True, False)
    )
    assert music.mean() > 0.5
    assert composed.mean() < -0.5


def test_scores_beyond_the_margin_have_no_loss():
    clear = torch.tensor([[1.5, 2.0]])
    assert discriminator_loss(clear, -clear) == (0, 0)
    assert min(discriminator_loss(-clear, clear)) > 0


def test_higher_scores_and_features_like_music_lower_the_generator_loss():
    score, features = torch.zeros(1, 2), torch.ones(3)
    as_music = generator_loss(score, features, features)
    assert generator_loss(score + 1, features, features) < as_music
    assert generator_loss(score, features + 1, features) > as_music
