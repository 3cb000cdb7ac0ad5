"""The discriminator tells music from what only has its statistics."""

import pytest
import torch

from training.networks.discriminator import Discriminator, discriminator_loss, generator_loss

N_SLOTS, N_CODES, N_LEVELS = 8, 4, 5


@pytest.fixture
def discriminator():
    torch.manual_seed(0)
    return Discriminator(n_slots=N_SLOTS, n_codes=N_CODES, n_levels=N_LEVELS, width=16)


def loops(n, *, together, seed):
    """Digits that all are what the first is, or each for itself: every single one is as likely."""
    shape = (n, N_SLOTS, N_CODES)
    codes = torch.randint(0, N_LEVELS, shape, generator=torch.manual_seed(seed))
    if together:
        codes = codes[..., :1].expand(shape)
    return torch.nn.functional.one_hot(codes, N_LEVELS).float()


def test_every_slot_gets_a_score_and_reasons(discriminator):
    score, features = discriminator(
        loops(3, together=True, seed=1), torch.ones(3, N_SLOTS, N_CODES)
    )
    assert score.shape == (3, N_SLOTS)
    assert features.shape == (3, N_SLOTS, 16)


def test_digits_that_are_not_shown_do_not_count(discriminator):
    one, other = loops(2, together=False, seed=1).split(1)
    nothing = torch.zeros(1, N_SLOTS, N_CODES)
    torch.testing.assert_close(discriminator(one, nothing), discriminator(other, nothing))


def test_it_learns_what_belongs_together(discriminator):
    shown = torch.ones(32, N_SLOTS, N_CODES)
    optimiser = torch.optim.AdamW(discriminator.parameters(), 3e-3)
    for step in range(60):
        music, composed = (
            discriminator(loops(32, together=together, seed=2 * step), shown)[0]
            for together in (True, False)
        )
        optimiser.zero_grad()
        discriminator_loss(music, composed).backward()
        optimiser.step()
    music, composed = (
        discriminator(loops(32, together=together, seed=999), shown)[0]
        for together in (True, False)
    )
    assert music.mean() > 0.5
    assert composed.mean() < -0.5


def test_nothing_is_left_to_learn_where_scores_are_a_point_clear():
    clear = torch.tensor([[1.5, 2.0]])
    assert discriminator_loss(clear, -clear) == 0
    assert discriminator_loss(-clear, clear) > 0


def test_a_better_score_and_reasons_as_for_music_persuade():
    score, features = torch.zeros(1, 2), torch.ones(1, 2, 3)
    as_music = generator_loss(score, features, features)
    assert generator_loss(score + 1, features, features) < as_music
    assert generator_loss(score, features + 1, features) > as_music
