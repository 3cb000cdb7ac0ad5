"""Beats, bars and their clarity; stretches that make no loop are rejected with the reason."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from tests.support.synthetic_music import babble, song
from training.corpus.format import MARGIN, SAMPLE_RATE
from training.corpus.generator.corpus_writer import write_studio_corpus
from training.corpus.reader import Corpus
from training.corpus.recordings import beats as rhythm
from training.corpus.recordings import keys
from training.corpus.recordings.audio_files import decode
from training.corpus.recordings.metre import find_metre
from training.corpus.recordings.onsets import Onsets, find_onsets, track_beats
from training.corpus.recordings.rejection import find_fault, pitch_steadiness

CLEAN = np.zeros(1000, dtype=np.float32)


def test_stretches_that_make_no_loop_are_rejected_with_the_reason():
    beats = np.arange(17) * 15000
    tone = 0.1 * np.sin(np.arange(beats[-1]) * 0.1).astype(np.float32)
    halved = tone * np.where(np.arange(len(tone)) > len(tone) // 2, 1e-3, 1.0).astype(np.float32)
    assert find_fault(tone, beats, 0.9, CLEAN) is None
    assert "no steady beat" in find_fault(tone, beats, 0.1, CLEAN)
    assert "silent" in find_fault(1e-3 * tone, beats, 0.9, CLEAN)
    assert "silent" in find_fault(halved, beats, 0.9, CLEAN)
    assert "clipped" in find_fault(tone, beats, 0.9, CLEAN + 0.01)
    assert "speech-like" in find_fault(babble(12.0), beats, 0.2, CLEAN)


def test_the_pitch_of_voices_is_less_steady_than_that_of_notes():
    assert pitch_steadiness(babble(10.0)) < 0.25
    assert pitch_steadiness(song(4, 90.0)) > 0.5


def test_clipping_in_one_channel_is_detected_before_the_mix(tmp_path):
    tone = np.sin(np.arange(SAMPLE_RATE) * 0.05)
    both = np.stack([np.clip(4.0 * tone, -1.0, 1.0), np.zeros_like(tone)], axis=1)
    soundfile.write(tmp_path / "one.wav", both, SAMPLE_RATE)
    recording = decode(tmp_path / "one.wav")
    assert np.abs(recording.audio).max() < 0.6
    assert recording.clipped.mean() > 0.5
    soundfile.write(tmp_path / "none.wav", 0.99 * tone, SAMPLE_RATE)
    assert not decode(tmp_path / "none.wav").clipped.any()


def in_free_time(audio, seed):
    """Play audio faster and slower by up to a half, at random."""
    n_knots = len(audio) // 11025 + 2
    speed = 1.0 + 0.5 * np.random.default_rng(seed).uniform(-1.0, 1.0, n_knots)
    times = np.cumsum(np.interp(np.arange(len(audio)), 11025 * np.arange(n_knots), speed))
    return np.interp(times[times < len(audio)], np.arange(len(audio)), audio).astype(np.float32)


def test_the_pulse_of_a_song_is_clear_and_that_of_free_time_is_not():
    audio = song(14, 90.0)
    clarities = {}
    for name, signal in (("steady", audio), ("free", in_free_time(audio, seed=1))):
        onsets = find_onsets(signal)
        beats = track_beats(onsets, 90.0)
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
def test_sound_without_onsets_has_no_beat(tmp_path, name, subtype):
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
        onsets = find_onsets(studio.audio(number))
        beats = np.rint(np.asarray(studio.records[number].beats) + MARGIN).astype(np.int64)
        clarities.append(rhythm.pulse_clarity(onsets, beats))
    assert min(clarities) > 0.0
    assert np.median(clarities) > 0.75


@pytest.mark.parametrize("bpm", [66.0, 100.0, 140.0])
@pytest.mark.parametrize("cut", [0.25, 0.5, 0.75])
def test_music_that_is_cut_between_beats_keeps_its_beats_at_both_ends(bpm, cut):
    beat = 60.0 * SAMPLE_RATE / bpm
    audio = song(10, bpm)[round(cut * beat) : round((35.0 + cut) * beat)]
    positions = track_beats(find_onsets(audio), bpm) / beat + cut
    assert np.rint(positions).tolist() == list(range(1, 36))
    assert positions == pytest.approx(np.rint(positions), abs=0.15)


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


def test_a_very_short_recording_has_no_beats():
    onsets = Onsets(np.zeros((4, 1), np.float32), np.zeros(1, np.float32))
    assert len(track_beats(onsets, 90.0)) == 0
    assert find_metre(onsets, np.zeros((2, 12, 1), np.float32), keys.HOP) is None
