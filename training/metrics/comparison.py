"""Distance of one collection of recordings from another, by figure and by group of figures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics.audio_metrics import GROUPS, METRIC_NAMES

Figures = NDArray[np.float64]

# Less than this is no difference, however alike the reference's recordings are among themselves.
_LEAST_SPREAD = {
    "dc": 1e-3,
    "clip_share": 1e-3,
    "silence_share": 0.02,
    "click_rate": 0.2,
    "tempo_bpm": 2.0,
    "lufs": 1.0,
    "true_peak_db": 0.5,
    "block_z": 0.5,
    "polyphony": 0.2,
    "pitch_mean": 1.0,
    "in_scale": 0.02,
}
_QUANTILES = np.linspace(0.02, 0.98, 49)
# The distance of one figure is limited, so that it does not outweigh its group.
_FURTHEST = 5.0
# 80 % of a normal distribution lie within as many standard deviations.
_TENTH_TO_NINTH = 2.563


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of two collections.

    Attributes
    ----------
    reference, candidate : float
        Medians.
    shift : float
        From one median to the other, in standard deviations of the reference.
    distance : float
        Between the two distributions (Wasserstein), likewise; at most 5.
    """

    name: str
    reference: float
    candidate: float
    shift: float
    distance: float


def compare(reference: Figures, candidate: Figures) -> list[Comparison]:
    """Compare two collections, each (n_recordings, n_figures); two dozen of each at least."""
    columns = zip(METRIC_NAMES, reference.T, candidate.T, strict=True)
    return [_compare(name, *pair) for name, *pair in columns]


def by_group(comparisons: list[Comparison]) -> dict[str, float]:
    """Mean distance of every group of figures."""
    distance = {each.name: each.distance for each in comparisons}
    return {
        group: float(np.mean([distance[name] for name in names])) for group, names in GROUPS.items()
    }


def _compare(name: str, reference: Figures, candidate: Figures) -> Comparison:
    middle, other = float(np.median(reference)), float(np.median(candidate))
    spread = _spread(name, reference)
    apart = np.abs(np.quantile(reference, _QUANTILES) - np.quantile(candidate, _QUANTILES))
    distance = min(float(apart.mean()) / spread, _FURTHEST)
    return Comparison(name, middle, other, (other - middle) / spread, distance)


def _spread(name: str, reference: Figures) -> float:
    """Robust standard deviation, not below what counts as a difference at all."""
    low, high = np.percentile(reference, [10, 90])
    return max(
        float(high - low) / _TENTH_TO_NINTH,
        0.02 * abs(float(np.median(reference))),
        _LEAST_SPREAD.get(name, 1e-4),
    )
