"""The discriminator tells codes of music from composed ones (Goodfellow et al. 2014).

Descriptors constrain a whole loop only, and unmusical combinations of codes can reach them too. The
discriminator scores every slot together with its neighbours, and the composer is trained to score
like music.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.codec import CircularBlock
from training.networks.composer import Attention

# Share of the codes that are masked, so that no single code decides the score.
HIDDEN = 0.15


class Discriminator(nn.Module):
    """One-hot codes → score of every slot, higher for music, and the features behind it.

    Shape: (n_loops, n_slots, n_codes, n_levels) → (n_loops, n_slots), (n_loops, n_slots, width).
    """

    def __init__(self, *, n_slots: int, n_codes: int, n_levels: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(n_codes * n_levels, width)
        self.position = nn.Parameter(torch.randn(n_slots, width) * 0.02)
        self.layers = nn.Sequential(
            CircularBlock(width), CircularBlock(width), Attention(width), nn.LayerNorm(width)
        )
        self.score = nn.Linear(width, 1)

    def forward(self, codes: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        """`shown` is 1 or 0 for every code: (n_loops, n_slots, n_codes)."""
        seen = (codes * shown[..., None]).flatten(2)
        features = self.layers(self.embed(seen) + self.position)
        return self.score(features).squeeze(2).float(), features.float()


def discriminator_loss(music: Tensor, composed: Tensor) -> tuple[Tensor, Tensor]:
    """Hinge loss of the discriminator: scores of music above 1, and of composed loops below -1."""
    return F.relu(1 - music).mean(), F.relu(1 + composed).mean()


def generator_loss(score: Tensor, mean: Tensor, mean_of_music: Tensor) -> Tensor:
    """Loss of the composer: higher scores, from features like those of music.

    Parameters
    ----------
    score : any shape
    mean, mean_of_music : (width,)
        Means of the features over loops and slots. They are compared (feature matching, Salimans
        et al. 2016): that gives a gradient where the scores saturate.
    """
    return (mean - mean_of_music).abs().mean() - score.mean()
