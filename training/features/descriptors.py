"""Audible properties of loops, as numbers that gradients can flow through.

Computed from log bands, so that they describe what was recorded and what is drawn alike. The
switches are made of them (`training.switch_axes.discovered`), and the composer is trained on them.
"""

import math

import numpy as np
import torch
from torch import Tensor

from device.model.contract import SLOTS_PER_BEAT
from training.features.analysis import Analysis

BEATS_PER_BAR = 4
# Frequency regions: name → lower and upper edge, Hz.
REGIONS = {
    "sub": (0.0, 60.0),
    "bass": (60.0, 250.0),
    "middle": (250.0, 2_000.0),
    "treble": (2_000.0, 6_000.0),
    "air": (6_000.0, math.inf),
}
KICK, HATS = (0.0, 160.0), (3_800.0, math.inf)
NAMES = (
    "loudness",
    "peaks",
    "dynamics",
    *REGIONS,
    "brightness",
    "flatness",
    "density",
    "edges in time",
    "edges in frequency",
    "partials",
    "relief",
    "attacks",
    "motion",
    "low attacks",
    "high attacks",
    "sparseness of attacks",
    "fast modulation",
    "slow modulation",
    "repetition",
    "pulse",
)
_TINY = 1e-9


def describe(log_bands: Tensor, analysis: Analysis, *, frames_per_slot: int) -> Tensor:
    """Describe whole loops drawn on a regular grid.

    Parameters
    ----------
    log_bands : (n_loops, n_frames, n_bands)
    frames_per_slot : int
        How fine the grid is; descriptors of unlike grids do not compare.

    Returns
    -------
    (n_loops, len(NAMES)), float32
    """
    # Fourier transforms and small differences need full precision.
    with torch.autocast(log_bands.device.type, enabled=False):
        log_bands = log_bands.float()
        columns = _levels(log_bands, analysis)
        columns |= _spectrum(log_bands)
        columns |= _rhythm(log_bands, analysis, SLOTS_PER_BEAT * frames_per_slot)
        return torch.stack([columns[name] for name in NAMES], dim=1)


def bands_between(analysis: Analysis, low: float, high: float) -> slice:
    """Bands whose centre lies in a region, in Hz; none where the sample rate has none."""
    return slice(*np.searchsorted(analysis.band_hertz, (low, high)))


def _levels(log_bands: Tensor, analysis: Analysis) -> dict[str, Tensor]:
    """Loudness, its distribution over the spectrum, and its dynamics."""
    hertz = torch.from_numpy(analysis.band_hertz).to(log_bands)
    bins_per_band = torch.from_numpy(analysis.expansion.sum(axis=0)).to(log_bands)
    sounding = (log_bands.exp() - analysis.floor).clamp_min(0)
    power = sounding**2 * bins_per_band
    frame = power.sum(dim=2) + _TINY
    mean = power.mean(dim=1)
    total = mean.sum(dim=1, keepdim=True) + _TINY
    # Roughly the K-weighting of ITU-R BS.1770: a high-pass at 38 Hz, a boost above 1.5 kHz.
    weight = hertz**2 / (hertz**2 + 38.0**2) * (1 + 1.5 * hertz**2 / (hertz**2 + 1_500.0**2))
    loudest = frame.topk(max(1, frame.shape[1] // 20), dim=1).values.mean(dim=1)
    columns = {
        "loudness": _decibels((mean * weight).sum(dim=1)),
        "peaks": _decibels(loudest) - _decibels(total[:, 0]),
        # Silence counts as -40 dB, else one gap would outweigh everything.
        "dynamics": _decibels(frame / total + 1e-4).std(dim=1),
        "brightness": (mean / total * (hertz + 20).log2()).sum(dim=1),
    }
    for name, (low, high) in REGIONS.items():
        inside = bands_between(analysis, low, high)
        # Levels below -60 dB of the total count as -60 dB: the difference is inaudible.
        columns[name] = _decibels(mean[:, inside].sum(dim=1) / total[:, 0] + 1e-6)
    return columns


def _spectrum(log_bands: Tensor) -> dict[str, Tensor]:
    """Peaks and roughness of the spectrum."""
    magnitude = log_bands.exp()
    squared = magnitude**2
    prominence = log_bands[..., 2:-2] - torch.maximum(log_bands[..., :-4], log_bands[..., 4:])
    centred = log_bands - log_bands.mean(dim=2, keepdim=True)
    waves = torch.fft.rfft(centred, dim=2).abs().square().mean(dim=1)
    return {
        "flatness": (log_bands.mean(dim=2) - magnitude.mean(dim=2).log()).mean(dim=1),
        "density": (squared.sum(dim=2) ** 2 / (squared**2).sum(dim=2)).log().mean(dim=1),
        "edges in time": log_bands.diff(dim=1).abs().mean(dim=(1, 2)),
        "edges in frequency": log_bands.diff(dim=2).abs().mean(dim=(1, 2)),
        "partials": prominence.clamp_min(0).mean(dim=(1, 2)),
        "relief": _share(waves[:, log_bands.shape[2] // 8 :], waves[:, 1:]),
    }


def _rhythm(log_bands: Tensor, analysis: Analysis, frames_per_beat: int) -> dict[str, Tensor]:
    """Attacks, modulation and repetition over time."""
    n_frames = log_bands.shape[1]
    n_beats = n_frames / frames_per_beat
    rises = log_bands.diff(dim=1).clamp_min(0)
    kick, hats = (bands_between(analysis, *region) for region in (KICK, HATS))
    rise = rises.mean(dim=2)
    envelope = rise - rise.mean(dim=1, keepdim=True)
    variance = envelope.square().mean(dim=1) + _TINY
    centred = log_bands - log_bands.mean(dim=1, keepdim=True)
    a_bar_later = centred.roll(BEATS_PER_BAR * frames_per_beat, dims=1)
    # Of every number of cycles a beat; what is slower than a bar is left out.
    waves = torch.fft.rfft(centred, dim=1).abs().square().mean(dim=2)
    bar, beat, eighths = (max(1, round(n_beats * cycles)) for cycles in (0.25, 1, 3))
    return {
        "attacks": rise.topk(max(1, n_frames // 16), dim=1).values.mean(dim=1),
        "motion": rise.mean(dim=1),
        "low attacks": rises[..., kick].sum(dim=2).mean(dim=1),
        "high attacks": rises[..., hats].sum(dim=2).mean(dim=1),
        "sparseness of attacks": (envelope.pow(4).mean(dim=1) / variance**2 + _TINY).log(),
        "fast modulation": _share(waves[:, eighths:], waves[:, bar:]),
        "slow modulation": _share(waves[:, bar:beat], waves[:, bar:]),
        "repetition": _likeness(centred.flatten(1), a_bar_later.flatten(1)),
        "pulse": _likeness(envelope[:, frames_per_beat:], envelope[:, :-frames_per_beat]),
    }


def _likeness(one: Tensor, other: Tensor) -> Tensor:
    return torch.cosine_similarity(one, other, dim=1)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return _decibels(part.sum(dim=1) / (whole.sum(dim=1) + _TINY) + 1e-6)


def _decibels(power: Tensor) -> Tensor:
    return 10 * (power + _TINY).log10()
