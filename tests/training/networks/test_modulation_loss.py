"""The loss compares how much drawn frames move, not where."""

import pytest
import torch

from training.networks.modulation_loss import modulation_loss

SHAPE = (3, 64, 48)


@pytest.fixture
def music():
    return torch.randn(SHAPE, generator=torch.manual_seed(1))


def test_equal_movement_has_no_loss(music):
    assert modulation_loss(music, music) == 0
    assert modulation_loss(-music, music) == 0


def test_the_mean_of_possible_frames_has_more_loss_than_one_of_them(music):
    another = torch.randn(SHAPE, generator=torch.manual_seed(2))
    middle = torch.zeros(SHAPE)
    assert (middle - music).abs().mean() < (another - music).abs().mean()
    assert modulation_loss(another, music) < 0.2 * modulation_loss(middle, music)


@pytest.mark.parametrize("axis", [1, 2])
def test_wider_smoothing_over_time_or_frequency_has_more_loss(music, axis):
    a_little = (music + music.roll(1, dims=axis)) / 2
    more = (a_little + a_little.roll(2, dims=axis)) / 2
    costs = [float(modulation_loss(smooth, music)) for smooth in (music, a_little, more)]
    assert costs[0] < costs[1] < costs[2]


def test_too_much_movement_has_as_much_loss_as_too_little(music):
    much, little = (float(modulation_loss(part * music, music)) for part in (2, 0.5))
    assert much == pytest.approx(little, rel=0.05)
    assert much > 0.5


def test_movement_of_one_band_does_not_count_for_its_neighbours(music):
    one_for_all = torch.zeros(SHAPE)
    one_for_all[..., ::8] = 8**0.5 * music[..., ::8]
    assert modulation_loss(one_for_all, music) > modulation_loss(0.3 * music, music)


def test_gradients_increase_the_movement_of_smooth_frames(music):
    smooth = (0.3 * music).requires_grad_()
    modulation_loss(smooth, music).backward()
    # Following the gradient downwards makes every movement larger.
    assert float((smooth.grad * music).sum()) < 0


def test_one_loud_band_does_not_stand_in_for_the_sharpness_of_all():
    music = torch.randn(3, 64, 192, generator=torch.manual_seed(1))
    smooth = sum(music.roll(shift, dims=2) for shift in range(-4, 5)) / 9
    one_loud = smooth.clone()
    one_loud[..., 109] += 6
    assert modulation_loss(one_loud, music) > 0.97 * modulation_loss(smooth, music)
