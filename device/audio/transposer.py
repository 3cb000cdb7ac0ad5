"""A stream of samples played faster or slower, as a tape, by a ratio that changes as it plays."""

import math
from collections import deque
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

N_TAPS = 32
_N_PHASES = 1024
# Of the Kaiser window, and the middle of the filter's slope in parts of the Nyquist frequency.
_BETA = 7.0
_CUTOFF = 0.9
# Tables of filters that are kept, 128 KiB each.
_MOST_TABLES = 16
# Of a position, in samples: the last one before a border is found in either of two blocks.
_TOLERANCE = 1e-6


class Transposer:
    """Reads a stream at another speed: at a ratio of 2, an octave higher in half of the time.

    Between samples it reads through a windowed sinc. The positions that it reads at do not depend
    on the blocks, and the speed changes without a gap in them.

    Parameters
    ----------
    ratios : iterable of float
        Whose filters are computed now: that takes some milliseconds each.

    Attributes
    ----------
    ratio : float
        Of the samples that come next; 1 at first.
    delay_samples : int
        Input that is kept back.
    """

    delay_samples = N_TAPS // 2

    def __init__(self, ratios: Iterable[float] = ()) -> None:
        for ratio in ratios:
            _taps(ratio)
        self.ratio = 1.0
        # Places in the input at which the ratio changes, and to what; in order.
        self._turns: deque[tuple[int, float]] = deque()
        self._n_received = 0
        self._known = np.zeros(N_TAPS, np.float32)
        self._make_room(0)
        # The next position is `_base + _part + _n_read * ratio`: from whole numbers each time, as
        # a running sum would drift.
        self._base, self._part, self._n_read = 0, 0.0, 0

    def begin(self, ratio: float) -> None:
        """Read the first input at a ratio; without an effect after that."""
        if self._n_received == 0:
            self.ratio = ratio

    def turn(self, n_samples: int, ratio: float) -> None:
        """Change the ratio so many samples of the input later; what was to follow is dropped."""
        at = self._n_received + n_samples
        while self._turns and self._turns[-1][0] >= at:
            self._turns.pop()
        if ratio != (self._turns[-1][1] if self._turns else self.ratio):
            self._turns.append((at, ratio))

    def outputs_until(self, n_samples: int) -> float:
        """How many outputs there will be up to a place so many samples of the input to come."""
        position, ratio, n_outputs = self._base + self._next, self.ratio, 0.0
        end = self._n_received + n_samples
        for at, following in self._turns:
            if at >= end:
                break
            n_outputs += max(at - position, 0.0) / ratio
            position, ratio = max(position, at), following
        return n_outputs + (end - position) / ratio

    def process(self, samples: Samples) -> Samples:
        """Samples (n,), n from 0 on → about n / ratio of them."""
        n = len(samples)
        if N_TAPS + n > len(self._known):
            self._make_room(n)
        self._known[N_TAPS : N_TAPS + n] = samples
        self._n_received += n
        end = self._n_received - self.delay_samples
        pieces = []
        while self._turns and self._turns[0][0] <= end:
            at, ratio = self._turns.popleft()
            pieces.append(self._read(at, n))
            whole = math.floor(self._next)
            self._base, self._part, self._n_read = self._base + whole, self._next - whole, 0
            self.ratio = ratio
        pieces.append(self._read(end, n))
        self._known[:N_TAPS] = self._known[n : N_TAPS + n].copy()
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _make_room(self, n_samples: int) -> None:
        """For the input of before, and so many samples; and views of all that a filter takes."""
        before = self._known[:N_TAPS]
        self._known = np.concatenate([before, np.zeros(n_samples, np.float32)])
        self._windows = np.lib.stride_tricks.sliding_window_view(self._known, N_TAPS)

    @property
    def _next(self) -> float:
        """The next position, from `_base` on."""
        return self._part + self._n_read * self.ratio

    def _read(self, end: int, n_new: int) -> Samples:
        """The outputs at positions before `end`, a sample; `n_new` are those of this block."""
        n = math.ceil((end - self._base - self._part - _TOLERANCE) / self.ratio) - self._n_read
        steps = np.arange(self._n_read, self._n_read + max(n, 0))
        self._n_read += len(steps)
        positions = self._part + steps * self.ratio
        whole = np.floor(positions).astype(np.intp)
        phases = np.rint((positions - whole) * _N_PHASES).astype(np.intp)
        # Into the buffer, whose first sample is the one N_TAPS before this block.
        whole += self._base - (self._n_received - n_new - N_TAPS) - self.delay_samples + 1
        taps, windows = _taps(self.ratio), self._windows
        if self.ratio == 1 and len(steps):
            tap = taps[round(self._part * _N_PHASES)]
            outputs: Samples = np.einsum("ij,j->i", windows[whole[0] : whole[-1] + 1], tap)
        else:
            outputs = np.einsum("ij,ij->i", windows[whole], taps[phases])
        return outputs


@lru_cache(maxsize=_MOST_TABLES)
def _taps(ratio: float) -> Samples:
    """Impulse responses of a low-pass, (1 + _N_PHASES, N_TAPS), for positions between samples."""
    # At the speed at which it came nothing is mirrored.
    cutoff = 1.0 if ratio == 1 else _CUTOFF * min(1.0, 1 / ratio)
    places = np.arange(1 - N_TAPS // 2, 1 + N_TAPS // 2)
    distance = np.subtract.outer(places, np.linspace(0, 1, 1 + _N_PHASES)).T
    window = np.i0(_BETA * np.sqrt(np.maximum(1 - (distance / (N_TAPS / 2)) ** 2, 0)))
    taps = np.sinc(cutoff * distance) * window
    return np.asarray(taps / taps.sum(axis=1, keepdims=True), np.float32)
