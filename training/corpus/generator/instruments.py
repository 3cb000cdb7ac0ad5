"""The instruments and drums, synthesised: nobody's samples, so nobody's licence.

Frequency modulation for the electric pianos (Chowning 1973), plucked strings after Karplus and
Strong (1983) with the fractional delay of Jaffe and Smith (1983), damped partials for everything
that is struck, filtered noise for the drums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

from training.corpus.format import SAMPLE_RATE

Signal = NDArray[np.float64]
Voice = Callable[[float, float, float, np.random.Generator], Signal]
"""(frequency [Hz], strength 0..1, duration [s], random stream) → (n_samples,)"""

_TAU = 2.0 * np.pi
_HIGHEST_PARTIAL_HZ = 0.45 * SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Instrument:
    """How an instrument sounds and how it is held."""

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


# -- building blocks ------------------------------------------------------------------------


def _time(seconds: float) -> Signal:
    return np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _decay(time: Signal, per_second: float) -> Signal:
    return np.exp(-per_second * time)


def _sine(frequency: float, time: Signal) -> Signal:
    return np.sin(_TAU * frequency * time)


def _attack(signal: Signal, seconds: float) -> Signal:
    n_samples = int(seconds * SAMPLE_RATE)
    signal[:n_samples] *= np.linspace(0.0, 1.0, n_samples) ** 0.7
    return signal


def _filter(
    signal: Signal, cutoff_hz: float | Sequence[float], kind: str, order: int = 2
) -> Signal:
    edges = np.clip(cutoff_hz, 1.0, 0.49 * SAMPLE_RATE)
    filtered: Signal = sosfilt(butter(order, edges, kind, fs=SAMPLE_RATE, output="sos"), signal)
    return filtered


def _low_pass(signal: Signal, cutoff_hz: float) -> Signal:
    return _filter(signal, cutoff_hz, "lowpass")


def _partial(frequency: float, decay_per_second: float, phase: float, n_samples: int) -> Signal:
    """Ring one damped sine: the impulse response of a two-pole resonator."""
    angle = _TAU * frequency / SAMPLE_RATE
    radius = np.exp(-decay_per_second / SAMPLE_RATE)
    impulse = np.zeros(n_samples)
    impulse[0] = 1.0
    numerator = [np.sin(phase), radius * np.sin(angle - phase)]
    ringing: Signal = lfilter(numerator, [1.0, -2.0 * radius * np.cos(angle), radius**2], impulse)
    return ringing


def _struck(
    frequency: float,
    seconds: float,
    partials: Sequence[tuple[float, float, float]],
    phases: Sequence[float] | None = None,
) -> Signal:
    """Add damped partials given as (frequency ratio, amplitude, decay per second)."""
    n_samples = int(seconds * SAMPLE_RATE)
    signal = np.zeros(n_samples)
    for number, (ratio, amplitude, decay) in enumerate(partials):
        if ratio * frequency < _HIGHEST_PARTIAL_HZ:
            phase = phases[number] if phases is not None else 0.0
            signal += amplitude * _partial(ratio * frequency, decay, phase, n_samples)
    return signal


def _plucked(
    frequency: float,
    seconds: float,
    rng: np.random.Generator,
    *,
    bright_hz: float,
    damping: float,
    pick_position: float,
) -> Signal:
    """Pluck a string: filtered noise going round a lossy delay of one period."""
    # The averaging filter delays by half a sample; linear interpolation tunes the rest.
    period = SAMPLE_RATE / frequency - 0.5
    n_delay = int(period)
    fraction = period - n_delay
    noise = _low_pass(rng.uniform(-1.0, 1.0, n_delay + 4), bright_hz)[:n_delay]
    excitation = np.zeros(int(seconds * SAMPLE_RATE))
    excitation[:n_delay] = noise - np.roll(noise, max(1, int(pick_position * n_delay)))
    gain = 0.5 * damping ** (1.0 / frequency)
    loop = np.zeros(n_delay + 3)
    loop[0] = 1.0
    loop[n_delay:] = -gain * np.array([1.0 - fraction, 1.0, fraction])
    string: Signal = lfilter([1.0], loop, excitation)
    return string


def _sawtooths(
    frequency: float,
    seconds: float,
    rng: np.random.Generator,
    *,
    detunings: Sequence[float],
    highest_hz: float,
) -> Signal:
    """Read one band-limited wave table at several slightly different speeds."""
    n_table = 4096
    n_harmonics = max(2, int(min(highest_hz, _HIGHEST_PARTIAL_HZ) / frequency))
    spectrum = np.zeros(n_table // 2 + 1, dtype=np.complex128)
    harmonics = np.arange(1, n_harmonics + 1)
    spectrum[1 : n_harmonics + 1] = np.exp(_TAU * 1j * rng.random(n_harmonics)) / harmonics
    table = np.fft.irfft(spectrum, n_table) * n_table / 2
    table = np.append(table, table[0])
    time, signal = _time(seconds), np.zeros(int(seconds * SAMPLE_RATE))
    for detuning in detunings:
        turns = frequency * (1.0 + detuning) * time + rng.random()
        signal += np.interp(turns % 1.0 * n_table, np.arange(n_table + 1), table)
    return signal


def _damping(frequency: float) -> float:
    """Higher strings and tines ring shorter [1/s]."""
    return float(0.55 * (frequency / 261.0) ** 0.45)


# -- instruments ----------------------------------------------------------------------------


def _tine_piano(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    time, damping = _time(seconds), _damping(f)
    index = (0.25 + 1.5 * strength**2) * _decay(time, 1.6) * (440.0 / max(f, 220.0)) ** 0.25
    tone = np.sin(_TAU * f * time + index * _sine(f, time)) * _decay(time, 1.1 * damping)
    tone += 0.06 * _sine(2 * f, time) * _decay(time, 2 * damping)
    if 7.02 * f < _HIGHEST_PARTIAL_HZ:  # the tine itself
        tone += 0.16 * strength * _sine(7.02 * f, time) * _decay(time, 11.0)
    return _attack(tone, 0.003)


def _glass_piano(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    time, damping = _time(seconds), _damping(f)
    modulation = 0.5 * _decay(time, 1.0) * _sine(1.003 * f, time)
    if 14 * f < _HIGHEST_PARTIAL_HZ:
        modulation += 0.9 * strength * _decay(time, 3.0) * _sine(14 * f, time)
    tone = np.sin(_TAU * f * time + modulation) * _decay(time, 1.2 * damping)
    return _attack(tone + 0.3 * _sine(1.004 * f, time) * _decay(time, damping), 0.003)


def _piano(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    n_partials = 17
    harmonics = np.arange(1, n_partials + 1)
    # Stiff strings stretch their partials; two of three strings beat against each other.
    stiffness = 4e-4 * (f / 261.0) ** 0.6
    ratios = harmonics * np.sqrt(1.0 + stiffness * harmonics**2)
    amplitudes = harmonics ** -(2.3 - 1.1 * strength)
    amplitudes = amplitudes * (1.0 + 0.4 * rng.standard_normal(n_partials))
    decays = _damping(f) * (0.8 + 0.33 * harmonics)
    tone = np.zeros(int(seconds * SAMPLE_RATE))
    for detuning, level, sustain in ((1.0, 1.0, 1.0), (1.0008, 0.6, 0.6)):
        partials = list(zip(ratios, level * amplitudes, sustain * decays, strict=True))
        tone += _struck(
            detuning * f, seconds, partials, rng.uniform(0.0, _TAU, n_partials).tolist()
        )
    hammer = rng.standard_normal(len(tone)) * _decay(_time(seconds), 60.0)
    return _attack(tone + 0.25 * strength * _low_pass(hammer, min(6 * f, 6000.0)), 0.002)


def _nylon_guitar(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    bright_hz = 1800.0 + 3500.0 * strength
    string = _plucked(f, seconds, rng, bright_hz=bright_hz, damping=0.02, pick_position=0.18)
    return _attack(_low_pass(string, 5000.0), 0.001)


def _jazz_guitar(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    bright_hz = 900.0 + 1400.0 * strength
    string = _plucked(f, seconds, rng, bright_hz=bright_hz, damping=0.012, pick_position=0.3)
    return _attack(_low_pass(string, 2600.0), 0.003)


def _vibraphone(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    partials = ((1.0, 1.0, 0.9), (3.98, 0.22 * strength, 4.5), (9.9, 0.06 * strength, 18.0))
    motor = 1.0 + 0.25 * _sine(5.1, _time(seconds))
    return _attack(_struck(f, seconds, partials) * motor, 0.002)


def _kalimba(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    partials = ((1.0, 1.0, 3.2), (2.01, 0.25, 5.0), (5.9, 0.2, 20.0), (11.0, 0.05, 40.0))
    tone = _struck(f, seconds, partials)
    thumb = rng.standard_normal(len(tone)) * _decay(_time(seconds), 120.0)
    return _attack(tone + 0.05 * thumb, 0.001)


def _music_box(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    partials = ((1.0, 1.0, 2.2), (3.01, 0.3, 4.0), (6.2, 0.15, 9.0), (9.8, 0.08, 15.0))
    return _attack(_struck(f, seconds, partials), 0.001)


def _blown_phase(f: float, time: Signal, rng: np.random.Generator) -> Signal:
    """Phase of a wind player's tone: the vibrato grows while the note is held."""
    depth = 0.004 * np.clip(3.0 * (time - 0.25), 0.0, 1.0)
    vibrato = depth * np.sin(_TAU * 5.2 * time + rng.uniform(0.0, _TAU))
    return _TAU * f * (time + np.cumsum(vibrato) / SAMPLE_RATE)


