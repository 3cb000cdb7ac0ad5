"""The pitched instruments, synthesised: no samples, so no licence.

Frequency modulation for the electric pianos (Chowning 1973), plucked strings, damped partials for
everything that is struck.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.corpus.format import SAMPLE_RATE
from training.corpus.generator.signals import (
    HIGHEST_PARTIAL_HZ,
    TAU,
    Signal,
    butterworth,
    detuned_sawtooths,
    exponential_decay,
    fade_in,
    low_pass,
    plucked_string,
    sine_wave,
    struck_partials,
    time_axis,
)

Voice = Callable[[float, float, float, np.random.Generator], Signal]
"""(frequency [Hz], strength 0..1, duration [s], random stream) → (n_samples,)"""


@dataclass(frozen=True, slots=True)
class Instrument:
    """The sound of an instrument and how its notes are held and released."""

    voice: Voice
    lowest_key: int
    highest_key: int
    velocity_layers: tuple[int, ...]
    longest_seconds: float
    release_seconds: float
    strum_seconds: float = 0.0


def key_frequency(key: int) -> float:
    """Return the frequency of a MIDI key [Hz]."""
    return float(440.0 * 2.0 ** ((key - 69) / 12.0))


def damping_per_second(frequency: float) -> float:
    """Higher strings and tines ring shorter [1/s]."""
    return float(0.55 * (frequency / 261.0) ** 0.45)


# -- instruments ----------------------------------------------------------------------------


def _tine_piano(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    time, damping = time_axis(seconds), damping_per_second(f)
    index = (
        (0.25 + 1.5 * strength**2) * exponential_decay(time, 1.6) * (440.0 / max(f, 220.0)) ** 0.25
    )
    tone = np.sin(TAU * f * time + index * sine_wave(f, time)) * exponential_decay(
        time, 1.1 * damping
    )
    tone += 0.06 * sine_wave(2 * f, time) * exponential_decay(time, 2 * damping)
    if 7.02 * f < HIGHEST_PARTIAL_HZ:  # the tine itself
        tone += 0.16 * strength * sine_wave(7.02 * f, time) * exponential_decay(time, 11.0)
    return fade_in(tone, 0.003)


def _glass_piano(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    time, damping = time_axis(seconds), damping_per_second(f)
    modulation = 0.5 * exponential_decay(time, 1.0) * sine_wave(1.003 * f, time)
    if 14 * f < HIGHEST_PARTIAL_HZ:
        modulation += 0.9 * strength * exponential_decay(time, 3.0) * sine_wave(14 * f, time)
    tone = np.sin(TAU * f * time + modulation) * exponential_decay(time, 1.2 * damping)
    return fade_in(
        tone + 0.3 * sine_wave(1.004 * f, time) * exponential_decay(time, damping), 0.003
    )


def _piano(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    n_partials = 17
    harmonics = np.arange(1, n_partials + 1)
    # Stiff strings stretch their partials; two of three strings beat against each other.
    stiffness = 4e-4 * (f / 261.0) ** 0.6
    ratios = harmonics * np.sqrt(1.0 + stiffness * harmonics**2)
    amplitudes = harmonics ** -(2.3 - 1.1 * strength)
    amplitudes = amplitudes * (1.0 + 0.4 * rng.standard_normal(n_partials))
    decays = damping_per_second(f) * (0.8 + 0.33 * harmonics)
    tone = np.zeros(int(seconds * SAMPLE_RATE))
    for detuning, level, sustain in ((1.0, 1.0, 1.0), (1.0008, 0.6, 0.6)):
        partials = list(zip(ratios, level * amplitudes, sustain * decays, strict=True))
        tone += struck_partials(
            detuning * f, seconds, partials, rng.uniform(0.0, TAU, n_partials).tolist()
        )
    hammer = rng.standard_normal(len(tone)) * exponential_decay(time_axis(seconds), 60.0)
    return fade_in(tone + 0.25 * strength * low_pass(hammer, min(6 * f, 6000.0)), 0.002)


def _nylon_guitar(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    bright_hz = 1800.0 + 3500.0 * strength
    string = plucked_string(f, seconds, rng, bright_hz=bright_hz, damping=0.02, pick_position=0.18)
    return fade_in(low_pass(string, 5000.0), 0.001)


def _jazz_guitar(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    bright_hz = 900.0 + 1400.0 * strength
    string = plucked_string(f, seconds, rng, bright_hz=bright_hz, damping=0.012, pick_position=0.3)
    return fade_in(low_pass(string, 2600.0), 0.003)


def _vibraphone(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    partials = ((1.0, 1.0, 0.9), (3.98, 0.22 * strength, 4.5), (9.9, 0.06 * strength, 18.0))
    motor = 1.0 + 0.25 * sine_wave(5.1, time_axis(seconds))
    return fade_in(struck_partials(f, seconds, partials) * motor, 0.002)


def _kalimba(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    partials = ((1.0, 1.0, 3.2), (2.01, 0.25, 5.0), (5.9, 0.2, 20.0), (11.0, 0.05, 40.0))
    tone = struck_partials(f, seconds, partials)
    thumb = rng.standard_normal(len(tone)) * exponential_decay(time_axis(seconds), 120.0)
    return fade_in(tone + 0.05 * thumb, 0.001)


def _music_box(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    partials = ((1.0, 1.0, 2.2), (3.01, 0.3, 4.0), (6.2, 0.15, 9.0), (9.8, 0.08, 15.0))
    return fade_in(struck_partials(f, seconds, partials), 0.001)


def _blown_phase(f: float, time: Signal, rng: np.random.Generator) -> Signal:
    """Phase of a wind player's tone: the vibrato grows while the note is held."""
    depth = 0.004 * np.clip(3.0 * (time - 0.25), 0.0, 1.0)
    vibrato = depth * np.sin(TAU * 5.2 * time + rng.uniform(0.0, TAU))
    return TAU * f * (time + np.cumsum(vibrato) / SAMPLE_RATE)


