"""The vocoder: magnitudes in, sound out; never reset, because a reset is what clicks."""

import numpy as np
from numpy.typing import NDArray

from device.audio.resampler import Resampler
from device.model.contract import ModelCard
from device.synthesis.griffin_lim import PRESETS, GriffinLim
from device.synthesis.spectrogram import MagnitudeSmoother
from device.synthesis.tape import Tape

Samples = NDArray[np.float32]

# The window is the model's, the care is ours.
INVERSION_PRESET = PRESETS["best"]


class Vocoder:
    """Inversion, tape, and the way to the speaker's rate.

    It fits every model with a spectrogram of the same shape: then one voice can take it over from
    another in the middle of the music, and all there is to hear is a glide of magnitudes.

    Parameters
    ----------
    tape : Tape
        At the model's rate.
    sample_rate : int
        Of what leaves; the model's own unless another one plays already.
    """

    def __init__(self, card: ModelCard, tape: Tape, sample_rate: int) -> None:
        self.shape = shape_of(card)
        self.sample_rate = sample_rate
        self.inversion = GriffinLim(
            n_fft=card.n_fft,
            hop_length=card.hop_length,
            window=card.window,
            look_ahead=INVERSION_PRESET.look_ahead,
            n_passes=INVERSION_PRESET.n_passes,
        )
        self.glide = MagnitudeSmoother(card.n_bins, n_open=self.inversion.look_ahead)
        self.tape = tape
        self._model_rate = card.sample_rate
        self._resampler = Resampler(card.sample_rate, sample_rate)

    @property
    def delay_seconds(self) -> float:
        """From the first sample that a frame gives until what is at the frame's position sounds."""
        return self._seconds(self.inversion.delay_samples)

    @property
    def latency_seconds(self) -> float:
        """From a flip until nothing of what was before is heard."""
        return self._seconds(self.inversion.latency_samples)

    @property
    def halfway_seconds(self) -> float:
        """From a flip until the new is the larger part of what is heard."""
        return self._seconds(self.inversion.halfway_samples)

    def process(self, magnitude: NDArray[np.float32]) -> Samples:
        """Give (n_frames, n_bins) a sound, about n_frames * hop_length samples of the model."""
        return self._resampler.process(self.tape.process(self.inversion.process(magnitude)))

    def _seconds(self, inversion_samples: int) -> float:
        return inversion_samples / self._model_rate + self._resampler.delay_seconds


def shape_of(card: ModelCard) -> tuple[int, int, int, str]:
    """What two models must share so that one vocoder fits both."""
    return card.sample_rate, card.n_fft, card.hop_length, card.window
