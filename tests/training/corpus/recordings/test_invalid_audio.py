"""Files without music are reported, and do not stop the work on others."""

from __future__ import annotations

import os
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sound_files import (
    KINDS,
    SECONDS,
    decoded,
    encoded,
    whole_file,
    with_sample_rate,
)
from tests.support.synthetic_music import song
from training.commands.corpus import corpus as command
from training.corpus import parallel
from training.corpus.format import SAMPLE_RATE, CorpusError
from training.corpus.reader import Corpus
from training.corpus.recordings import audio_files
from training.corpus.recordings import corpus_writer as cutting
from training.corpus.recordings.audio_files import decode
from training.corpus.recordings.folder import write_folder_corpus
from training.inversion_study.experiment import read_music


def float_wav(*samples):
    audio = np.array(song(2), dtype=np.float32)
    audio[1000 : 1000 + len(samples)] = samples
    return encoded("float.wav", audio)


INVALID = {
    **{f"{hz} Hz.wav": (hz, "sample rate") for hz in (1, 5, 9, 10, 999, 1_000_001, 2**31 - 1)},
    "1e30.wav": (float_wav(1e30), "a sample of 1e.30"),
    "minus.wav": (float_wav(-1e10), "a sample of 1e.10"),
    "nan.wav": (float_wav(np.nan), "not finite"),
    "inf.wav": (float_wav(np.inf), "not finite"),
    "empty.mp3": (b"", "unreadable"),
    "text.flac": (b"no music at all", "unreadable"),
    "ID3.mp3": (b"ID3\x04\0\0\x7f\x7f\x7f\x7f", "unreadable"),
    "zeros.ogg": (bytes(10_000), "unreadable"),
    "fLaC.flac": (b"fLaC" + bytes(3), "unreadable"),
    "RIFF.wav": (b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff", "unreadable"),
}


def file_bytes(content):
    return (
        content
        if isinstance(content, bytes)
        else with_sample_rate(encoded("wav", song(2)), content)
    )


@pytest.mark.parametrize("name", INVALID)
def test_a_file_that_is_no_music_is_a_clear_error(tmp_path, name):
    content, reason = INVALID[name]
    (tmp_path / name).write_bytes(file_bytes(content))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CorpusError, match=reason):
            decode(tmp_path / name)
        with pytest.raises(CorpusError, match=f"{name}: .*{reason}"):
            read_music(tmp_path / name)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    changes=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_a_file_with_any_header_is_sound_or_a_clear_error(tmp_path_factory, kind, changes):
    data = bytearray(whole_file(kind)[:30_000])
    for position, value in changes:
        data[position] = value
    try:
        recording = decoded(tmp_path_factory.getbasetemp(), kind, bytes(data))
    except CorpusError:
        return
    assert np.isfinite(recording.audio).all()
    assert len(recording.audio) < 100 * SAMPLE_RATE * SECONDS


def test_invalid_files_of_every_kind_leave_the_others_in_the_corpus(tmp_path):
    folder = tmp_path / "music"
    folder.mkdir()
    for name, (content, _) in INVALID.items():
        (folder / name).write_bytes(file_bytes(content))
    sound = encoded("wav", song(6))
    (folder / "song.wav").write_bytes(sound)
    Path(os.fsdecode(os.fsencode(folder) + b"/tr\xe9s.wav")).write_bytes(sound)
    write_folder_corpus(tmp_path / "corpus", folder)
    corpus = Corpus.open(tmp_path / "corpus")
    assert {r.provenance["path"] for r in corpus.records} == {"song.wav", "tr\\xe9s.wav"}
    reasons = {skip["path"]: skip["reason"] for skip in corpus.header["skipped"]}
    assert sorted(reasons) == sorted(INVALID)
    assert all("\n" not in reason for reason in reasons.values())


def test_a_piece_that_fails_in_an_unforeseen_way_is_left_out(tmp_path, monkeypatch):
    decode_file = cutting.decode

    def failing(path):
        if path.name in errors:
            raise errors[path.name]
        return decode_file(path)

    errors = {
        "a.wav": ZeroDivisionError("by zero"),
        "b.wav": MemoryError(),
        "c.wav": OSError("gone"),
    }
    monkeypatch.setattr(cutting, "decode", failing)
    (tmp_path / "music").mkdir()
    for name in (*errors, "song.wav"):
        (tmp_path / "music" / name).write_bytes(encoded("wav", song(8)))
    write_folder_corpus(tmp_path / "corpus", tmp_path / "music")
    skipped = Corpus.open(tmp_path / "corpus").header["skipped"]
    assert [skip["path"] for skip in skipped] == sorted(errors)


def test_a_recording_that_is_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_files, "LONGEST_HOURS", 1 / 360)
    (tmp_path / "a.flac").write_bytes(encoded("flac", np.zeros(13 * SAMPLE_RATE)))
    with pytest.raises(CorpusError, match="longer than"):
        decode(tmp_path / "a.flac")


def cut_or_die(job):
    if job.piece.name == "bad.wav":
        os.kill(os.getpid(), signal.SIGKILL)
    return cutting._cut_piece(job)


def test_a_file_that_kills_its_worker_is_listed_as_skipped(tmp_path, monkeypatch):
    run_guarded = parallel.run_guarded
    monkeypatch.setattr(
        parallel,
        "run_guarded",
        lambda _function, jobs, n, **more: run_guarded(cut_or_die, jobs, n, **more),
    )
    (tmp_path / "music").mkdir()
    for name in ("bad.wav", "song.wav"):
        (tmp_path / "music" / name).write_bytes(encoded("wav", song(8)))
    options = ["folder", str(tmp_path / "music"), "--out", str(tmp_path / "c")]
    result = CliRunner().invoke(command, [*options, "--workers", "1"])
    assert result.exit_code == 0, result.output
    corpus = Corpus.open(tmp_path / "c")
    assert {r.provenance["path"] for r in corpus.records} == {"song.wav"}
    assert [(s["path"], s["reason"]) for s in corpus.header["skipped"]] == [
        ("bad.wav", "unreadable (its worker was killed by signal 9)")
    ]
    assert not list((tmp_path / "c").glob(".*"))


def test_a_larger_file_may_take_longer(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    soundfile.write(tmp_path / "b.wav", np.zeros(100 * SAMPLE_RATE), SAMPLE_RATE)
    short, long, gone = (
        cutting._longest_seconds(cutting._Job(0, cutting.Piece(tmp_path / name, name), None))
        for name in ("a.wav", "b.wav", "gone.wav")
    )
    assert 0.0 < gone < short < long
