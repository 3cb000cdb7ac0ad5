"""The key of a recording is found, and recordings are transposed to one key."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from tests.support.corpus_files import records_by_path
from tests.support.synthetic_music import song
from training.corpus.format import SAMPLE_RATE, CorpusError
from training.corpus.reader import Corpus
from training.corpus.recordings import keys
from training.corpus.recordings.folder import write_folder_corpus


@pytest.mark.parametrize("semitones", [0, 3, -5])
def test_the_key_of_a_song_is_found(semitones):
    key = keys.find_key(keys.find_chroma(song(8, 90.0, semitones=semitones)))
    assert key.signature == semitones % 12
    assert key.margin > 0.05


@pytest.mark.parametrize("semitones", [0.3, -0.4])
def test_the_key_of_a_song_between_two_tunings_is_that_of_the_nearer(semitones):
    audio = keys.transpose(song(8, 90.0), semitones)
    assert keys.find_key(keys.find_chroma(audio)).signature == 0


def test_a_minor_key_is_transposed_like_its_relative_major():
    assert keys.Key(9, "minor", 0.1).semitones_to(0) == 0
    assert keys.Key(0, "minor", 0.1).semitones_to(0) == -3
    assert [keys.Key(tonic, "major", 0.1).semitones_to(0) for tonic in (1, 6, 7, 11)] == [
        -1, -6, 5, 1,
    ]  # fmt: skip


def test_transposed_pieces_are_in_the_requested_key_and_on_their_beats(music_folder, tmp_path):
    write_folder_corpus(tmp_path / "corpus", music_folder, key="C")
    corpus = Corpus.open(tmp_path / "corpus")
    assert corpus.header["key"] == "C"
    moved = records_by_path(tmp_path / "corpus")["fast.wav"][0]
    assert moved.labels["transposed_semitones"] == -3
    assert moved.labels["tempo_bpm"] == pytest.approx(100.0 * 2.0 ** (-3 / 12), abs=0.5)
    audio = corpus.audio(corpus.records.index(moved))
    assert keys.find_key(keys.find_chroma(audio)).signature == 0
    # The kick of every bar is still on its first beat.
    low = np.abs(np.fft.rfft(corpus.frames(corpus.records.index(moved), np.arange(16), 2048)))
    strokes = low[:, 3:8].sum(axis=1).reshape(4, 4).mean(axis=0)
    assert strokes.argmax() == 0


def test_transposing_down_and_up_again_restores_the_sound():
    audio = song(2, 90.0)
    restored = keys.transpose(keys.transpose(audio, -5), 5)
    n_samples = min(len(audio), len(restored))
    error = restored[100 : n_samples - 100] - audio[100 : n_samples - 100]
    # A resampler removes the top of the band: here, of the snares.
    assert np.sqrt(np.mean(error**2)) < 0.1 * np.sqrt(np.mean(audio**2))


def test_a_piece_in_no_clear_key_is_left_out_where_a_key_is_requested(tmp_path):
    (tmp_path / "music").mkdir()
    noise = 0.1 * np.random.default_rng(1).standard_normal(15 * SAMPLE_RATE)
    soundfile.write(tmp_path / "music" / "noise.wav", noise, SAMPLE_RATE)
    soundfile.write(tmp_path / "music" / "song.wav", song(8, 90.0), SAMPLE_RATE)
    write_folder_corpus(tmp_path / "corpus", tmp_path / "music", key="Eb")
    skipped = Corpus.open(tmp_path / "corpus").header["skipped"]
    assert [s["path"] for s in skipped if "no clear key" in s["reason"]] == ["noise.wav"]


def test_an_unknown_key_is_refused_and_leaves_no_file(music_folder, tmp_path):
    with pytest.raises(CorpusError, match="key is 'H', expected one of: C, C#"):
        write_folder_corpus(tmp_path / "corpus", music_folder, key="H")
    assert not (tmp_path / "corpus").exists()