def _flute(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    time = time_axis(seconds)
    phase = _blown_phase(f, time, rng)
    tone = np.sin(phase) + 0.28 * np.sin(2 * phase) + 0.1 * np.sin(3 * phase)
    breath = butterworth(rng.standard_normal(len(time)), [1.2 * f, 4.0 * f], "bandpass")
    return fade_in((tone + 0.04 * breath) * (0.85 + 0.15 * exponential_decay(time, 2.0)), 0.05)


def _muted_trumpet(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    time = time_axis(seconds)
    phase = _blown_phase(f, time, rng)
    tone = 0.4 * np.sin(phase)
    for harmonic in range(1, 10):
        if harmonic * f < HIGHEST_PARTIAL_HZ:  # the mute is a formant at 1.4 kHz
            formant = np.exp(-(((harmonic * f - 1400.0) / 1100.0) ** 2))
            tone += formant * np.sin(harmonic * phase)
    return fade_in(tone * (0.85 + 0.15 * exponential_decay(time, 2.0)), 0.05)


def _warm_pad(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    detunings = (-0.006, -0.002, 0.003, 0.007)
    tone = detuned_sawtooths(f, seconds, rng, detunings=detunings, highest_hz=2500.0)
    return fade_in(low_pass(tone, 1300.0), 0.6)


def _strings(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    detunings = (-0.005, 0.0, 0.004)
    tone = detuned_sawtooths(f, seconds, rng, detunings=detunings, highest_hz=4500.0)
    return fade_in(low_pass(tone, 2600.0), 0.3)


def _upright_bass(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    string = plucked_string(f, seconds, rng, bright_hz=700.0, damping=0.004, pick_position=0.25)
    body = 0.15 * struck_partials(f, seconds, ((1.0, 1.0, 2.2),))
    return fade_in(low_pass(string, 900.0) + body, 0.004)


def _finger_bass(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    string = plucked_string(f, seconds, rng, bright_hz=1100.0, damping=0.004, pick_position=0.15)
    return fade_in(low_pass(string, 1500.0), 0.002)


def _fretless_bass(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    time = time_axis(seconds)
    index = 0.6 + 0.5 * exponential_decay(time, 4.0)
    tone = np.sin(TAU * f * time + index * sine_wave(f, time)) * exponential_decay(time, 0.8)
    return fade_in(tone, 0.025)


def _sub_bass(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    return fade_in(struck_partials(f, seconds, ((1.0, 1.0, 0.35), (2.0, 0.25, 4.0))), 0.006)


_SOFT_AND_HARD = (55, 100)

INSTRUMENTS: dict[str, Instrument] = {
    "tine piano": Instrument(_tine_piano, 36, 88, _SOFT_AND_HARD, 3.6, 0.12, 0.007),
    "glass piano": Instrument(_glass_piano, 36, 88, (80,), 3.6, 0.12, 0.006),
    "piano": Instrument(_piano, 36, 96, (45, 90), 3.6, 0.18, 0.006),
    "nylon guitar": Instrument(_nylon_guitar, 36, 84, (60, 100), 3.2, 0.15, 0.022),
    "jazz guitar": Instrument(_jazz_guitar, 36, 84, (60, 100), 3.2, 0.12, 0.018),
    "vibraphone": Instrument(_vibraphone, 36, 89, (80,), 3.6, 0.5, 0.012),
    "kalimba": Instrument(_kalimba, 53, 89, (90,), 1.6, 0.4),
    "music box": Instrument(_music_box, 60, 96, (80,), 2.4, 0.6),
    "flute": Instrument(_flute, 60, 90, (75,), 2.4, 0.08),
    "muted trumpet": Instrument(_muted_trumpet, 55, 84, (70,), 2.4, 0.08),
    "warm pad": Instrument(_warm_pad, 43, 84, (80,), 4.2, 0.5),
    "strings": Instrument(_strings, 43, 84, (60,), 4.2, 0.4),
    "upright bass": Instrument(_upright_bass, 26, 57, (90,), 2.9, 0.08),
    "finger bass": Instrument(_finger_bass, 26, 57, (90,), 2.9, 0.06),
    "fretless bass": Instrument(_fretless_bass, 26, 57, (90,), 2.9, 0.07),
    "sub bass": Instrument(_sub_bass, 26, 57, (90,), 2.9, 0.05),
}


def play_note(instrument: str, key: int, velocity: int) -> Signal:
    """Return one held note at its level, (n_samples,)."""
    spec = INSTRUMENTS[instrument]
    rng = np.random.default_rng([9, list(INSTRUMENTS).index(instrument), key, velocity])
    note = spec.voice(key_frequency(key), velocity / 100.0, spec.longest_seconds, rng)
    return at_its_level(note, instrument, key, velocity)


def at_its_level(note: Signal, instrument: str, key: int, velocity: int) -> Signal:
    """Match a note in loudness with all other instruments, (n_samples,).

    The loudest layer has an RMS of 0.1 over its first second, less above 500 Hz, where hearing is
    more sensitive.
    """
    loudness = float(np.sqrt(np.mean(note[:SAMPLE_RATE] ** 2)))
    softness = (velocity / INSTRUMENTS[instrument].velocity_layers[-1]) ** 0.8
    weight = min(1.0, (500.0 / key_frequency(key)) ** 0.25)
    levelled: Signal = note * (0.1 * softness * weight / loudness)
    return levelled
