"""Two inversions of a spectrogram, each timed in its parts: librosa's and the device's.

Both get the magnitudes of the same frames (Hann, a quarter of the window apart), either as they are
or as 128 mel bands of power, and return a signal aligned with its source.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from device.synthesis.griffin_lim import GriffinLim
from training.metrics.mel import empty_bands_ignored, mel_filter_bank
from training.metrics.reconstruction import Magnitudes, Samples, stft_magnitude, streamed

N_MELS = 128
OVERLAP = 4  # hops in a window

_RANDOM_STATE = 0  # of the phases that librosa starts from
_FRAMES_PER_BLOCK = 512  # librosa's own, for 128 bands in single precision

# Name in reports of each method by its name in JSON.
METHOD_NAMES = {"librosa": "librosa", "box": "the device"}

Clock = Callable[[], float]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of an inversion.

    Attributes
    ----------
    n_iterations : int
        How many times every frame is projected.
    latency_samples : int | None
        Latency of a method that streams; None where it needs the whole piece.
    """

    n_iterations: int
    latency_samples: int | None = None


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Output of an inversion, and the processor seconds of each of its parts."""

    samples: Samples
    mel_seconds: float
    griffin_lim_seconds: float
    note: str = ""


class InversionMethod(Protocol):
    """An inversion of one spectrogram of one piece of music, with several settings."""

    method: str
    samples: Samples
    n_fft: int

    @property
    def n_frames(self) -> int:
        """Number of frames of the spectrogram."""
        ...

    @property
    def solver_change(self) -> float | None:
        """Relative distance of the mel inversion from the pseudo-inverse; None without a solver."""
        ...

    def settings(self) -> Sequence[Setting]:
        """Settings, the fastest first."""
        ...

    def invert(self, setting: Setting, *, mel: bool) -> Reconstruction:
        """Invert the linear or the mel spectrogram."""
        ...


def n_empty_bands(sample_rate: int, n_fft: int) -> int:
    """Number of mel bands that hold no bin."""
    return int((~mel_filter_bank(sample_rate, n_fft, N_MELS).any(axis=1)).sum())


@dataclass
class DeviceInversion:
    """The inversion of the device: hop by hop in time order; mel by one fixed matrix.

    The matrix is the pseudo-inverse of the mel bands, as a model file would carry it; negative
    results are set to zero. It is made beforehand, so only its use is timed.
    """

    samples: Samples
    sample_rate: int
    n_fft: int
    clock: Clock = time.process_time
    method: str = "box"
    solver_change: float | None = None

    @cached_property
    def magnitude(self) -> Magnitudes:
        """(n_frames, n_bins)."""
        return stft_magnitude(self.samples, self.n_fft, self.n_fft // OVERLAP)

    @property
    def n_frames(self) -> int:
        """Number of frames of the spectrogram."""
        return len(self.magnitude)

    def settings(self) -> Sequence[Setting]:
        """The default one.

        Raises
        ------
        ValueError
            If the device does not support windows of this length.
        """
        inversion = self._inversion()
        n_projections = (inversion.look_ahead + 1) * inversion.n_iterations
        return [Setting(n_projections, inversion.latency_samples)]

    def invert(self, setting: Setting, *, mel: bool) -> Reconstruction:
        """Invert with or without mel bands, with the only setting there is."""
        del setting
        magnitude, mel_seconds = self.magnitude, 0.0
        if mel:
            power = np.square(magnitude) @ mel_filter_bank(self.sample_rate, self.n_fft, N_MELS).T
            matrix = pseudo_inverse(self.sample_rate, self.n_fft)
            magnitude, mel_seconds = _timed(self.clock, lambda: _from_mel(power, matrix))
        inversion = self._inversion()
        samples, seconds = _timed(
            self.clock, lambda: streamed(inversion, magnitude, len(self.samples))
        )
        return Reconstruction(samples, mel_seconds, seconds)

    def _inversion(self) -> GriffinLim:
        return GriffinLim(n_fft=self.n_fft, hop_length=self.n_fft // OVERLAP)


@dataclass
class LibrosaInversion:
    """What `librosa.feature.inverse.mel_to_audio` does, in its two halves.

    Mel bands go through non-negative least squares (`mel_to_stft`); then `librosa.griffinlim` works
    on the whole piece at once, from random phases, with its default momentum of 0.99.
    """

    samples: Samples
    sample_rate: int
    n_fft: int
    iterations: Sequence[int]
    clock: Clock = time.process_time
    method: str = "librosa"

    @cached_property
    def magnitude(self) -> Magnitudes:
        """(n_bins, n_frames), librosa's order."""
        import librosa

        hop_length = self.n_fft // OVERLAP
        spectrum = librosa.stft(self.samples, n_fft=self.n_fft, hop_length=hop_length)
        return np.asarray(np.abs(spectrum), dtype=np.float32)

    @property
    def n_frames(self) -> int:
        """Number of frames of the spectrogram."""
        return int(self.magnitude.shape[1])

    def settings(self) -> Sequence[Setting]:
        """One for each number of iterations."""
        return [Setting(n) for n in self.iterations]

    def invert(self, setting: Setting, *, mel: bool) -> Reconstruction:
        """Iterate as set; the mel bands are inverted once for all settings."""
        magnitude, mel_seconds, note = self._from_mel if mel else (self.magnitude, 0.0, "")
        samples, seconds = _timed(
            self.clock, lambda: self._griffin_lim(magnitude, setting.n_iterations)
        )
        return Reconstruction(samples, mel_seconds, seconds, note)

    @cached_property
    def solver_change(self) -> float:
        """Relative distance of the solution of librosa's solver from its start.

        It starts at the result of `DeviceInversion`: the pseudo-inverse, cut off at zero.
        """
        start = _from_mel(self._mel.T, pseudo_inverse(self.sample_rate, self.n_fft)).T
        return float(np.linalg.norm(self._from_mel[0] - start) / np.linalg.norm(start))

    @cached_property
    def _mel(self) -> NDArray[np.float32]:
        return mel_filter_bank(self.sample_rate, self.n_fft, N_MELS) @ np.square(self.magnitude)

    @cached_property
    def _from_mel(self) -> tuple[Magnitudes, float, str]:
        """Magnitudes, seconds, and a note where librosa's procedure had to be changed."""
        for n_frames in self._piece_sizes():
            with suppress(MemoryError):
                solved, seconds = _timed(self.clock, partial(self._solve, n_frames))
                whole = n_frames == self.n_frames
                note = "" if whole else f"mel inversion {n_frames} frames at a time"
                return solved, seconds, note
        raise MemoryError(f"window {self.n_fft}: librosa's mel inversion does not fit into memory")

    def _piece_sizes(self) -> Iterator[int]:
        """All frames at once, which librosa cuts into blocks itself; else ever fewer at a time."""
        block = min(self.n_frames, _FRAMES_PER_BLOCK)
        most = _most_frames(self.n_fft // 2 + 1)
        size = most
        if block <= most:
            yield self.n_frames
            size = block // 2
        while size > 0:
            yield size
            size //= 2

    def _solve(self, frames_per_piece: int) -> Magnitudes:
        """Magnitudes, (n_bins, n_frames), solved so many frames at a time."""
        from librosa.feature.inverse import mel_to_stft

        with empty_bands_ignored():
            pieces = [
                mel_to_stft(
                    self._mel[:, start : start + frames_per_piece],
                    sr=self.sample_rate,
                    n_fft=self.n_fft,
                    power=2.0,
                )
                for start in range(0, self.n_frames, frames_per_piece)
            ]
        return np.concatenate(pieces, axis=1).astype(np.float32, copy=False)

    def _griffin_lim(self, magnitude: Magnitudes, n_iterations: int) -> Samples:
        import librosa

        samples = librosa.griffinlim(
            magnitude,
            n_iter=n_iterations,
            n_fft=self.n_fft,
            hop_length=self.n_fft // OVERLAP,
            length=len(self.samples),
            random_state=_RANDOM_STATE,
        )
        return np.asarray(samples, dtype=np.float32)


def _most_frames(n_bins: int) -> int:
    """How many frames librosa's solver can take at a time; more would crash.

    It requests as many L-BFGS corrections as there are bins, though it takes hardly any step, and
    scipy (1.17 at the latest) counts that workspace, 32 GiB for 512 frames at a window of 4096,
    with 32 bits.
    """
    n_frames = _FRAMES_PER_BLOCK
    while (2 * n_bins + 5) * n_bins * n_frames + 11 * n_bins**2 + 8 * n_bins >= 2**31:
        n_frames //= 2
    return n_frames


def warm_up_librosa(sample_rate: int) -> None:
    """Let librosa compile its functions, so that no measured time includes it."""
    noise = np.random.default_rng(0).standard_normal(sample_rate).astype(np.float32)
    inversion = LibrosaInversion(noise, sample_rate, 512, [1])
    for mel in (False, True):
        inversion.invert(inversion.settings()[0], mel=mel)


@lru_cache
def pseudo_inverse(sample_rate: int, n_fft: int) -> NDArray[np.float32]:
    """Mel bands back to bins, (n_bins, N_MELS)."""
    return np.asarray(np.linalg.pinv(mel_filter_bank(sample_rate, n_fft, N_MELS)), dtype=np.float32)


def _from_mel(power: NDArray[np.float32], matrix: NDArray[np.float32]) -> Magnitudes:
    """(n_frames, N_MELS) → (n_frames, n_bins)."""
    bins: Magnitudes = power @ matrix.T
    np.maximum(bins, 0.0, out=bins)
    np.sqrt(bins, out=bins)
    return bins


def _timed(clock: Clock, work: Callable[[], T]) -> tuple[T, float]:
    start = clock()
    return work(), clock() - start
