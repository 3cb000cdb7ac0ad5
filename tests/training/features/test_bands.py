"""Linear, mel and warped bands of any window, and their inverse."""

import numpy as np
import pytest
import torch

from training.features.analysis import Analysis
from training.features.bands import KINDS, mel_centres, most_mel_bands
from training.run.config import Config, TrainingError

WINDOWS = (256, 512, 720, 1024)


@pytest.mark.parametrize("bands", KINDS)
@pytest.mark.parametrize("n_fft", WINDOWS)
def test_bands_of_any_window_keep_a_flat_spectrum_flat_both_ways(bands, n_fft):
    analysis = Analysis.shaped(bands, n_fft)
    centres = analysis.band_centres
    assert centres[0] == 0
    assert centres[-1] == pytest.approx(analysis.n_bins - 1)
    assert (np.diff(centres) > 1 - 1e-9).all()
    flat = analysis.reduction @ np.ones(analysis.n_bins, np.float32)
    np.testing.assert_allclose(flat, 1, atol=1e-5)
    np.testing.assert_allclose(analysis.expansion @ flat, 1, atol=1e-5)
    assert Config(analysis=analysis).analysis.hop_length == n_fft // 4


def test_warped_bands_of_1024_are_the_default():
    assert Analysis.shaped("warped", 1024) == Analysis()


def test_linear_bands_are_bins():
    analysis = Analysis.shaped("linear", 256)
    np.testing.assert_array_equal(analysis.reduction, np.eye(129))
    magnitude = analysis.magnitude(torch.full((1, 129), 1.0))
    torch.testing.assert_close(magnitude, torch.full((1, 129), np.e - analysis.floor))


def test_mel_bands_are_even_below_1_khz_and_widen_by_a_factor_above():
    hertz = mel_centres(128, 513, 22_050) * 22_050 / 1_024
    low, high = np.diff(hertz[hertz < 1_000]), hertz[hertz > 1_000]
    np.testing.assert_allclose(low, low[0])
    ratios = high[1:] / high[:-1]
    np.testing.assert_allclose(ratios, ratios[0])
    # A note of 440 Hz is 6.6 mel on Slaney's scale, 6.4 kHz are 42.
    step = low[0] * 3 / 200
    assert np.interp(440, hertz, np.arange(128)) * step == pytest.approx(6.6, abs=0.01)
    assert np.interp(6_400, hertz, np.arange(128)) * step == pytest.approx(42, abs=0.02)


def test_more_mel_bands_than_the_most_are_narrower_than_a_bin():
    most = most_mel_bands(513, 22_050)
    for n_bands, fits in ((most, True), (most + 1, False)):
        assert (np.diff(mel_centres(n_bands, 513, 22_050)).min() >= 1) == fits


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"bands": "bark"}, r"bands: found bark, expected warped or mel or linear"),
        ({"bands": "mel"}, r"n_bands: found 192, expected 2 to 155: more mel bands are narrower"),
        ({"bands": "linear"}, r"n_bands: found 192, expected 513: linear bands are all bins"),
        ({"bands": "mel", "n_bands": 99}, r"n_linear: found 144, expected 0: only warped"),
        ({"n_fft": 9_000, "hop_length": 1_000}, r"n_fft: found 9000, expected .* 128 to 8192"),
    ],
)
def test_sizes_that_do_not_fit_their_bands_are_rejected(sizes, message):
    with pytest.raises(TrainingError, match=message):
        Config(analysis=Analysis(**sizes))
