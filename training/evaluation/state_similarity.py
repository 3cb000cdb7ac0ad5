"""How far states lie from each other: twins, a map, and what a flip more is worth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.switch_effects import Sweep

Doubles = NDArray[np.float64]

# Nearer than this part of what takes of one state differ by, two states are the same to a listener.
_TWINS = 0.5


@dataclass(frozen=True, slots=True)
class HammingRow:
    """Pairs of states that differ in as many switches.

    Attributes
    ----------
    low, middle, high : float
        Tenth, fiftieth and ninetieth percentile of their distance in sound.
    """

    n_flips: int
    n_pairs: int
    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class Likeness:
    """Distances between states: root mean square over figures, in standard deviations.

    Attributes
    ----------
    between_takes : float
        Mean distance between two takes of one state.
    nearest : (n_states,)
        Number of the state most like each.
    nearest_distance : (n_states,)
    places : (n_states, 2)
        A map on which distances are as true as two dimensions allow (classical multidimensional
        scaling, Torgerson 1952).
    shown : float
        Share of the variance that the map shows.
    by_flips : tuple of HammingRow
    """

    between_takes: float
    nearest: NDArray[np.int64]
    nearest_distance: Doubles
    places: Doubles
    shown: float
    by_flips: tuple[HammingRow, ...]

    @property
    def least_distance(self) -> float:
        """Between the two states that are most alike."""
        return float(self.nearest_distance.min())

    @property
    def twin_distance(self) -> float:
        """Nearer than this, two states count as the same."""
        return _TWINS * self.between_takes

    @property
    def indistinguishable_pairs(self) -> list[tuple[int, int]]:
        """Pairs of states that are the same to a listener, each once."""
        near = np.flatnonzero(self.nearest_distance < self.twin_distance)
        return sorted({(min(n, m), max(n, m)) for n in near.tolist() for m in [self.nearest[n]]})


def compare_states(sweep: Sweep) -> Likeness:
    """Measure every pair."""
    distance = pairwise(sweep.centres)
    alone = distance + np.diag(np.full(len(distance), np.inf))
    places, shown = place_on_map(distance)
    return Likeness(
        between_takes=_between_takes(sweep.standard),
        nearest=alone.argmin(axis=1),
        nearest_distance=alone.min(axis=1),
        places=places,
        shown=shown,
        by_flips=_by_flips(sweep, distance),
    )


def pairwise(points: Doubles) -> Doubles:
    """Root mean square differences, (n, n_figures) → (n, n)."""
    squares = np.square(points).mean(axis=1)
    products = points @ points.T / points.shape[1]
    distance = np.sqrt(np.maximum(squares[:, None] + squares - 2 * products, 0))
    np.fill_diagonal(distance, 0.0)
    return np.asarray(distance)


def place_on_map(distance: Doubles) -> tuple[Doubles, float]:
    """Classical multidimensional scaling: (n, n) → (n, 2) and the share of variance shown."""
    n = len(distance)
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ np.square(distance) @ centring)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    # Of the two ways round the same one each time.
    strongest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[strongest, np.arange(n)])
    places = vectors[:, :2] * np.sqrt(values[:2])
    total = float(values.sum())
    share = float(values[:2].sum()) / total if total else 1.0
    return np.pad(places, ((0, 0), (0, max(0, 2 - n)))), share


def _between_takes(standard: Doubles) -> float:
    """Mean over states and pairs of seeds."""
    n_seeds = len(standard)
    differences = [
        np.sqrt(np.square(standard[one] - standard[other]).mean(axis=1)).mean()
        for one in range(n_seeds)
        for other in range(one)
    ]
    return float(np.mean(differences))


def _by_flips(sweep: Sweep, distance: Doubles) -> tuple[HammingRow, ...]:
    bits = np.array(sweep.states, dtype=np.int64)
    flips = (bits[:, None, :] != bits[None, :, :]).sum(axis=2)
    above = np.triu(np.ones_like(flips, dtype=bool), 1)
    rows = []
    for n_flips in range(1, bits.shape[1] + 1):
        found = distance[(flips == n_flips) & above]
        if len(found):
            low, middle, high = np.percentile(found, [10, 50, 90]).tolist()
            rows.append(HammingRow(n_flips, len(found), low, middle, high))
    return tuple(rows)
