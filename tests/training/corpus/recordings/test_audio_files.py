"""What is in a file is used, no more and no less, and no file ends the work on others."""

from __future__ import annotations

import os
import shutil
import signal
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sound_files import (
    KINDS,
    claiming_chunk_bytes,
    claiming_flac_samples,
    claiming_mpeg_frames,
    encoded,
    with_sample_rate,
    without_xing,
)
from tests.support.synthetic_music import song
from training.commands.corpus import corpus as command
from training.corpus.format import SAMPLE_RATE, CorpusError
from training.corpus.parallel import run_guarded, run_in_workers
from training.corpus.reader import Corpus
from training.corpus.recordings import audio_files
from training.corpus.recordings import corpus_writer as cutting
from training.corpus.recordings.audio_files import decode
from training.corpus.recordings.folder import write_folder_corpus
from training.inversion_study.experiment import read_music

SECONDS = 10.0
UNIT_SECONDS = {"ogg": 2.5, "opus": 1.1}  # longest page; of the others, a frame and its neighbours
MPEG_FRAME = 0.08


@cache
def ten_seconds():
    """Ten seconds without a repetition, so that no part of it passes for another."""
    rng = np.random.default_rng(7)
    n = round(SECONDS * SAMPLE_RATE)
    hertz = np.repeat(rng.uniform(150.0, 1200.0, 100), n // 100)
    return (0.3 * np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE)).astype(np.float32)


@cache
def whole_file(kind):
    return encoded(kind, ten_seconds())


@pytest.fixture
def music():
    return ten_seconds()


@pytest.fixture
def whole():
    return {kind: whole_file(kind) for kind in KINDS}


def decoded(directory, kind, data):
    path = Path(directory) / f"a.{kind}"
    path.write_bytes(data)
    return decode(path)


def assert_is_start_of(audio, music, tolerance=0.15):
    """What was decoded is the music from its start, not something made up."""
    if len(audio) < 1.2 * SAMPLE_RATE:  # too little to find its place by; of Ogg, one page
        return
    probe = slice(SAMPLE_RATE // 2, SAMPLE_RATE)
    delay = max(
        range(1300), key=lambda d: float(audio[probe.start + d : probe.stop + d] @ music[probe])
    )
    heard = audio[delay:]
    n_common = min(len(heard), len(music)) - 3000
    tenth = SAMPLE_RATE // 10
    for first in range(0, n_common - tenth, tenth):
        a, b = heard[first : first + tenth], music[first : first + tenth]
        likeness = float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9)
        assert likeness > 1 - tolerance, f"{first / SAMPLE_RATE:.1f} s is not the music"


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_used_to_its_end_and_not_said_to_be_broken(tmp_path, whole, music, kind):
    recording = decoded(tmp_path, kind, whole[kind])
    assert recording.broken_after_seconds is None
    assert len(recording.audio) == pytest.approx(len(music), abs=2)
    assert_is_start_of(recording.audio, music)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, deadline=None, derandomize=True, database=None)
@given(share=st.floats(0.3, 0.97))
def test_a_file_cut_anywhere_gives_what_is_there_and_is_said_to_be_broken(
    tmp_path_factory, kind, share
):
    music, complete = ten_seconds(), whole_file(kind)
    data = complete[: round(len(complete) * share)]
    recording = decoded(tmp_path_factory.mktemp("cut"), kind, data)
    seconds = len(recording.audio) / SAMPLE_RATE
    assert recording.broken_after_seconds == pytest.approx(seconds, abs=0.1)
    assert seconds < SECONDS
    # The share of bytes is that of time, but for what varies in its rate.
    slack = 0.15 * SECONDS + UNIT_SECONDS.get(kind, 0.2)
    assert seconds == pytest.approx(share * SECONDS, abs=slack)
    assert_is_start_of(recording.audio, music)


