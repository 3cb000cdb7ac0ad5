import numpy as np
import pytest
import torch

from training.features.analysis import Analysis
from training.features.onsets import REGIONS_HZ, onset_patterns
from training.networks.composer import disagreement

ANALYSIS = Analysis()
HERTZ = ANALYSIS.band_hertz
GRID, SLOTS = 4, 32


def struck(hertz, slots):
    """Bands near a frequency that are struck in these slots and fade within them."""
    magnitude = torch.full((1, SLOTS, GRID, ANALYSIS.n_bands), 1e-3)
    band = int(np.abs(HERTZ - hertz).argmin())
    fade = torch.linspace(1.0, 0.25, GRID)
    for slot in slots:
        magnitude[0, slot, :, band] += 10.0 * fade
    return (magnitude + ANALYSIS.floor).log().flatten(1, 2)


def patterns(log_bands):
    return onset_patterns(log_bands, ANALYSIS, frames_per_slot=GRID)


@pytest.mark.parametrize(("hertz", "region"), [(60.0, 0), (440.0, 1), (8_000.0, 2)])
def test_strokes_are_found_in_their_region_and_slots(hertz, region):
    slots = [0, 8, 20]
    found = patterns(struck(hertz, slots))
    assert found.shape == (1, len(REGIONS_HZ), SLOTS)
    assert sorted(found[0, region].topk(3).indices.tolist()) == slots
    torch.testing.assert_close(found[0, region].norm(), torch.tensor(1.0))


def test_patterns_that_share_strokes_agree_more_than_those_that_share_none():
    one, near, other = (patterns(struck(440.0, s)) for s in ([0, 8, 16], [0, 8, 20], [4, 12, 20]))
    assert disagreement(near, 1, one) < disagreement(other, 1, one)


def test_a_loop_has_no_beginning():
    log_bands = struck(440.0, [0, 8, 12])
    rolled = patterns(log_bands.roll(4 * GRID, dims=1))
    torch.testing.assert_close(rolled, patterns(log_bands).roll(4, dims=2))


def test_silence_has_no_onsets_and_no_gradient_that_is_not_a_number():
    silence = torch.full((1, SLOTS * GRID, ANALYSIS.n_bands), ANALYSIS.log_floor)
    silence.requires_grad_()
    found = patterns(silence)
    assert not found.any()
    found.sum().backward()
    assert silence.grad.isfinite().all()


def test_a_region_that_no_band_reaches_is_left_out():
    low = Analysis(sample_rate=6_000)
    log_bands = torch.randn(1, SLOTS * GRID, low.n_bands)
    assert onset_patterns(log_bands, low, frames_per_slot=GRID).shape[1] == len(REGIONS_HZ) - 1
