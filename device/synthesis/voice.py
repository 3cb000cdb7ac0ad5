"""The voice: panel state in, a block of sound out. No clock, no device, no thread of its own."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.closeable import Closeable
from device.errors import ModelFailed
from device.model.contract import ModelCard
from device.model.network import Network
from device.switches.bits import Bits, fit
from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.performance import Performance
from device.synthesis.spectrogram import Spectrogram
from device.synthesis.tape import Tape
from device.synthesis.transport import Transport
from device.synthesis.vocoder import Vocoder, shape_of

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class StageSeconds:
    """Processor time the voice has spent in the audio loop, by stage of the signal path."""

    compose: float
    render: float
    inversion: float


class Voice(Closeable):
    """One model that plays: its spectrogram, and the vocoder that gives it a sound.

    Frame n is at the same beat whenever and by whomever it is played, so a voice can begin
    anywhere.

    Parameters
    ----------
    ahead : bool
        Compose ahead on a helper thread; for live playing.
    sample_rate : int or None
        Of the sound; None for the model's own.
    after : Voice or None
        The voice that plays now, and which this one is to follow. Where their spectrograms have
        the same shape they share the vocoder, whose state then goes on without a seam.
    """

    def __init__(
        self,
        network: Network,
        performance: Performance,
        *,
        ahead: bool = False,
        sample_rate: int | None = None,
        after: "Voice | None" = None,
    ) -> None:
        self.network = network
        self.card: ModelCard = network.card
        self.block_frames = performance.block_frames
        self.vocoder = _vocoder(network.card, performance, sample_rate, after)
        self.spectrogram = Spectrogram(
            network,
            self.vocoder.glide,
            seed=performance.seed,
            still=performance.still,
            tempo_bpm=performance.tempo_bpm,
            quantize=performance.quantize,
            ahead=ahead,
        )
        self._inversion_seconds = 0.0
        self._magnitude = np.zeros((performance.block_frames, network.card.n_bins), np.float32)
        self._unheard = np.zeros(0, np.float32)
        self.enter(performance.start_beat)
        if after is None:
            self.vocoder.tape.seek(self.n_frames * network.card.hop_length)

    def close(self) -> None:
        """End the helper thread; idempotent."""
        self.spectrogram.close()

    @property
    def sounding(self) -> Bits | None:
        """The panel state that is heard; None before the first block."""
        return self.spectrogram.sounding

    @property
    def failure(self) -> ModelFailed | None:
        """Why only silence comes any more."""
        return self.spectrogram.failure

    @property
    def n_frames(self) -> int:
        """Index of the next frame."""
        return self.spectrogram.n_frames

    @property
    def transport(self) -> Transport:
        """Frames to beats."""
        return self.spectrogram.transport

    @property
    def inversion(self) -> GriffinLim:
        """The vocoder's first half."""
        return self.vocoder.inversion

    @property
    def block_samples(self) -> int:
        """Length of a block, of the model's own samples."""
        return self.block_frames * self.card.hop_length

    @property
    def n_misses(self) -> int:
        """Scores that had to be composed while a block waited."""
        return self.spectrogram.scores.n_misses

    @property
    def compose_seconds(self) -> float:
        """Processor time of composing, on the helper thread or not."""
        return self.spent.compose + self.spectrogram.scores.helper_seconds

    @property
    def spent(self) -> StageSeconds:
        """Processor time spent in the thread that asks for blocks."""
        drawing = self.spectrogram.spent
        return StageSeconds(drawing.compose, drawing.render, self._inversion_seconds)

    @property
    def beat(self) -> float:
        """Position of the next frame in beats since the start."""
        return self.spectrogram.beat

    @property
    def heard_beat(self) -> float:
        """Position that the next sample `block` gives is at."""
        unheard_seconds = len(self._unheard) / self.vocoder.sample_rate
        delay_seconds = self.vocoder.delay_seconds + unheard_seconds
        return self.beat - delay_seconds * self.transport.beats_per_second

    def enter(self, beat: float) -> None:
        """Begin anew with the first frame that is not before `beat`."""
        self._unheard = self._unheard[:0]
        self.spectrogram.enter(self.transport.frame_at(beat))

    def interrupt(self, other: "Voice") -> None:
        """Go on in the place of another voice of this shape, what it has drawn ahead included."""
        self._unheard = self._unheard[:0]
        first = max(other.n_frames - self.inversion.look_ahead, 0)
        self.spectrogram.interrupt(self.transport.frame_at(other.transport.beat_at(first)))

    def warm(self, panel: Bits, beat: float) -> None:
        """Do now, and not in the audio loop, what entering at `beat` will take."""
        self.spectrogram.warm(fit(panel, self.card.n_switches), beat)

    def block(self, panel: Bits, n_frames: int | None = None) -> Samples:
        """The next block of sound for a panel state; usually (block_samples,).

        Parameters
        ----------
        panel : Bits
            Fitted to the model: what is missing is off, what is too much is ignored.
        n_frames : int or None
            Not as many as in a whole block: 0 or more.
        """
        samples = self._sound(panel, self.block_frames if n_frames is None else n_frames)
        if len(self._unheard):
            samples, self._unheard = np.concatenate([self._unheard, samples]), samples[:0]
        return samples

    def rest(self) -> Samples:
        """What is left of the last block, (n,), usually nothing: no frame is drawn for it."""
        samples, self._unheard = self._unheard, self._unheard[:0]
        return samples

    def take(self, panel: Bits, n_samples: int) -> Samples:
        """So many samples, (n_samples,); what is left of the last block comes first next time."""
        while len(self._unheard) < n_samples:
            self._unheard = np.concatenate([self._unheard, self._sound(panel, self.block_frames)])
        samples, self._unheard = self._unheard[:n_samples], self._unheard[n_samples:]
        return samples

    def _sound(self, panel: Bits, n_frames: int) -> Samples:
        revised = self.spectrogram.update_switches(fit(panel, self.card.n_switches))
        started = time.thread_time()
        if revised is not None:
            self.vocoder.inversion.revise(revised)
        revising_seconds = time.thread_time() - started
        if n_frames > len(self._magnitude):
            self._magnitude = np.zeros((n_frames, self.card.n_bins), np.float32)
        magnitude = self._magnitude[:n_frames]
        self.spectrogram.draw(magnitude)
        drawn = time.thread_time()
        samples = self.vocoder.process(magnitude)
        self._inversion_seconds += revising_seconds + time.thread_time() - drawn
        return samples


def _vocoder(
    card: ModelCard, performance: Performance, sample_rate: int | None, after: Voice | None
) -> Vocoder:
    if after is not None and after.vocoder.shape == shape_of(card):
        return after.vocoder
    tape = Tape(
        card.sample_rate,
        wear=performance.tape,
        seed=performance.seed,
        gain=10 ** (performance.gain_db / 20),
        volume_limit=10 ** (performance.volume_limit_db / 20),
    )
    return Vocoder(card, tape, sample_rate or card.sample_rate)
