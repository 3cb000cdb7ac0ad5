"""Switches as principal components of what a composer learnt by itself, as in Avant-Garfield.

The composer is trained as an autoencoder without switches: the posterior encoder infers the whole
latent. Afterwards the latents of the corpus are analysed. A switch moves along one of their
strongest components, from so many standard deviations below the mean to as many above, and the
variation moves along all others. The descriptors of a state are not constrained.
"""

import torch
from torch import Tensor

from training.switch_axes.axes import Axes
from training.switch_axes.discovered import orient


class ComponentAxes(Axes):
    """Principal components of the latent, known when the composer is finished.

    Attributes
    ----------
    mean : (n_latent,)
    steps : (n_latent, n_latent)
        Columns are components, strongest first, each one standard deviation of the corpus long.
    """

    predicts_descriptors = False
    mean: Tensor
    steps: Tensor

    def __init__(self, n_switches: int, n_variation: int, *, switch_range: float) -> None:
        super().__init__(n_switches, n_variation, switch_range=switch_range)
        self.n_inferred = n_switches + n_variation
        self.register_buffer("mean", torch.zeros(self.n_inferred))
        self.register_buffer("steps", torch.eye(self.n_inferred))

    def fit(self, described: Tensor, labels: Tensor) -> None:
        """Fit the scaling of the descriptors alone."""
        del labels
        self.fit_scaling(described)

    def project(self, described: Tensor, labels: Tensor) -> Tensor:
        """No position is known: the posterior encoder infers everything, (n_loops, 0)."""
        del labels
        return described[:, :0]

    def fit_latent(self, latent: Tensor, described: Tensor) -> None:
        """Fit the components, and the effect of one step along those of the switches."""
        precise = latent.double()
        strength, direction = torch.linalg.eigh(torch.cov(precise.T, correction=0))
        deviation = strength.flip(0).clamp_min(1e-12).sqrt()
        direction, n_switches = direction.flip(1), self.effect.shape[1]
        position = (precise - precise.mean(dim=0)) @ direction / deviation
        standard = self.standardise(described).double()
        # Positions are independent and of unit spread: covariances are slopes.
        effect = standard.T @ position[:, :n_switches] / len(position)
        sign = torch.ones_like(deviation)
        sign[:n_switches] = orient(effect)
        self.mean.copy_(precise.mean(dim=0))
        self.steps.copy_(direction * deviation * sign)
        self.effect.copy_(effect * sign[:n_switches])

    def latent(self, switches: Tensor, variation: Tensor) -> Tensor:
        """From the mean, a number of steps along every component."""
        return self.mean + super().latent(switches, variation) @ self.steps.T
