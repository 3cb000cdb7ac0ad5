"""The drum kits, synthesised: filtered noise, damped partials and swept sines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.corpus.format import SAMPLE_RATE
from training.corpus.generator.signals import (
    TAU,
    Signal,
    butterworth,
    exponential_decay,
    low_pass,
    struck_partials,
    time_axis,
)

_KIT_RING = {"dusty": 0.45, "jazz": 0.2, "brushes": 0.6, "analogue": 0.95, "crisp": 0.05}
"""How long the drums of a kit ring, from 0 (short) to 1 (long)."""
_DRUM_SECONDS = 0.9
_FADE_SECONDS = 0.1


def _kick(ring: float, rng: np.random.Generator) -> Signal:
    time = time_axis(_DRUM_SECONDS)
    sweep_hz = rng.uniform(44.0, 60.0) + rng.uniform(70.0, 190.0) * exponential_decay(time, 35.0)
    body = np.sin(TAU * np.cumsum(sweep_hz) / SAMPLE_RATE) * exponential_decay(
        time, 19.0 - 14.0 * ring
    )
    beater = low_pass(rng.standard_normal(len(time)) * exponential_decay(time, 250.0), 3000.0)
    return body + 0.12 * beater


def _snare(ring: float, rng: np.random.Generator) -> Signal:
    time = time_axis(_DRUM_SECONDS)
    shell = np.sin(TAU * rng.uniform(165.0, 225.0) * time + 3.0 * exponential_decay(time, 60.0))
    wires = butterworth(rng.standard_normal(len(time)), [900.0, 6500.0 - 2000.0 * ring], "bandpass")
    return 0.6 * shell * exponential_decay(time, 22.0) + 0.8 * wires * exponential_decay(
        time, 26.0 - 14.0 * ring
    )


def _ghost(ring: float, rng: np.random.Generator) -> Signal:
    return low_pass(_snare(ring, rng), 3500.0)


def _rim(ring: float, rng: np.random.Generator) -> Signal:
    partials = ((1.0, 1.0, 55.0), (2.6, 0.9, 80.0), (4.1, 0.5, 110.0))
    stick = struck_partials(rng.uniform(420.0, 480.0), _DRUM_SECONDS, partials)
    edge = butterworth(rng.standard_normal(len(stick)), 2500.0, "highpass")
    return stick + 0.2 * edge * exponential_decay(time_axis(_DRUM_SECONDS), 180.0)


def _clap(ring: float, rng: np.random.Generator) -> Signal:
    time = time_axis(_DRUM_SECONDS)
    claps = np.zeros(len(time))
    for delay_seconds, decay in ((0.0, 220.0), (0.011, 220.0), (0.022, 28.0)):
        since = time - delay_seconds
        claps += np.where(since >= 0.0, np.exp(-decay * np.maximum(since, 0.0)), 0.0)
    return claps * butterworth(rng.standard_normal(len(time)), [900.0, 3200.0], "bandpass")


def _cymbal_noise(rng: np.random.Generator, cutoff_hz: float) -> Signal:
    noise = rng.standard_normal(int(_DRUM_SECONDS * SAMPLE_RATE))
    return butterworth(noise, cutoff_hz, "highpass", order=3)


def _closed_hat(ring: float, rng: np.random.Generator) -> Signal:
    noise = _cymbal_noise(rng, 3200.0 + 900.0 * rng.random())
    return noise * exponential_decay(time_axis(_DRUM_SECONDS), 105.0 - 50.0 * ring)


def _open_hat(ring: float, rng: np.random.Generator) -> Signal:
    return _cymbal_noise(rng, 3000.0) * exponential_decay(time_axis(_DRUM_SECONDS), 9.0)


def _ride(ring: float, rng: np.random.Generator) -> Signal:
    bell = ((1.0, 0.3, 8.0), (1.47, 0.3, 8.0), (1.83, 0.3, 8.0), (2.4, 0.3, 8.0))
    wash = 0.5 * _cymbal_noise(rng, 4500.0) * exponential_decay(time_axis(_DRUM_SECONDS), 7.0)
    return wash + struck_partials(rng.uniform(1950.0, 2250.0), _DRUM_SECONDS, bell)


def _shaker(ring: float, rng: np.random.Generator) -> Signal:
    time = time_axis(_DRUM_SECONDS)
    grains = butterworth(rng.standard_normal(len(time)), [3500.0, 8000.0], "bandpass")
    return grains * np.minimum(time / 0.03, 1.0) * exponential_decay(time, 30.0)


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
