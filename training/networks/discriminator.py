"""The critic: tells the digits of music from those composed for a panel (Goodfellow et al. 2014).

Descriptors say what a whole loop should be like, and can be had in ways no music goes: each digit
as asked for, and no two of them that belong together. The critic looks at every slot with those
around it, and the composer learns to be taken for music.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.codec import CircularBlock
from training.networks.composer import Attention

# Part of the digits that the critic is not shown: no single one may give a loop away.
HIDDEN = 0.15


class Discriminator(nn.Module):
    """Digits, one number per level → how much like music every slot is, and why.

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

    def forward(self, digits: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        """`shown` is 1 or 0 for every digit: (n_loops, n_slots, n_codes)."""
        seen = (digits * shown[..., None]).flatten(2)
        reasons = self.layers(self.embed(seen) + self.position)
        return self.score(reasons).squeeze(2).float(), reasons.float()


def discriminator_loss(music: Tensor, composed: Tensor) -> Tensor:
    """What the critic learns from: scores of music above 1, others below -1 (hinge)."""
    return F.relu(1 - music).mean() + F.relu(1 + composed).mean()


def generator_loss(score: Tensor, reasons: Tensor, reasons_of_music: Tensor) -> Tensor:
    """What the composer learns from: better scores, for reasons like those for music.

    The reasons' means are compared (feature matching, Salimans et al. 2016), which goes on
    teaching when the scores are hopeless.
    """
    matched = (reasons.mean(dim=(0, 1)) - reasons_of_music.mean(dim=(0, 1))).abs().mean()
    return matched - score.mean()
