"""What the switches mean: independent directions in which loops of a corpus differ audibly.

Every loop is described by numbers (`training.descriptors`). Their principal components, rotated so
that each direction moves few descriptors and all directions move about as much, are discovered from
the music alone, and uncorrelated and centred by construction. A switch is one of them, off below
and on above the middle. So a switch means the same change of the same descriptors whatever the
others are, and the composer is held to that.
"""

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from training.descriptors import NAMES

# Descriptor → what more and less of it are called.
WORDS: Mapping[str, tuple[str, str]] = {
    "loudness": ("louder", "softer"),
    "peaks": ("punchier", "flatter"),
    "dynamics": ("more contrast", "less contrast"),
    "sub": ("deeper", "shallower"),
    "bass": ("more bass", "less bass"),
    "middle": ("more chords", "fewer chords"),
    "treble": ("more treble", "less treble"),
    "air": ("more air", "less air"),
    "brightness": ("brighter", "darker"),
    "flatness": ("sparser", "denser"),
    "density": ("fuller chords", "thinner chords"),
    "edges in time": ("crisper", "softer edges"),
    "edges in frequency": ("clearer", "hazier"),
    "partials": ("more tone", "more noise"),
    "relief": ("purer", "rougher"),
    "attacks": ("more drums", "fewer drums"),
    "motion": ("busier", "calmer"),
    "low attacks": ("more kick", "less kick"),
    "high attacks": ("more hats", "fewer hats"),
    "sparseness of attacks": ("lonelier beats", "more beats"),
    "fast modulation": ("faster notes", "longer notes"),
    "slow modulation": ("longer phrases", "shorter phrases"),
    "repetition": ("more loop", "more story"),
    "pulse": ("steadier", "looser"),
}
# Where "on" means more of these: a panel with everything off is the calmest.
_ALIVE = ("attacks", "motion", "high attacks", "treble", "air", "low attacks")
_FURTHEST = 3.0
_SWEEPS = 20
# 1 is varimax.
_EVENNESS = 8.0


class Axes(nn.Module):
    """Descriptors ⇄ positions along the axes, which the switches step through.

    Attributes
    ----------
    centre, spread : (n_descriptors,)
    projection : (n_descriptors, n_switches)
        Standardised descriptors → positions, in standard deviations of the corpus.
    effect : (n_descriptors, n_switches)
        What one standard deviation along an axis does to standardised descriptors.
    """

    centre: Tensor
    spread: Tensor
    projection: Tensor
    effect: Tensor

    def __init__(self, n_switches: int) -> None:
        super().__init__()
        shape = (len(NAMES), n_switches)
        self.register_buffer("centre", torch.zeros(len(NAMES)))
        self.register_buffer("spread", torch.ones(len(NAMES)))
        self.register_buffer("projection", torch.zeros(shape))
        self.register_buffer("effect", torch.zeros(shape))

    def fit(self, described: Tensor) -> None:
        """Find the axes of a corpus, (n_loops, n_descriptors)."""
        low, middle, high = described.quantile(torch.tensor([0.1, 0.5, 0.9]).to(described), dim=0)
        self.centre.copy_(middle)
        # Of a normal distribution; a few odd loops must not stretch it.
        self.spread.copy_(((high - low) / 2.563).clamp_min(1e-3))
        for _ in range(3):
            # Drawing in pulls the mean a little; some rounds bring it back to 0.
            self.centre += self.standardise(described).mean(dim=0) * self.spread
        standard = self.standardise(described).double()
        covariance = torch.cov(standard.T, correction=0)
        n_switches = self.effect.shape[1]
        strength, direction = torch.linalg.eigh(covariance)
        strength = strength.flip(0)[:n_switches].clamp_min(1e-9)
        direction = direction.flip(1)[:, :n_switches]
        loadings = direction * strength.sqrt()
        rotation = simplify(loadings)
        rotation = rotation * _more_is_on(loadings @ rotation)
        self.effect.copy_(loadings @ rotation)
        self.projection.copy_(direction / strength.sqrt() @ rotation)

    def standardise(self, described: Tensor) -> Tensor:
        """Descriptors → standard deviations from the corpus' middle, odd ones drawn in softly."""
        return _FURTHEST * torch.tanh((described - self.centre) / self.spread / _FURTHEST)

    def locate(self, described: Tensor) -> Tensor:
        """Where loops lie along the axes: (n_loops, n_descriptors) → (n_loops, n_switches)."""
        return (self.standardise(described) @ self.projection).clamp(-_FURTHEST, _FURTHEST)

    def expect(self, position: Tensor) -> Tensor:
        """Standardised descriptors that positions stand for, (n_loops, n_descriptors)."""
        return position @ self.effect.T


def simplify(loadings: Tensor) -> Tensor:
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
    and weak components, and a weak switch is drowned by what the others leave undecided; the
    heavier `_EVENNESS` weighs against that.
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


def _more_is_on(effect: Tensor) -> Tensor:
    """Say which way round each axis is worn: 1 or -1."""
    chosen = [NAMES.index(name) for name in _ALIVE]
    return torch.where(effect[chosen].sum(dim=0) < 0, -1.0, 1.0).to(effect)


def name(effect: Tensor) -> tuple[str, ...]:
    """Give every switch a different name; the clearest effect chooses first."""
    free = effect.abs().clone()
    n_descriptors, n_switches = free.shape
    names = [f"switch {number + 1}" for number in range(n_switches)]
    for _ in range(min(n_switches, n_descriptors)):
        descriptor, switch = divmod(int(free.argmax()), n_switches)
        more, less = WORDS[NAMES[descriptor]]
        names[switch] = more if effect[descriptor, switch] > 0 else less
        free[:, switch] = -1
        free[descriptor, :] = -1
    return tuple(names)
