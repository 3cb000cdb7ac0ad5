"""Music for tests: synthetic chords and drums on a known grid."""

from __future__ import annotations

import numpy as np
import soundfile

from training.corpus.format import SAMPLE_RATE

# A minor, F, C, G: the notes of C major, one chord a bar.
CHORDS = ((57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62))


def click_track(n_beats, bpm, sample_rate=SAMPLE_RATE):
    """Noise bursts on every beat over a soft tone, (n_samples,)."""
    rng = np.random.default_rng(int(bpm))
    period = round(60.0 / bpm * sample_rate)
    time = np.arange(period) / sample_rate
    beat = 0.5 * rng.standard_normal(period) * np.exp(-time * 60.0)
    track = np.tile(np.clip(beat, -0.9, 0.9), n_beats)
    return 0.5 * track + 0.05 * np.sin(2 * np.pi * 220.0 * np.arange(len(track)) / sample_rate)


def song(n_bars, bpm=90.0, *, semitones=0, lead_seconds=0.0, sample_rate=SAMPLE_RATE, seed=0):
    """Kick on one, snare on two and four, a chord a bar, (n_samples,); beat 0 after the lead."""
    rng = np.random.default_rng(seed)
    beat = 60.0 / bpm
    n_lead = round(lead_seconds * sample_rate)
    audio = 1e-4 * rng.standard_normal(n_lead + round(4 * n_bars * beat * sample_rate))
    for bar in range(n_bars):
        chord = CHORDS[bar % len(CHORDS)]
        for number in range(4):
            start = n_lead + round((4 * bar + number) * beat * sample_rate)
            _add(audio, start, _chord(chord, semitones, beat, sample_rate))
            if number == 0:
                _add(audio, start, _kick(sample_rate))
            if number % 2:
                _add(audio, start, _snare(sample_rate, rng))
    return audio.astype(np.float32)


def waltz(n_bars, bpm=110.0, *, sample_rate=SAMPLE_RATE):
    """Kick and bass on one, a chord and a brush on two and three, (n_samples,)."""
    rng = np.random.default_rng(1)
    beat = 60.0 / bpm
    audio = 1e-4 * rng.standard_normal(round(3 * n_bars * beat * sample_rate))
    for bar in range(n_bars):
        chord = CHORDS[bar % len(CHORDS)]
        for number in range(3):
            start = round((3 * bar + number) * beat * sample_rate)
            if number == 0:
                _add(audio, start, _kick(sample_rate))
                _add(audio, start, 2.0 * _chord((chord[0] - 12,), 0, 2 * beat, sample_rate))
            else:
                _add(audio, start, _chord(chord, 0, beat, sample_rate))
                _add(audio, start, 0.3 * _snare(sample_rate, rng))
    return audio.astype(np.float32)


def _add(audio, start, sound):
    fitting = sound[: len(audio) - start]
    audio[start : start + len(fitting)] += fitting


def _chord(keys, semitones, seconds, sample_rate):
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    hertz = [440.0 * 2.0 ** ((key + semitones - 69) / 12.0) for key in keys]
    return 0.08 * np.exp(-3.0 * time) * sum(np.sin(2 * np.pi * f * time) for f in hertz)


def _kick(sample_rate):
    time = np.arange(round(0.15 * sample_rate)) / sample_rate
    return 0.6 * np.sin(2 * np.pi * 60.0 * time) * np.exp(-20.0 * time)


def _snare(sample_rate, rng):
    time = np.arange(round(0.15 * sample_rate)) / sample_rate
    return 0.2 * rng.standard_normal(len(time)) * np.exp(-30.0 * time)


def babble(seconds, seed=0):
    """Voice-like sound: a buzz that glides, in syllables of uneven length, (n_samples,)."""
    rng = np.random.default_rng(seed)
    syllables = []
    while sum(map(len, syllables)) < seconds * SAMPLE_RATE:
        time = np.arange(round(rng.uniform(0.09, 0.3) * SAMPLE_RATE)) / SAMPLE_RATE
        hertz = rng.uniform(90.0, 150.0) * 2.0 ** (rng.uniform(-1.5, 1.5) * time / time[-1])
        phase = 2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE
        voiced = sum(np.sin(k * phase) / k for k in range(1, 15))
        syllables.append(0.2 * voiced * np.sin(np.pi * time / time[-1]))
        syllables.append(np.zeros(round(rng.choice([0.02, 0.05, 0.4]) * SAMPLE_RATE)))
    return np.concatenate(syllables)[: round(seconds * SAMPLE_RATE)].astype(np.float32)


def tagged(path, audio, sample_rate, **tags):
    """Write a file with tags."""
    with soundfile.SoundFile(path, "w", sample_rate, 1) as file:
        for name, value in tags.items():
            setattr(file, name, value)
        file.write(audio)
