"""Every 16th note becomes a few codes, and any frame can be drawn from them alone."""

import pytest
import torch

from tests.support.tiny_run import ANALYSIS, CONFIG, N_SLOTS, networks
from training.networks.codec import (
    advance_loss,
    codec_loss,
    laplace_nll,
    quantise,
    wrap,
)
from training.networks.frame_decoder import BinScatter, NoiseTexture

N_LOOPS = 3
N_FRAMES = N_SLOTS * ANALYSIS.frames_per_slot


@pytest.fixture(scope="module")
def codec():
    return networks().codec


@pytest.fixture
def log_bands():
    return torch.randn(N_LOOPS, N_FRAMES, ANALYSIS.n_bands, generator=torch.manual_seed(4))


@pytest.fixture
def offset():
    return torch.tensor([0.0, 0.3, 0.9])


def test_a_loop_becomes_codes_a_score_and_frames_again(codec, log_bands, offset):
    codes = codec.encode(log_bands, offset)
    assert codes.shape == (N_LOOPS, N_SLOTS, CONFIG.n_codes)
    assert codec.writer(codes).shape == (N_LOOPS, N_SLOTS, CONFIG.n_channels)
    assert codec.decode(codes, offset).shape == log_bands.shape


def test_codes_are_whole_numbers_within_the_levels(codec, log_bands, offset):
    codes = codec.encode(100 * log_bands, offset).detach()
    torch.testing.assert_close(codes, codes.round())
    assert codes.abs().max() <= CONFIG.n_levels // 2
    assert len(codes.round().unique()) > 1


