"""The distribution of variations: a choice among those that were inferred from loops.

The posterior encoder gives loops variations that are far from normally distributed, and a composer
that is given others composes music that no loop resembles: the distribution of an autoencoder's
latents is estimated when it is trained (Ghosh et al. 2020). Here it is the empirical one.
"""

import torch
from torch import Tensor, nn

from device.synthesis.variation import n_theme
from training.networks.earlier_weights import accept_without

# How far variations are from their mean, as a multiple of what was inferred: those of the posterior
# encoder are drawn together, and notes of wider ones are nearer to music. At 1.25 they are nearer
# still, and switches are heard less clearly beside them.
_RANGE = 1.1
# How far details move a variation, in standard deviations of the posterior. At 1, one bar of ten
# minutes of Studio Six was repeated; 1, 2 and 3 are equally near to music.
_DETAILS = 2.0


class VariationPrior(nn.Module):
    """Standard-normal noise → a variation: (n_states, n_variation) → the same.

    The theme in the noise, which a song keeps for whole sections, is multiplied with a random unit
    vector for each of the inferred variations, and the largest product chooses: near themes choose
    alike, and all are chosen about equally often. What was chosen is taken a tenth further from
    the mean of all. The details move it by a multiple of the posterior encoder's uncertainty, which
    the composer has learnt to follow.

    Parameters
    ----------
    size : int
        Inferred variations to choose from; 0 returns the noise itself.
    """

    inferred: Tensor
    keys: Tensor
    moves: Tensor
    spread: Tensor

    def __init__(self, size: int, n_variation: int) -> None:
        super().__init__()
        self.size = size
        # One number is theme and details at once.
        self.n_theme = max(1, n_theme(n_variation))
        if size:
            rng = torch.Generator().manual_seed(0)
            keys = torch.randn(n_variation, size, generator=rng)[: self.n_theme]
            moves = torch.randn(n_variation - n_theme(n_variation), n_variation, generator=rng)
            self.register_buffer("keys", keys / keys.norm(dim=0), persistent=False)
            self.register_buffer("moves", moves / moves.norm(dim=0), persistent=False)
            self.register_buffer("inferred", torch.zeros(size, n_variation))
            self.register_buffer("spread", torch.zeros(n_variation))
            # In earlier versions details moved nothing.
            accept_without(self, "spread")

    def fit(self, inferred: Tensor, log_variance: Tensor) -> None:
        """Choose from these; if they are too few, from some twice.

        Parameters
        ----------
        inferred, log_variance : (n_loops, n_variation)
            Mean and spread of the posterior of every loop.
        """
        rows = torch.arange(self.size, device=inferred.device) % len(inferred)
        self.inferred.copy_(inferred[rows])
        self.spread.copy_(log_variance.exp().mean(dim=0).sqrt())

    def forward(self, noise: Tensor) -> Tensor:
        """Choose by the theme, and move by the details."""
        if not self.size:
            return noise
        details, chosen = noise[:, -len(self.moves) :], self._rated(noise).argmax(dim=1)
        mean = self.inferred.mean(dim=0)
        wider = mean + _RANGE * (self.inferred[chosen] - mean)
        return wider + details @ self.moves * (_DETAILS * self.spread)

    def margin(self, noise: Tensor) -> float:
        """How clearly the closest choice was made."""
        if self.size < 2:
            return float("inf")
        best = self._rated(noise).topk(2, dim=1).values
        return float((best[:, 0] - best[:, 1]).min())

    def _rated(self, noise: Tensor) -> Tensor:
        # In half precision many products are equal.
        with torch.autocast(noise.device.type, enabled=False):
            return noise[:, : self.n_theme].float() @ self.keys