def _flute(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    time = _time(seconds)
    phase = _blown_phase(f, time, rng)
    tone = np.sin(phase) + 0.28 * np.sin(2 * phase) + 0.1 * np.sin(3 * phase)
    breath = _filter(rng.standard_normal(len(time)), [1.2 * f, 4.0 * f], "bandpass")
    return _attack((tone + 0.04 * breath) * (0.85 + 0.15 * _decay(time, 2.0)), 0.05)


def _muted_trumpet(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    time = _time(seconds)
    phase = _blown_phase(f, time, rng)
    tone = 0.4 * np.sin(phase)
    for harmonic in range(1, 10):
        if harmonic * f < _HIGHEST_PARTIAL_HZ:  # the mute is a formant at 1.4 kHz
            formant = np.exp(-(((harmonic * f - 1400.0) / 1100.0) ** 2))
            tone += formant * np.sin(harmonic * phase)
    return _attack(tone * (0.85 + 0.15 * _decay(time, 2.0)), 0.05)


def _warm_pad(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    detunings = (-0.006, -0.002, 0.003, 0.007)
    tone = _sawtooths(f, seconds, rng, detunings=detunings, highest_hz=2500.0)
    return _attack(_low_pass(tone, 1300.0), 0.6)


def _strings(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    detunings = (-0.005, 0.0, 0.004)
    tone = _sawtooths(f, seconds, rng, detunings=detunings, highest_hz=4500.0)
    return _attack(_low_pass(tone, 2600.0), 0.3)


def _upright_bass(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    string = _plucked(f, seconds, rng, bright_hz=700.0, damping=0.004, pick_position=0.25)
    body = 0.15 * _struck(f, seconds, ((1.0, 1.0, 2.2),))
    return _attack(_low_pass(string, 900.0) + body, 0.004)


def _finger_bass(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    string = _plucked(f, seconds, rng, bright_hz=1100.0, damping=0.004, pick_position=0.15)
    return _attack(_low_pass(string, 1500.0), 0.002)


def _fretless_bass(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    time = _time(seconds)
    index = 0.6 + 0.5 * _decay(time, 4.0)
    tone = np.sin(_TAU * f * time + index * _sine(f, time)) * _decay(time, 0.8)
    return _attack(tone, 0.025)


def _sub_bass(f: float, strength: float, seconds: float, rng: np.random.Generator) -> Signal:
    return _attack(_struck(f, seconds, ((1.0, 1.0, 0.35), (2.0, 0.25, 4.0))), 0.006)


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


# -- drums ----------------------------------------------------------------------------------

_KIT_RING = {"dusty": 0.45, "jazz": 0.2, "brushes": 0.6, "analogue": 0.95, "crisp": 0.05}
"""How long a kit's skins ring, from 0 (tight) to 1 (booming)."""

_DRUM_SECONDS = 0.9
_FADE_SECONDS = 0.1


def _kick(ring: float, rng: np.random.Generator) -> Signal:
    time = _time(_DRUM_SECONDS)
    sweep_hz = rng.uniform(44.0, 60.0) + rng.uniform(70.0, 190.0) * _decay(time, 35.0)
    body = np.sin(_TAU * np.cumsum(sweep_hz) / SAMPLE_RATE) * _decay(time, 19.0 - 14.0 * ring)
    beater = _low_pass(rng.standard_normal(len(time)) * _decay(time, 250.0), 3000.0)
    return body + 0.12 * beater


def _snare(ring: float, rng: np.random.Generator) -> Signal:
    time = _time(_DRUM_SECONDS)
    shell = np.sin(_TAU * rng.uniform(165.0, 225.0) * time + 3.0 * _decay(time, 60.0))
    wires = _filter(rng.standard_normal(len(time)), [900.0, 6500.0 - 2000.0 * ring], "bandpass")
    return 0.6 * shell * _decay(time, 22.0) + 0.8 * wires * _decay(time, 26.0 - 14.0 * ring)


def _ghost(ring: float, rng: np.random.Generator) -> Signal:
    return _low_pass(_snare(ring, rng), 3500.0)


def _rim(ring: float, rng: np.random.Generator) -> Signal:
    partials = ((1.0, 1.0, 55.0), (2.6, 0.9, 80.0), (4.1, 0.5, 110.0))
    stick = _struck(rng.uniform(420.0, 480.0), _DRUM_SECONDS, partials)
    edge = _filter(rng.standard_normal(len(stick)), 2500.0, "highpass")
    return stick + 0.2 * edge * _decay(_time(_DRUM_SECONDS), 180.0)


def _clap(ring: float, rng: np.random.Generator) -> Signal:
    time = _time(_DRUM_SECONDS)
    hands = np.zeros(len(time))
    for delay_seconds, decay in ((0.0, 220.0), (0.011, 220.0), (0.022, 28.0)):
        since = time - delay_seconds
        hands += np.where(since >= 0.0, np.exp(-decay * np.maximum(since, 0.0)), 0.0)
    return hands * _filter(rng.standard_normal(len(time)), [900.0, 3200.0], "bandpass")


def _cymbal_noise(rng: np.random.Generator, cutoff_hz: float) -> Signal:
    noise = rng.standard_normal(int(_DRUM_SECONDS * SAMPLE_RATE))
    return _filter(noise, cutoff_hz, "highpass", order=3)


def _closed_hat(ring: float, rng: np.random.Generator) -> Signal:
    noise = _cymbal_noise(rng, 3200.0 + 900.0 * rng.random())
    return noise * _decay(_time(_DRUM_SECONDS), 105.0 - 50.0 * ring)


def _open_hat(ring: float, rng: np.random.Generator) -> Signal:
    return _cymbal_noise(rng, 3000.0) * _decay(_time(_DRUM_SECONDS), 9.0)


def _ride(ring: float, rng: np.random.Generator) -> Signal:
    bell = ((1.0, 0.3, 8.0), (1.47, 0.3, 8.0), (1.83, 0.3, 8.0), (2.4, 0.3, 8.0))
    wash = 0.5 * _cymbal_noise(rng, 4500.0) * _decay(_time(_DRUM_SECONDS), 7.0)
    return wash + _struck(rng.uniform(1950.0, 2250.0), _DRUM_SECONDS, bell)


def _shaker(ring: float, rng: np.random.Generator) -> Signal:
    time = _time(_DRUM_SECONDS)
    grains = _filter(rng.standard_normal(len(time)), [3500.0, 8000.0], "bandpass")
    return grains * np.minimum(time / 0.03, 1.0) * _decay(time, 30.0)


# drum: (how it is made, its peak level in the kit)
_DRUMS: dict[str, tuple[Callable[[float, np.random.Generator], Signal], float]] = {
    "kick": (_kick, 0.48),
    "snare": (_snare, 0.42),
    "ghost": (_ghost, 0.20),
    "rim": (_rim, 0.30),
    "clap": (_clap, 0.30),
    "closed hat": (_closed_hat, 0.20),
    "open hat": (_open_hat, 0.17),
    "ride": (_ride, 0.13),
    "shaker": (_shaker, 0.16),
}


def play_drum(kit: str, drum: str, take: int) -> Signal:
    """Return one stroke at its level in the kit, (n_samples,), peak below 1."""
    rng = np.random.default_rng([10, list(_KIT_RING).index(kit), list(_DRUMS).index(drum), take])
    make, level = _DRUMS[drum]
    stroke = make(_KIT_RING[kit], rng)
    fade = np.arange(len(stroke))[::-1] / (_FADE_SECONDS * SAMPLE_RATE)
    faded: Signal = stroke * np.minimum(1.0, fade) * (level / np.abs(stroke).max())
    return faded


def play_note(instrument: str, key: int, velocity: int) -> Signal:
    """Return one held note at its level, (n_samples,)."""
    spec = INSTRUMENTS[instrument]
    rng = np.random.default_rng([9, list(INSTRUMENTS).index(instrument), key, velocity])
    note = spec.voice(key_frequency(key), velocity / 100.0, spec.longest_seconds, rng)
    return at_its_level(note, instrument, key, velocity)


def at_its_level(note: Signal, instrument: str, key: int, velocity: int) -> Signal:
    """Match a note in loudness with all other instruments, (n_samples,).

    The loudest layer has an RMS of 0.1 over its first second, less above 500 Hz, where the ear
    is keener.
    """
    loudness = float(np.sqrt(np.mean(note[:SAMPLE_RATE] ** 2)))
    softness = (velocity / INSTRUMENTS[instrument].velocity_layers[-1]) ** 0.8
    ear = min(1.0, (500.0 / key_frequency(key)) ** 0.25)
    levelled: Signal = note * (0.1 * softness * ear / loudness)
    return levelled
