"""How soon a flip sounds: until a sound that it takes away is gone, or one that it adds starts.

A switch is flipped at random moments of a render. The renders are read a hop at a time, as a
device plays; the queue of a sound card comes on top, see `switchboard bench`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

from device.switches.bits import Bits
from device.switches.state_sampling import flipped, random_states
from device.synthesis.performance import Performance
from device.synthesis.transport import Quantize
from device.synthesis.voice import Voice
from training.evaluation.contribution import (
    MOMENT_SECONDS,
    Contribution,
    power,
    seconds_of_change,
)
from training.evaluation.renders import loop_seconds, network_of
from training.metrics.spectra import Floats

# States of the other switches in which each is flipped, and the length of every render.
_N_STATES, _N_LOOPS, _MOST_SECONDS = 4, 2, 30.0
# Shares of a sound: 20 dB below what it contributes, and half of its power.
_GONE, _HALF = 0.01, 0.5
# No flip is so near to the begin, the end or another flip.
_EDGE_SECONDS, _BETWEEN_SECONDS = 0.3, 0.35
# A flip is tried where the sound is clear for most of this time.
_CLEAR_SECONDS, _LEAST_CLEAR = 0.08, 0.75
# The change is looked for from so long before to so long after the flip or the line.
_BEFORE_SECONDS, _AFTER_SECONDS = 0.03, 0.2
# A flip that waits for a line is drawn from this part of the time since the line before.
_BEFORE_LINE = (0.2, 0.9)


@dataclass(frozen=True, slots=True)
class FlipJob:
    """A switch to flip, counted from 0, in the variation of a seed."""

    model: Path
    switch: int
    seed: int


@dataclass(frozen=True, slots=True)
class Milliseconds:
    """Median and 95th percentile of times of `n` flips; None without any."""

    n: int
    p50: float | None
    p95: float | None

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Milliseconds":
        """Of times in seconds."""
        if not seconds:
            return cls(0, None, None)
        p50, p95 = (1000 * np.percentile(seconds, [50, 95])).round(1).tolist()
        return cls(len(seconds), p50, p95)


@dataclass(frozen=True, slots=True)
class TimeToSound:
    """How soon flips of one switch sound.

    Attributes
    ----------
    is_of_on : bool
        Whether the sound that was followed belongs to the switch on; else to the switch off. It is
        the one that is clear for more of the time.
    gone : Milliseconds
        From a flip that takes it away until it is 20 dB below what it contributes.
    starts : Milliseconds
        From a flip that adds it until it has half of its power.
    beat, bar : Milliseconds
        How far from the line it has half of its power, with ``--quantize beat`` and ``bar``.
    """

    is_of_on: bool
    gone: Milliseconds
    starts: Milliseconds
    beat: Milliseconds
    bar: Milliseconds


@dataclass(frozen=True, slots=True)
class _Flip:
    """When a switch is flipped and when that is due, in s from the first sample on."""

    at: float
    due: float


def measure_flips(job: FlipJob) -> tuple[int, TimeToSound]:
    """Flip one switch at random moments, in several states of the others: its number, and times."""
    renders, rng = _Renders(job), np.random.default_rng([job.seed, job.switch])
    states = random_states(renders.card.n_switches, _N_STATES, rng)
    pairs = [sorted((bits, flipped(bits, job.switch))) for bits in states]
    added = [Contribution(renders.power([off]), renders.power([on])) for off, on in pairs]
    taken = [each.turned for each in added]
    is_of_on = _n_clear(added) >= _n_clear(taken)
    found: dict[str, list[float]] = {"gone": [], "starts": [], "beat": [], "bar": []}
    for (off, on), sound in zip(pairs, added if is_of_on else taken, strict=True):
        complete_first = [on, off] if is_of_on else [off, on]
        for quantize in (Quantize.OFF, Quantize.BEAT, Quantize.BAR):
            flips = renders.drawn_flips(sound, quantize, rng)
            share = sound.share(renders.power(complete_first, flips, quantize))
            for flip, is_end in zip(flips, cycle((True, False)), strict=False):
                name, seconds = _change(sound, share, flip, quantize, is_end=is_end)
                found[name] += [] if seconds is None else [seconds]
    times = {name: Milliseconds.of(seconds) for name, seconds in found.items()}
    return job.switch, TimeToSound(is_of_on, **times)


def _n_clear(sounds: Sequence[Contribution]) -> int:
    return sum(int(each.is_clear(_GONE).sum()) for each in sounds)


def _change(
    sound: Contribution, share: Floats, flip: _Flip, quantize: Quantize, *, is_end: bool
) -> tuple[str, float | None]:
    """Which time a flip tells, and how many seconds it is."""
    name, limit, earliest = quantize.value, _HALF, flip.due - _BEFORE_SECONDS
    if quantize is Quantize.OFF:
        name, limit, earliest = ("gone", _GONE, flip.due) if is_end else ("starts", _HALF, flip.due)
    is_new = share <= limit if is_end else share >= limit
    latest = flip.due + _AFTER_SECONDS
    change = seconds_of_change(is_new, sound.is_clear(limit), earliest, latest)
    return name, None if change is None else abs(change - flip.due)


class _Renders:
    """Renders of one model in one variation, of the same length, dry."""

    def __init__(self, job: FlipJob) -> None:
        self._network = network_of(job.model)
        self._seed = job.seed
        self.card = self._network.card
        self._hop_seconds = self.card.hop_length / self.card.sample_rate
        seconds = min(_N_LOOPS * loop_seconds(self.card), _MOST_SECONDS)
        self._n_blocks = round(seconds / self._hop_seconds)
        with Voice(self._network, Performance()) as voice:
            self._delay_seconds = voice.vocoder.delay_seconds

    def power(
        self,
        states: Sequence[Bits],
        flips: Sequence[_Flip] = (),
        quantize: Quantize = Quantize.OFF,
    ) -> Floats:
        """Render the first state, and the next one from each flip on: (n_moments, n_bands)."""
        performance = Performance(seed=self._seed, tape=0.0, quantize=quantize)
        # A block reads the switches when it begins.
        begins = np.arange(self._n_blocks) * self._hop_seconds
        n_flipped = np.searchsorted([flip.at for flip in flips], begins, "right")
        with Voice(self._network, performance) as voice:
            blocks = [voice.block(states[n % len(states)]) for n in n_flipped.tolist()]
        return power(np.concatenate(blocks), self.card.sample_rate)

    def drawn_flips(
        self, sound: Contribution, quantize: Quantize, rng: np.random.Generator
    ) -> list[_Flip]:
        """Random flips, each while the sound is clear or before a line, the first one first."""
        end = self._n_blocks * self._hop_seconds - _EDGE_SECONDS
        interval = quantize.beats * 60 / self.card.tempo_bpm
        if interval:
            due = np.arange(self._delay_seconds, end, interval)[1:]
            at = due - interval * (1 - rng.uniform(*_BEFORE_LINE, len(due)))
            return [_Flip(*times) for times in zip(at.tolist(), due.tolist(), strict=True)]
        n_clear = round(_CLEAR_SECONDS / MOMENT_SECONDS)
        padded = np.pad(sound.is_clear(_GONE).astype(np.float64), (0, n_clear - 1))
        share_clear = np.convolve(padded, np.ones(n_clear) / n_clear, "valid")
        moments = rng.permutation(np.flatnonzero(share_clear >= _LEAST_CLEAR))
        drawn: list[float] = []
        for time in ((moments + rng.random(len(moments))) * MOMENT_SECONDS).tolist():
            near = any(abs(time - other) < _BETWEEN_SECONDS for other in drawn)
            if _EDGE_SECONDS < time < end and not near:
                drawn.append(time)
        return [_Flip(time, time) for time in sorted(drawn)]
