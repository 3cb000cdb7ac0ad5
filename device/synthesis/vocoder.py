"""The vocoder: frames in, samples out; never reset, because a reset clicks."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from device.audio.resampler import Resampler
from device.audio.transposer import Transposer
from device.model.contract import ModelCard
from device.synthesis.implementation import make_ahead, make_griffin_lim
from device.synthesis.presets import PRESETS
from device.synthesis.smoother import FrameSmoother
from device.synthesis.tape import Tape
from device.synthesis.transport import speed_of
from device.synthesis.variation import TRANSPOSITIONS

Frames = NDArray[np.float32]
Samples = NDArray[np.float32]

# Look-ahead and iterations; the window comes from the model.
INVERSION_PRESET = PRESETS["played"]


class Vocoder:
    """Inversion, tape, the transposition of a journey, and the resampler to the speaker's rate.

    It fits every model with a spectrogram of the same shape: then one voice can take it over from
    another in the middle of the music, and the change is a smoothed one of frames. The
    inversion owns the open frames; `drop_last` returns a copy of them to draw in.

    Parameters
    ----------
    tape : Tape
        At the model's rate.
    sample_rate : int
        Of the output; that of the first model that plays.
    glide_frames : int
        Frames that lead from one score into the next.
    journey : bool
        Whether keys may change.

    Attributes
    ----------
    process : callable
        Turns frames, (n_frames, frame_size), into samples: n_frames * hop_length, before
        transposition and resampler.
    ahead : SoundAhead or None
        Computes the samples of expected frames beforehand, up to transposition and resampler.
    """

    def __init__(
        self,
        card: ModelCard,
        tape: Tape,
        sample_rate: int,
        *,
        glide_frames: int,
        journey: bool = False,
    ) -> None:
        self.shape = shape_of(card)
        self.sample_rate = sample_rate
        self.inversion = make_griffin_lim(
            n_fft=card.n_fft,
            hop_length=card.hop_length,
            window=card.window,
            look_ahead=INVERSION_PRESET.look_ahead,
            n_iterations=INVERSION_PRESET.n_iterations,
            n_guided=card.n_guided,
        )
        self.smoother = FrameSmoother(card.frame_size, glide_frames)
        self.tape = tape
        self._model_rate = card.sample_rate
        self._transposer: Transposer | None = None
        if journey:
            self._transposer = Transposer(speed_of(n) for n in (0, *TRANSPOSITIONS))
        self._resampler: Resampler | None = None
        if sample_rate != card.sample_rate:
            self._resampler = Resampler(card.sample_rate, sample_rate)
        self.ahead = make_ahead(self.inversion, tape)
        self.process = self._connected()

    @property
    def has_later_stages(self) -> bool:
        """Whether samples are transposed or resampled."""
        return self._transposer is not None or self._resampler is not None

    def _connected(self) -> Callable[[Frames], Samples]:
        """All stages, in as few calls as possible."""
        to_samples = self._to_samples if self.ahead is None else self.ahead.process
        later = [stage.process for stage in (self._transposer, self._resampler) if stage]
        if not later:
            return to_samples

        def to_processed(frames: Frames) -> Samples:
            samples = to_samples(frames)
            for process in later:
                samples = process(samples)
            return samples

        return to_processed

    def _to_samples(self, frames: Frames) -> Samples:
        return self.tape.process(self.inversion.process(frames))

    def begin(self, semitones: int) -> None:
        """Begin in a key; without an effect once it has played."""
        if self._transposer is not None:
            self._transposer.begin(speed_of(semitones))

    def turn(self, place: int, semitones: int) -> None:
        """Play in another key from the moment on at which a frame is heard.

        Parameters
        ----------
        place : int
            Of the frame: 0 is the next one to be processed, -1 the last open one.
        semitones : int
            Above the home key.
        """
        if self._transposer is not None:
            n_samples = place * self.inversion.hop_length + self.inversion.delay_samples
            n_samples += self._tape_samples
            self._transposer.turn(n_samples, speed_of(semitones))

    @property
    def delay_seconds(self) -> float:
        """From the first sample of a frame until the sound at the frame's position.

        With the keys in which the samples until then will be played.
        """
        if self._transposer is None:
            return self._seconds(self.inversion.delay_samples)
        n_samples = self._transposer.outputs_until(self.inversion.delay_samples)
        waiting_seconds = 0.0 if self._resampler is None else self._resampler.waiting_seconds
        return n_samples / self._model_rate + waiting_seconds

    @property
    def tape_seconds(self) -> float:
        """How much later the sound comes because of the tape; `delay_seconds` is without."""
        if self._transposer is None:
            return self.tape.delay_seconds
        n_before = self.inversion.delay_samples
        n_samples = self._transposer.outputs_until(n_before + self._tape_samples)
        return (n_samples - self._transposer.outputs_until(n_before)) / self._model_rate

    @property
    def _tape_samples(self) -> int:
        return round(self.tape.delay_seconds * self._model_rate)

    @property
    def latency_seconds(self) -> float:
        """From a flip until nothing of the old score is heard."""
        glide_samples = self.smoother.n_smoothed * self.inversion.hop_length
        return self._seconds(self.inversion.latency_samples + glide_samples)

    @property
    def halfway_seconds(self) -> float:
        """From a flip until the new score is the larger part of the sound."""
        return self._seconds(self.inversion.samples_until(0.5, self.smoother.n_smoothed))

    def drop_last(self, n_frames: int) -> NDArray[np.float32]:
        """Set the smoother back before the last open frames, which are to be drawn again.

        Parameters
        ----------
        n_frames : int
            At most as many as are open.

        Returns
        -------
        (look_ahead, frame_size), float32: a copy of the open frames, for `inversion.revise`; the
        last `n_frames` of them are to be overwritten.
        """
        targets = self.inversion.targets
        self.smoother.resume_from(targets[len(targets) - 1 - n_frames])
        return targets[1:].copy()

    @property
    def longest_stretch(self) -> float:
        """How much longer than in the home key a sound may take."""
        return 1.0 if self._transposer is None else 1 / speed_of(min(TRANSPOSITIONS))

    def _seconds(self, inversion_samples: int) -> float:
        """How long so much of the inversion's output takes, through all that follows it."""
        if self._transposer is not None:
            inversion_samples += self._transposer.delay_samples
        ratio = 1.0 if self._transposer is None else self._transposer.ratio
        return inversion_samples / self._model_rate / ratio + self._resampler_seconds

    @property
    def _resampler_seconds(self) -> float:
        return 0.0 if self._resampler is None else self._resampler.delay_seconds


def shape_of(card: ModelCard) -> tuple[int, int, int, str, int]:
    """What two models must share so that one vocoder fits both."""
    return card.sample_rate, card.n_fft, card.hop_length, card.window, card.n_guided
