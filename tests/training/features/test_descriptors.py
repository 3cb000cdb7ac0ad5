"""Descriptors of loops follow audible properties."""

import pytest
import torch

from tests.support.tiny_run import ANALYSIS
from training.features.analysis import Analysis
from training.features.descriptors import NAMES, describe

PER_SLOT = 4
N_FRAMES = 16 * PER_SLOT


@pytest.fixture
def quiet():
    return torch.full((1, N_FRAMES, ANALYSIS.n_bands), ANALYSIS.log_floor + 0.5)


def described(log_bands, name, analysis=ANALYSIS):
    return float(describe(log_bands, analysis, frames_per_slot=PER_SLOT)[0, NAMES.index(name)])


def test_every_loop_has_every_descriptor(quiet):
    batch = torch.cat([quiet, quiet + 1])
    assert describe(batch, ANALYSIS, frames_per_slot=PER_SLOT).shape == (2, len(NAMES))


def test_louder_brighter_and_busier_loops_have_higher_descriptors(quiet):
    bright, busy = quiet.clone(), quiet.clone()
    bright[..., -8:] += 3
    busy[:, ::8] += 3
    assert described(quiet + 1, "loudness") > described(quiet, "loudness") + 6
    assert described(bright, "brightness") > described(quiet, "brightness")
    assert described(bright, "treble") > described(quiet, "treble")
    for name in ("attacks", "motion", "peaks", "dynamics", "edges in time"):
        assert described(busy, name) > described(quiet, name), name


def test_attacks_are_separated_by_frequency(quiet):
    kick, hats = quiet.clone(), quiet.clone()
    kick[:, ::16, :1] += 3
    hats[:, ::16, -3:] += 3
    assert described(kick, "low attacks") > described(hats, "low attacks")
    assert described(hats, "high attacks") > described(kick, "high attacks")


def test_the_same_number_of_bars_played_faster_modulates_faster(quiet):
    slow, fast = quiet.clone(), quiet.clone()
    slow[:, : N_FRAMES // 2] += 2
    fast.view(1, -1, 4, ANALYSIS.n_bands)[:, :, :2] += 2
    assert described(fast, "fast modulation") > described(slow, "fast modulation")
    assert described(slow, "slow modulation") > described(fast, "slow modulation")


def test_repeated_bars_are_a_repetition():
    bar = torch.randn(1, N_FRAMES, ANALYSIS.n_bands, generator=torch.manual_seed(1))
    other = torch.randn(1, N_FRAMES, ANALYSIS.n_bands, generator=torch.manual_seed(2))
    again, apart = torch.cat([bar, bar], dim=1), torch.cat([bar, other], dim=1)
    assert described(again, "repetition") == pytest.approx(1)
    assert described(apart, "repetition") < 0.5


@pytest.mark.parametrize("height", [0.0, 3.0])
def test_silence_and_a_steady_hum_have_finite_descriptors_and_gradients(height):
    log_bands = torch.full((2, N_FRAMES, 32), ANALYSIS.log_floor + height, requires_grad=True)
    columns = describe(log_bands, ANALYSIS, frames_per_slot=PER_SLOT)
    columns.sum().backward()
    assert columns.isfinite().all()
    assert log_bands.grad.isfinite().all()


def test_a_low_sample_rate_without_air_has_finite_descriptors():
    low = Analysis(sample_rate=6_000, n_fft=256, hop_length=64, n_bands=32, n_linear=24)
    log_bands = torch.randn(2, N_FRAMES, 32, generator=torch.manual_seed(3))
    assert describe(log_bands, low, frames_per_slot=PER_SLOT).isfinite().all()


def test_descriptors_are_computed_in_full_precision(quiet):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        columns = describe(quiet.bfloat16(), ANALYSIS, frames_per_slot=PER_SLOT)
    assert columns.dtype == torch.float32
