"""A folder of recordings becomes loops on a grid of bars; the rest is listed with its reason."""

from __future__ import annotations

import os

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from device.audio.loudness import integrated_lufs
from tests.support.corpus_files import contents, records_by_path
from tests.support.synthetic_music import click_track, song, tagged
from training.commands.corpus import corpus as command
from training.corpus.format import MARGIN, SAMPLE_RATE, CorpusError
from training.corpus.parallel import Processes
from training.corpus.reader import Corpus
from training.corpus.recordings import corpus_writer as cutting
from training.corpus.recordings.audio_files import decode, read_tags
from training.corpus.recordings.folder import find_music, write_folder_corpus


@pytest.fixture(scope="module")
def folder_corpus(music_folder, tmp_path_factory):
    directory = tmp_path_factory.mktemp("folder") / "corpus"
    write_folder_corpus(directory, music_folder)
    return directory


def test_a_folder_becomes_loops_at_the_tempo_of_their_music(folder_corpus):
    records = records_by_path(folder_corpus)
    tempos = {path: [r.labels["tempo_bpm"] for r in loops] for path, loops in records.items()}
    assert tempos["album/slow.flac"] == pytest.approx([80.0, 80.0], abs=0.5)
    assert tempos["fast.wav"] == pytest.approx([100.0, 100.0], abs=0.5)
    assert 80.0 <= Corpus.open(folder_corpus).tempo_bpm <= 100.5


def test_loops_begin_with_a_bar(folder_corpus):
    for path, lead_seconds, bpm in (("album/slow.flac", 1.0, 80.0), ("fast.wav", 0.0, 100.0)):
        for record in records_by_path(folder_corpus)[path]:
            beats = (record.provenance["start_seconds"] - lead_seconds) * bpm / 60.0
            assert (beats + 2.0) % 4.0 == pytest.approx(2.0, abs=0.1)


def test_folder_loops_are_levelled(folder_corpus):
    corpus = Corpus.open(folder_corpus)
    for number in range(len(corpus)):
        audio = corpus.audio(number)
        assert np.abs(audio).max() <= cutting.PEAK_LIMIT + 1e-3
        lufs = integrated_lufs(audio[MARGIN:-MARGIN], SAMPLE_RATE)
        assert lufs == pytest.approx(cutting.LOUDNESS_LUFS, abs=0.1) or np.abs(audio).max() > 0.91


def test_an_offset_of_the_recording_is_not_in_its_loops(tmp_path):
    (tmp_path / "music").mkdir()
    audio = 0.3 + 0.5 * song(8, 90.0)
    soundfile.write(tmp_path / "music" / "a.wav", audio, SAMPLE_RATE)
    write_folder_corpus(tmp_path / "corpus", tmp_path / "music")
    corpus = Corpus.open(tmp_path / "corpus")
    for number in range(len(corpus)):
        assert abs(corpus.audio(number)[MARGIN:-MARGIN].mean()) < 1e-3


def test_the_beats_of_a_loop_fall_on_its_strokes(tmp_path):
    (tmp_path / "music").mkdir()
    soundfile.write(tmp_path / "music" / "a.wav", song(12, 80.0), SAMPLE_RATE)
    write_folder_corpus(tmp_path / "corpus", tmp_path / "music")
    corpus = Corpus.open(tmp_path / "corpus")
    for number in range(len(corpus)):
        frames = corpus.frames(number, np.arange(1, 16), 4410)
        onset = np.argmax(np.mean(frames**2, axis=0))
        assert abs(onset - 2205) < 0.010 * SAMPLE_RATE


def test_tags_and_hash_are_kept_and_an_unknown_licence_is_null(folder_corpus):
    provenances = {path: r[0].provenance for path, r in records_by_path(folder_corpus).items()}
    assert provenances["album/slow.flac"]["artist"] == "Ann"
    assert provenances["album/slow.flac"]["title"] == "Four Chords"
    assert provenances["album/slow.flac"]["licence"] == "CC-BY-4.0"
    assert provenances["fast.wav"]["licence"] is None
    assert len(provenances["fast.wav"]["sha256"]) == 64


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac", "wav"])
def test_every_kind_of_file_is_decoded_and_its_artist_read(tmp_path, suffix):
    audio = song(2, 90.0, sample_rate=44100)
    tagged(tmp_path / f"a.{suffix}", audio, 44100, artist="Ann")
    decoded = decode(tmp_path / f"a.{suffix}").audio
    assert decoded.dtype == np.float32
    assert len(decoded) == pytest.approx(len(audio) / 2, abs=1200)
    assert np.sqrt(np.mean(decoded**2)) == pytest.approx(np.sqrt(np.mean(audio**2)), rel=0.05)
    assert read_tags(tmp_path / f"a.{suffix}").artist == "Ann"


