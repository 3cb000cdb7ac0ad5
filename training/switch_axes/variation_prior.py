"""The distribution of variations: a choice among those that were inferred from loops.

The posterior encoder gives loops variations that are far from normally distributed, and a composer
that is given others composes music that no loop resembles: the distribution of an autoencoder's
latents is estimated when it is trained (Ghosh et al. 2020). Here it is the empirical one.
"""

import torch
from torch import Tensor, nn

from device.synthesis.variation import n_theme


class VariationPrior(nn.Module):
    """Standard-normal noise → a variation: (n_states, n_variation) → the same.

    The theme in the noise, which a song keeps for whole sections, is multiplied with a random unit
    vector for each of the inferred variations, and the largest product chooses: near themes choose
    alike, and all are chosen about equally often. What the composer chooses at random depends on
    all of the noise.

    Parameters
    ----------
    size : int
        Inferred variations to choose from; 0 returns the noise itself.
    """

    inferred: Tensor
    keys: Tensor

    def __init__(self, size: int, n_variation: int) -> None:
        super().__init__()
        self.size = size
        if size:
            keys = torch.randn(n_variation, size, generator=torch.Generator().manual_seed(0))
            # One number is theme and details at once.
            keys[max(1, n_theme(n_variation)) :] = 0
            self.register_buffer("keys", keys / keys.norm(dim=0), persistent=False)
            self.register_buffer("inferred", torch.zeros(size, n_variation))

    def fit(self, inferred: Tensor) -> None:
        """Choose from these, (n_loops, n_variation); if they are too few, from some twice."""
        rows = torch.arange(self.size, device=inferred.device) % len(inferred)
        self.inferred.copy_(inferred[rows])

    def forward(self, noise: Tensor) -> Tensor:
        """Choose."""
        return self.inferred[self._rated(noise).argmax(dim=1)] if self.size else noise

    def margin(self, noise: Tensor) -> float:
        """How clearly the closest choice was made."""
        if self.size < 2:
            return float("inf")
        best = self._rated(noise).topk(2, dim=1).values
        return float((best[:, 0] - best[:, 1]).min())

    def _rated(self, noise: Tensor) -> Tensor:
        # In half precision many products are equal.
        with torch.autocast(noise.device.type, enabled=False):
            return noise.float() @ self.keys
