"""Arrays of several files, read as if they were one array."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Frames:
    """Memory-mapped arrays one after another along their first axis, the loops.

    Parameters
    ----------
    arrays : of (n, ...) each
        At least one; the same type and the same other axes.
    """

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        self._arrays = tuple(arrays)
        self._ends = np.cumsum([len(array) for array in arrays])
        self.dtype = arrays[0].dtype
        self.shape: tuple[int, ...] = (int(self._ends[-1]), *arrays[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, loops: Any) -> NDArray[Any]:
        """Read loops: a number, a slice or numbers, (...) or (n_chosen, ...), in memory."""
        if isinstance(loops, slice):
            loops = range(*loops.indices(len(self)))
        numbers = np.atleast_1d(np.asarray(loops, dtype=np.int64))
        if len(numbers) and not -len(self) <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"found loops {loops}, expected some of {len(self)}")
        numbers = np.where(numbers < 0, numbers + len(self), numbers)
        found = np.empty((len(numbers), *self.shape[1:]), dtype=self.dtype)
        places = np.searchsorted(self._ends, numbers, side="right")
        for place in np.unique(places):
            array = self._arrays[place]
            found[places == place] = array[
                numbers[places == place] - self._ends[place] + len(array)
            ]
        return found[0] if np.ndim(loops) == 0 else found

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it, in memory."""
        return np.asarray(self[:], dtype=dtype)
