"""Recordings become loops on a grid of bars, and nothing is left out without a reason."""

from __future__ import annotations

import os

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from device.audio.loudness import integrated_lufs
from tests.support.synthetic_music import babble, click_track, song, tagged
from training.commands.corpus import corpus as command
from training.corpus.format import MARGIN, SAMPLE_RATE, CorpusError
from training.corpus.generator.corpus_writer import write_studio_corpus
from training.corpus.reader import Corpus
from training.corpus.recordings import audio_files, keys
from training.corpus.recordings import beats as rhythm
from training.corpus.recordings import corpus_writer as cutting
from training.corpus.recordings.audio_files import decode, read_tags
from training.corpus.recordings.folder import find_music, write_folder_corpus
from training.corpus.recordings.rejection import find_fault, pitch_steadiness
from training.corpus.recordings.splits import LoopOrigin, choose_held_out

CLEAN = np.zeros(1000, dtype=np.float32)


def contents(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def write_broken_mp3(path):
    """Real frames, then noise where frames should be."""
    soundfile.write(path, song(30, 100.0), SAMPLE_RATE, format="MP3")
    frames = bytearray(path.read_bytes())
    middle = len(frames) // 2
    frames[middle:] = np.random.default_rng(0).bytes(len(frames) - middle)
    path.write_bytes(frames)


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    music = tmp_path_factory.mktemp("music")
    (music / "album").mkdir()
    slow = song(10, 80.0, lead_seconds=1.0, sample_rate=44100)
    tags = {"artist": "Nobody", "title": "Four Chords", "license": "CC-BY-4.0"}
    tagged(music / "album" / "slow.flac", slow, 44100, **tags)
    soundfile.write(music / "fast.wav", song(10, 100.0, semitones=3), SAMPLE_RATE)
    loud = np.where(np.abs(click_track(24, 90.0)) > 0.02, 1.0, -1.0)
    soundfile.write(music / "loud.wav", loud * np.sign(click_track(24, 90.0)), SAMPLE_RATE)
    soundfile.write(music / "short.wav", click_track(4, 90.0), SAMPLE_RATE)
    soundfile.write(music / "silence.wav", np.zeros(10 * SAMPLE_RATE), SAMPLE_RATE)
    soundfile.write(music / "talk.ogg", babble(25.0), SAMPLE_RATE)
    soundfile.write(music / "hole.wav", np.full(SAMPLE_RATE, np.nan), SAMPLE_RATE, subtype="FLOAT")
    write_broken_mp3(music / "torn.mp3")
    (music / "empty.wav").touch()
    (music / "broken.ogg").write_bytes(b"this is no music")
    (music / "notes.txt").write_text("track list")
    return music


@pytest.fixture(scope="module")
def folder_corpus(music, tmp_path_factory):
    directory = tmp_path_factory.mktemp("folder") / "corpus"
    write_folder_corpus(directory, music)
    return directory


def records_by_path(directory):
    found = {}
    for record in Corpus.open(directory).records:
        found.setdefault(record.provenance["path"], []).append(record)
    return found


# -- a folder of music ----------------------------------------------------------------------


def test_a_folder_becomes_loops_at_the_tempo_of_their_music(folder_corpus):
    records = records_by_path(folder_corpus)
    tempos = {path: [r.labels["tempo_bpm"] for r in found] for path, found in records.items()}
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
    pushed = 0.3 + 0.5 * song(8, 90.0)
    soundfile.write(tmp_path / "music" / "a.wav", pushed, SAMPLE_RATE)
    write_folder_corpus(tmp_path / "corpus", tmp_path / "music")
    corpus = Corpus.open(tmp_path / "corpus")
    for number in range(len(corpus)):
        assert abs(corpus.audio(number)[MARGIN:-MARGIN].mean()) < 1e-3


def test_the_beats_of_a_loop_fall_on_its_strokes(tmp_path):
    (tmp_path / "music").mkdir()
    soundfile.write(tmp_path / "music" / "a.wav", click_track(40, 80.0), SAMPLE_RATE)
    write_folder_corpus(tmp_path / "corpus", tmp_path / "music")
    corpus = Corpus.open(tmp_path / "corpus")
    for number in range(len(corpus)):
        frames = corpus.frames(number, np.arange(1, 16), 4410)
        onset = np.argmax(np.mean(frames**2, axis=0))
        assert abs(onset - 2205) < 0.010 * SAMPLE_RATE


def test_tags_and_hash_are_kept_and_an_unknown_licence_is_null(folder_corpus):
    provenances = {path: r[0].provenance for path, r in records_by_path(folder_corpus).items()}
    assert provenances["album/slow.flac"]["artist"] == "Nobody"
    assert provenances["album/slow.flac"]["title"] == "Four Chords"
    assert provenances["album/slow.flac"]["licence"] == "CC-BY-4.0"
    assert provenances["fast.wav"]["licence"] is None
    assert len(provenances["fast.wav"]["sha256"]) == 64


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac", "wav"])
def test_every_kind_of_file_is_heard_and_its_artist_read(tmp_path, suffix):
    audio = song(2, 90.0, sample_rate=44100)
    tagged(tmp_path / f"a.{suffix}", audio, 44100, artist="Nobody")
    heard = decode(tmp_path / f"a.{suffix}").audio
    assert heard.dtype == np.float32
    assert len(heard) == pytest.approx(len(audio) / 2, abs=1200)
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(np.sqrt(np.mean(audio**2)), rel=0.05)
    assert read_tags(tmp_path / f"a.{suffix}").artist == "Nobody"


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


def test_a_broken_file_says_nothing_on_the_terminal(music, capfd):
    decode(music / "torn.mp3")
    assert capfd.readouterr() == ("", "")


def test_a_run_that_was_killed_goes_on(music, folder_corpus, tmp_path, monkeypatch):
    real_decode = cutting.decode

    def killed_at_talk(path):
        if path.name == "talk.ogg":
            raise KeyboardInterrupt
        return real_decode(path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cutting, "decode", killed_at_talk)
        write_folder_corpus(tmp_path / "killed", music)
    assert list((tmp_path / "killed").glob("shard-*.json"))
    write_folder_corpus(tmp_path / "killed", music)
    assert contents(tmp_path / "killed") == contents(folder_corpus)


def test_the_number_of_workers_does_not_change_a_byte(music, folder_corpus, tmp_path):
    write_folder_corpus(tmp_path / "two", music, n_workers=2)  # slow: each imports librosa anew
    assert contents(tmp_path / "two") == contents(folder_corpus)


def test_a_folder_that_changed_needs_another_corpus(folder_corpus, music):
    before = contents(folder_corpus)
    extra = music / "new.wav"
    soundfile.write(extra, click_track(4, 90.0), SAMPLE_RATE)
    try:
        with pytest.raises(CorpusError, match="choose another --out"):
            write_folder_corpus(folder_corpus, music)
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


def test_linked_folders_are_followed_and_each_real_folder_is_looked_into_once(tmp_path):
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
    found = find_music(music)
    names = [str(path.relative_to(music)) for path in found.paths]
    assert names == ["a/1.flac", "b/2.flac", "m/c/3.flac", "z/4.flac", "z/5.flac"]
    assert [(skip.path, skip.reason) for skip in found.refused] == [
        ("itself.ogg", "a link to nothing that can be reached"),
        ("unplugged", "a link to nothing that can be reached"),
    ]


def test_a_folder_that_cannot_be_looked_into_is_listed(tmp_path, monkeypatch):
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
        ("a", "cannot be looked into (Permission denied)")
    ]


