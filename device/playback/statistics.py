"""Statistics for the audio loop: an update costs little; they are read elsewhere."""

from array import array

import numpy as np


class Percentiles:
    """The latest values of a quantity and their percentiles.

    Parameters
    ----------
    capacity : int
        How many values are kept; older ones are overwritten.
    """

    def __init__(self, capacity: int = 8192) -> None:
        # Not an array of numpy's, in which it takes longer to set one number.
        self._values = array("d", bytes(8 * capacity))
        self.n = 0

    def add(self, value: float) -> None:
        """Keep one more value."""
        self._values[self.n % len(self._values)] = value
        self.n += 1

    def at(self, percent: float) -> float:
        """A percentile of the values kept, linearly interpolated; nan without any."""
        values = np.sort(self._values[: self.n])
        if len(values) == 0:
            return float("nan")
        # Not np.percentile: its first call takes longer than a block plays.
        place = percent / 100 * (len(values) - 1)
        below = int(place)
        above = min(below + 1, len(values) - 1)
        return float(values[below] + (place - below) * (values[above] - values[below]))


def resident_mb() -> float:
    """Physical memory that this process uses now, in MB; nan where it is not reported."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 (hot in bench)
            pages = int(file.read().split()[1])
    except OSError:
        return float("nan")
    import resource

    return pages * resource.getpagesize() / 1e6


def level_db(samples: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> float:
    """RMS in dB below full scale, -inf for silence."""
    power = float(np.dot(samples, samples)) / max(len(samples), 1)
    return float(10 * np.log10(power)) if power > 0 else float("-inf")
