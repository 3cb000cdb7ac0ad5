"""Any audio file can be studied; what cannot is rejected by name."""

import os
import signal

import numpy as np
import pytest
import soundfile

from tests.support.study_music import music
from training.corpus.format import SAMPLE_RATE, CorpusError
from training.corpus.recordings.guarded import longest_seconds
from training.inversion_study.experiment import read_music


@pytest.mark.parametrize("sample_rate", [8_000, 22_050, 44_100, 96_000])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_music_of_any_rate_and_number_of_channels_is_the_same_music(
    tmp_path, sample_rate, n_channels
):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * sample_rate) / sample_rate)
    channels = np.stack([tone] * n_channels, axis=1)
    soundfile.write(tmp_path / "tone.wav", channels, sample_rate, subtype="FLOAT")
    samples = read_music(tmp_path / "tone.wav")
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(2 * SAMPLE_RATE, abs=2)
    inside = slice(2000, -2000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(samples)) / SAMPLE_RATE)
    np.testing.assert_allclose(samples[inside], expected[inside], atol=2e-3)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_every_kind_of_file_is_read(tmp_path, ending):
    soundfile.write(tmp_path / f"chord.{ending}", music(), SAMPLE_RATE)
    assert len(read_music(tmp_path / f"chord.{ending}")) == pytest.approx(33_075, abs=3000)


def test_only_the_start_is_read_on_request(tmp_path):
    soundfile.write(tmp_path / "chord.wav", music(), SAMPLE_RATE)
    assert len(read_music(tmp_path / "chord.wav", at_most_seconds=1.2)) == round(1.2 * SAMPLE_RATE)


def not_finite():
    return np.where(np.arange(30_000) == 20_000, np.nan, 0.1)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(0), "found 0.00 s of sound, expected at least 1 s"),
        (music(0.01), "found 0.01 s of sound, expected at least 1 s"),
        (np.zeros(30_000), "found silence"),
        (np.stack([music(), -music()], axis=1), "found silence in its mono mix"),
        (not_finite(), "not finite"),
    ],
    ids=["empty", "10 ms", "silent", "cancels out", "not a number"],
)
def test_sound_that_is_no_music_is_rejected_by_name(tmp_path, samples, words):
    soundfile.write(tmp_path / "bad.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(CorpusError, match=rf"bad\.wav: .*{words}"):
        read_music(tmp_path / "bad.wav")


def die(_path):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_file_that_kills_its_decoder_is_rejected_by_name(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "chord.wav", music(), SAMPLE_RATE)
    monkeypatch.setattr("training.corpus.recordings.guarded.decode", die)
    with pytest.raises(CorpusError, match=r"chord\.wav: unreadable .*was killed by signal 9"):
        read_music(tmp_path / "chord.wav")


def test_a_larger_file_may_take_longer_to_decode(tmp_path):
    (tmp_path / "small").write_bytes(b"x")
    (tmp_path / "large").write_bytes(bytes(10**6))
    seconds = [longest_seconds(tmp_path / name) for name in ("missing", "small", "large")]
    assert seconds == sorted(seconds)
    assert seconds[2] - seconds[0] == pytest.approx(60.0)