def test_a_folder_without_a_usable_loop_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "broken.mp3").write_bytes(b"no music")
    with pytest.raises(CorpusError, match=r"none of the 1 files .* broken\.mp3: unreadable"):
        write_folder_corpus(tmp_path / "corpus", tmp_path / "music")
    assert not (tmp_path / "corpus").exists()


def test_the_folder_command_shows_what_it_skipped(music, tmp_path):
    options = ["folder", str(music), "--out", str(tmp_path / "c"), "--workers", "1"]
    result = CliRunner().invoke(command, options)
    assert result.exit_code == 0, result.output
    assert "skipped, all listed in" in result.output
    assert "broken.ogg: unreadable" in result.output


# -- one key --------------------------------------------------------------------------------


@pytest.mark.parametrize("semitones", [0, 3, -5])
def test_the_key_of_a_song_is_found_wherever_it_stands(semitones):
    key = keys.find_key(keys.find_chroma(song(8, 90.0, semitones=semitones)))
    assert key.signature == semitones % 12
    assert key.margin > 0.05


def test_a_minor_key_moves_to_where_its_relative_major_goes():
    assert keys.Key(9, "minor", 0.1).semitones_to(0) == 0
    assert keys.Key(0, "minor", 0.1).semitones_to(0) == -3
    assert [keys.Key(tonic, "major", 0.1).semitones_to(0) for tonic in (1, 6, 7, 11)] == [
        -1, -6, 5, 1,
    ]  # fmt: skip


