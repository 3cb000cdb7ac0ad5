"""Streaming Griffin-Lim: magnitudes in, samples out, one hop at a time.

Accelerated real-time iterative spectrogram inversion with look-ahead: the projections of Griffin &
Lim (1984), on a sliding window of frames as in RTISI-LA (Beauregard, Zhu & Wyse 2005; Zhu,
Beauregard & Wyse 2007), with an over-relaxed step in the spirit of Perraudin, Balazs &
Søndergaard (2013). Each hop does three things:

1. *Initial phase*: a new frame gets the phase of what its predecessors overlap into it.
2. *Iterations*: every frame that is not yet final is overlap-added, transformed, given its target
   magnitude and transformed back, `n_iterations` times: all frames at once, or in turn, each with
   what the ones before it have become.
3. *Output*: the oldest of them is final, and one hop of samples leaves.

With look-ahead few iterations are enough; in the literature it costs latency. Here it does not:
the caller draws frames before they are due, so those ahead are a *forecast*. When a switch is
flipped the forecast was wrong, and `revise` initialises the open frames anew for the magnitudes
wanted now. A change is then heard as soon as without any look-ahead.

The open frames are those passed in and not yet final. Only `GriffinLim` changes them. The state is
never reset: a reset clicks. `device.synthesis.phase_guide` is about the bins that are guided.
"""

import numpy as np
from numpy.typing import NDArray

from device.synthesis.phase_guide import PhaseGuide
from device.synthesis.presets import Preset
from device.synthesis.windows import analysis_window, window_peak

Samples = NDArray[np.float32]
Magnitudes = NDArray[np.float32]
Frames = NDArray[np.float32]

# The initial phase divides by the window's coverage so far; this bounds the boost where little
# overlaps yet. Between 0.02 and 0.05 nothing moves by more than 0.3 dB of spectral convergence; 0.5
# costs 1 dB.
_INITIAL_REGULARISATION = 0.03
# The same for the iterations, where the newest frame still lacks its successors. Up to 0.3 it moves
# spectral convergence by 1 dB; less than this gains nothing in an STFT of another size.
_ITERATION_REGULARISATION = 0.1
# Seed relative to the target. Without it the stream stays silent after silence, because nothing
# overlaps into the next frame that could give it a phase. Ten times more costs 0.4 dB.
_SEED = 0.003
# The seed's phases. In silence, defined as less than this part of the energy of the next frame,
# they are aligned: a target with all bins at once is a click, and must sound like one. Over sound
# they are random, the same for all streams: aligned, the new bins of a very different sound would
# add up to a click of 2 to 6 times the second difference of either sound.
SILENCE = 0.1
_SEED_OF_PHASES = 0
# Each iteration steps past the projection by this part of its difference to the previous one. 0.3
# and 0.6 are as good within 0.2 dB, 0.7 starts to hurt, beyond 1 the stream collapses.
RELAXATION = 0.5
_TINY = np.float32(1e-9)


