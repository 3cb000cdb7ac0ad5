"""A model whose sound shows which switches are closed."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.switches.bits import Bits
from tests.support import tiny_model as tiny

VOICE = tiny.Sizes(n_switches=5, n_fft=1024, hop_length=256)
# For a machine that computes about a hundred times slower.
SLIGHT_VOICE = tiny.Sizes(sample_rate=8000, n_switches=3, n_fft=1024, hop_length=256)
LOOP_SECONDS = 2.0
# A switch's partials are as loud as the ones that always sound, and 45 dB lower when it is open.
_PRESENT_DB = -20.0


def build(path: Path, sizes: tiny.Sizes = VOICE, **changes: int) -> Path:
    """Write it; another number of variations gives another model that sounds the same."""
    return tiny.build(path, **{**asdict(sizes), **changes})


def detected_bits(
    samples: NDArray[np.float32], sample_rate: int, sizes: tiny.Sizes = VOICE
) -> Bits | None:
    """Switch states by their sound; None if another model plays, or none."""
    levels = _levels_db(samples, sample_rate, sizes).reshape(-1, tiny.PARTIALS_PER_SWITCH)
    always, switched = levels[0], levels[1:]
    is_present = switched > always.mean() + _PRESENT_DB
    if (
        always.max() < levels.max() + _PRESENT_DB
        or is_present.all(axis=1).tolist() != is_present.any(1).tolist()
    ):
        return None
    return tuple(is_present.all(axis=1).tolist())


def _levels_db(
    samples: NDArray[np.float32], sample_rate: int, sizes: tiny.Sizes
) -> NDArray[np.float64]:
    """Level of each partial, (n_channels,)."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    hertz = np.fft.rfftfreq(len(samples), 1 / sample_rate)
    near = [np.abs(hertz / partial - 1) < 0.03 for partial in tiny.partial_hertz(sizes)]
    return np.array([_level_db(spectrum[band]) for band in near])


def _level_db(values: NDArray[np.floating]) -> float:
    return 10 * np.log10(np.square(values, dtype=np.float64).sum() + 1e-20)
