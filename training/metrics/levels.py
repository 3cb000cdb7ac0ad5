"""Metrics of loudness and dynamics, and of defects."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from device.audio.loudness import integrated_lufs, true_peak_db
from training.metrics.spectra import SAMPLE_RATE, TINY, Samples

Doubles = NDArray[np.float64]

_BLOCK = SAMPLE_RATE // 20
_ORDER = 16
# A click stands this far above the residual around it, and is shorter than 2 ms.
_CLICK_FACTOR, _CLICK_SAMPLES, _CLICK_GAP = 10.0, 44, 220
_AROUND, _STEP, _STEPS = 441, 64, 31
_SEAMS = (64, 128, 256, 512, 1024, 2048)


def levels(samples: Samples) -> Mapping[str, float]:
    """Loudness, true peak, crest, the range between quiet and loud moments, share of silence."""
    block_db = _block_db(samples)
    audible = block_db[block_db > -70]
    low, high = np.percentile(audible, [10, 95]) if len(audible) >= 5 else (0.0, 0.0)
    mean_square = float(np.square(samples, dtype=np.float64).mean())
    peak = float(np.abs(samples).max())
    return {
        "lufs": integrated_lufs(samples, SAMPLE_RATE),
        "true_peak_db": true_peak_db(samples),
        "crest_db": float(20 * np.log10(peak + TINY) - 10 * np.log10(mean_square + 1e-12)),
        "dyn_range_db": float(high - low),
        "silence_share": float((block_db < -60).mean()),
    }


def defects(samples: Samples) -> Mapping[str, float]:
    """Defects: offset, clipping, clicks, seams between blocks."""
    residual = _residual(samples)
    return {
        "dc": float(abs(samples.mean())),
        "clip_share": _clipped(samples),
        "click_rate": _n_clicks(residual) / (len(samples) / SAMPLE_RATE),
        "block_z": _seams(residual),
    }


def _block_db(samples: Samples) -> Doubles:
    """Level of every 50 ms."""
    n_blocks = max(len(samples) // _BLOCK, 1)
    blocks = samples[: n_blocks * _BLOCK].reshape(n_blocks, -1).astype(np.float64)
    return np.asarray(10 * np.log10(np.square(blocks).mean(axis=1) + 1e-12))


def _clipped(samples: Samples) -> float:
    """Share of samples at full scale, or flat at the top."""
    level = np.abs(samples)
    peak = float(level.max())
    flat = (level > 0.98 * peak) & (np.abs(np.diff(samples, prepend=samples[:1])) < 1e-5)
    return float(((level >= 0.999) | (flat & (peak > 0.05))).mean())


def _residual(samples: Samples) -> Doubles:
    """Magnitude of the residual of a linear predictor: (n_samples,)."""
    from scipy.linalg import solve_toeplitz
    from scipy.signal import lfilter

    n = len(samples)
    correlation = np.array(
        [np.dot(samples[: n - lag], samples[lag:]) for lag in range(_ORDER + 1)], np.float64
    )
    correlation[0] = correlation[0] * (1 + 1e-6) + 1e-9
    predictor = solve_toeplitz(correlation[:_ORDER], correlation[1:])
    return np.asarray(np.abs(lfilter(np.concatenate([[1.0], -predictor]), [1.0], samples)))


def _n_clicks(residual: Doubles) -> int:
    """Outliers of the residual, short and by themselves."""
    from scipy.ndimage import median_filter, uniform_filter1d

    power = np.maximum(uniform_filter1d(residual**2, _AROUND), 0)
    coarse = median_filter((np.sqrt(power) + 1e-6)[::_STEP], _STEPS)
    around = coarse.repeat(_STEP)[: len(residual)]
    hits = np.flatnonzero(residual > _CLICK_FACTOR * around)
    if not len(hits):
        return 0
    events = np.split(hits, np.flatnonzero(np.diff(hits) > _CLICK_GAP) + 1)
    return sum(event[-1] - event[0] < _CLICK_SAMPLES for event in events)


def _seams(residual: Doubles) -> float:
    """Excess of the residual at one position in blocks, in standard errors above chance."""
    log_residual = np.log(residual + 1e-6)
    excess = [0.0]
    for hop in _SEAMS:
        n_blocks = len(log_residual) // hop
        if n_blocks >= 8:
            folded = log_residual[: n_blocks * hop].reshape(n_blocks, hop).mean(axis=0)
            error = log_residual.std() / np.sqrt(n_blocks) + TINY
            excess.append((folded.max() - folded.mean()) / error - np.sqrt(2 * np.log(hop)))
    return float(max(excess))
