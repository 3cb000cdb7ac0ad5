"""`Tape` whose inner loops are compiled: the same interface, and the same sound to -85 dB."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from device.synthesis.kernel.library import MAX_CHUNK, N_LOOPS, N_TAPS, TapeState, load_library
from device.synthesis.tape import CEILING, KNEE, MUSIC_CEILING, MUSIC_KNEE, Samples, Tape


class CompiledTape(Tape):
    """A `Tape` on the compiled kernel; every table is the one of its base class.

    Parameters
    ----------
    sample_rate : int
        Hz.
    library : ctypes.CDLL or None
        None: the one of `load_kernel`.
    options
        Of `Tape`.

    Attributes
    ----------
    reference
        To the state, for a call of the library.
    state, memories
        All that changes while the tape runs: the struct, and arrays that it points to.
    arrays : list
        All that the struct points to.
    before_use : callable
        Called before the tape is used, but through `reference`.

    Raises
    ------
    OSError
        If there is no library.
    """

    def __init__(
        self, sample_rate: int, *, library: ctypes.CDLL | None = None, **options: Any
    ) -> None:
        super().__init__(sample_rate, **options)
        self._library = library or load_library()
        self.before_use: Callable[[], object] = lambda: None
        self.memories: list[Samples] = []
        self.state = TapeState(
            gain=self.gain,
            music_knee=MUSIC_KNEE,
            music_room=MUSIC_CEILING - MUSIC_KNEE,
            knee=KNEE * self._volume_limit,
            room=(CEILING - KNEE) * self._volume_limit,
        )
        # The state has addresses alone, so the arrays are kept here.
        self.arrays = self._noise_loops[:N_LOOPS]
        for i, loop in enumerate(self.arrays):
            self.state.loop[i], self.state.loop_length[i] = loop.ctypes.data, len(loop)
        if self._transport is not None:
            self._set_transport()
        self.reference = ctypes.byref(self.state)

    def seek(self, n_samples: int) -> None:
        """Go on as after `n_samples`."""
        self.before_use()
        self.state.at = n_samples

    def set_gain(self, gain: float) -> None:
        """Change the gain, linear, along a straight line of 20 ms from the next sample on."""
        self.before_use()
        self._ramp_left = self.state.ramp_left
        super().set_gain(gain)
        state = self.state
        state.gain, state.gain_step = self.gain, self._gain_step
        state.ramp_left = self._ramp_left

    def process(self, samples: Samples) -> Samples:
        """Process (n,), n from 0 on → the same array, changed in place."""
        self.before_use()
        known = np.ascontiguousarray(samples, np.float32)
        self._library.tape_process(self.reference, known.ctypes.data, len(known))
        if known is not samples:
            samples[:] = known
        return samples

    def _set_transport(self) -> None:
        assert self._transport is not None
        taps = self._transport.taps
        n_before = self._transport.n_before
        self.memories = [
            np.zeros(n_before + MAX_CHUNK, np.float32),
            np.zeros(N_TAPS - 1 + MAX_CHUNK, np.float32),
        ]
        self.arrays += [taps, *self.memories]
        state = self.state
        state.taps = taps.ctypes.data
        state.before, state.delayed = (array.ctypes.data for array in self.memories)
        state.n_before = n_before
        state.middle, state.drive = self._transport.middle, self._transport.drive
        for i, (speed, depth, start) in enumerate(self._transport.modulations):
            state.turns[i], state.depth[i] = speed / (2 * np.pi), depth
            state.start[i] = start / (2 * np.pi)
