"""Samples of frames that are expected, computed several hops at a time."""

import ctypes
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from device.synthesis.griffin_lim import Frames, Samples
from device.synthesis.kernel.griffin_lim import CompiledGriffinLim
from device.synthesis.kernel.tape import CompiledTape

# Hops of one call. The first one after a sleep finds nothing in the processor's caches and takes
# as long as four of the others.
MOST_HOPS = 16
_FIRST_HOPS = 4
# No clock is finer.
_LEAST_SECONDS = 1e-9


class SoundAhead:
    """Inverts frames and plays them on a tape, in one call; expected frames, beforehand.

    The samples are the same to the bit whether they were expected or not: if other frames come, or
    the inversion or the tape is used in any other way, both are first set back to where the frames
    that did come have left them.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self,
        inversion: CompiledGriffinLim,
        tape: CompiledTape,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._inversion, self._tape, self._clock = inversion, tape, clock
        inversion.before_use = tape.before_use = self.take_back
        self._saved = [
            _Saved(inversion.state, inversion.memories),
            _Saved(tape.state, tape.memories),
        ]
        self._expected: Sequence[Frames] = ()
        self._hops: Sequence[Samples] = ()
        self._n_used = 0
        self._most_hops = _FIRST_HOPS

    @property
    def expected(self) -> Sequence[Frames]:
        """The frames whose samples are ready, and which have not come yet."""
        return self._expected[self._n_used :]

    @property
    def ready(self) -> Sequence[Samples]:
        """The samples, (hop_length,) each, of the expected frames."""
        return self._hops[self._n_used :]

    def skip(self, n_hops: int) -> None:
        """As if so many of the expected frames had come."""
        self._n_used += n_hops

    def process(self, frames: Frames) -> Samples:
        """Samples, (n_frames * hop_length,), of frames, (n_frames, frame_size)."""
        i = self._n_used
        if i < len(self._expected):
            if frames is self._expected[i]:
                self._n_used = i + 1
                return self._hops[i]
            self.take_back()
        return self._inversion.process_onto(self._tape, frames)

    def expect(self, frames: Sequence[Frames], most_seconds: float) -> float:
        """Compute the samples of frames, (1, frame_size) each, that will be passed in next.

        Of the first 16 at most, and of no more than take so long, by what the call before took: a
        slow processor has other things to do until the next block, and computes those that were
        played once more if it has to take them back.

        Parameters
        ----------
        frames : sequence of (1, frame_size)
            At least one. They are known by their identity, and must not be written to.
        most_seconds : float

        Returns
        -------
        The seconds that it took.
        """
        started = self._clock()
        self.take_back()
        for saved in self._saved:
            saved.take()
        self._expected = expected = frames[: self._most_hops]
        samples = self._inversion.process_onto(self._tape, np.concatenate(expected))
        # Views of them now: numpy's code for it would be cold later, too.
        self._hops = list(samples.reshape(len(expected), -1))
        seconds = self._clock() - started
        n_hops = int(len(expected) * most_seconds / max(seconds, _LEAST_SECONDS))
        self._most_hops = min(max(n_hops, 1), MOST_HOPS)
        return seconds

    def take_back(self) -> None:
        """Set both back to where the frames that came have left them."""
        used, n_expected = self._expected[: self._n_used], len(self._expected)
        self._expected, self._hops, self._n_used = (), (), 0
        if len(used) == n_expected:
            return
        for saved in self._saved:
            saved.restore()
        if used:
            self._inversion.process_onto(self._tape, np.concatenate(used))


class _Saved:
    """A copy of a struct and of the arrays that its functions write to."""

    def __init__(self, state: ctypes.Structure, arrays: Sequence[NDArray[np.float32]]) -> None:
        self._state, self._arrays = state, arrays
        self._state_copy = type(state)()
        self._copies = [array.copy() for array in arrays]

    def take(self) -> None:
        ctypes.pointer(self._state_copy)[0] = self._state
        for copy, array in zip(self._copies, self._arrays, strict=True):
            copy[:] = array

    def restore(self) -> None:
        ctypes.pointer(self._state)[0] = self._state_copy
        for copy, array in zip(self._copies, self._arrays, strict=True):
            array[:] = copy
