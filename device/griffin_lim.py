"""Streaming Griffin-Lim: magnitudes in, samples out, one hop at a time.

Accelerated real-time iterative spectrogram inversion with look-ahead: the projections of Griffin &
Lim (1984), on a sliding window of frames as in RTISI-LA (Beauregard, Zhu & Wyse 2005; Zhu,
Beauregard & Wyse 2007), with an over-relaxed step in the spirit of Perraudin, Balazs &
Søndergaard (2013). Each hop does three things:

1. *Guess*: a new frame's phase is that of what its predecessors already overlap into it.
2. *Passes*: every frame that is not yet final is overlap-added, transformed, given its target
   magnitude and transformed back, `n_passes` times.
3. *Commit*: the oldest of them is final, and one hop of sound leaves.

The state is never reset: a reset is what clicks.
"""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Magnitudes = NDArray[np.float32]

# A guess divides by the window's coverage so far; this bounds the boost where little overlaps yet.
_GUESS_REGULARISATION = 0.05
# The same for the passes, where the newest frame still lacks its successors.
_PASS_REGULARISATION = 0.1
# Zero-phase seed relative to the target. Without it the stream stays silent for ever after silence,
# because nothing overlaps into the next frame that could give it a phase.
_SEED = 0.01
# Each pass steps past the projection by this part of its difference to the previous one. 0.7
# starts to hurt, beyond 1 the stream collapses.
_RELAXATION = 0.5
_TINY = np.float32(1e-9)


