"""From codes to descriptors, by way of the codec: training compares states by them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from training.features.descriptors import NAMES, describe
from training.run.config import Config
from training.run.distributed import SINGLE_PROCESS, ProcessGroup
from training.run.networks import Networks

# Coarse, for speed, and fine enough to resolve the swing of attacks: 23 ms at 80 BPM.
FRAMES_PER_SLOT = 8
_BATCH = 32


def draw_codes(
    networks: Networks,
    codes: Tensor,
    config: Config,
    *,
    shift: float,
    factors: Tensor | None = None,
) -> Tensor:
    """Draw loops on a coarse grid.

    Parameters
    ----------
    codes : (n_loops, n_slots, n_codes, n_levels)
        One-hot, or of `Composer.compose`.
    shift : float
        Of the grid, in parts of its step.
    factors : (n_loops, n_factors)
        See `ScoreDecoder`.

    Returns
    -------
    (n_loops, n_slots * FRAMES_PER_SLOT, n_bands), log bands, with gradients.
    """
    levels = torch.arange(config.n_levels, device=codes.device) - config.n_levels // 2
    offset = torch.full((len(codes),), shift, device=codes.device)
    codes = codes @ levels.to(codes)
    return networks.codec.decode(codes, offset, FRAMES_PER_SLOT, factors=factors)


@torch.no_grad()
def describe_corpus(
    networks: Networks,
    code_indices: Tensor,
    config: Config,
    process_group: ProcessGroup = SINGLE_PROCESS,
    *,
    factors: Tensor | None = None,
) -> Tensor:
    """Describe every loop as the codec decodes it, (n_loops, n_descriptors).

    Not as it was recorded: a difference that the codec does not encode must not become an axis.
    Every process describes its shard.
    """

    def describe_some(items: slice) -> Tensor:
        codes = F.one_hot(code_indices[items].long(), config.n_levels).float()
        of_loops = None if factors is None else factors[items].to(codes)
        drawn = draw_codes(networks, codes, config, shift=0.5, factors=of_loops)
        return describe(drawn, config.analysis, frames_per_slot=FRAMES_PER_SLOT)

    whole = torch.zeros(len(code_indices), len(NAMES), device=code_indices.device)
    return process_group.fill(whole, _BATCH, describe_some)


@torch.no_grad()
def describe_states(networks: Networks, config: Config, bits: Tensor, variation: Tensor) -> Tensor:
    """Compose states and describe them, standardised: (n_states, n_descriptors)."""
    composed = compose(networks, bits, variation)
    described = describe_corpus(networks, composed, config, factors=bits)
    standard: Tensor = networks.axes.standardise(described)
    return standard


@torch.no_grad()
def compose(networks: Networks, bits: Tensor, variation: Tensor) -> Tensor:
    """States and variations → code indices, (n_states, n_slots, n_codes)."""
    device = networks.codec.mean.device
    bits, variation = bits.to(device), variation.to(device)
    latent = networks.axes.latent(bits, variation)
    batches = zip(torch.split(latent, _BATCH), torch.split(variation, _BATCH), strict=True)
    return torch.cat([networks.composer.code_indices(*batch) for batch in batches])