def test_transposed_pieces_sound_in_the_key_asked_for_and_stay_on_their_beats(music, tmp_path):
    write_folder_corpus(tmp_path / "corpus", music, key="C")
    corpus = Corpus.open(tmp_path / "corpus")
    assert corpus.header["key"] == "C"
    moved = records_by_path(tmp_path / "corpus")["fast.wav"][0]
    assert moved.labels["transposed_semitones"] == -3
    assert moved.labels["tempo_bpm"] == pytest.approx(100.0 * 2.0 ** (-3 / 12), abs=0.5)
    audio = corpus.audio(corpus.records.index(moved))
    assert keys.find_key(keys.find_chroma(audio)).signature == 0
    # The kick of every bar still falls on its first beat.
    low = np.abs(np.fft.rfft(corpus.frames(corpus.records.index(moved), np.arange(16), 2048)))
    strokes = low[:, 3:8].sum(axis=1).reshape(4, 4).mean(axis=0)
    assert strokes.argmax() == 0


def test_up_and_down_again_is_the_same_sound():
    audio = song(2, 90.0)
    there_and_back = keys.transpose(keys.transpose(audio, -5), 5)
    n_samples = min(len(audio), len(there_and_back))
    error = there_and_back[100 : n_samples - 100] - audio[100 : n_samples - 100]
    # What a resampler takes is the top of the band: here, of the snares.
    assert np.sqrt(np.mean(error**2)) < 0.1 * np.sqrt(np.mean(audio**2))


def test_a_piece_in_no_clear_key_is_left_out_when_one_is_asked_for(tmp_path):
    (tmp_path / "music").mkdir()
    noise = 0.1 * np.random.default_rng(1).standard_normal(15 * SAMPLE_RATE)
    soundfile.write(tmp_path / "music" / "noise.wav", noise, SAMPLE_RATE)
    soundfile.write(tmp_path / "music" / "song.wav", song(8, 90.0), SAMPLE_RATE)
    write_folder_corpus(tmp_path / "corpus", tmp_path / "music", key="Eb")
    skipped = Corpus.open(tmp_path / "corpus").header["skipped"]
    assert [s["path"] for s in skipped if "no clear key" in s["reason"]] == ["noise.wav"]


def test_a_key_that_is_none_is_refused_and_leaves_nothing(music, tmp_path):
    with pytest.raises(CorpusError, match="key is 'H', expected one of: C, C#"):
        write_folder_corpus(tmp_path / "corpus", music, key="H")
    assert not (tmp_path / "corpus").exists()


# -- beats and faults -----------------------------------------------------------------------