@pytest.mark.parametrize("n_levels", [3, 5, 9])
def test_every_level_can_be_reached_and_none_beyond(n_levels):
    codes = quantise(torch.linspace(-20, 20, 4001), n_levels).round().unique()
    assert codes.tolist() == list(range(-(n_levels // 2), n_levels // 2 + 1))


def test_gradients_reach_the_encoder_through_rounding(codec, log_bands, offset):
    codec.zero_grad()
    codec.decode(codec.encode(log_bands, offset), offset).square().mean().backward()
    for name, parameter in codec.encoder.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_the_score_of_a_rotated_loop_is_the_rotated_score(codec, log_bands, offset):
    codes = codec.encode(log_bands, offset)
    rotated = log_bands.roll(3 * ANALYSIS.frames_per_slot, dims=1)
    torch.testing.assert_close(codec.encode(rotated, offset), codes.roll(3, dims=1))
    score = codec.writer(codes)
    torch.testing.assert_close(codec.writer(codes.roll(3, dims=1)), score.roll(3, dims=1))


def test_wrapping_joins_the_end_to_the_start():
    assert wrap(torch.arange(5), 2).tolist() == [3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_frames_do_not_depend_on_each_other(codec):
    rows, phase = torch.randn(20, CONFIG.n_channels), torch.rand(20)
    some = torch.tensor([17, 2, 5])
    torch.testing.assert_close(
        codec.render(rows[some], phase[some]), codec.render(rows, phase)[some]
    )


def test_a_slot_depends_on_its_neighbours_but_not_on_the_far_side_of_the_loop(codec):
    codes = torch.zeros(1, 32, CONFIG.n_codes)
    changed = codes.clone()
    changed[0, 0] = 1
    differs = (codec.writer(codes) != codec.writer(changed)).any(dim=-1)[0]
    assert differs[0]
    assert differs[1]
    assert differs[-1]
    assert not differs[10:22].any()


def test_normalising_and_rendering_undo_each_other(codec, log_bands):
    other = networks().codec
    other.mean.fill_(-2.0)
    other.std.fill_(3.0)
    rows, phase = torch.randn(4, CONFIG.n_channels), torch.rand(4)
    expected = codec.renderer(rows, phase)
    torch.testing.assert_close(other.normalise(other.render(rows, phase)), expected)


def test_a_coarser_grid_draws_the_frames_that_lie_on_both(codec, log_bands, offset):
    codes = codec.encode(log_bands, offset)
    fine = codec.decode(codes, torch.zeros(N_LOOPS))
    coarse = codec.decode(codes, torch.zeros(N_LOOPS), ANALYSIS.frames_per_slot // 2)
    torch.testing.assert_close(coarse, fine[:, ::2])


def test_the_noise_texture_scatters_like_noise_and_is_reproducible():
    texture = NoiseTexture(n_channels=24, n_bands=192)
    rows = torch.randn(500, 24, generator=torch.manual_seed(6)).repeat_interleave(8, dim=0)
    phase = torch.arange(8).div(8).repeat(500)
    scatter = texture(rows, phase)
    assert torch.equal(scatter, NoiseTexture(n_channels=24, n_bands=192)(rows, phase))
    assert scatter.median().abs() < 0.05
    assert scatter.abs().mean() == pytest.approx(1, abs=0.05)
    across_slots = torch.corrcoef(scatter.view(500, -1)[:20])
    assert (across_slots - torch.eye(20)).abs().max() < 0.5


def test_frames_get_noise_texture_only_where_the_spread_is_wide(codec):
    renderer = networks().codec.renderer
    rows, phase = torch.randn(40, CONFIG.n_channels), torch.rand(40)
    middle = renderer.predict(rows, phase).middle
    with torch.no_grad():
        renderer.spread.weight.zero_()
        renderer.spread.bias.fill_(-20.0)
        renderer.spread.bias[5] = 3.0
    deviation = (renderer(rows, phase) - middle).abs().mean(dim=0)
    assert deviation[5] > 0.1
    assert deviation[:5].max() < 1e-6


def test_the_spread_of_least_loss_is_the_mean_error():
    error = torch.randn(4000, generator=torch.manual_seed(5)) * 0.3
    fitting = error.abs().mean().log().expand(4000)
    costs = [float(laplace_nll(fitting + change, error)) for change in (-0.5, 0.0, 0.5)]
    assert costs[1] == min(costs)


def test_the_spread_trains_no_other_layer(codec):
    codec.zero_grad()
    rows, phase = torch.randn(6, CONFIG.n_channels), torch.rand(6)
    drawn = codec.renderer.predict(rows, phase)
    laplace_nll(drawn.log_spread, drawn.middle).backward()
    trained = {name for name, p in codec.named_parameters() if p.grad is not None}
    assert trained == {"renderer.spread.weight", "renderer.spread.bias"}


def test_equal_frames_have_no_loss_and_different_ones_have_some():
    target = torch.randn(5, 4, 32)
    assert codec_loss(target, target) == 0
    assert codec_loss(target + 0.1, target) > 0
    assert codec_loss(target + 1.0, target) > codec_loss(target + 0.1, target)


def test_an_error_where_something_sounds_costs_more_than_in_silence():
    silence, sound = torch.full((2, 4, 32), -1.0), torch.full((2, 4, 32), 1.0)
    assert codec_loss(sound + 0.1, sound) > codec_loss(silence + 0.1, silence)


def test_everything_is_computed_on_the_device_of_the_networks():
    # This needs no GPU: "meta" rejects tensors of other devices too.
    codec = networks().codec.to("meta")
    log_bands = torch.zeros(2, N_FRAMES, ANALYSIS.n_bands, device="meta")
    offset = torch.zeros(2, device="meta")
    assert codec.decode(codec.encode(log_bands, offset), offset).device.type == "meta"


def test_frames_have_a_phase_advance_for_every_guided_bin_of_certainty_below_1(codec):
    rows, phase = 10 * torch.randn(40, CONFIG.n_channels), torch.rand(40)
    bands, advance = codec.renderer.draw(rows, phase)
    assert torch.equal(bands, codec.renderer(rows, phase))
    assert advance.shape == (40, 2 * ANALYSIS.n_guided)
    real, imaginary = advance.chunk(2, dim=1)
    assert (real.square() + imaginary.square() < 1).all()


def test_the_loss_of_phase_advances_is_least_at_the_true_ones_and_counts_by_weight():
    target = torch.tensor([[0, 64, -128]], dtype=torch.int8)
    true, other = torch.tensor([[1.0, 0, -1, 0, 1, 0]]), torch.tensor([[1.0, 0, 1, 0, 1, 0]])
    even = torch.ones(1, 3)
    assert advance_loss(true, target, even) == pytest.approx(0, abs=1e-5)
    assert advance_loss(other, target, even) > 1
    assert advance_loss(other, target, torch.tensor([[1.0, 1, 0]])) == pytest.approx(0, abs=1e-5)


def test_of_an_uncertain_advance_the_best_vector_is_short():
    target = torch.tensor([[0], [64]], dtype=torch.int8)
    losses = [
        float(advance_loss(length * torch.tensor([[0.7071, 0.7071]] * 2), target, torch.ones(2, 1)))
        for length in (0.3, 0.7071, 1.0)
    ]
    assert losses[1] < min(losses[0], losses[2])


def test_scatter_keeps_the_energy_of_a_band_and_leaves_single_bins_alone():
    share = torch.cat([torch.zeros(20), torch.ones(300)])
    scatter = BinScatter(CONFIG.n_channels, share, floor=0.05)
    even = torch.full((500, 320), 2.0)
    rows, phase = torch.randn(500, CONFIG.n_channels), torch.rand(500)
    scattered = scatter(even, rows, phase)
    assert torch.equal(scattered[:, :20], even[:, :20])
    power = (scattered[:, 20:].exp() - 0.05).square().mean() / (even[0, 0].exp() - 0.05).square()
    assert 10 * power.log10() == pytest.approx(0, abs=0.3)
    assert scattered[:, 20:].std() > 0.4


def test_silence_has_no_scatter():
    scatter = BinScatter(CONFIG.n_channels, torch.ones(64), floor=0.05)
    silence = torch.full((4, 64), 0.05).log()
    scattered = scatter(silence, torch.randn(4, CONFIG.n_channels), torch.rand(4))
    torch.testing.assert_close(scattered, silence)
