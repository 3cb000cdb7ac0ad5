"""From digits to what they sound like, in descriptors: how training listens to its own panel."""

import torch
from torch import Tensor
from torch.nn import functional as F

from training.features.descriptors import describe
from training.run.config import Config
from training.run.networks import Networks

# Coarse, for speed, and fine enough to hear whether attacks keep to one swing: 23 ms at 80 BPM.
FRAMES_PER_SLOT = 8
_BATCH = 32


def describe_codes(networks: Networks, digits: Tensor, config: Config, *, shift: float) -> Tensor:
    """Draw loops on a coarse grid and describe them.

    Parameters
    ----------
    digits : (n_loops, n_slots, n_codes, n_levels)
        One-hot, or what `composer.played` makes of logits.
    shift : float
        Of the grid, in parts of its step.

    Returns
    -------
    (n_loops, n_descriptors), with gradients.
    """
    levels = torch.arange(config.n_levels, device=digits.device) - config.n_levels // 2
    offset = torch.full((len(digits),), shift, device=digits.device)
    drawn = networks.codec.decode(digits @ levels.to(digits), offset, FRAMES_PER_SLOT)
    return describe(drawn, config.analysis, frames_per_slot=FRAMES_PER_SLOT)


@torch.no_grad()
def describe_corpus(networks: Networks, classes: Tensor, config: Config) -> Tensor:
    """Describe every loop as its digits are drawn, (n_loops, n_descriptors).

    As they are drawn, not as they were recorded: what the codec cannot tell apart is no axis.
    """
    found = []
    for some in torch.split(classes, _BATCH):
        digits = F.one_hot(some.long(), config.n_levels).float()
        found.append(describe_codes(networks, digits, config, shift=0.5))
    return torch.cat(found)


@torch.no_grad()
def describe_states(networks: Networks, config: Config, bits: Tensor, variation: Tensor) -> Tensor:
    """Compose states and describe them, standardised: (n_states, n_descriptors)."""
    described = describe_corpus(networks, compose(networks, bits, variation), config)
    standard: Tensor = networks.axes.standardise(described)
    return standard


@torch.no_grad()
def compose(networks: Networks, bits: Tensor, variation: Tensor) -> Tensor:
    """States and variations → class numbers, (n_states, n_slots, n_codes)."""
    device = networks.codec.mean.device
    latent = networks.axes.latent(bits.to(device), variation.to(device))
    return torch.cat([networks.composer.classes(part) for part in torch.split(latent, _BATCH)])
