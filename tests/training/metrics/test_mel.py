"""One mel scale and one filter bank, Slaney's, for every analysis."""

import librosa
import numpy as np
import pytest

from training.metrics.mel import hertz_to_mel, mel_filter_bank, mel_to_hertz


@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "n_mels"), [(22_050, 2_048, 128), (44_100, 1_024, 64)]
)
def test_the_filter_bank_is_slaneys_to_the_bit(sample_rate, n_fft, n_mels):
    bank = mel_filter_bank(sample_rate, n_fft, n_mels)
    assert bank.shape == (n_mels, n_fft // 2 + 1)
    assert np.array_equal(bank, librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels))


def test_bands_narrower_than_a_bin_are_empty_without_a_warning():
    assert not mel_filter_bank(22_050, 64, 128).any(axis=1).all()


def test_a_caller_cannot_change_the_shared_filter_bank():
    with pytest.raises(ValueError, match="read-only"):
        mel_filter_bank(22_050, 1_024, 40)[0, 0] = 1.0


def test_the_scale_is_slaneys_and_inverts_itself():
    hertz = np.array([0.0, 60.0, 440.0, 1_000.0, 6_400.0, 11_025.0])
    mel = np.array([hertz_to_mel(each) for each in hertz])
    np.testing.assert_allclose(mel, librosa.hz_to_mel(hertz), rtol=1e-12)
    np.testing.assert_allclose(mel_to_hertz(mel), hertz, rtol=1e-12)