class GriffinLim:
    """Inverts a stream of STFT magnitudes.

    Parameters
    ----------
    n_fft, hop_length : int
        Of the magnitudes: unnormalised STFT, periodic Hann window, `hop_length` divides `n_fft`
        at least four times.
    look_ahead : int
        Frames that wait for their successors before they are final.
    n_passes : int
        Projections per hop; at least 1.

    Notes
    -----
    A frame is projected `(look_ahead + 1) * n_passes` times before it is final. On drawn
    magnitudes it is better to wait than to hurry: two frames of look-ahead and one pass sound
    nearer to the corpus than one frame and two passes, for two thirds of the work; what they cost
    is one hop of latency (figures in device/README.md).
    float32 and complex64 throughout; all arrays are allocated here, none in `step`.
    """

    def __init__(
        self, *, n_fft: int, hop_length: int, look_ahead: int = 2, n_passes: int = 1
    ) -> None:
        if n_fft % hop_length or n_fft < 4 * hop_length:
            raise ValueError(
                f"n_fft {n_fft} and hop_length {hop_length}: expected a hop that divides n_fft "
                "four times or more (overlap of 75 %)"
            )
        if look_ahead < 0 or n_passes < 1:
            raise ValueError(
                f"look_ahead {look_ahead}, n_passes {n_passes}: expected at least 0 and 1"
            )
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.look_ahead = look_ahead
        self.n_passes = n_passes
        self.n_bins = n_fft // 2 + 1
        self._make_windows()
        self._make_buffers()

    @property
    def latency_samples(self) -> int:
        """From a frame handed in until the last hop it shapes leaves: then the change is whole."""
        return self.n_fft + (self.look_ahead - 1) * self.hop_length

    @property
    def delay_samples(self) -> int:
        """From the first sample that leaves with a frame to the one the frame is centred on."""
        return self.look_ahead * self.hop_length + self.n_fft // 2

    def process(self, magnitudes: Magnitudes) -> Samples:
        """Invert some frames.

        Parameters
        ----------
        magnitudes : (n_frames, n_bins), float32, not negative

        Returns
        -------
        (n_frames * hop_length,), float32, `delay_samples` later than the frames' centres.
        """
        samples = np.empty((len(magnitudes), self.hop_length), np.float32)
        for magnitude, hop in zip(magnitudes, samples, strict=True):
            self.step(magnitude, hop)
        return samples.reshape(-1)

    def step(self, magnitude: Magnitudes, out: Samples) -> None:
        """Take one frame's magnitude, (n_bins,), and write one hop of sound into `out`."""
        self._advance(magnitude)
        self._guess(magnitude)
        for _ in range(self.n_passes):
            self._project()
        np.add.reduce(self._committed, axis=0, out=out)

    def _make_windows(self) -> None:
        """Analysis and synthesis windows for every place a frame can have in the queue."""
        n_active = self.look_ahead + 1
        phase = 2 * np.pi * np.arange(self.n_fft) / self.n_fft
        window = 0.5 - 0.5 * np.cos(phase)
        overlap = (window**2).reshape(-1, self.hop_length).sum(axis=0)
        full = np.tile(overlap, self.n_fft // self.hop_length)
        self._synthesis = (window / full).astype(np.float32)

        def analysis(place: int, n_present: int, regularisation: float) -> Samples:
            coverage = self._coverage(window**2, place, n_present) / full
            weighted = window * (1 + regularisation) / (coverage + regularisation)
            return np.asarray(weighted, dtype=np.float32)

        self._guess_window = analysis(n_active - 1, n_active - 1, _GUESS_REGULARISATION)
        self._pass_windows = np.stack(
            [analysis(place, n_active, _PASS_REGULARISATION) for place in range(n_active)]
        )

    def _coverage(
        self, squared: NDArray[np.float64], place: int, n_present: int
    ) -> NDArray[np.float64]:
        """Sum of squared windows over a frame when the queue's first `n_present` frames exist."""
        n_overlapping = self.n_fft // self.hop_length
        coverage = np.zeros(self.n_fft)
        for other in range(place - n_overlapping + 1, min(place + n_overlapping, n_present)):
            shift = (other - place) * self.hop_length
            low, high = max(0, shift), min(self.n_fft, self.n_fft + shift)
            coverage[low:high] += squared[low - shift : high - shift]
        return coverage

    def _make_buffers(self) -> None:
        n_past = self.n_fft // self.hop_length - 1
        n_active = self.look_ahead + 1
        # Windowed frames cut into hops: past ones that still sound, active ones, and as many rows
        # of silence, so that the overlap-add below is one strided sum.
        hops = np.zeros((n_past + n_active + n_past, n_past + 1, self.hop_length), np.float32)
        self._frames = hops[: n_past + n_active]
        self._active = hops[n_past : n_past + n_active].reshape(n_active, self.n_fft)
        self._newest = self._active[-1]
        frame, hop, sample = hops.strides
        # Row t holds what every frame adds to hop t of the queue: frames backwards, hops forwards.
        overlapping = np.lib.stride_tricks.as_strided(
            hops[n_past:],
            (n_active + n_past, n_past + 1, self.hop_length),
            (frame, hop - frame, sample),
        )
        self._overlapping = overlapping
        self._overlapping_newest = overlapping[n_active - 1 :]
        self._committed = overlapping[0]
        self._sum = np.zeros((n_active + n_past, self.hop_length), np.float32)
        self._sum_newest = self._sum[n_active - 1 :]
        step = self._sum.strides[0]
        self._sum_frames = np.lib.stride_tricks.as_strided(
            self._sum, (n_active, self.n_fft), (step, sample)
        )
        self._time = np.zeros((n_active, self.n_fft), np.float32)
        self._target = np.zeros((n_active, self.n_bins), np.float32)
        self._gain = np.zeros((n_active, self.n_bins), np.float32)
        self._spectrum = np.zeros((n_active, self.n_bins), np.complex64)
        self._estimate = np.zeros((n_active, self.n_bins), np.complex64)
        signs = np.where(np.arange(self.n_bins) % 2, -1, 1)
        self._seed_signs = (_SEED * signs).astype(np.float32)

    def _advance(self, magnitude: Magnitudes) -> None:
        """Everything moves up one place; the last place takes the new frame."""
        self._frames[:-1] = self._frames[1:]
        self._newest[:] = 0
        self._target[:-1] = self._target[1:]
        self._target[-1] = magnitude
        self._estimate[:-1] = self._estimate[1:]

    def _guess(self, magnitude: Magnitudes) -> None:
        """Give the newest frame the phase of what its predecessors overlap into it."""
        time, gain, estimate = self._time[-1], self._gain[-1], self._estimate[-1]
        np.add.reduce(self._overlapping_newest, axis=1, out=self._sum_newest)
        np.multiply(self._sum_frames[-1], self._guess_window, out=time)
        _to_spectrum(time, estimate)
        np.multiply(magnitude, self._seed_signs, out=gain)
        estimate += gain
        _give_magnitude(estimate, magnitude, gain)
        _to_time(estimate, time)
        np.multiply(time, self._synthesis, out=self._newest)

    def _project(self) -> None:
        """One over-relaxed Griffin-Lim pass over all active frames."""
        spectrum, estimate = self._spectrum, self._estimate
        np.add.reduce(self._overlapping, axis=1, out=self._sum)
        np.multiply(self._sum_frames, self._pass_windows, out=self._time)
        _to_spectrum(self._time, spectrum)
        estimate *= np.float32(-_RELAXATION / (1 + _RELAXATION))
        estimate += spectrum
        _give_magnitude(estimate, self._target, self._gain)
        _to_time(estimate, self._time)
        np.multiply(self._time, self._synthesis, out=self._active)


# numpy transforms single precision in single precision, but its stubs know double alone.
def _to_spectrum(time: Samples, out: NDArray[np.complex64]) -> None:
    np.fft.rfft(time, out=out)  # type: ignore[call-overload,arg-type,unused-ignore]


def _to_time(spectrum: NDArray[np.complex64], out: Samples) -> None:
    np.fft.irfft(spectrum, out.shape[-1], out=out)  # type: ignore[arg-type,unused-ignore]


def _give_magnitude(
    spectrum: NDArray[np.complex64], magnitude: Magnitudes, scratch: NDArray[np.float32]
) -> None:
    """Scale every bin to the magnitude asked for, in place; its phase stays."""
    np.abs(spectrum, out=scratch)
    scratch += _TINY
    np.divide(magnitude, scratch, out=scratch)
    spectrum *= scratch
