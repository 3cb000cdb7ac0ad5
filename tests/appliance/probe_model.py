"""A model whose sound says which switches are closed."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.switches.bits import Bits
from tests.support import tiny_model as tiny

VOICE = tiny.Sizes(n_switches=5, n_fft=1024, hop_length=256)
# For a machine that computes some hundred times slower.
SLIGHT_VOICE = tiny.Sizes(sample_rate=8000, n_switches=3, n_fft=1024, hop_length=256)
LOOP_SECONDS = 2.0
# A switch's partials are as loud as the ones that always sound, and 45 dB lower when it is open.
_THERE_DB = -20.0


def build(path: Path, sizes: tiny.Sizes = VOICE, **changes: int) -> Path:
    """Write it; another number of variations is another model that sounds the same."""
    return tiny.build(path, **{**asdict(sizes), **changes})


def heard(samples: NDArray[np.float32], sample_rate: int, sizes: tiny.Sizes = VOICE) -> Bits | None:
    """The panel as it sounds; None if something else plays, or nothing."""
    levels = _levels_db(samples, sample_rate, sizes).reshape(-1, tiny.PARTIALS_PER_SWITCH)
    always, switched = levels[0], levels[1:]
    there = switched > always.mean() + _THERE_DB
    if (
        always.max() < levels.max() + _THERE_DB
        or there.all(axis=1).tolist() != there.any(1).tolist()
    ):
        return None
    return tuple(there.all(axis=1).tolist())


def _levels_db(
    samples: NDArray[np.float32], sample_rate: int, sizes: tiny.Sizes
) -> NDArray[np.float64]:
    """How loud each partial is, (n_channels,)."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    hertz = np.fft.rfftfreq(len(samples), 1 / sample_rate)
    near = [np.abs(hertz / partial - 1) < 0.03 for partial in tiny.partial_hertz(sizes)]
    return np.array([_level_db(spectrum[band]) for band in near])


def _level_db(values: NDArray[np.floating]) -> float:
    return 10 * np.log10(np.square(values, dtype=np.float64).sum() + 1e-20)
