"""Switches are directions found in the music: independent, simple and alike in strength."""

import pytest
import torch

from training.features.descriptors import NAMES
from training.switch_axes.axes import WORDS, name
from training.switch_axes.discovered import DiscoveredAxes, rotate_orthomax

N_SWITCHES = 3
NO_LABELS = torch.zeros(0, 0)


def discovered(n_switches):
    return DiscoveredAxes(n_switches, 4, switch_range=1.25)


def music(n_loops=2000, n_factors=N_SWITCHES, seed=0):
    """Loops with some independent factors, each of which moves its own descriptors."""
    rng = torch.Generator().manual_seed(seed)
    factors = torch.randn(n_loops, n_factors, generator=rng)
    loadings = torch.zeros(n_factors, len(NAMES))
    for factor in range(n_factors):
        loadings[factor, factor::n_factors] = torch.tensor(5.0)
    noise = 0.5 * torch.randn(n_loops, len(NAMES), generator=rng)
    return factors, 7.0 + factors @ loadings + noise


@pytest.fixture(scope="module")
def fitted():
    axes = discovered(N_SWITCHES)
    factors, described = music()
    axes.fit(described, NO_LABELS)
    return axes, factors, described


def test_the_factors_of_the_music_are_found(fitted):
    axes, factors, described = fitted
    correlation = torch.corrcoef(torch.cat([axes.project(described, NO_LABELS), factors], dim=1).T)
    likeness = correlation[:N_SWITCHES, N_SWITCHES:].abs()
    assert (likeness.amax(dim=1) > 0.98).all()
    assert sorted(likeness.argmax(dim=1).tolist()) == [0, 1, 2]


def test_positions_are_centred_independent_and_of_unit_spread(fitted):
    axes, _, described = fitted
    position = axes.project(described, NO_LABELS)
    torch.testing.assert_close(torch.cov(position.T), torch.eye(3), atol=0.05, rtol=0)
    on = (position > 0).float().mean(dim=0)
    assert ((on > 0.45) & (on < 0.55)).all()


def test_predicted_descriptors_project_to_their_position(fitted):
    axes, _, _ = fitted
    corner = torch.tensor([[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]])
    described = axes.predict_descriptors(corner) * axes.spread + axes.centre
    torch.testing.assert_close(axes.project(described, NO_LABELS), corner, atol=0.05, rtol=0)


def test_a_switch_means_the_same_change_whatever_the_others_are(fitted):
    axes, _, _ = fitted
    others = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0]])
    on, off = (torch.cat([torch.full((3, 1), s), others], dim=1) for s in (1.0, -1.0))
    change = axes.predict_descriptors(on) - axes.predict_descriptors(off)
    torch.testing.assert_close(change, change[:1].expand_as(change))


def test_outliers_do_not_stretch_the_axes(fitted):
    axes, _, described = fitted
    with_outliers = described.clone()
    with_outliers[:5] += 1e4
    other = discovered(N_SWITCHES)
    other.fit(with_outliers, NO_LABELS)
    torch.testing.assert_close(other.spread, axes.spread, rtol=0.05, atol=0)
    assert other.project(with_outliers, NO_LABELS).abs().max() <= 3


def test_on_means_more_activity():
    _, described = music(n_factors=2)
    axes = discovered(2)
    axes.fit(described, NO_LABELS)
    turned = discovered(2)
    turned.fit(-described, NO_LABELS)
    for each in (axes, turned):
        assert (each.effect[NAMES.index("attacks")] > -0.1).all()
        assert each.effect[NAMES.index("motion")].sum() > 0


def test_a_rotation_is_orthogonal_and_evens_the_axes_out():
    loadings = torch.randn(len(NAMES), 4, generator=torch.manual_seed(2)).double()
    loadings = loadings * torch.tensor([3.0, 1.0, 1.0, 0.5])
    rotation = rotate_orthomax(loadings)
    identity = torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(rotation @ rotation.T, identity, atol=1e-6, rtol=0)
    before, after = (x.square().sum(dim=0) for x in (loadings, loadings @ rotation))
    assert after.max() / after.min() < 0.2 * before.max() / before.min()


@pytest.mark.parametrize("n_loops", [1, 2, 5])
def test_a_handful_of_loops_or_silence_gives_finite_axes(n_loops):
    _, described = music(n_loops)
    for some in (described, torch.zeros_like(described)):
        axes = discovered(8)
        axes.fit(some, NO_LABELS)
        assert all(tensor.isfinite().all() for tensor in axes.state_dict().values())
        assert axes.project(some, NO_LABELS).isfinite().all()


def effect(*pairs):
    made = torch.zeros(len(NAMES), len(pairs))
    for switch, (descriptor, size) in enumerate(pairs):
        made[NAMES.index(descriptor), switch] = size
    return made


def test_a_switch_is_named_after_what_it_moves_most():
    given = effect(("bass", 0.7), ("brightness", -0.5), ("attacks", 0.9))
    assert name(given) == ("more bass", "darker", "more drums")


def test_the_clearer_of_two_switches_gets_the_name():
    given = effect(("bass", 0.7), ("bass", 0.9)) + effect(("air", 0.2), ("air", 0.0))
    assert name(given) == ("more air", "more bass")


def test_every_descriptor_has_different_names():
    assert tuple(WORDS) == NAMES
    words = [word for pair in WORDS.values() for word in pair]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("n_switches", [1, 8, 16])
@pytest.mark.parametrize("size", [0.0, 1.0])
def test_names_are_distinct_whatever_the_number_of_switches(n_switches, size):
    rng = torch.Generator().manual_seed(1)
    labels = name(size * torch.randn(len(NAMES), n_switches, generator=rng))
    assert len(set(labels)) == len(labels) == n_switches
    assert all(0 < len(label) <= 40 for label in labels)