@pytest.mark.parametrize("kind", ["mp3", "vbr.mp3"])
@pytest.mark.parametrize("n_frames", [0, 1, 50, 100_000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_an_mp3_is_as_long_as_its_frames_whatever_its_header_claims(
    tmp_path, whole, music, kind, n_frames
):
    recording = decoded(tmp_path, kind, claiming_mpeg_frames(whole[kind], n_frames))
    assert len(recording.audio) / SAMPLE_RATE == pytest.approx(SECONDS, abs=2 * MPEG_FRAME)
    assert_is_start_of(recording.audio, music)
    assert (recording.broken_after_seconds is not None) == (n_frames == 100_000)


@pytest.mark.parametrize("kind", ["mp3", "vbr.mp3"])
def test_an_mp3_without_a_header_is_as_long_as_its_frames(tmp_path, music, kind):
    # Silence first: an estimate from the first frames would be far too short, or too long.
    quiet_first = np.concatenate([np.zeros(SAMPLE_RATE // 2, dtype=np.float32), music])
    data = without_xing(encoded(kind, quiet_first))
    recording = decoded(tmp_path, kind, data)
    assert recording.broken_after_seconds is None
    assert len(recording.audio) / SAMPLE_RATE == pytest.approx(SECONDS + 0.5, abs=2 * MPEG_FRAME)


def test_tags_around_an_mp3_are_no_sound_and_no_damage(tmp_path, whole, music):
    picture = b"ID3\x04\0\0\0\0\x7f\x7f" + bytes(16383 - 5) + b"\xff\xfb\x90\x44\x00"
    recording = decoded(tmp_path, "mp3", picture + whole["mp3"] + b"TAG".ljust(128, b"x"))
    assert recording.broken_after_seconds is None
    assert len(recording.audio) == pytest.approx(len(music), abs=2)


@pytest.mark.parametrize("n_samples", [0, 1, 5_000, 10**7, 2**36 - 1])
def test_a_flac_is_as_long_as_its_frames_whatever_its_header_claims(
    tmp_path, whole, music, n_samples
):
    recording = decoded(tmp_path, "flac", claiming_flac_samples(whole["flac"], n_samples))
    assert len(recording.audio) == len(music)
    assert_is_start_of(recording.audio, music, tolerance=0.01)
    assert (recording.broken_after_seconds is not None) == (n_samples > len(music))


def test_a_flac_of_unknown_length_that_was_cut_is_said_to_be_broken(tmp_path, whole):
    data = claiming_flac_samples(whole["flac"], 0)
    recording = decoded(tmp_path, "flac", data[: len(data) // 2])
    assert recording.broken_after_seconds == pytest.approx(
        len(recording.audio) / SAMPLE_RATE, abs=0.1
    )
    assert 0.3 * SECONDS < recording.broken_after_seconds < 0.7 * SECONDS


@pytest.mark.parametrize(
    ("kind", "name", "order", "n_bytes", "is_broken"),
    [
        ("wav", b"data", "<", 0, False),
        ("wav", b"data", "<", 0xFFFFFFFF, False),
        ("wav", b"data", "<", 0x7FFFFFFF, False),
        ("wav", b"data", "<", 0x7FFFF000, False),
        ("wav", b"data", "<", 10**8, True),
        ("float.wav", b"data", "<", 0, False),
        ("float.wav", b"data", "<", 10**8, True),
        ("aiff", b"SSND", ">", 0xFFFFFFFF, False),
        ("aiff", b"SSND", ">", 0, False),
        ("aiff", b"SSND", ">", 10**8, True),
    ],
)
def test_chunks_are_as_long_as_the_file_whatever_they_claim(
    tmp_path, whole, music, kind, name, order, n_bytes, is_broken
):
    recording = decoded(tmp_path, kind, claiming_chunk_bytes(whole[kind], name, n_bytes, order))
    assert len(recording.audio) == len(music)
    assert_is_start_of(recording.audio, music, tolerance=0.01)
    assert (recording.broken_after_seconds is not None) == is_broken


def damaged(data, damage):
    """A file with damage in its middle."""
    middle = len(data) // 2
    if damage == "lost":
        return data[:middle] + data[middle + 2000 :]
    if damage == "foreign":
        return data[:middle] + bytes(3000) + data[middle:]
    return data[:middle] + bytes(2000) + data[middle + 2000 :]


@pytest.mark.parametrize("kind", ["ogg", "opus"])
def test_without_ffmpeg_what_follows_a_damaged_page_is_not_used(
    tmp_path, monkeypatch, whole, music, kind
):
    monkeypatch.setattr(audio_files.shutil, "which", lambda _name: None)
    recording = decoded(tmp_path, kind, damaged(whole[kind], "overwritten"))
    assert recording.broken_after_seconds == pytest.approx(
        len(recording.audio) / SAMPLE_RATE, abs=0.1
    )
    assert not recording.continues
    assert recording.broken_after_seconds < 0.7 * SECONDS
    assert_is_start_of(recording.audio, music)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="only ffmpeg resumes after damage")
@pytest.mark.parametrize("damage", ["overwritten", "lost", "foreign"])
@pytest.mark.parametrize("kind", ["ogg", "opus", "mp3", "vbr.mp3", "flac"])
def test_what_follows_damage_in_the_middle_is_used_once_and_the_damage_is_listed(
    tmp_path, whole, music, kind, damage
):
    recording = decoded(tmp_path, kind, damaged(whole[kind], damage))
    seconds = len(recording.audio) / SAMPLE_RATE
    assert recording.continues
    assert 0.3 * SECONDS < recording.broken_after_seconds < 0.7 * SECONDS
    assert recording.broken_after_seconds + 2.0 < seconds < SECONDS + 0.2
    assert len(recording.clipped) == pytest.approx(10 * seconds, abs=1)
    before = round((recording.broken_after_seconds - 0.2) * SAMPLE_RATE)
    assert_is_start_of(recording.audio[:before], music)
    # From the end back to the damage the two run side by side: no stretch is there twice.
    after = round((seconds - recording.broken_after_seconds - 0.5) * SAMPLE_RATE)
    assert_is_start_of(recording.audio[::-1][:after], music[::-1])


def test_no_loop_is_cut_across_the_place_of_the_damage():
    audio = np.zeros(8 * SAMPLE_RATE, dtype=np.float32)
    whole_recording, continued = (
        audio_files.Recording(audio, np.zeros(80), at, continues=at is not None)
        for at in (None, 4.0)
    )
    across, later = (np.linspace(*ends, 17).astype(int) * SAMPLE_RATE for ends in ((2, 6), (5, 8)))
    assert cutting._find_gap(continued, across) == "damaged (sound is missing in it)"
    assert cutting._find_gap(continued, later) is None
    assert cutting._find_gap(whole_recording, across) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_whose_name_is_not_utf8_is_read_like_any_other(tmp_path, whole, music, kind):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9." + kind.encode()))
    path.write_bytes(whole[kind])
    assert len(read_music(path)) == pytest.approx(len(music), abs=2)


# -- files that are no music ----------------------------------------------------------------


def float_wav(*odd):
    audio = np.array(song(2), dtype=np.float32)
    audio[1000 : 1000 + len(odd)] = odd
    return encoded("float.wav", audio)


ODD = {
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


def odd_bytes(content):
    return (
        content
        if isinstance(content, bytes)
        else with_sample_rate(encoded("wav", song(2)), content)
    )


@pytest.mark.parametrize("name", ODD)
def test_a_file_that_is_no_music_is_a_clear_error(tmp_path, name):
    content, reason = ODD[name]
    (tmp_path / name).write_bytes(odd_bytes(content))
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
def test_whatever_a_header_holds_it_is_sound_or_a_clear_error(tmp_path_factory, kind, changes):
    data = bytearray(whole_file(kind)[:30_000])
    for place, value in changes:
        data[place] = value
    try:
        recording = decoded(tmp_path_factory.getbasetemp(), kind, bytes(data))
    except CorpusError:
        return
    assert np.isfinite(recording.audio).all()
    assert len(recording.audio) < 100 * SAMPLE_RATE * SECONDS


def test_odd_files_of_every_kind_leave_the_others_in_the_corpus(tmp_path):
    folder = tmp_path / "music"
    folder.mkdir()
    for name, (content, _) in ODD.items():
        (folder / name).write_bytes(odd_bytes(content))
    sound = encoded("wav", song(6))
    (folder / "song.wav").write_bytes(sound)
    Path(os.fsdecode(os.fsencode(folder) + b"/tr\xe9s.wav")).write_bytes(sound)
    write_folder_corpus(tmp_path / "corpus", folder)
    corpus = Corpus.open(tmp_path / "corpus")
    assert {r.provenance["path"] for r in corpus.records} == {"song.wav", "tr\\xe9s.wav"}
    reasons = {skip["path"]: skip["reason"] for skip in corpus.header["skipped"]}
    assert sorted(reasons) == sorted(ODD)
    assert all("\n" not in reason for reason in reasons.values())


def test_a_piece_that_fails_in_an_unforeseen_way_is_left_out(tmp_path, monkeypatch):
    real = cutting.decode

    def failing(path):
        if path.name in fates:
            raise fates[path.name]
        return real(path)

    fates = {
        "a.wav": ZeroDivisionError("by zero"),
        "b.wav": MemoryError(),
        "c.wav": OSError("gone"),
    }
    monkeypatch.setattr(cutting, "decode", failing)
    (tmp_path / "music").mkdir()
    for name in (*fates, "song.wav"):
        (tmp_path / "music" / name).write_bytes(encoded("wav", song(8)))
    write_folder_corpus(tmp_path / "corpus", tmp_path / "music")
    skipped = Corpus.open(tmp_path / "corpus").header["skipped"]
    assert [skip["path"] for skip in skipped] == sorted(fates)


def test_a_recording_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_files, "LONGEST_HOURS", 1 / 360)
    (tmp_path / "a.flac").write_bytes(encoded("flac", np.zeros(13 * SAMPLE_RATE)))
    with pytest.raises(CorpusError, match="longer than"):
        decode(tmp_path / "a.flac")


# -- workers --------------------------------------------------------------------------------


def fate(job):
    """What a file can do to its worker."""
    if job == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    if job == "ends":
        os._exit(3)
    if job == "hangs":
        time.sleep(600.0)
    if job == "eats":
        return len(bytearray(2**50))
    return job


def test_a_worker_that_is_lost_takes_only_its_own_job_with_it():
    jobs = ["a", "dies", "b", "ends", "c", "hangs", "d", "dies", "e"]

    def lost(job, reason):
        return f"{job}: {reason}"

    results = sorted(
        run_guarded(fate, jobs, 2, lost=lost, seconds=lambda job: 6.0 if job == "hangs" else 300.0)
    )
    assert results == [
        "a", "b", "c", "d",
        "dies: was killed by signal 11", "dies: was killed by signal 11",
        "e", "ends: ended with 3", "hangs: took longer than 6 s",
    ]  # fmt: skip


def test_a_worker_cannot_take_all_memory():
    with pytest.raises(MemoryError):
        list(run_guarded(fate, ["eats"], 1, lost=lambda _job, reason: reason))


def test_where_every_job_counts_a_lost_worker_is_a_clear_error():
    with pytest.raises(CorpusError, match=r"a worker was lost \(it was killed by signal 11\)"):
        list(run_in_workers(fate, ["dies", "dies"], 2))


def cut_or_die(job):
    if job.piece.name == "bad.wav":
        os.kill(os.getpid(), signal.SIGKILL)
    cutting._cut_piece(job)


def test_a_file_that_kills_its_worker_is_one_line_in_the_list(tmp_path, monkeypatch):
    real = cutting.run_guarded
    monkeypatch.setattr(
        cutting,
        "run_guarded",
        lambda _function, jobs, n, **more: real(cut_or_die, jobs, n, **more),
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
        cutting._longest_seconds(
            cutting._Job(tmp_path, 0, cutting.Piece(tmp_path / name, name), None)
        )
        for name in ("a.wav", "b.wav", "gone.wav")
    )
    assert 0.0 < gone < short < long
