"""Onsets of drawn loops, with gradients: switches are to leave the rhythm as it is."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.features.analysis import Analysis
from training.features.descriptors import HATS, KICK, bands_between

# Kick and bass; snare and tones; hats.
REGIONS_HZ = (KICK, (KICK[1], HATS[0]), (HATS[0], math.inf))


def onset_patterns(log_bands: Tensor, analysis: Analysis, *, frames_per_slot: int) -> Tensor:
    """How strongly each region of the spectrum rises in each slot of loops.

    Parameters
    ----------
    log_bands : (n_loops, n_frames, n_bands)
        Whole loops, drawn on a regular grid.
    frames_per_slot : int
        How fine the grid is.

    Returns
    -------
    (n_loops, n_regions, n_slots), float32
        Largest rises within the slots, less their mean; unit vectors. Regions without a band, as at
        low sample rates, are left out.
    """
    with torch.autocast(log_bands.device.type, enabled=False):
        log_bands = log_bands.float()
        # The first frame follows the last: a loop has no beginning.
        rises = (log_bands - log_bands.roll(1, dims=1)).clamp_min(0)
        regions = [rises[..., bands_between(analysis, *region)] for region in REGIONS_HZ]
        frames = torch.stack([each.sum(dim=2) for each in regions if each.shape[2]], dim=1)
        slots = frames.view(*frames.shape[:2], -1, frames_per_slot).amax(dim=3)
        return F.normalize(slots - slots.mean(dim=2, keepdim=True), dim=2)