def test_what_is_left_out_is_listed_with_its_reason(folder_corpus):
    reasons = {}
    for skip in Corpus.open(folder_corpus).header["skipped"]:
        reasons.setdefault(skip["path"], []).append(skip["reason"])
    assert "unreadable" in reasons["broken.ogg"][0]
    assert "unreadable" in reasons["empty.wav"][0]
    assert "shorter than one loop" in reasons["short.wav"][0]
    assert "not finite numbers" in reasons["hole.wav"][0]
    assert reasons["silence.wav"] == ["silent"]
    assert all("speech-like" in reason for reason in reasons["talk.ogg"])
    assert all("clipped" in reason for reason in reasons["loud.wav"])
    assert "notes.txt" not in reasons
    assert "fast.wav" not in reasons


def test_a_file_that_breaks_off_gives_what_came_before(folder_corpus):
    skips = [s for s in Corpus.open(folder_corpus).header["skipped"] if s["path"] == "torn.mp3"]
    assert records_by_path(folder_corpus)["torn.mp3"]
    assert any("broken after" in skip["reason"] for skip in skips)


def test_decoding_a_broken_file_prints_nothing(music_folder, capfd):
    decode(music_folder / "torn.mp3")
    assert capfd.readouterr() == ("", "")


def test_a_killed_run_continues(music_folder, folder_corpus, tmp_path, monkeypatch):
    real_decode = cutting.decode

    def killed_at_talk(path):
        if path.name == "talk.ogg":
            raise KeyboardInterrupt
        return real_decode(path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cutting, "decode", killed_at_talk)
        write_folder_corpus(tmp_path / "killed", music_folder)
    assert list((tmp_path / "killed").glob("part-*.npz"))
    write_folder_corpus(tmp_path / "killed", music_folder)
    assert contents(tmp_path / "killed") == contents(folder_corpus)


def test_the_number_of_workers_does_not_change_a_byte(music_folder, folder_corpus, tmp_path):
    write_folder_corpus(
        tmp_path / "two", music_folder, workers=Processes(2)
    )  # slow: each imports librosa anew
    assert contents(tmp_path / "two") == contents(folder_corpus)


def test_a_folder_that_changed_needs_another_corpus(folder_corpus, music_folder):
    before = contents(folder_corpus)
    extra = music_folder / "new.wav"
    soundfile.write(extra, click_track(4, 90.0), SAMPLE_RATE)
    try:
        with pytest.raises(CorpusError, match="choose another --out"):
            write_folder_corpus(folder_corpus, music_folder)
    finally:
        extra.unlink()
    assert contents(folder_corpus) == before


def test_a_folder_without_audio_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "notes.txt").write_text("no music")
    with pytest.raises(CorpusError, match="holds no audio files"):
        write_folder_corpus(tmp_path / "corpus", tmp_path / "music")
    with pytest.raises(CorpusError, match="is not a directory"):
        write_folder_corpus(tmp_path / "corpus", tmp_path / "nowhere")
    assert not (tmp_path / "corpus").exists()


def test_linked_folders_are_followed_and_each_real_folder_is_visited_once(tmp_path):
    music, elsewhere = tmp_path / "music", tmp_path / "elsewhere"
    for name in ("music/a/1.flac", "music/b/2.flac", "elsewhere/c/3.flac", "music/z/4.flac"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (music / "0-again").symlink_to(music / "a")
    (music / "a" / "round").symlink_to(music)
    (elsewhere / "c" / "back").symlink_to(elsewhere)
    (music / "m").symlink_to(elsewhere)
    (music / "n").symlink_to(elsewhere)
    (music / "unplugged").symlink_to(tmp_path / "nowhere")
    (music / "itself.ogg").symlink_to(music / "itself.ogg")
    (music / "z" / "5.flac").symlink_to(elsewhere / "c" / "3.flac")
    files = find_music(music)
    names = [str(path.relative_to(music)) for path in files.paths]
    assert names == ["a/1.flac", "b/2.flac", "m/c/3.flac", "z/4.flac", "z/5.flac"]
    assert [(skip.path, skip.reason) for skip in files.refused] == [
        ("itself.ogg", "a link whose target cannot be reached"),
        ("unplugged", "a link whose target cannot be reached"),
    ]


def test_a_folder_that_cannot_be_read_is_listed_with_the_reason(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.flac").touch()
    scan = os.scandir

    def scandir(path):
        if str(path) == str(tmp_path / "a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [(skip.path, skip.reason) for skip in find_music(tmp_path).refused] == [
        ("a", "cannot be listed (Permission denied)")
    ]


def test_a_folder_without_a_usable_loop_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "broken.mp3").write_bytes(b"no music")
    with pytest.raises(CorpusError, match=r"none of the 1 files .* broken\.mp3: unreadable"):
        write_folder_corpus(tmp_path / "corpus", tmp_path / "music")
    assert not (tmp_path / "corpus").exists()


def test_the_folder_command_shows_what_it_skipped(music_folder, tmp_path):
    options = ["folder", str(music_folder), "--out", str(tmp_path / "c"), "--workers", "1"]
    result = CliRunner().invoke(command, options)
    assert result.exit_code == 0, result.output
    assert "skipped, all listed in" in result.output
    assert "broken.ogg: unreadable" in result.output
