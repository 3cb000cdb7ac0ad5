"""The contents of an audio file are used to their end, whatever its header says."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sound_files import (
    KINDS,
    SECONDS,
    claiming_chunk_bytes,
    claiming_flac_samples,
    claiming_mpeg_frames,
    decoded,
    encoded,
    ten_seconds,
    whole_file,
    without_xing,
)
from training.corpus.format import SAMPLE_RATE, CorpusError
from training.corpus.recordings import audio_files
from training.corpus.recordings import corpus_writer as cutting
from training.corpus.recordings.audio_files import decode
from training.inversion_study.experiment import read_music

UNIT_SECONDS = {"ogg": 2.5, "opus": 1.1}  # longest page; of the others, a frame and its neighbours
MPEG_FRAME = 0.08


@pytest.fixture
def music():
    return ten_seconds()


@pytest.fixture
def whole():
    return {kind: whole_file(kind) for kind in KINDS}


def assert_is_start_of(audio, music, tolerance=0.15):
    """Check that the decoded audio is the music from its start."""
    if len(audio) < 1.2 * SAMPLE_RATE:  # too short to find its delay; of Ogg, one page
        return
    probe = slice(SAMPLE_RATE // 2, SAMPLE_RATE)
    delay = max(
        range(1300), key=lambda d: float(audio[probe.start + d : probe.stop + d] @ music[probe])
    )
    aligned = audio[delay:]
    n_common = min(len(aligned), len(music)) - 3000
    tenth = SAMPLE_RATE // 10
    for first in range(0, n_common - tenth, tenth):
        a, b = aligned[first : first + tenth], music[first : first + tenth]
        likeness = float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9)
        assert likeness > 1 - tolerance, f"{first / SAMPLE_RATE:.1f} s is not the music"


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_used_to_its_end_and_not_reported_as_broken(tmp_path, whole, music, kind):
    recording = decoded(tmp_path, kind, whole[kind])
    assert recording.broken_after_seconds is None
    assert len(recording.audio) == pytest.approx(len(music), abs=2)
    assert_is_start_of(recording.audio, music)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, deadline=None, derandomize=True, database=None)
@given(share=st.floats(0.3, 0.97))
def test_a_file_cut_anywhere_is_used_to_the_cut_and_reported_as_broken(
    tmp_path_factory, kind, share
):
    music, complete = ten_seconds(), whole_file(kind)
    data = complete[: round(len(complete) * share)]
    recording = decoded(tmp_path_factory.mktemp("cut"), kind, data)
    seconds = len(recording.audio) / SAMPLE_RATE
    assert recording.broken_after_seconds == pytest.approx(seconds, abs=0.1)
    assert seconds < SECONDS
    # The share of bytes is that of time, except where the rate varies.
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


def test_a_flac_of_unknown_length_that_was_cut_is_reported_as_broken(tmp_path, whole):
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
    # From the end back to the damage the two are equal: no stretch is repeated.
    after = round((seconds - recording.broken_after_seconds - 0.5) * SAMPLE_RATE)
    assert_is_start_of(recording.audio[::-1][:after], music[::-1])


def test_no_loop_is_cut_across_the_damage():
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


def test_a_file_that_needs_ffmpeg_is_reported_where_it_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_files.shutil, "which", lambda _name: None)
    (tmp_path / "a.m4a").write_bytes(b"no music")
    with pytest.raises(CorpusError, match="ffmpeg, which might, is not installed"):
        decode(tmp_path / "a.m4a")
