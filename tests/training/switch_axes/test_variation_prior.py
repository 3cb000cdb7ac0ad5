"""States have variations that were inferred from loops, chosen by the noise that a device gives."""

import pytest
import torch

from device.synthesis.variation import SongForm
from tests.support.tiny_run import CONFIG, networks, toy_features
from training.run.config import Config
from training.run.stages import ComposerStage
from training.switch_axes.variation_prior import VariationPrior

SIZE, N_VARIATION = 64, 16
# Log variance of a posterior that is certain: details move nothing.
CERTAIN = torch.tensor(-200.0)


@pytest.fixture(scope="module")
def fitted():
    """A prior of variations, and those."""
    prior = VariationPrior(SIZE, N_VARIATION)
    inferred = 5 + torch.randn(SIZE, N_VARIATION, generator=torch.manual_seed(1))
    prior.fit(inferred, CERTAIN.expand_as(inferred))
    return prior, inferred


def noise(n, seed=2):
    return torch.randn(n, N_VARIATION, generator=torch.manual_seed(seed))


def test_every_variation_is_a_wider_inferred_one_and_all_are_about_as_frequent(fitted):
    prior, inferred = fitted
    mean = inferred.mean(dim=0)
    distance = (prior(noise(6_400))[:, None] - (mean + 1.1 * (inferred - mean))).abs()
    is_chosen = (distance < 1e-5).all(dim=2)
    assert (is_chosen.sum(dim=1) == 1).all()
    counts = is_chosen.sum(dim=0)
    assert counts.min() > 25 and counts.max() < 400


def test_near_noise_chooses_alike(fitted):
    prior, _ = fitted
    first, other = noise(500), noise(500, seed=3)
    near = (prior(first) == prior(first + 0.05 * other)).all(dim=1).float().mean()
    assert near > 0.85


def test_passages_of_one_theme_choose_alike(fitted):
    prior, _ = fitted
    form = SongForm(N_VARIATION, seed=4)
    # All of A A' before B, with the fills.
    passages = [torch.from_numpy(form.at(passage)) for passage in range(form.passage_at(4))]
    chosen = prior(torch.stack(passages))
    assert (chosen == chosen[0]).all()
    assert (prior(noise(100)) != chosen[0]).any(dim=1).float().mean() > 0.9


def test_details_move_a_variation_by_twice_the_width_of_the_posteriors(fitted):
    prior, inferred = VariationPrior(SIZE, N_VARIATION), fitted[1]
    width = torch.linspace(0.1, 0.4, N_VARIATION)
    prior.fit(inferred, 2 * width.log().expand_as(inferred))
    theme = noise(1)[:, : N_VARIATION // 2].expand(4_000, -1)
    drawn = prior(torch.cat([theme, noise(4_000)[:, N_VARIATION // 2 :]], dim=1))
    chosen = fitted[0](noise(1))
    torch.testing.assert_close(drawn.mean(dim=0)[None], chosen, atol=0.06, rtol=0)
    torch.testing.assert_close(drawn.std(dim=0), 2 * width, atol=0.0, rtol=0.05)


def test_a_run_of_a_version_without_a_spread_moves_nothing(fitted):
    saved = dict(fitted[0].state_dict())
    del saved["spread"]
    prior = VariationPrior(SIZE, N_VARIATION)
    prior.load_state_dict(saved)
    assert torch.equal(prior(noise(9)), fitted[0](noise(9)))


@pytest.mark.parametrize("n_variation", [1, 2, 3])
def test_a_variation_of_few_numbers_chooses_too(n_variation):
    prior = VariationPrior(2, n_variation)
    prior.fit(torch.tensor([[0.0], [1.0]]).expand(2, n_variation), CERTAIN.expand(2, n_variation))
    drawn = torch.randn(200, n_variation, generator=torch.manual_seed(5))
    # 1.1 times as far from their mean.
    chosen = prior(drawn)[:, :1]
    assert ((chosen - torch.tensor([-0.05, 1.05])).abs().amin(dim=1) < 1e-6).all()
    assert prior.margin(drawn) >= 0


def test_of_few_loops_some_are_taken_twice():
    prior = VariationPrior(5, 2)
    prior.fit(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), CERTAIN.expand(2, 2))
    assert prior.inferred[:, 0].tolist() == [1, 3, 1, 3, 1]


def test_the_margin_is_that_of_the_closest_choice(fitted):
    prior, _ = fitted
    drawn = noise(200)
    closest = min(drawn, key=lambda each: prior.margin(each[None]))
    assert prior.margin(drawn) == pytest.approx(prior.margin(closest[None]), abs=1e-6)
    assert prior.margin(drawn) > 0


def test_without_inferred_ones_the_noise_is_the_variation():
    prior, drawn = VariationPrior(0, N_VARIATION), noise(3)
    assert prior(drawn) is drawn
    assert prior.margin(drawn) == float("inf")


def test_the_finished_composer_knows_the_variations_of_its_loops():
    made, features = networks(), toy_features()
    codes = torch.randint(
        0, CONFIG.n_levels, (len(features.log_bands), features.n_slots, CONFIG.n_codes)
    )
    stage = ComposerStage(made, codes.to(torch.uint8), features, CONFIG)
    stage.begin()
    positions = made.axes.project(stage.described[stage.train], stage.labels[stage.train])

    def inferred_and_composed():
        inferred = made.posterior_encoder(codes[stage.train].long(), positions).mean
        return inferred, made.composer(torch.cat([positions, inferred], dim=1))

    with torch.no_grad():
        made.posterior_encoder.slopes += 1
        before, composed_before = inferred_and_composed()
        stage.finish()
        inferred, composed = inferred_and_composed()
    # What follows from positions is in the composer now.
    assert not torch.allclose(inferred, before)
    torch.testing.assert_close(composed, composed_before, atol=1e-4, rtol=1e-4)
    assert len(inferred) <= CONFIG.prior_size
    # All loops are among them, and no other.
    of_loop = made.axes.prior.inferred[: len(inferred)]
    order = [of_loop[:, 0].argsort(), inferred[:, 0].argsort()]
    torch.testing.assert_close(of_loop[order[0]], inferred[order[1]])


def test_a_run_of_a_version_without_a_prior_has_none():
    earlier = CONFIG.to_dict()
    del earlier["prior_size"]
    assert Config.from_dict(earlier).prior_size == 0
