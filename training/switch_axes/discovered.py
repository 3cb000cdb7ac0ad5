"""Meaning of the switches: directions in which loops of a corpus differ audibly.

The default of three kinds of axes: the principal components of the descriptors of all loops
(`training.features.descriptors`), rotated so that each axis moves few descriptors and all axes move
about as much. They are uncorrelated and centred by construction. A switch is one of them, off below
and on above the centre. So a switch means the same change of the same descriptors whatever the
others are, and the composer is trained towards that. The other kinds are in
`training.switch_axes.principal_components` and `training.switch_axes.labels`.
"""

from itertools import combinations

import torch
from torch import Tensor

from training.features.descriptors import NAMES
from training.switch_axes.axes import FURTHEST, Axes

# "On" means more of these: with all switches off the music is calmest.
_ACTIVITY = ("attacks", "motion", "high attacks", "treble", "air", "low attacks")
_SWEEPS = 20
# 1 is varimax.
_EVENNESS = 8.0


class DiscoveredAxes(Axes):
    """The rotated principal axes of the descriptors; known of every loop.

    Attributes
    ----------
    projection : (n_descriptors, n_switches)
        Standardised descriptors → positions, in standard deviations of the corpus.
    """

    projection: Tensor

    def __init__(
        self, n_switches: int, n_variation: int, *, switch_range: float, prior_size: int = 0
    ) -> None:
        super().__init__(n_switches, n_variation, switch_range=switch_range, prior_size=prior_size)
        self.register_buffer("projection", torch.zeros_like(self.effect))

    def fit(self, described: Tensor, labels: Tensor) -> None:
        """Find the axes of a corpus."""
        del labels
        standard = self.fit_scaling(described).double()
        # No switch changes the loudness: all states are to be equally loud.
        standard[:, NAMES.index("loudness")] = 0
        covariance = torch.cov(standard.T, correction=0)
        n_switches = self.effect.shape[1]
        strength, direction = torch.linalg.eigh(covariance)
        strength = strength.flip(0)[:n_switches].clamp_min(1e-9)
        direction = direction.flip(1)[:, :n_switches]
        loadings = direction * strength.sqrt()
        rotation = rotate_orthomax(loadings)
        rotation = rotation * orient(loadings @ rotation)
        self.effect.copy_(loadings @ rotation)
        self.projection.copy_(direction / strength.sqrt() @ rotation)

    def project(self, described: Tensor, labels: Tensor) -> Tensor:
        """Where loops lie along the axes: (n_loops, n_descriptors) → (n_loops, n_switches)."""
        del labels
        return (self.standardise(described) @ self.projection).clamp(-FURTHEST, FURTHEST)


def rotate_orthomax(loadings: Tensor) -> Tensor:
    """Rotate components so that each moves few descriptors, and all move about as much.

    Parameters
    ----------
    loadings : (n_descriptors, n_components)

    Returns
    -------
    (n_components, n_components), orthogonal.

    Notes
    -----
    Orthomax by plane rotations (Kaiser 1958, Harman 1976). Varimax, its usual form, leaves strong
    and weak components, and the effect of a weak switch is smaller than the scatter of the others;
    the larger `_EVENNESS` counteracts that.
    """
    n_descriptors, n_components = loadings.shape
    rotation = torch.eye(n_components).to(loadings)
    pairs = list(combinations(range(n_components), 2))
    for pair in pairs * _SWEEPS:
        x, y = (loadings @ rotation[:, pair]).unbind(dim=1)
        turn = _plane_rotation(x, y, _EVENNESS / n_descriptors)
        rotation[:, pair] = rotation[:, pair] @ turn
    return rotation


def _plane_rotation(x: Tensor, y: Tensor, weight: float) -> Tensor:
    """Best rotation of two components within their plane, (2, 2)."""
    u, v = x**2 - y**2, 2 * x * y
    sine = 2 * (u * v).sum() - 2 * weight * u.sum() * v.sum()
    cosine = (u**2 - v**2).sum() - weight * (u.sum() ** 2 - v.sum() ** 2)
    angle = torch.atan2(sine, cosine) / 4
    return torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)


def orient(effect: Tensor) -> Tensor:
    """Sign of each axis, 1 or -1, so that "on" means more of `_ACTIVITY`."""
    chosen = [NAMES.index(name) for name in _ACTIVITY]
    return torch.where(effect[chosen].sum(dim=0) < 0, -1.0, 1.0).to(effect)
