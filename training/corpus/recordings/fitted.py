"""Weights that were fitted to music of known metre and key (tests/benchmarks/metre.py --fit)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).with_name("fitted.npz")


@cache
def fitted_weights() -> Mapping[str, NDArray[np.float64]]:
    """Return the weights by name.

    "mean" and "spread", (n_figures,): of the figures that describe a hypothesis; "metres",
    (3, n_figures + 1): their weights in each metre, and an offset; "bars 4", "bars 3" and
    "bars 2", (n_curves, n_beats): of what happens on every beat of a bar; "key", (2, 12): of the
    pitch classes of bass and other notes above the tonic of the major key.
    """
    with np.load(FILE) as file:
        return dict(file)
