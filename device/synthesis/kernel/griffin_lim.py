"""`GriffinLim` whose inner loops are compiled: the same interface, and the same sound."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.synthesis.griffin_lim import RELAXATION, SILENCE, Frames, GriffinLim, Samples
from device.synthesis.kernel.library import FftPlan, InversionState, load_library
from device.synthesis.kernel.tape import CompiledTape
from device.synthesis.phase_guide import HOLD, LEAST_CONFIDENCE, MARGIN, STRONGEST_RISE

RADICES = (4, 2, 3, 5)
# As many go through one call; the music needs one or a few at a time.
_MOST_FRAMES = 16


def fits(n_fft: int, hop_length: int) -> bool:
    """Whether the kernel has this transform and this hop."""
    return n_fft % 2 == 0 and hop_length % 2 == 0 and _radices(n_fft // 2) is not None


class CompiledGriffinLim(GriffinLim):
    """A `GriffinLim` on the compiled kernel; every table is the one of its base class.

    Samples differ from those of the base class by rounding, which grows: after some 50 hops they
    are another solution of the same quality. They are the same on every processor.

    Parameters
    ----------
    library : ctypes.CDLL or None
        None: the one of `load_kernel`.
    options
        Of `GriffinLim`.

    Attributes
    ----------
    state, memories
        All that changes while the stream runs: the struct, and arrays that it points to.
    arrays : dict
        All that the struct points to, by name.
    before_use : callable
        Called before the stream is used or its iterations are changed, but by `process_onto`.

    Raises
    ------
    ValueError
        As `GriffinLim`, and if there is no kernel for this size; see `fits`.
    OSError
        If there is no library.
    """

    def __init__(self, library: ctypes.CDLL | None = None, **options: Any) -> None:
        self._library = library or load_library()
        self.before_use: Callable[[], object] = lambda: None
        super().__init__(**options)

    @property
    def n_iterations(self) -> int:
        """Projections per hop; see `GriffinLim`."""
        return self._n_iterations

    @n_iterations.setter
    def n_iterations(self, n: int) -> None:
        self.before_use()
        self._n_iterations = n

    @property
    def targets(self) -> Frames:
        """Target frames, (1 + look_ahead, frame_size), oldest first: a copy."""
        self.before_use()
        n_slots = len(self._targets)
        first = self.state.first + n_slots - self.look_ahead - 1
        places = np.arange(first, first + self.look_ahead + 1) % n_slots
        targets: Frames = self._targets[places]
        return targets

    def process(self, frames: Frames) -> Samples:
        """Invert (n_frames, frame_size) into (n_frames * hop_length,)."""
        self.before_use()
        return self._process(frames, None)

    def process_onto(self, tape: CompiledTape, frames: Frames) -> Samples:
        """Invert (n_frames, frame_size), and play the samples on the tape, in one call.

        It does not call `before_use`, of which what uses both takes care.
        """
        return self._process(frames, tape.reference)

    def step(self, frame: Frames, out: Samples) -> None:
        """Take one frame, (frame_size,), and write one hop of samples into `out`."""
        out[:] = self.process(frame[np.newaxis])

    def revise(self, frames: Frames) -> None:
        """Initialise the open frames anew; see `GriffinLim.revise`."""
        self._check_revision(frames)
        self.before_use()
        if self.look_ahead:
            self._revision[:] = frames
            self._library.inversion_revise(self._reference, self._revision.ctypes.data)

    def _process(self, frames: Frames, tape: Any) -> Samples:
        n_frames = len(frames)
        if n_frames > _MOST_FRAMES:
            pieces = range(0, n_frames, _MOST_FRAMES)
            return np.concatenate(
                [self._process(frames[i : i + _MOST_FRAMES], tape) for i in pieces]
            )
        # Buffers of our own, whose addresses are known: asking an array for its address costs as
        # much as a third of a hop.
        self._input[:n_frames] = frames
        self._library.synthesis_process(
            self._reference, tape, self._input_at, n_frames, self.n_iterations, self._output_at
        )
        samples: Samples = self._output[: n_frames * self.hop_length].copy()
        return samples

    def _make_buffers(self) -> None:
        n_half, n_bins, n_active = self.n_fft // 2, self.n_bins, self.look_ahead + 1
        n_overlap = self.n_fft // self.hop_length
        n_slots = n_active + n_overlap - 1
        radices = _radices(n_half)
        if radices is None or self.hop_length % 2:
            raise ValueError(
                f"n_fft {self.n_fft} and hop_length {self.hop_length}: expected an even hop, and "
                f"half of n_fft a product of {RADICES}"
            )
        self._make_seeds()
        self._input = np.zeros((_MOST_FRAMES, self.frame_size), np.float32)
        self._output = np.zeros(_MOST_FRAMES * self.hop_length, np.float32)
        self._input_at, self._output_at = self._input.ctypes.data, self._output.ctypes.data
        self._revision = np.zeros((self.look_ahead, self.frame_size), np.float32)
        stream: dict[str, Samples] = {
            "frames": np.zeros((n_slots, 2, n_half), np.float32),
            "targets": np.zeros((n_slots, self.frame_size), np.float32),
            "estimates": np.zeros((n_slots, 2, n_bins), np.float32),
            "held": np.zeros((n_slots, n_bins), np.float32),
            "sum": np.zeros((n_slots, 2, self.hop_length // 2), np.float32),
        }
        self.memories = list(stream.values())
        self._targets = stream["targets"]
        turns = np.exp(-2j * np.pi * np.arange(n_half // 2 + 1) / self.n_fft)
        # The state keeps addresses alone, so the arrays are kept here.
        self.arrays: dict[str, NDArray[Any]] = {
            "radices": np.array(radices, np.int32),
            "twiddles": _twiddles(n_half, radices),
            "initial_windows": _even_and_odd(np.stack(self._initial_windows)),
            "iteration_windows": _even_and_odd(self._windows_by_missing_successors()),
            "synthesis": _even_and_odd(self._synthesis / np.float32(n_half)),
            "turns": _planes(turns),
            "seed_in_silence": _planes(self._seed_in_silence),
            "seed_over_sound": _planes(self._seed_over_sound),
            "rotation": _planes(self._guide.rotation),
            **stream,
            "work": np.zeros((4, n_half), np.float32),
        }
        at = {name: array.ctypes.data for name, array in self.arrays.items()}
        self.state = InversionState(
            FftPlan(n_half, len(radices), at.pop("radices"), at.pop("twiddles")),
            n_half=n_half,
            half_hop=self.hop_length // 2,
            n_overlap=n_overlap,
            n_active=n_active,
            n_guided=self.n_guided,
            in_turn=self.in_turn,
            first=0,
            pull=-RELAXATION / (1 + RELAXATION),
            # By Parseval's theorem; the spectrum has half of the bins.
            silence=SILENCE * 2 / self.n_fft,
            strongest_rise=STRONGEST_RISE,
            least_confidence=LEAST_CONFIDENCE**2,
            hold=HOLD,
            margin=MARGIN,
            **at,
        )
        self._reference = ctypes.byref(self.state)

    def _windows_by_missing_successors(self) -> Samples:
        """Of the places of the queue, (n_overlap, n_fft); those at its end lack successors."""
        n_overlap, n_active = self.n_fft // self.hop_length, self.look_ahead + 1
        places = np.maximum(np.arange(n_overlap) + n_active - n_overlap, 0)
        return self._iteration_windows[places]


def _radices(n_points: int) -> list[int] | None:
    """The factors of a transform, None where another prime is one of them."""
    radices = []
    for radix in RADICES:
        while n_points % radix == 0:
            radices.append(radix)
            n_points //= radix
    return radices if n_points == 1 else None


def _twiddles(n_points: int, radices: list[int]) -> NDArray[np.float32]:
    """The tables of fft.h, one stage after the other."""
    rows, n_left = [], n_points
    for radix in radices:
        n_before, n_left = n_left, n_left // radix
        for k in range(1, radix):
            angle = -2 * np.pi * k * np.arange(n_left) / n_before
            rows += [np.cos(angle), np.sin(angle)]
    return np.concatenate(rows).astype(np.float32)


def _even_and_odd(frames: Samples) -> Samples:
    """(..., n) → (..., 2, n / 2): even samples, odd samples."""
    return np.ascontiguousarray(np.stack([frames[..., ::2], frames[..., 1::2]], axis=-2))


def _planes(spectrum: NDArray[np.complexfloating]) -> NDArray[np.float32]:
    """(n,) → (2, n): real parts, imaginary parts."""
    return np.stack([spectrum.real, spectrum.imag]).astype(np.float32)
