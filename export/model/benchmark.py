"""What the networks of a model cost: measured on this core, extrapolated to a Raspberry Pi's."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from device.model.contract import ModelCard
from device.model.network import Network
from device.synthesis.frame_cache import AHEAD_FRAMES
from export.model.graph import Weights

# More than a processor's last cache: a device sleeps between two blocks, and its caches go cold.
_SWEPT_BYTES = 64 * 2**20
_ROUNDS = 25


@dataclass(frozen=True)
class Speed:
    """Processor time with cold caches, on one core.

    Attributes
    ----------
    compose_ms : float
        One loop of a new variation.
    flip_ms : float
        The same variation in another switch state: as long, unless the compose half is in two
        parts.
    frame_ms : float
        One frame, drawn as the voice draws: `AHEAD_FRAMES` at a time.
    """

    compose_ms: float
    flip_ms: float
    frame_ms: float

    def core_percent(self, card: ModelCard) -> float:
        """Share of this core while it plays; the inversion comes on top."""
        loop_ms = self.compose_ms + card.n_switches * self.flip_ms
        ms = self.frame_ms * _frames_a_second(card) + loop_ms * _loops_a_second(card)
        return ms / 10


@dataclass(frozen=True)
class Board:
    """What one core of a board sustains in float32, from published LINPACK and STREAM runs."""

    name: str
    gigaflops: float
    gigabytes_per_second: float

    def core_percent(
        self, card: ModelCard, compose: Weights, flip: Weights, render: Weights
    ) -> float:
        """Extrapolate the share of a core: each weight is fetched once a call and used once a row.

        `flip` are those of the compose half that a flip needs.

        Rounded weights are fetched faster, and count as no faster to use: these cores have no
        instruction for products of bytes.
        """
        loops, frames = _loops_a_second(card), _frames_a_second(card)
        composed = compose.n + card.n_switches * flip.n
        read = compose.n_bytes + card.n_switches * flip.n_bytes
        products = composed * card.n_slots * loops + render.n * frames
        fetched = read * loops + render.n_bytes * frames / AHEAD_FRAMES
        # A product is a multiplication and an addition.
        seconds = 2e-9 * products / self.gigaflops + 1e-9 * fetched / self.gigabytes_per_second
        return 100 * seconds


BOARDS = (Board("Raspberry Pi 4", 5.0, 4.0), Board("Zero 2 W", 1.5, 1.5))


def measure_speed(
    networks: Sequence[Network],
    *,
    rounds: int = _ROUNDS,
    clock: Callable[[], float] = time.thread_time,
) -> list[Speed]:
    """Time networks of one shape in turns, so that other load on the machine affects all alike.

    Parameters
    ----------
    clock : callable
        Seconds; by default the processor time of this thread, without waiting.
    """
    card = networks[0].card
    rng = np.random.default_rng(0)
    switches = rng.integers(0, 2, card.n_switches).astype(np.float32)
    score = networks[0].compose(switches, np.zeros(card.n_variation, np.float32))
    position = (np.arange(AHEAD_FRAMES) / 16).astype(np.float32) % card.beats_per_loop
    swept = np.zeros(_SWEPT_BYTES, np.uint8)

    def timed(call: Callable[..., object], *arguments: object) -> float:
        np.add(swept, 1, out=swept)
        started = clock()
        call(*arguments)
        return clock() - started

    def timed_parts(network: Network) -> tuple[float, float, float]:
        # A new one: a network keeps what it composed of the latest.
        variation = rng.standard_normal(card.n_variation).astype(np.float32)
        return (
            timed(network.compose, switches, variation),
            timed(network.compose, 1 - switches, variation),
            timed(network.render, score, position),
        )

    seconds = np.array([[timed_parts(network) for network in networks] for _ in range(rounds)])
    # (rounds, networks, parts) → (networks, parts)
    return [
        Speed(1e3 * compose, 1e3 * flip, 1e3 * block / AHEAD_FRAMES)
        for compose, flip, block in np.median(seconds, axis=0).tolist()
    ]


def _frames_a_second(card: ModelCard) -> float:
    return card.sample_rate / card.hop_length


def _loops_a_second(card: ModelCard) -> float:
    """How often a turn is composed; in each turn every switch might flip, too."""
    return card.tempo_bpm / (60 * card.beats_per_loop)
