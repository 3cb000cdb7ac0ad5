"""The voice: switch states in, a block of samples out. No clock, no device."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.closeable import Closeable
from device.errors import Interrupted, ModelFailed
from device.model.contract import ModelCard
from device.model.network import Network
from device.switches.bits import Bits, fit
from device.synthesis.implementation import make_tape
from device.synthesis.performance import Performance
from device.synthesis.spectrogram import Spectrogram
from device.synthesis.transport import Transport
from device.synthesis.variation import SongForm
from device.synthesis.vocoder import Vocoder, shape_of

# Of the time until the next block, to compute the sound of those after it: the helper needs the
# rest, and so does a wake-up that comes late.
_AHEAD_SHARE = 0.25

Samples = NDArray[np.float32]
Frames = NDArray[np.float32]


@dataclass(frozen=True)
class StageSeconds:
    """Processor time the voice has spent in the audio loop, by stage of the signal path, in s."""

    compose: float
    render: float
    inversion: float


class HasVocoder(Protocol):
    """What a voice may share its vocoder with; a voice is one."""

    @property
    def vocoder(self) -> Vocoder:
        """The vocoder, with the state that the other voice left."""
        ...


class Voice(Closeable):
    """One model that plays: its spectrogram, and the vocoder that turns it into samples.

    Frame n of every voice with the same tempo and hop is at the same beat, so a voice can start
    anywhere. In a journey the frames of a voice are counted from where it started.

    Parameters
    ----------
    ahead : bool
        Compose ahead on a helper thread; for live playing.
    sample_rate : int or None
        Of the samples; None for the model's own.
    after : HasVocoder or None
        The current voice, which this one is to follow. Where their spectrograms have the same
        shape they share the vocoder, whose state then goes on.
    """

    def __init__(
        self,
        network: Network,
        performance: Performance,
        *,
        ahead: bool = False,
        sample_rate: int | None = None,
        after: HasVocoder | None = None,
    ) -> None:
        self.network = network
        self.card: ModelCard = network.card
        self.performance = performance
        self.block_frames = performance.block_frames
        self.vocoder = _vocoder(network.card, performance, sample_rate, after)
        self._has_own_vocoder = after is None or self.vocoder is not after.vocoder
        self._spectrogram = Spectrogram(
            network,
            self.vocoder.smoother,
            n_open=self.vocoder.inversion.look_ahead,
            form=SongForm(
                network.card.n_variation,
                seed=performance.seed,
                frozen=performance.still,
                journey=performance.journey,
            ),
            tempo_bpm=performance.tempo_bpm,
            quantize=performance.quantize,
            ahead=ahead,
        )
        self._inversion_seconds = 0.0
        self._frames = np.zeros((performance.block_frames, network.card.frame_size), np.float32)
        self._unused = np.zeros(0, np.float32)
        self.seek(performance.start_beat)
        # The first block has no time for what all states of its passage share; it reports failures.
        with suppress(ModelFailed, Interrupted):
            self._spectrogram.prepare(performance.start_beat)
        if after is None:
            self.vocoder.tape.seek(self.n_frames * network.card.hop_length)

    def close(self) -> None:
        """End the helper threads; idempotent."""
        self._spectrogram.close()

    @property
    def sounding(self) -> Bits | None:
        """The bits that are heard; None before the first block."""
        return self._spectrogram.sounding

    @property
    def failure(self) -> ModelFailed | None:
        """Why the voice plays only silence from now on; None while it does not."""
        return self._spectrogram.failure

    @property
    def on_change(self) -> Callable[[int, Bits], None] | None:
        """Called when other bits are applied, see `Spectrogram`."""
        return self._spectrogram.on_change

    @on_change.setter
    def on_change(self, call: Callable[[int, Bits], None] | None) -> None:
        self._spectrogram.on_change = call

    @property
    def n_frames(self) -> int:
        """Index of the next frame."""
        return self._spectrogram.n_frames

    @property
    def transport(self) -> Transport:
        """The positions of the frames."""
        return self._spectrogram.transport

    @property
    def block_seconds(self) -> float:
        """How long a block lasts, in the key that plays."""
        return self.block_frames * self.transport.hop_seconds

    @property
    def block_samples(self) -> int:
        """Length of a block, in samples at the model's rate; in the lowest key, if keys change."""
        n_samples = self.block_frames * self.card.hop_length
        stretch = self.vocoder.longest_stretch
        return n_samples if stretch == 1 else math.ceil(n_samples * stretch) + 1

    @property
    def n_misses(self) -> int:
        """Scores that had to be composed while a block waited."""
        return self._spectrogram.scores.n_misses

    @property
    def held_frames(self) -> int:
        """Hops for which a frame that the network draws is held."""
        return self._spectrogram.held_frames

    def set_quality(self, n_iterations: int, held_frames: int) -> None:
        """Set the iterations of the inversion, and for how many hops a frame is held: 1 or 2."""
        self.vocoder.inversion.n_iterations = n_iterations
        self._spectrogram.held_frames = held_frames

    @property
    def compose_seconds(self) -> float:
        """Processor time of composing, on the helper thread or not, in s."""
        return self.stage_seconds.compose + self._spectrogram.helper_seconds.compose

    @property
    def render_seconds(self) -> float:
        """Processor time of drawing frames, on the helper thread or not, in s."""
        return self.stage_seconds.render + self._spectrogram.helper_seconds.render

    @property
    def stage_seconds(self) -> StageSeconds:
        """Processor time in the thread that calls `block`."""
        drawing = self._spectrogram.drawing_seconds
        return StageSeconds(drawing.compose, drawing.render, self._inversion_seconds)

    @property
    def beat(self) -> float:
        """Position of the next frame in beats since the start."""
        return self._spectrogram.beat

    @property
    def heard_beat(self) -> float:
        """Position of the next sample that `block` returns."""
        unused_seconds = len(self._unused) / self.vocoder.sample_rate
        delay_seconds = self.vocoder.delay_seconds + unused_seconds
        return self.transport.beat_earlier(self.n_frames, delay_seconds)

    def set_tempo(self, tempo_bpm: float | None) -> None:
        """Go on at another tempo from the next frame on; None for the model's own."""
        self._spectrogram.set_tempo(tempo_bpm or self.card.tempo_bpm)

    def set_gain(self, gain_db: float) -> None:
        """Change the gain before the limiter within 20 ms."""
        self.vocoder.tape.set_gain(10 ** (gain_db / 20))

    def seek(self, beat: float) -> None:
        """Go on with the first frame that is not before `beat`."""
        self._unused = self._unused[:0]
        self._spectrogram.seek(beat)
        if self._has_own_vocoder:
            self.vocoder.begin(self._spectrogram.key)

    def seek_before(self, beat: float) -> None:
        """Go on with a frame that is not after `beat`, and less than two before it."""
        if self.performance.journey:
            # A frame sooner: the delay until it is heard depends on its key, by less than that.
            hop_seconds = self.card.hop_length / self.card.sample_rate
            beat -= hop_seconds * self.transport.beats_per_second
        else:
            beat = self.transport.beat_at(self.transport.frame_before(beat))
        self.seek(max(beat, 0.0))

    def replace_open_frames(self, other: "Voice") -> None:
        """Go on in the place of another voice of this shape, its open frames included."""
        self._unused = self._unused[:0]
        first = max(other.n_frames - self.vocoder.inversion.look_ahead, 0)
        self._spectrogram.replace_open_frames(other.transport.beat_at(first))

    def prefetch(self, switch_states: Bits, beat: float) -> None:
        """Compose and draw what playing from `beat` needs first; not for the audio loop."""
        self._spectrogram.prefetch(fit(switch_states, self.card.n_switches), beat)

    def block(self, switch_states: Bits, n_frames: int | None = None) -> Samples:
        """The next block of samples, float32; usually (block_samples,).

        Parameters
        ----------
        switch_states : Bits
            Fitted to the model: a missing switch is off, one too many is ignored.
        n_frames : int or None
            From 0 on; None for a whole block.
        """
        samples = self._sound(switch_states, self.block_frames if n_frames is None else n_frames)
        if len(self._unused):
            samples, self._unused = np.concatenate([self._unused, samples]), samples[:0]
        return samples

    def work_ahead(self, switch_states: Bits) -> Sequence[Samples]:
        """Make the next blocks, for the time between two; or none, as far as a block needs more.

        `block` returns the same ones as long as the states are these and nothing else changes. Play
        them without it, and tell `skip` how many.
        """
        ahead = self.vocoder.ahead
        upcoming = self._spectrogram.upcoming(fit(switch_states, self.card.n_switches))
        if ahead is None or len(upcoming) < 2 or self.block_frames > 1:
            return ()
        expected = ahead.expected
        if not expected or expected[0] is not upcoming[0]:
            most_seconds = _AHEAD_SHARE * self.transport.hop_seconds
            self._inversion_seconds += ahead.expect(upcoming, most_seconds)
        return () if len(self._unused) or self.vocoder.has_later_stages else ahead.ready

    def skip(self, n_blocks: int) -> None:
        """Go on after so many blocks of `work_ahead`, which were played."""
        self._spectrogram.skip(n_blocks)
        if self.vocoder.ahead is not None:
            self.vocoder.ahead.skip(n_blocks)

    def rest(self) -> Samples:
        """The rest of the last block after `take`, (n,), usually empty; draws no frame."""
        samples, self._unused = self._unused, self._unused[:0]
        return samples

    def take(self, switch_states: Bits, n_samples: int) -> Samples:
        """Exactly (n_samples,), float32; the rest of the last block comes first next time."""
        while len(self._unused) < n_samples:
            self._unused = np.concatenate(
                [self._unused, self._sound(switch_states, self.block_frames)]
            )
        samples, self._unused = self._unused[:n_samples], self._unused[n_samples:]
        return samples

    def _sound(self, switch_states: Bits, n_frames: int) -> Samples:
        bits = fit(switch_states, self.card.n_switches)
        frames = self._spectrogram.next_frame(bits) if n_frames == 1 else None
        if frames is None:
            frames = self._drawn(bits, n_frames)
        # By the clock on the wall, which is read sooner than the processor's.
        started = time.perf_counter()
        samples = self.vocoder.process(frames)
        self._inversion_seconds += time.perf_counter() - started
        return samples

    def _drawn(self, bits: Bits, n_frames: int) -> Frames:
        """The next frames, (n_frames, frame_size), after the open frames were replaced if need be.

        The buffer is overwritten by the next call.
        """
        n_stale = self._spectrogram.update_switches(bits)
        if n_stale:
            open_frames = self.vocoder.drop_last(n_stale)
            self._draw(open_frames[-n_stale:], -n_stale)
            started = time.perf_counter()
            self.vocoder.inversion.revise(open_frames)
            self._inversion_seconds += time.perf_counter() - started
        if n_frames > len(self._frames):
            self._frames = np.zeros((n_frames, self.card.frame_size), np.float32)
        frames = self._frames[:n_frames]
        self._draw(frames, 0)
        return frames

    def _draw(self, out: Frames, place: int) -> None:
        """Draw frames that have a place in the vocoder, see `Vocoder.turn`."""
        for start, semitones in self._spectrogram.draw(out):
            self.vocoder.turn(place + start, semitones)


def _vocoder(
    card: ModelCard, performance: Performance, sample_rate: int | None, after: HasVocoder | None
) -> Vocoder:
    if after is not None and after.vocoder.shape == shape_of(card):
        return after.vocoder
    tape = make_tape(
        card.sample_rate,
        wear=performance.tape,
        seed=performance.seed,
        gain=10 ** (performance.gain_db / 20),
        volume_limit=10 ** (performance.volume_limit_db / 20),
    )
    return Vocoder(
        card,
        tape,
        sample_rate or card.sample_rate,
        glide_frames=performance.glide_frames,
        journey=performance.journey and not performance.still,
    )
