"""What the switches mean: directions in which loops of a corpus differ audibly.

`Axes` is what all ways have in common. Here is the default way: every loop is described by numbers
(`training.features.descriptors`). Their principal components, rotated so that each direction moves
few
descriptors and all directions move about as much, are discovered from the music alone, and
uncorrelated and centred by construction. A switch is one of them, off below and on above the
middle. So a switch means the same change of the same descriptors whatever the others are, and the
composer is held to that. The other ways: `training.switch_axes.principal_components` and
`training.switch_axes.labels`.
"""

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from training.features.descriptors import NAMES

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
FURTHEST = 3.0
_SWEEPS = 20
# 1 is varimax.
_EVENNESS = 8.0


class Axes(nn.Module):
    """Positions along the directions that switches step through; three ways of finding them.

    The composer's latent is where a loop lies along the axes, then all the rest of it. Some ways
    know the first before anybody reads the loop; what they do not know the reader has to find.

    Attributes
    ----------
    reach : float
        How far along its axis a switch goes either way, in standard deviations of the corpus.
    n_read : int
        Numbers that the reader finds in a loop.
    is_aimed : bool
        Whether it is known, while the composer is trained, what a panel state should sound like.
    centre, spread : (n_descriptors,)
    effect : (n_descriptors, n_switches)
        What one standard deviation along an axis does to standardised descriptors.
    """

    is_aimed = True
    centre: Tensor
    spread: Tensor
    effect: Tensor

    def __init__(self, n_switches: int, n_variation: int, *, reach: float) -> None:
        super().__init__()
        self.reach = reach
        self.n_read = n_variation
        self.register_buffer("centre", torch.zeros(len(NAMES)))
        self.register_buffer("spread", torch.ones(len(NAMES)))
        self.register_buffer("effect", torch.zeros(len(NAMES), n_switches))

    def fit(self, described: Tensor, labels: Tensor) -> None:
        """Learn from loops what their descriptors are like, and whatever else is needed.

        Parameters
        ----------
        described : (n_loops, n_descriptors)
        labels : (n_loops, n_labels)
            What the owner says of them; no columns unless asked for.
        """
        raise NotImplementedError

    def locate(self, described: Tensor, labels: Tensor) -> Tensor:
        """Where loops are known to lie, (n_loops, n_known); `fit` says what of."""
        raise NotImplementedError

    def settle(self, latent: Tensor, described: Tensor) -> None:
        """Learn from a composer's finished latent, (n_loops, n_switches + n_variation).

        Asked of those that are not aimed alone.
        """

    def corner(self, switches: Tensor) -> Tensor:
        """Where a panel state lies along the axes; `switches` are 0 or 1."""
        return self.reach * (2 * switches - 1)

    def latent(self, switches: Tensor, variation: Tensor) -> Tensor:
        """What a panel state is to the composer, (n_states, n_switches + n_variation)."""
        return torch.cat([self.corner(switches), variation], dim=1)

    def expect(self, position: Tensor) -> Tensor:
        """Standardised descriptors that positions stand for, (n_loops, n_descriptors)."""
        return position @ self.effect.T

    def names(self) -> tuple[str, ...]:
        """What the switches are called, in their order."""
        return name(self.effect)

    def standardise(self, described: Tensor) -> Tensor:
        """Descriptors → standard deviations from the corpus' middle, odd ones drawn in softly."""
        return FURTHEST * torch.tanh((described - self.centre) / self.spread / FURTHEST)

    def take_measure(self, described: Tensor) -> Tensor:
        """Find middle and spread of the descriptors; returns them standardised."""
        low, middle, high = described.quantile(torch.tensor([0.1, 0.5, 0.9]).to(described), dim=0)
        self.centre.copy_(middle)
        # Of a normal distribution; a few odd loops must not stretch it.
        self.spread.copy_(((high - low) / 2.563).clamp_min(1e-3))
        for _ in range(3):
            # Drawing in pulls the mean a little; some rounds bring it back to 0.
            self.centre += self.standardise(described).mean(dim=0) * self.spread
        return self.standardise(described)


class DiscoveredAxes(Axes):
    """The descriptors' own principal axes, rotated; known of every loop that can be heard.

    Attributes
    ----------
    projection : (n_descriptors, n_switches)
        Standardised descriptors → positions, in standard deviations of the corpus.
    """

    projection: Tensor

    def __init__(self, n_switches: int, n_variation: int, *, reach: float) -> None:
        super().__init__(n_switches, n_variation, reach=reach)
        self.register_buffer("projection", torch.zeros_like(self.effect))

    def fit(self, described: Tensor, labels: Tensor) -> None:
        """Find the axes of a corpus."""
        del labels
        standard = self.take_measure(described).double()
        # A switch that turns the volume down has no meaning: all states are to be as loud.
        standard[:, NAMES.index("loudness")] = 0
        covariance = torch.cov(standard.T, correction=0)
        n_switches = self.effect.shape[1]
        strength, direction = torch.linalg.eigh(covariance)
        strength = strength.flip(0)[:n_switches].clamp_min(1e-9)
        direction = direction.flip(1)[:, :n_switches]
        loadings = direction * strength.sqrt()
        rotation = simplify(loadings)
        rotation = rotation * more_is_on(loadings @ rotation)
        self.effect.copy_(loadings @ rotation)
        self.projection.copy_(direction / strength.sqrt() @ rotation)

    def locate(self, described: Tensor, labels: Tensor) -> Tensor:
        """Where loops lie along the axes: (n_loops, n_descriptors) → (n_loops, n_switches)."""
        del labels
        return (self.standardise(described) @ self.projection).clamp(-FURTHEST, FURTHEST)


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


def more_is_on(effect: Tensor) -> Tensor:
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
