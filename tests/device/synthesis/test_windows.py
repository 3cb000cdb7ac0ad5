"""The windows of a spectrogram: their shape, and where in a frame its position is."""

import numpy as np
import pytest

from device.model.contract import WINDOWS
from device.synthesis.windows import analysis_window, window_peak


def test_hann_is_the_periodic_hann_window():
    np.testing.assert_allclose(analysis_window("hann", 768), np.hanning(769)[:-1], atol=1e-12)


@pytest.mark.parametrize("n_fft", [128, 720, 768, 1024])
@pytest.mark.parametrize("name", WINDOWS)
def test_a_window_rises_from_nothing_to_its_peak_and_falls_to_nothing(name, n_fft):
    window, peak = analysis_window(name, n_fft), window_peak(name, n_fft)
    assert window.shape == (n_fft,)
    assert window[0] == 0
    assert window[peak] == pytest.approx(1)
    assert (np.diff(window[: peak + 1]) > 0).all()
    assert (np.diff(np.append(window[peak:], 0)) < 0).all()
    assert np.mean(window**2) == pytest.approx(3 / 8, rel=1e-4)


def test_the_asymmetric_window_rises_in_half_the_time_it_falls():
    assert window_peak("asymmetric", 768) == 256
    assert window_peak("hann", 768) == 384


def test_an_unknown_window_is_refused_by_name():
    with pytest.raises(ValueError, match="found 'hamming', expected 'hann' or 'asymmetric'"):
        analysis_window("hamming", 768)
