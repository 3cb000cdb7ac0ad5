"""One independent random stream per purpose, so that no decision disturbs another."""

from __future__ import annotations

from zlib import crc32

import numpy as np


def random_stream(seed: int, index: int, purpose: str, *numbers: int) -> np.random.Generator:
    """Return the stream of one purpose ("bass", or "hats" of bar 2) of one loop.

    Streams share nothing: taking a layer out, or drawing more in one bar, leaves every other
    stream where it was.
    """
    return np.random.default_rng([seed, index, crc32(purpose.encode()), *numbers])
