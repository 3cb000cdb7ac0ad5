"""From layers to a dry mix: tone, tremolo, room, ducking, saturation, level.

A loop is circular. Every linear effect is therefore a product of Fourier transforms over the
whole loop: the steady state that endless repetition would reach, without a seam. Periodic effects
(tremolo) have whole cycles, effects without memory (saturation, limiter) need nothing.
Dry means: no hiss, no crackle, no wow. The device adds its tape effects after the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from training.corpus.format import SAMPLE_RATE
from training.corpus.generator.arrangement import Hit
from training.corpus.generator.plan import BED, Plan

Audio = NDArray[np.float32]
Response = NDArray[np.complex64]

LOUDNESS_RMS = 0.1
"""RMS of every loop before the limiter: -20 dBFS."""
PEAK_LIMIT = 0.92
_KNEE = 0.6

_LEVELS = {"chords": 0.72, "pad": 0.4, "melody": 0.85, "bass": 0.8, "drums": 1.4, BED: 0.6}
_SENDS = {"chords": 0.5, "pad": 0.5, "melody": 0.9, BED: 0.3}  # to the room
_TREMOLO_INSTRUMENTS = frozenset({"tine piano", "glass piano", "vibraphone"})


# -- filters on the circle ------------------------------------------------------------------


@lru_cache(maxsize=2)
def _frequency_axis(n_samples: int) -> NDArray[np.float64]:
    """Bilinear frequency of every bin, (n_samples // 2 + 1,)."""
    bins = np.arange(n_samples // 2 + 1)
    axis: NDArray[np.float64] = np.tan(np.pi * np.minimum(bins / n_samples, 0.4999))
    return axis


def _s_axis(n_samples: int, cutoff_hz: float) -> NDArray[np.complex128]:
    warped = float(np.tan(np.pi * cutoff_hz / SAMPLE_RATE))
    return np.multiply(1j, _frequency_axis(n_samples) / warped)


def low_pass(n_samples: int, cutoff_hz: float, order: int = 2) -> Response:
    """Frequency response of a Butterworth low-pass of order 2 or 3, (n_samples // 2 + 1,)."""
    s = _s_axis(n_samples, cutoff_hz)
    poles = 1.0 + np.sqrt(2.0) * s + s * s if order == 2 else (1.0 + s) * (1.0 + s + s * s)
    response: Response = (1.0 / poles).astype(np.complex64)
    return response


def high_pass(n_samples: int, cutoff_hz: float) -> Response:
    """Frequency response of a second-order Butterworth high-pass, (n_samples // 2 + 1,)."""
    s = _s_axis(n_samples, cutoff_hz)
    squared = s * s
    response: Response = (squared / (1.0 + np.sqrt(2.0) * s + squared)).astype(np.complex64)
    return response


def _spectrum(signal: Audio) -> Response:
    spectrum: Response = fft.rfft(signal)
    return spectrum


def _signal(spectrum: Response, n_samples: int) -> Audio:
    signal: Audio = fft.irfft(spectrum, n_samples)
    return signal


# -- room -----------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _room(n_samples: int, decay_tenths: int) -> Response:
    """Frequency response of a small soft room with unit energy, (n_samples // 2 + 1,)."""
    n_decay = decay_tenths * SAMPLE_RATE // 10
    time = np.arange(n_decay)
    tail = np.random.default_rng(7).standard_normal(n_decay) * np.exp(-5.5 * time / n_decay)
    tail[: int(0.012 * SAMPLE_RATE)] *= 0.2  # the direct sound is in the mix already
    circle = np.zeros(-(-n_decay // n_samples) * n_samples)
    circle[:n_decay] = tail
    folded = circle.reshape(-1, n_samples).sum(axis=0)
    response = _spectrum(folded.astype(np.float32))
    response = response * high_pass(n_samples, 250.0) * low_pass(n_samples, 3500.0)
    energy = float(np.sum(_signal(response, n_samples) ** 2))
    normalised: Response = (response / np.sqrt(energy)).astype(np.complex64)
    return normalised


def _reverb(spectra: Mapping[str, Response], amount: float, n_samples: int) -> Response:
    send = sum(gain * spectra[layer] for layer, gain in _SENDS.items() if layer in spectra)
    send = send + 0.25 * spectra["drums"] * high_pass(n_samples, 300.0)
    decay_tenths = 9 + 2 * round(7 * amount)  # 0.9 s .. 2.3 s
    level = 0.8 * 0.55 * (0.18 + 0.5 * amount)
    response: Response = send * _room(n_samples, decay_tenths) * np.float32(level)
    return response


# -- things that move -----------------------------------------------------------------------


def _tremolo(depth: float, tempo_bpm: float, n_samples: int) -> Audio:
    """Gain that wavers in eighth notes, (n_samples,), closed over the loop."""
    n_cycles = max(1, round(n_samples / SAMPLE_RATE * tempo_bpm / 30.0))
    wave = np.sin(2.0 * np.pi * n_cycles / n_samples * np.arange(n_samples))
    gain: Audio = (1.0 - 0.25 * depth * (1.0 + wave)).astype(np.float32)
    return gain


def _kick_envelope(hits: Sequence[Hit], n_samples: int) -> Audio:
    """Envelope of the kick, which ducks the other layers, 0..1, (n_samples,)."""
    # A few milliseconds to open: a step in the gain of a held chord would click.
    n_attack = int(0.006 * SAMPLE_RATE)
    attack = 0.5 - 0.5 * np.cos(np.pi * np.arange(n_attack) / n_attack)
    release = np.exp(-np.arange(int(0.6 * SAMPLE_RATE)) / (0.13 * SAMPLE_RATE))
    pulse = np.concatenate([attack, release]).astype(np.float32)
    envelope = np.zeros(n_samples, dtype=np.float32)
    for hit in hits:
        if hit.drum == "kick":
            first = round(hit.start_seconds * SAMPLE_RATE) - n_attack
            samples = np.arange(first, first + len(pulse)) % n_samples
            np.maximum.at(envelope, samples, np.float32(min(hit.gain, 1.0)) * pulse)
    return envelope


# -- the mix --------------------------------------------------------------------------------


def mix(
    layers: Mapping[str, Audio],
    hits: Sequence[Hit],
    plan: Plan,
    *,
    tempo_bpm: float,
    gain: np.float32 | None = None,
) -> Audio:
    """Mix the layers of a loop.

    Parameters
    ----------
    layers
        Layer name to signal, each (n_samples,); all five layers, silent where off, and the bed
        where the plan has one.
    hits
        The drum hits; kicks duck the other layers.
    plan
        Tone, room, ducking, drive and tremolo.
    tempo_bpm
        Tempo of the tremolo.
    gain
        Of another mix; None: that which brings this one to `LOUDNESS_RMS`.

    Returns
    -------
    numpy.ndarray
        Seamless dry audio (n_samples,), float32, RMS about `LOUDNESS_RMS` without `gain`, peak
        below `PEAK_LIMIT`.
    """
    taped = _unlevelled(layers, hits, plan, tempo_bpm)
    return _limited(taped * (_level(taped) if gain is None else gain))


def mix_gain(
    layers: Mapping[str, Audio], hits: Sequence[Hit], plan: Plan, *, tempo_bpm: float
) -> np.float32:
    """Gain that brings a mix to `LOUDNESS_RMS`; parameters as of `mix`."""
    return _level(_unlevelled(layers, hits, plan, tempo_bpm))


def _unlevelled(
    layers: Mapping[str, Audio], hits: Sequence[Hit], plan: Plan, tempo_bpm: float
) -> Audio:
    """Mix, saturate softly, then apply the final low-pass."""
    n_samples = len(layers["chords"])
    spectra = _played(layers, plan, tempo_bpm, n_samples)
    gain = np.float32(0.8 + 1.7 * plan.drive)
    saturated: Audio = np.tanh(_balanced(spectra, plan, hits, n_samples) * gain) / gain
    return _signal(_spectrum(saturated) * _final_low_pass(plan, n_samples), n_samples)


def take_stems(
    layers: Mapping[str, Audio], hits: Sequence[Hit], plan: Plan, *, tempo_bpm: float
) -> dict[str, Audio]:
    """Return the share of every layer in the mix, each (n_samples,), float32.

    With tone, room, ducking, final low-pass and the loop's level; without saturation and limiter,
    which are not linear. Their sum is the mix of a loop without drive, except for its peaks.

    Parameters
    ----------
    layers, hits, plan, tempo_bpm
        As of `mix`.
    """
    n_samples = len(layers["chords"])
    spectra = _played(layers, plan, tempo_bpm, n_samples)
    gain = mix_gain(layers, hits, plan, tempo_bpm=tempo_bpm)
    low_passed = _final_low_pass(plan, n_samples)
    silence = np.zeros(n_samples // 2 + 1, dtype=np.complex64)
    stems = {}
    for layer in layers:
        alone = {name: spectra[name] if name == layer else silence for name in layers}
        share = _spectrum(_balanced(alone, plan, hits, n_samples))
        stems[layer] = _signal(share * low_passed, n_samples) * gain
    return stems


def _played(
    layers: Mapping[str, Audio], plan: Plan, tempo_bpm: float, n_samples: int
) -> dict[str, Response]:
    """Give every layer its tone, and the chords their tremolo."""
    spectra = _toned(layers, plan, n_samples)
    if plan.tremolo > 0.0 and plan.chord_instrument in _TREMOLO_INSTRUMENTS:
        wavering = _signal(spectra["chords"], n_samples)
        wavering *= _tremolo(plan.tremolo, tempo_bpm, n_samples)
        spectra["chords"] = _spectrum(wavering)
    return spectra


def _toned(layers: Mapping[str, Audio], plan: Plan, n_samples: int) -> dict[str, Response]:
    """Give every layer its low-pass; "brightness" opens them together."""
    chord_hz = 900.0 * (6500.0 / 900.0) ** plan.brightness
    cutoffs_hz = {
        "chords": chord_hz,
        "pad": min(chord_hz, 1800.0),
        "melody": min(1.7 * chord_hz, 7500.0),
        "bass": 900.0,
        "drums": 2500.0 + 6500.0 * plan.brightness,
        BED: chord_hz,
    }
    return {
        layer: _spectrum(layers[layer]) * low_pass(n_samples, cutoff_hz)
        if layers[layer].any()
        else np.zeros(n_samples // 2 + 1, dtype=np.complex64)
        for layer, cutoff_hz in cutoffs_hz.items()
        if layer in layers
    }


def _balanced(
    spectra: Mapping[str, Response], plan: Plan, hits: Sequence[Hit], n_samples: int
) -> Audio:
    """Add the layers and the room; the kick ducks chords and pad, and the bass a little."""
    room = _reverb(spectra, plan.reverb, n_samples)
    held = _LEVELS["chords"] * spectra["chords"] + _LEVELS["pad"] * spectra["pad"] + 0.5 * room
    if BED in spectra:
        held = held + _LEVELS[BED] * spectra[BED]
    bass = _LEVELS["bass"] * spectra["bass"]
    melody = np.float32(_LEVELS["melody"] * plan.melody_gain) * spectra["melody"]
    free = melody + _LEVELS["drums"] * spectra["drums"] + 0.5 * room
    if plan.duck == 0.0 or not plan.drums_on:
        return _signal((held + bass + free) * high_pass(n_samples, 32.0), n_samples)
    ducking = np.float32(plan.duck) * _kick_envelope(hits, n_samples)
    total = _signal(free, n_samples)
    total += _signal(held, n_samples) * (1.0 - ducking)
    total += _signal(bass, n_samples) * (1.0 - np.float32(0.4) * ducking)
    return _signal(_spectrum(total) * high_pass(n_samples, 32.0), n_samples)


def _final_low_pass(plan: Plan, n_samples: int) -> Response:
    return low_pass(n_samples, 3200.0 + 6300.0 * plan.brightness, order=3)


def _level(signal: Audio) -> np.float32:
    """Return the gain that brings a loop to its loudness."""
    return np.float32(LOUDNESS_RMS / np.sqrt(np.mean(signal**2)))


def _limited(levelled: Audio) -> Audio:
    """Compress peaks that would leave the range."""
    room = np.float32(PEAK_LIMIT - 0.01 - _KNEE)
    over = np.maximum(np.abs(levelled) - np.float32(_KNEE), np.float32(0.0))
    bent = np.minimum(np.abs(levelled), np.float32(_KNEE)) + room * np.tanh(over / room)
    limited: Audio = np.sign(levelled) * bent
    return limited