class GriffinLim:
    """Inverts a stream of STFT magnitudes.

    Parameters
    ----------
    n_fft, hop_length : int
        Of the magnitudes: unnormalised STFT, `hop_length` divides `n_fft` at least four times.
    window : str
        The one they were made with, of `device.synthesis.windows`.
    look_ahead : int
        Frames that stay open: passed in, and not yet final.
    n_iterations : int
        Projections per hop. It may be set while the stream runs, down to 0, which leaves the
        initial phases: worse by about 10 dB of spectral convergence, at half the work.
    n_guided : int
        Bins, the lowest, whose phase advance is part of a frame.
    in_turn : bool
        Project the frames one after the other, oldest first, instead of all at once: the same
        number of projections, 1 to 1.5 dB nearer. In the kernel it costs up to a tenth more; in
        numpy, which then transforms every frame in a call of its own, two to three times as much.

    Raises
    ------
    ValueError
        If the hop does not divide `n_fft` at least four times, or a number is out of range.

    Notes
    -----
    A frame is projected `(look_ahead + 1) * n_iterations` times before it is final. float32 and
    complex64 throughout.
    """

    def __init__(
        self,
        *,
        n_fft: int,
        hop_length: int,
        window: str = "hann",
        look_ahead: int = 7,
        n_iterations: int = 1,
        n_guided: int = 0,
        in_turn: bool = False,
    ) -> None:
        if n_fft % hop_length or n_fft < 4 * hop_length:
            raise ValueError(
                f"n_fft {n_fft} and hop_length {hop_length}: expected a hop that divides n_fft "
                "four times or more (overlap of 75 %)"
            )
        if look_ahead < 0 or n_iterations < 0:
            raise ValueError(
                f"look_ahead {look_ahead}, n_iterations {n_iterations}: expected at least 0 of both"
            )
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.look_ahead = look_ahead
        self.n_iterations = n_iterations
        self.in_turn = in_turn
        self.n_bins = n_fft // 2 + 1
        self.n_guided, self.frame_size = n_guided, self.n_bins + 2 * n_guided
        self._guide = PhaseGuide(n_guided, self.n_bins, look_ahead + 1, turn=hop_length / n_fft)
        self.window = window
        self._peak = window_peak(window, n_fft)
        places = range(look_ahead + 1)
        self._turns = [slice(i, i + 1) for i in places] if in_turn else [slice(0, len(places))]
        self._make_windows()
        self._make_buffers()

    @classmethod
    def of(cls, preset: Preset) -> "GriffinLim":
        """The stream that a preset describes."""
        return cls(
            n_fft=preset.n_fft,
            hop_length=preset.hop_length,
            look_ahead=preset.look_ahead,
            n_iterations=preset.n_iterations,
            in_turn=preset.in_turn,
        )

    @property
    def latency_samples(self) -> int:
        """From a change of target until nothing of the old one is heard.

        The change begins with the next hop; the old frames that still sound end this much later.
        Counted with the open frames revised; without, it takes `look_ahead` hops more.
        """
        return self.n_fft - self.hop_length

    def samples_until(self, share: float, n_smoothed: int = 0) -> int:
        """From a change of target until the new one has this share of what is heard.

        Parameters
        ----------
        share : float
            Below 1, such as 0.5, which a Hann window has after half of `latency_samples`, and one
            that rises faster than it falls has sooner.
        n_smoothed : int
            Frames that lead from the old target to the new one, in equal steps. Measured on a sine,
            half is then reached up to 3 % of `n_fft` sooner: within a frame, too, the level falls.
        """
        steps = np.arange(1, n_smoothed + 1) / (n_smoothed + 1)
        weights = np.concatenate([steps, np.ones(len(self._power_by_hop))])
        # In each hop of the change, the frames of it that have begun.
        shares = np.apply_along_axis(np.convolve, 0, self._power_by_hop, weights)[: len(weights)]
        return int(np.argmax(shares.reshape(-1) >= share))

    @property
    def targets(self) -> Frames:
        """Target frames, (1 + look_ahead, frame_size), oldest first; not to be written to.

        First the frame that became final last, then the open frames; zeros before the first frame.
        """
        return self._targets[1:]

    @property
    def delay_samples(self) -> int:
        """The delay of the signal relative to the positions of the frames passed in."""
        return self.look_ahead * self.hop_length + self._peak

    def process(self, frames: Frames) -> Samples:
        """Invert some frames.

        Parameters
        ----------
        frames : (n_frames, frame_size), float32
            Magnitudes, not negative, and the phase advance of `n_guided` bins.

        Returns
        -------
        (n_frames * hop_length,), float32, late by `delay_samples`.
        """
        samples = np.empty((len(frames), self.hop_length), np.float32)
        for frame, hop in zip(frames, samples, strict=True):
            self.step(frame, hop)
        return samples.reshape(-1)

    def step(self, frame: Frames, out: Samples) -> None:
        """Take one frame, (frame_size,), and write one hop of samples into `out`."""
        self._advance()
        self._initialise_phase(self.look_ahead, frame)
        for _ in range(self.n_iterations):
            for places in self._turns:
                self._project(places)
        np.add.reduce(self._committed, axis=0, out=out)

    def revise(self, frames: Frames) -> None:
        """Initialise the open frames anew, for other ones than were passed in.

        Parameters
        ----------
        frames : (look_ahead, frame_size), float32
            Oldest first; the next hop of sound begins with the first of them.

        Raises
        ------
        ValueError
            If there are more or fewer.

        Notes
        -----
        The samples already output stay, so what follows fits them. The cost is `look_ahead`
        initialisations, half a step each. New magnitudes alone, on phases initialised for the old,
        would be 3 dB worse in the frames around a change.
        """
        self._check_revision(frames)
        self._active[1:] = 0
        for place, frame in enumerate(frames, start=1):
            self._initialise_phase(place, frame)

    def _check_revision(self, frames: Frames) -> None:
        if len(frames) != self.look_ahead:
            raise ValueError(
                f"found {len(frames)} frames to revise, expected {self.look_ahead}, "
                "as many as are open"
            )

    def _make_windows(self) -> None:
        """Analysis and synthesis windows for every place a frame can have in the queue."""
        n_active = self.look_ahead + 1
        window = analysis_window(self.window, self.n_fft)
        squared = (window**2).reshape(-1, self.hop_length)
        overlap = squared.sum(axis=0)
        # What a frame brings to the sound of each of its hops, (n_overlap, hop_length).
        self._power_by_hop = (squared / overlap).astype(np.float32)
        full = np.tile(overlap, self.n_fft // self.hop_length)
        self._synthesis = (window / full).astype(np.float32)

        def analysis(place: int, n_present: int, regularisation: float) -> Samples:
            coverage = self._coverage(window**2, place, n_present) / full
            weighted = window * (1 + regularisation) / (coverage + regularisation)
            return np.asarray(weighted, dtype=np.float32)

        self._initial_windows = [
            analysis(place, place, _INITIAL_REGULARISATION) for place in range(n_active)
        ]
        self._iteration_windows = np.stack(
            [analysis(place, n_active, _ITERATION_REGULARISATION) for place in range(n_active)]
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
        # Windowed frames cut into hops: past ones that still sound, active ones, and rows of
        # silence, as many as past ones, so that the overlap-add below is one strided sum.
        hops = np.zeros((n_past + n_active + n_past, n_past + 1, self.hop_length), np.float32)
        self._frames = hops[: n_past + n_active]
        self._active = hops[n_past : n_past + n_active].reshape(n_active, self.n_fft)
        frame, hop, sample = hops.strides
        # Row t holds what every frame adds to hop t of the queue: frames backwards, hops forwards.
        overlapping = np.lib.stride_tricks.as_strided(
            hops[n_past:],
            (n_active + n_past, n_past + 1, self.hop_length),
            (frame, hop - frame, sample),
        )
        self._overlapping = overlapping
        self._committed = overlapping[0]
        self._sum = np.zeros((n_active + n_past, self.hop_length), np.float32)
        step = self._sum.strides[0]
        self._sum_frames = np.lib.stride_tricks.as_strided(
            self._sum, (n_active, self.n_fft), (step, sample)
        )
        self._time = np.zeros((n_active, self.n_fft), np.float32)
        # One more than are active: the first guess needs the predecessor.
        self._targets = np.zeros((1 + n_active, self.frame_size), np.float32)
        self._target = self._targets[1:, : self.n_bins]
        self._gain = np.zeros((n_active, self.n_bins), np.float32)
        self._spectrum = np.zeros((n_active, self.n_bins), np.complex64)
        self._estimates = np.zeros((1 + n_active, self.n_bins), np.complex64)
        self._estimate = self._estimates[1:]
        self._make_seeds()

    def _make_seeds(self) -> None:
        phases_of_click = np.linspace(0, -self._peak / 2, self.n_bins)
        random = np.random.default_rng(_SEED_OF_PHASES).random(self.n_bins)
        turns = np.stack([random, phases_of_click])
        seeds: list[NDArray[np.complex64]] = [*(_SEED * np.exp(2j * np.pi * turns)).astype("c8")]
        self._seed_over_sound, self._seed_in_silence = seeds

    def _advance(self) -> None:
        """Everything moves up one place; the last place is empty."""
        self._frames[:-1] = self._frames[1:]
        self._active[-1] = 0
        self._targets[:-1] = self._targets[1:]
        self._estimates[:-1] = self._estimates[1:]
        self._guide.advance()

    def _initialise_phase(self, place: int, frame: Frames) -> None:
        """Give the frame at `place` the phase of what its predecessors overlap into it."""
        magnitude = frame[: self.n_bins]
        time, gain, estimate = self._time[place], self._gain[place], self._estimate[place]
        hops = slice(place, place + self.n_fft // self.hop_length)
        self._targets[place + 1] = frame
        np.add.reduce(self._overlapping[hops], axis=1, out=self._sum[hops])
        np.multiply(self._sum_frames[place], self._initial_windows[place], out=time)
        _to_spectrum(time, estimate)
        np.multiply(magnitude, self._seed(time, magnitude), out=self._spectrum[place])
        estimate += self._spectrum[place]
        _set_magnitude(estimate, magnitude, gain)
        if self.n_guided:
            self._guide.apply(place, self._targets[place:], self._estimates[place:])
        _to_time(estimate, time)
        np.multiply(time, self._synthesis, out=self._active[place])

    def _seed(self, time: Samples, magnitude: Magnitudes) -> NDArray[np.complex64]:
        """The phases for the bins of a frame into which nothing overlaps."""
        # Parseval: the spectrum has half of the bins.
        energy = 2 / self.n_fft * np.dot(magnitude, magnitude)
        is_silent = np.dot(time, time) <= SILENCE * energy
        return self._seed_in_silence if is_silent else self._seed_over_sound

    def _project(self, places: slice) -> None:
        """One over-relaxed Griffin-Lim iteration over the active frames at these places."""
        spectrum, estimate = self._spectrum[places], self._estimate[places]
        time = self._time[places]
        hops = slice(places.start, places.stop + self.n_fft // self.hop_length - 1)
        np.add.reduce(self._overlapping[hops], axis=1, out=self._sum[hops])
        np.multiply(self._sum_frames[places], self._iteration_windows[places], out=time)
        _to_spectrum(time, spectrum)
        held = estimate[:, : self.n_guided] * self._guide.held[places]
        estimate *= np.float32(-RELAXATION / (1 + RELAXATION))
        estimate += spectrum
        estimate[:, : self.n_guided] += held
        _set_magnitude(estimate, self._target[places], self._gain[places])
        _to_time(estimate, time)
        np.multiply(time, self._synthesis, out=self._active[places])


# numpy transforms single precision in single precision, but its type stubs only have double.
def _to_spectrum(time: Samples, out: NDArray[np.complex64]) -> None:
    np.fft.rfft(time, out=out)  # type: ignore[call-overload,arg-type,unused-ignore]


def _to_time(spectrum: NDArray[np.complex64], out: Samples) -> None:
    np.fft.irfft(spectrum, out.shape[-1], out=out)  # type: ignore[arg-type,unused-ignore]


def _set_magnitude(
    spectrum: NDArray[np.complex64], magnitude: Magnitudes, scratch: NDArray[np.float32]
) -> None:
    """Scale every bin to a magnitude, in place; its phase stays."""
    np.abs(spectrum, out=scratch)
    scratch += _TINY
    np.divide(magnitude, scratch, out=scratch)
    spectrum *= scratch
