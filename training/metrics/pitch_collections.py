"""Which pitches two collections of recordings hold: how alike, and how varied each is.

The figures of `training.metrics.notes` describe one recording at a time. A model whose states all
play the same chord can have likely figures; these distances show it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Pitches = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Of a larger collection so many recordings are compared, evenly over all: the kernel needs memory
# for every pair of half seconds.
_MOST_RECORDINGS = 64


@dataclass(frozen=True, slots=True)
class PitchComparison:
    """Pitches of a collection of recordings, compared with those of the reference.

    Attributes
    ----------
    kernel_distance : float
        Squared maximum mean discrepancy of half seconds (Gretton et al. 2012), times 1,000; about 0
        for two parts of one collection, and negative by chance.
    diversity : float
        Mean distance between two recordings, as a multiple of that in the reference.
    """

    kernel_distance: float
    diversity: float


def compare_pitches(
    reference: Sequence[Pitches], candidate: Sequence[Pitches]
) -> PitchComparison | None:
    """Compare two collections, each of (n_half_seconds, n_pitches) arrays.

    None where one of them has fewer than two recordings, or all of the reference are alike.
    """
    if min(len(reference), len(candidate)) < 2 or not (variety := _variety(reference)):
        return None
    return PitchComparison(
        1000 * _kernel_distance(_some(reference), _some(candidate)), _variety(candidate) / variety
    )


def _variety(recordings: Sequence[Pitches]) -> float:
    """Mean distance of the means over time of two recordings."""
    means = [recording.mean(axis=0) for recording in recordings]
    apart = [float(np.linalg.norm(one - other)) for one, other in combinations(means, 2)]
    return float(np.mean(apart))


def _some(recordings: Sequence[Pitches]) -> list[Pitches]:
    places = np.linspace(0, len(recordings) - 1, min(len(recordings), _MOST_RECORDINGS))
    return [recordings[place] for place in places.round().astype(int)]


def _kernel_distance(reference: list[Pitches], candidate: list[Pitches]) -> float:
    """Between half seconds of different recordings: none is compared with itself."""
    recordings = [*reference, *candidate]
    points = np.concatenate(recordings).astype(np.float64)
    lengths = np.square(points).sum(axis=1)
    squares = np.maximum(lengths[:, None] + lengths - 2 * points @ points.T, 0)
    n = sum(map(len, reference))
    # The median distance within the reference is the kernel's width (Gaussian, median heuristic).
    width = max(float(np.median(squares[:n, :n])), 1e-12)
    # Means over the half seconds of every pair of recordings.
    sizes = np.array([len(recording) for recording in recordings])
    owners = np.repeat(np.eye(len(sizes)) / sizes[:, None], sizes, axis=1)
    similarity = owners @ np.exp(-squares / width) @ owners.T
    n_reference = len(reference)
    across = similarity[:n_reference, n_reference:].mean()
    ours, theirs = similarity[:n_reference, :n_reference], similarity[n_reference:, n_reference:]
    return float(_between_different(ours) + _between_different(theirs) - 2 * across)


def _between_different(similarity: Doubles) -> float:
    """Mean off the diagonal."""
    n = len(similarity)
    return float((similarity.sum() - np.trace(similarity)) / (n * (n - 1)))
