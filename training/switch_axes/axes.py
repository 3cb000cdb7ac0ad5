"""The base of all switch axes: where each switch lies in the latent space."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from training.features.descriptors import NAMES
from training.switch_axes.variation_prior import VariationPrior

# Descriptor → names for more and for less of it.
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


FURTHEST = 3.0


class Axes(nn.Module):
    """Positions along the axes that the switches move; subclasses find the axes.

    The composer's latent is a loop's position along the axes, then the variation. In some
    subclasses the position is known beforehand; otherwise the posterior encoder infers it.

    Attributes
    ----------
    switch_range : float
        Distance that a switch moves along its axis either way, in standard deviations.
    n_inferred : int
        Numbers that the posterior encoder infers from a loop.
    predicts_descriptors : bool
        Whether descriptors of a state can be predicted while the composer is trained.
    centre, spread : (n_descriptors,)
    effect : (n_descriptors, n_switches)
        Change of standardised descriptors by one standard deviation along an axis.
    prior : VariationPrior
    """

    predicts_descriptors = True
    centre: Tensor
    spread: Tensor
    effect: Tensor

    def __init__(
        self, n_switches: int, n_variation: int, *, switch_range: float, prior_size: int = 0
    ) -> None:
        super().__init__()
        self.switch_range = switch_range
        self.n_inferred = n_variation
        self.prior = VariationPrior(prior_size, n_variation)
        self.register_buffer("centre", torch.zeros(len(NAMES)))
        self.register_buffer("spread", torch.ones(len(NAMES)))
        self.register_buffer("effect", torch.zeros(len(NAMES), n_switches))

    def fit(self, described: Tensor, labels: Tensor) -> None:
        """Fit the scaling of descriptors, and the axes where they come from loops.

        Parameters
        ----------
        described : (n_loops, n_descriptors)
        labels : (n_loops, n_labels)
            Labels of the loops; no columns unless requested.
        """
        raise NotImplementedError

    def project(self, described: Tensor, labels: Tensor) -> Tensor:
        """Positions of loops, (n_loops, n_known); parameters as of `fit`."""
        raise NotImplementedError

    def fit_latent(self, latent: Tensor, described: Tensor) -> None:
        """Fit the axes to a finished composer's latents, (n_loops, n_switches + n_variation).

        Called only where `predicts_descriptors` is False.
        """

    def switch_position(self, switches: Tensor) -> Tensor:
        """Position of states along the axes; `switches` are 0 or 1, (n_states, n_switches)."""
        return self.switch_range * (2 * switches - 1)

    def latent(self, switches: Tensor, variation: Tensor) -> Tensor:
        """Latents of states for the composer, (n_states, n_switches + n_variation).

        `variation` is standard-normal, as the device gives it: see `VariationPrior`.
        """
        return self.inferred_latent(switches, self.prior(variation))

    def inferred_latent(self, switches: Tensor, inferred: Tensor) -> Tensor:
        """The same with variations that were inferred from loops."""
        return torch.cat([self.switch_position(switches), inferred], dim=1)

    def predict_descriptors(self, position: Tensor) -> Tensor:
        """Predict standardised descriptors from positions, (n_loops, n_descriptors)."""
        return position @ self.effect.T

    def names(self) -> tuple[str, ...]:
        """Names of the switches, in their order."""
        return name(self.effect)

    def standardise(self, described: Tensor) -> Tensor:
        """Descriptors → standard deviations from the corpus' centre, compressed towards ±3."""
        return FURTHEST * torch.tanh((described - self.centre) / self.spread / FURTHEST)

    def fit_scaling(self, described: Tensor) -> Tensor:
        """Fit centre and spread of the descriptors; returns them standardised."""
        low, middle, high = described.quantile(torch.tensor([0.1, 0.5, 0.9]).to(described), dim=0)
        self.centre.copy_(middle)
        # 2.563 standard deviations of a normal distribution; robust against outliers.
        self.spread.copy_(((high - low) / 2.563).clamp_min(1e-3))
        for _ in range(3):
            # The compression shifts the mean a little; some iterations bring it back to 0.
            self.centre += self.standardise(described).mean(dim=0) * self.spread
        return self.standardise(described)


def name(effect: Tensor) -> tuple[str, ...]:
    """Give every switch a different name; the clearest effect is named first."""
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
