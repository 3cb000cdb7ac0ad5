"""Distances between states: indistinguishable pairs, a map, and distance over switches flipped."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.switch_effects import Sweep

Doubles = NDArray[np.float64]

# Two states nearer than this share of the distance between renders of one state count as
# indistinguishable.
_INDISTINGUISHABLE = 0.5


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
class StateSimilarity:
    """Distances between states: root mean square over figures, in standard deviations.

    Attributes
    ----------
    between_renders : float
        Mean distance between two renders of one state, in different variations.
    nearest : (n_states,)
        Number of the state nearest to each.
    nearest_distance : (n_states,)
    places : (n_states, 2)
        Map in two dimensions by classical multidimensional scaling (Torgerson 1952).
    shown : float
        Share of the variance that the map shows.
    by_flips : tuple of HammingRow
    """

    between_renders: float
    nearest: NDArray[np.int64]
    nearest_distance: Doubles
    places: Doubles
    shown: float
    by_flips: tuple[HammingRow, ...]

    @property
    def least_distance(self) -> float:
        """Distance of the two nearest states."""
        return float(self.nearest_distance.min())

    @property
    def indistinguishable_distance(self) -> float:
        """States nearer than this are indistinguishable."""
        return _INDISTINGUISHABLE * self.between_renders

    @property
    def indistinguishable_pairs(self) -> list[tuple[int, int]]:
        """Pairs of indistinguishable states, each pair once."""
        near = np.flatnonzero(self.nearest_distance < self.indistinguishable_distance)
        return sorted({(min(n, m), max(n, m)) for n in near.tolist() for m in [self.nearest[n]]})


def compare_states(sweep: Sweep) -> StateSimilarity:
    """Measure the distance of every pair of states."""
    distance = pairwise(sweep.centres)
    alone = distance + np.diag(np.full(len(distance), np.inf))
    places, shown = place_on_map(distance)
    # Common variations are few, and the same in all states: two of them may be near by chance.
    common, independent = sweep.clipped
    between_renders = np.sqrt(np.square(common - independent).mean(axis=2)).mean()
    return StateSimilarity(
        between_renders=float(between_renders),
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
    # An eigenvector has an arbitrary sign: fix it.
    strongest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[strongest, np.arange(n)])
    places = vectors[:, :2] * np.sqrt(values[:2])
    total = float(values.sum())
    share = float(values[:2].sum()) / total if total else 1.0
    return np.pad(places, ((0, 0), (0, max(0, 2 - n)))), share


def _by_flips(sweep: Sweep, distance: Doubles) -> tuple[HammingRow, ...]:
    bits = np.array(sweep.states, dtype=np.int64)
    flips = (bits[:, None, :] != bits[None, :, :]).sum(axis=2)
    above = np.triu(np.ones_like(flips, dtype=bool), 1)
    rows = []
    for n_flips in range(1, bits.shape[1] + 1):
        distances = distance[(flips == n_flips) & above]
        if len(distances):
            low, middle, high = np.percentile(distances, [10, 50, 90]).tolist()
            rows.append(HammingRow(n_flips, len(distances), low, middle, high))
    return tuple(rows)
