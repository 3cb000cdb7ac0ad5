"""A model whose sound says which switches are closed."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.state import Bits
from tests import tiny_model as tiny

SIZES = tiny.Sizes(n_switches=5, n_fft=1024, hop_length=256)
LOOP_SECONDS = 2.0
# A switch's partials are as loud as the ones that always sound, and 45 dB lower when it is open.
_THERE_DB = -20.0


def build(path: Path, n_variation: int = SIZES.n_variation) -> Path:
    """Write it; another number of variations is another model that sounds the same."""
    return tiny.build(path, **{**asdict(SIZES), "n_variation": n_variation})


def heard(samples: NDArray[np.float32], sample_rate: int) -> Bits | None:
    """The panel as it sounds; None if something else plays, or nothing."""
    levels = _levels_db(samples, sample_rate).reshape(-1, tiny.PARTIALS_PER_SWITCH)
    always, switched = levels[0], levels[1:]
    if always.min() < _level_db(samples) + _THERE_DB:
        return None
    there = switched > always.mean() + _THERE_DB
    whole = np.array_equal(there.all(axis=1), there.any(axis=1))
    return tuple(map(bool, there.all(axis=1))) if whole else None


def _levels_db(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """How loud each partial is, (n_channels,)."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    hertz = np.fft.rfftfreq(len(samples), 1 / sample_rate)
    near = [np.abs(hertz / partial - 1) < 0.03 for partial in tiny.partial_hertz(SIZES)]
    return np.array([_level_db(spectrum[band]) for band in near])


def _level_db(values: NDArray[np.floating]) -> float:
    return 10 * np.log10(np.square(values, dtype=np.float64).sum() + 1e-20)
