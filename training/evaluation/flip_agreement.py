"""What a flip leaves as it is: how well harmony and rhythm agree before and after it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from device.switches.bits import Bits
from device.switches.state_sampling import flipped
from training.evaluation.renders import Render
from training.metrics.pitch_salience import PITCHES

Floats = NDArray[np.float32]

_N_CLASSES = 12
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of two renders of one variation, mean over pairs; 1 if they are the same.

    Attributes
    ----------
    harmony : float
        Cosine between the pitch classes of each half second.
    rhythm : float
        Correlation of the strengths of onsets in steps of 52 ms.
    """

    harmony: float
    rhythm: float


def agreement_of_flips(
    renders: Iterable[Render], n_switches: int, *, on: Collection[int] = ()
) -> list[Agreement]:
    """Agreement before and after a flip, for each switch.

    Parameters
    ----------
    renders
        Of one variation; states without a partner that differs in one switch are ignored.
    on
        Switches, counted from 0, that are on before and after a flip of any other.
    """
    by_state = {render.bits: render for render in renders}
    return [_of_switch(by_state, number, on) for number in range(n_switches)]


def agreement_of_distant_states(renders: Sequence[Render]) -> Agreement:
    """The same between states that differ in half of the switches or more."""
    pairs = [
        (a, b)
        for a, b in combinations(renders, 2)
        if 2 * sum(x != y for x, y in zip(a.bits, b.bits, strict=True)) >= len(a.bits)
    ]
    return _mean(pairs)


def _of_switch(by_state: Mapping[Bits, Render], number: int, on: Collection[int]) -> Agreement:
    pairs = [
        (render, by_state[flipped(bits, number)])
        for bits, render in by_state.items()
        if not bits[number]
        and all(bits[other] for other in on if other != number)
        and flipped(bits, number) in by_state
    ]
    return _mean(pairs)


def _mean(pairs: Sequence[tuple[Render, Render]]) -> Agreement:
    if not pairs:
        return Agreement(np.nan, np.nan)
    harmony = np.mean([_cosine(chroma(a.pitches), chroma(b.pitches)) for a, b in pairs])
    rhythm = np.mean([_correlation(a.onsets, b.onsets) for a, b in pairs])
    return Agreement(float(harmony), float(rhythm))


def chroma(pitches: Floats) -> Floats:
    """Sum pitches over octaves: (n_half_seconds, n_pitches) → (n_half_seconds, 12)."""
    classes = np.eye(_N_CLASSES, dtype=np.float32)[PITCHES % _N_CLASSES]
    summed: Floats = pitches @ classes
    return summed


def _cosine(a: Floats, b: Floats) -> float:
    n = min(len(a), len(b))
    lengths = np.linalg.norm(a[:n], axis=1) * np.linalg.norm(b[:n], axis=1)
    return float(((a[:n] * b[:n]).sum(axis=1) / np.maximum(lengths, _TINY)).mean())


def _correlation(a: Floats, b: Floats) -> float:
    n = min(len(a), len(b))
    a, b = (each[:n] - each[:n].mean() for each in (a, b))
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float((a * b).sum() / max(lengths, _TINY))
