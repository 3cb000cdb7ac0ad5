"""librosa's mel inversion stays within its solver's limits and the memory."""

import numpy as np
import pytest

from tests.support.study_music import music
from training.corpus.format import SAMPLE_RATE
from training.inversion_study import methods as inversions
from training.inversion_study.methods import DeviceInversion, LibrosaInversion


@pytest.mark.parametrize(("n_fft", "n_frames"), [(64, 512), (2048, 512), (4096, 128)])
def test_the_solver_never_gets_more_frames_than_fit_32_bits(n_fft, n_frames):
    assert inversions._most_frames(n_fft // 2 + 1) == n_frames


@pytest.mark.parametrize(
    ("n_fft", "at_most", "expected", "note"),
    [
        (512, 9999, [690], ""),
        (512, 100, [64] * 10 + [50], "mel inversion 64 frames at a time"),
        (4096, 9999, [87], ""),
        (4096, 10, [10] * 8 + [7], "mel inversion 10 frames at a time"),
    ],
)
def test_mel_inversion_is_split_where_memory_is_short(n_fft, at_most, expected, note, monkeypatch):
    sizes = []

    def short_of_memory(mel, **_settings):
        if mel.shape[1] > at_most:
            raise MemoryError
        sizes.append(mel.shape[1])
        return np.full((n_fft // 2 + 1, mel.shape[1]), len(sizes), np.float32)

    monkeypatch.setattr("librosa.feature.inverse.mel_to_stft", short_of_memory)
    method = LibrosaInversion(music(4.0), SAMPLE_RATE, n_fft, [1])
    assert method.invert(method.settings()[0], mel=True).note == note
    assert sizes == expected


def test_more_frames_than_fit_32_bits_are_split(monkeypatch):
    sizes = []

    def solve(mel, **_settings):
        sizes.append(mel.shape[1])
        return np.ones((2049, mel.shape[1]), np.float32)

    monkeypatch.setattr("librosa.feature.inverse.mel_to_stft", solve)
    method = LibrosaInversion(music(8.0), SAMPLE_RATE, 4096, [1])
    inverted = method.invert(method.settings()[0], mel=True)
    assert inverted.note == "mel inversion 128 frames at a time"
    assert sizes == [128, 45]


def test_the_solver_begins_at_the_pseudo_inverse():
    """Unless it took a step, librosa's least squares are the cut-off pseudo-inverse."""
    method = LibrosaInversion(music(), SAMPLE_RATE, 512, [1])
    assert 0 <= method.solver_change < 0.5
    device = DeviceInversion(music(), SAMPLE_RATE, 512)
    assert device.solver_change is None
