"""Checks of a model on this machine: the levels of a sample of its states, the time of a block."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.errors import InvalidAudio, ModelTooSlow
from device.model.network import Network
from device.switches.bits import Bits, format_bits
from device.switches.state_sampling import sample_states
from device.synthesis.frame_cache import AHEAD_FRAMES
from device.synthesis.implementation import make_griffin_lim

MOST_STATES = 64
# A speaker's queue can grow to about so many: while they play, a block waits for what it needs.
QUEUED_FRAMES = 5
# RMS of a state in dB of full scale: a full-scale sine has -3. The limiter is for single peaks; a
# model whose RMS is as high is broken.
LOUDEST_DB = 0.0
# One state may be silent, but not all of them.
QUIETEST_DB = -60.0
# More than an instrument draws in one call.
_N_POSITIONS = 64
_N_TIMES = 15
_SEED = 0
# Mean square of the windows that a contract may name.
_WINDOW_POWER = 3 / 8

Clock = Callable[[], float]


@dataclass(frozen=True)
class Sound:
    """Levels of the states that were measured, RMS in dB of full scale."""

    n_states: int
    quietest_db: float
    loudest_db: float


@dataclass(frozen=True)
class Speed:
    """Medians of processor time in ms, and the duration of a block."""

    compose_ms: float
    block_ms: float
    deadline_ms: float


def draw_most(network: Network) -> None:
    """Run both halves once, with more frames than an instrument draws in one call."""
    card = network.card
    score = network.compose(
        np.zeros(card.n_switches, np.float32), np.zeros(card.n_variation, np.float32)
    )
    network.render(score, np.zeros(_N_POSITIONS, np.float32))


def check_levels(network: Network) -> Sound:
    """Draw a loop of each of a sample of states, every state where there are few.

    Raises
    ------
    InvalidAudio
    """
    rng = np.random.default_rng(_SEED)
    states = sample_states(network.card.n_switches, MOST_STATES, rng)
    levels = [_level_db(network, bits, rng) for bits in states]
    sound = Sound(len(levels), round(min(levels), 1), round(max(levels), 1))
    if sound.loudest_db < QUIETEST_DB:
        raise InvalidAudio(
            f"model level: found {sound.loudest_db:.0f} dB in the loudest of {sound.n_states} "
            f"states, expected {QUIETEST_DB:.0f} dB at least; train it again"
        )
    return sound


def check_speed(
    network: Network, *, deadline_share: float, clock: Clock = time.thread_time
) -> Speed:
    """Time the two computations that a block may wait for.

    Processor time, not elapsed time: music plays meanwhile, and the machine's other work is not the
    model's fault.

    Parameters
    ----------
    deadline_share : float
        Of what `QUEUED_FRAMES` play: so long drawing a chunk ahead and inverting so many frames may
        take. While music plays, the caches go cold between blocks, and all takes two to three times
        as long as here.

    Raises
    ------
    ModelTooSlow
    """
    card = network.card
    rng = np.random.default_rng(_SEED)
    switches = rng.integers(0, 2, card.n_switches).astype(np.float32)
    # Another one each time: a network keeps what it composed of the latest.
    variations = iter(rng.standard_normal((1 + _N_TIMES, card.n_variation)).astype(np.float32))
    positions = np.linspace(0, card.beats_per_loop, AHEAD_FRAMES, dtype=np.float32)
    inversion = make_griffin_lim(
        n_fft=card.n_fft,
        hop_length=card.hop_length,
        window=card.window,
        n_guided=card.n_guided,
    )
    score = network.compose(switches, next(variations))
    speed = Speed(
        compose_ms=_median_ms(lambda: network.compose(switches, next(variations)), clock),
        block_ms=_median_ms(
            lambda: inversion.process(network.frames(score, positions)[:QUEUED_FRAMES]), clock
        ),
        deadline_ms=1000 * QUEUED_FRAMES * card.hop_length / card.sample_rate,
    )
    _check("block", speed.block_ms, deadline_share * speed.deadline_ms)
    # Usually composed ahead; where it is not, the speaker's queue bridges it.
    _check("compose half", speed.compose_ms, speed.deadline_ms)
    return speed


def _check(what: str, measured_ms: float, limit_ms: float) -> None:
    if not measured_ms <= limit_ms:
        raise ModelTooSlow(
            f"model {what}: found {measured_ms:.1f} ms on this machine, expected {limit_ms:.1f} ms "
            "at most; train a smaller network"
        )


def _median_ms(step: Callable[[], object], clock: Clock) -> float:
    times = []
    for _ in range(_N_TIMES):
        started = clock()
        step()
        times.append(clock() - started)
    return round(1000 * float(np.median(times)), 3)


def _level_db(network: Network, bits: Bits, rng: np.random.Generator) -> float:
    card = network.card
    variation = rng.standard_normal(card.n_variation).astype(np.float32)
    positions = np.sort(rng.uniform(0, card.beats_per_loop, _N_POSITIONS)).astype(np.float32)
    score = network.compose(np.array(bits, np.float32), variation)
    log_magnitude, advance = network.render(score, positions)
    name = format_bits(bits)
    if not all(np.isfinite(each).all() for each in (score, log_magnitude, advance)):
        raise InvalidAudio(
            f"model state {name}: found numbers that are not finite, expected sound; train it again"
        )
    level = rms_db(log_magnitude, n_fft=card.n_fft, log_floor=card.log_floor)
    if not level <= LOUDEST_DB:
        raise InvalidAudio(
            f"model state {name}: found {level:.0f} dB, expected {LOUDEST_DB:.0f} dB at most; "
            "train it again"
        )
    return level


def rms_db(log_magnitude: NDArray[np.float32], *, n_fft: int, log_floor: float) -> float:
    """Level of the sound with these STFT frames, (n_frames, n_bins), in dB of full scale.

    By Parseval's theorem; no phases needed.
    """
    with np.errstate(over="ignore"):
        magnitude = np.exp(log_magnitude.astype(np.float64)) - np.exp(log_floor)
        power = 2 * (np.maximum(magnitude, 0) ** 2).sum(axis=1)
    mean_square = float(power.mean()) / (n_fft**2 * _WINDOW_POWER)
    return 10 * float(np.log10(mean_square + 1e-12))