def test_stretches_that_are_no_loop_are_named():
    beats = np.arange(17) * 15000
    tone = 0.1 * np.sin(np.arange(beats[-1]) * 0.1).astype(np.float32)
    halved = tone * np.where(np.arange(len(tone)) > len(tone) // 2, 1e-3, 1.0).astype(np.float32)
    assert find_fault(tone, beats, 0.9, CLEAN) is None
    assert "no steady beat" in find_fault(tone, beats, 0.1, CLEAN)
    assert "silent" in find_fault(1e-3 * tone, beats, 0.9, CLEAN)
    assert "silent" in find_fault(halved, beats, 0.9, CLEAN)
    assert "clipped" in find_fault(tone, beats, 0.9, CLEAN + 0.01)
    assert "speech-like" in find_fault(babble(12.0), beats, 0.2, CLEAN)


def test_voices_glide_and_notes_stay():
    assert pitch_steadiness(babble(10.0)) < 0.25
    assert pitch_steadiness(song(4, 90.0)) > 0.5


def test_clipping_is_seen_in_one_channel_though_the_mix_hides_it(tmp_path):
    tone = np.sin(np.arange(SAMPLE_RATE) * 0.05)
    both = np.stack([np.clip(4.0 * tone, -1.0, 1.0), np.zeros_like(tone)], axis=1)
    soundfile.write(tmp_path / "one.wav", both, SAMPLE_RATE)
    recording = decode(tmp_path / "one.wav")
    assert np.abs(recording.audio).max() < 0.6
    assert recording.clipped.mean() > 0.5
    soundfile.write(tmp_path / "none.wav", 0.99 * tone, SAMPLE_RATE)
    assert not decode(tmp_path / "none.wav").clipped.any()


def in_free_time(audio, seed):
    """Play audio faster and slower by up to a half, as the moment takes it."""
    n_knots = len(audio) // 11025 + 2
    speed = 1.0 + 0.5 * np.random.default_rng(seed).uniform(-1.0, 1.0, n_knots)
    places = np.cumsum(np.interp(np.arange(len(audio)), 11025 * np.arange(n_knots), speed))
    return np.interp(places[places < len(audio)], np.arange(len(audio)), audio).astype(np.float32)


def test_the_pulse_of_a_song_is_clear_and_that_of_free_time_is_not():
    audio = song(14, 90.0)
    clarities = {}
    for name, signal in (("steady", audio), ("free", in_free_time(audio, seed=1))):
        onsets = rhythm.find_onsets(signal)
        beats = rhythm.track_beats(signal, onsets)
        starts = range(0, len(beats) - 16, 16)
        clarities[name] = [rhythm.pulse_clarity(onsets, beats[i : i + 17]) for i in starts]
    assert min(clarities["steady"]) > 0.9
    assert max(clarities["free"]) < 0.4


def tones(*hertz, level=0.1, seconds=20.0):
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return level * sum(np.sin(2 * np.pi * f * time + f) for f in hertz)


def tremolo(audio, hertz, depth):
    time = np.arange(len(audio)) / SAMPLE_RATE
    return audio * (1.0 - depth * (0.5 - 0.5 * np.sin(2 * np.pi * hertz * time)))


def hum(fundamental):
    return sum(tones(k * fundamental, level=0.2 / k) for k in range(1, 12))


CHORD = (130.8, 261.6, 329.6, 392.0)
STEADY = {
    "hum of 50 Hz": hum(50.0),
    "hum of 60 Hz": hum(60.0),
    "soft hum": 0.05 * hum(50.0),
    "hum that fades in": hum(50.0) * np.linspace(0.1, 1.0, round(20.0 * SAMPLE_RATE)),
    "low tone": tones(50.0),
    "tone": tones(220.0),
    "high tone": tones(3000.0),
    "chord": tones(*CHORD),
    "chord, slightly trembling": tremolo(tones(*CHORD), 2.0, 0.3),
    "chord, trembling": tremolo(tones(*CHORD), 1.0, 0.6),
    "tones that beat": tones(220.0, 222.0),
    "noise": 0.1 * np.random.default_rng(0).standard_normal(20 * SAMPLE_RATE),
    "noise over hum": hum(50.0) + 0.01 * np.random.default_rng(1).standard_normal(20 * SAMPLE_RATE),
}


@pytest.mark.parametrize("name", STEADY)
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_what_has_no_onsets_has_no_beat(tmp_path, name, subtype):
    soundfile.write(tmp_path / "a.wav", STEADY[name], SAMPLE_RATE, subtype=subtype)
    audio = decode(tmp_path / "a.wav").audio
    segments = rhythm.find_segments(audio, keys.find_chroma(audio), keys.HOP)
    faults = [find_fault(audio, s.beats, s.clarity, CLEAN) for s in segments]
    assert all("no steady beat" in str(f) or "speech-like" in str(f) for f in faults), faults


@pytest.mark.parametrize("hiss", [0.0, 0.003])
@pytest.mark.parametrize("level", [1.0, 0.2])
def test_soft_and_noisy_strokes_are_a_beat(hiss, level):
    audio = song(16, 90.0)
    audio = level * (audio + hiss * np.random.default_rng(2).standard_normal(len(audio)))
    audio = audio.astype(np.float32)
    segments = list(rhythm.find_segments(audio, keys.find_chroma(audio), keys.HOP))
    assert segments  # with hiss, the tracker takes half the tempo
    assert all(find_fault(audio, s.beats, s.clarity, CLEAN) is None for s in segments)


def test_loops_of_the_studio_have_a_beat(tmp_path):
    write_studio_corpus(tmp_path / "studio", seed=5, minutes=1.6)
    studio = Corpus.open(tmp_path / "studio")
    clarities = []
    for number in range(len(studio)):
        onsets = rhythm.find_onsets(studio.audio(number))
        beats = np.rint(np.asarray(studio.records[number].beats) + MARGIN).astype(np.int64)
        clarities.append(rhythm.pulse_clarity(onsets, beats))
    assert min(clarities) > 0.0
    assert np.median(clarities) > 0.75


def test_a_row_of_beats_is_split_where_it_jumps():
    beats = np.cumsum([100] * 5 + [160] + [100] * 4)
    assert [len(run) for run in rhythm.steady_runs(beats)] == [5, 5]
    assert rhythm.steady_runs(beats[:1]) == []


def test_jitter_is_smoothed_and_a_drifting_tempo_is_kept():
    numbers = np.arange(17)
    drifting = 15000.0 * numbers + 20.0 * numbers**2
    tracked = np.rint(drifting + np.random.default_rng(0).uniform(-256, 256, 17)).astype(np.int64)
    error = rhythm.smooth_beats(tracked) - drifting
    assert np.abs(error).max() < 256
    assert np.std(error) < 0.6 * np.std(tracked - drifting)


@pytest.mark.parametrize("n_samples", [0, 10, 5000])
def test_next_to_nothing_has_no_beats(n_samples):
    audio = np.zeros(n_samples, dtype=np.float32)
    onsets = rhythm.Onsets(np.zeros(1, np.float32), np.zeros(1, np.float32))
    assert len(rhythm.track_beats(audio, onsets)) == 0


# -- what is held out -----------------------------------------------------------------------


def origins(sizes, artists=None):
    """Loops of pieces with so many loops each."""
    return [
        LoopOrigin(shard, f"{piece}{n}", {"sha256": piece, "artist": (artists or {}).get(piece)})
        for shard, (piece, size) in enumerate(sizes.items())
        for n in range(size)
    ]


@pytest.mark.parametrize(
    ("sizes", "artists", "by", "n_held_out"),
    [
        ({"a": 10}, None, None, 0),  # too small to spare anything
        ({"a": 300}, None, None, 0),  # one piece cannot be both heard and held out
        ({"a": 30, "b": 30}, None, None, 0),  # half the music is too much to lose
        (dict.fromkeys("abcdef", 20), None, "piece", 20),
        (dict.fromkeys("abcdef", 20), dict.fromkeys("abcdef", "X"), "piece", 20),
        (dict.fromkeys("abcdefghijklmnopqrstuvwxyz", 2), None, "artist", 2),
        (dict.fromkeys("abcdefghijklmnopqrst", 4), {p: p in "ab" for p in "abc"}, "artist", 4),
    ],
)
def test_whole_artists_are_held_out_or_whole_pieces(sizes, artists, by, n_held_out):
    split = choose_held_out(origins(sizes, artists))
    assert split.by == by
    assert len(split.held_out) == n_held_out


def test_nothing_that_is_held_out_is_also_trained_on(tmp_path):
    (tmp_path / "music").mkdir()
    for number in range(8):
        audio = song(14, 80.0 + number, semitones=number, seed=number)
        path = tmp_path / "music" / f"{number}.flac"
        tagged(path, audio, SAMPLE_RATE, artist=f"Artist {number // 2}")
    write_folder_corpus(tmp_path / "corpus", tmp_path / "music")
    corpus = Corpus.open(tmp_path / "corpus")
    # Four artists with a quarter of the loops each: too much to spare, so a piece is held out.
    assert corpus.header["split_by"] == "piece"
    sides = {
        split: {corpus.records[i].provenance["sha256"] for i in corpus.indices(split)}
        for split in ("train", "held-out")
    }
    assert len(sides["held-out"]) == 1
    assert len(sides["train"]) == 7
    assert not sides["train"] & sides["held-out"]


def test_a_decoder_that_fails_is_not_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_files.shutil, "which", lambda _name: None)
    (tmp_path / "a.m4a").write_bytes(b"no music")
    with pytest.raises(CorpusError, match="ffmpeg, which might, is not installed"):
        decode(tmp_path / "a.m4a")
