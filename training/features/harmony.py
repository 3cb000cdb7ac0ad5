"""Pitch classes of drawn loops, with gradients: switches are to leave the harmony as it is."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from device.model.contract import SLOTS_PER_BEAT
from training.features.analysis import Analysis

N_CLASSES = 12
# Below, a band is wider than a semitone by too much; above, partials that no note has as its own.
_LOWEST_HZ, _HIGHEST_HZ = 160.0, 1_600.0
# How far a band's energy spreads over its neighbours, in semitones.
_SPREAD_SEMITONES = 0.5
_A4_HZ, _A4_CLASS = 440.0, 9


def pitch_classes(log_bands: Tensor, analysis: Analysis, *, frames_per_slot: int) -> Tensor:
    """Balance of the twelve pitch classes in every beat of loops drawn on a regular grid.

    Parameters
    ----------
    log_bands : (n_loops, n_frames, n_bands)
    frames_per_slot : int
        How fine the grid is.

    Returns
    -------
    (n_loops, n_beats, N_CLASSES), float32
        Sums of magnitudes less their mean over the classes, which leaves noise out; unit vectors.
    """
    with torch.autocast(log_bands.device.type, enabled=False):
        magnitude = (log_bands.float().exp() - analysis.floor).clamp_min(0)
        weights = torch.from_numpy(_class_weights(analysis)).to(magnitude)
        of_frames = magnitude @ weights
        frames_per_beat = SLOTS_PER_BEAT * frames_per_slot
        beats = of_frames.view(len(of_frames), -1, frames_per_beat, N_CLASSES).mean(dim=2)
        return F.normalize(beats - beats.mean(dim=2, keepdim=True), dim=2)


def _class_weights(analysis: Analysis) -> NDArray[np.float32]:
    """How much of each band counts for each class, (n_bands, N_CLASSES); C is 0."""
    hertz = analysis.band_hertz
    inside = (hertz >= _LOWEST_HZ) & (hertz <= _HIGHEST_HZ)
    place = _A4_CLASS + N_CLASSES * np.log2(np.maximum(hertz, 1.0) / _A4_HZ)
    half = N_CLASSES / 2
    distance = (place[:, None] - np.arange(N_CLASSES) + half) % N_CLASSES - half
    weights = inside[:, None] * np.exp(-0.5 * (distance / _SPREAD_SEMITONES) ** 2)
    return np.asarray(weights, np.float32)
