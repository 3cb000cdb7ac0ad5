"""The voice: panel state in, a block of sound out. No clock, no device, no thread of its own."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.contract import ModelCard
from device.griffin_lim import GriffinLim
from device.network import Network, Score
from device.scores import Scores
from device.state import Bits
from device.tape import Tape
from device.transport import Quantize, Transport, next_boundary
from device.wander import Wander

Samples = NDArray[np.float32]

GLIDE_FRAMES = 3
# Frames drawn in one call. Most of a call is fetching the weights, which does not grow with the
# number of frames; what a flip makes obsolete is drawn again, so nobody waits for these.
DRAWN_AHEAD_FRAMES = 32


@dataclass(frozen=True)
class Performance:
    """How to play; together with model, switches and seed it decides every sample.

    Attributes
    ----------
    seed : int
        Of the variation and the tape.
    tempo_bpm : float or None
        None plays at the model's own tempo.
    quantize : Quantize
    still : bool
        Hold the variation.
    patina : float
        0 clean to 1 worn.
    gain_db : float
        Before the limiter.
    volume_limit_db : float
        Lowers the limiter's ceiling: 0 or less.
    block_frames : int
        Hops handed over in one go; switches are read once per block. It changes latency and load,
        and not the music.
    """

    seed: int = 1
    tempo_bpm: float | None = None
    quantize: Quantize = Quantize.OFF
    still: bool = False
    patina: float = 0.25
    gain_db: float = 0.0
    volume_limit_db: float = 0.0
    block_frames: int = 5


@dataclass
class StageSeconds:
    """Processor time the voice has spent, by stage of the signal path."""

    compose: float = 0.0
    render: float = 0.0
    inversion: float = 0.0


class Glide:
    """Leads from the last frame of one score into the next score over `GLIDE_FRAMES` frames.

    An abrupt change of target would not click, but it can be heard as an edge; this leaves none.
    """

    def __init__(self, n_bins: int) -> None:
        self._from = np.zeros(n_bins, np.float32)
        self._latest = np.zeros(n_bins, np.float32)
        self._left = 0

    def start(self) -> None:
        """The frames from now on belong to a new score."""
        self._from[:] = self._latest
        self._left = GLIDE_FRAMES

    def apply(self, magnitude: NDArray[np.float32]) -> None:
        """Blend (n_frames, n_bins) in place."""
        n_gliding = min(self._left, len(magnitude))
        for frame, left in zip(magnitude[:n_gliding], range(self._left, 0, -1), strict=False):
            # Not +=, which would bind the loop's variable anew.
            np.add(frame, np.float32(left / (GLIDE_FRAMES + 1)) * (self._from - frame), out=frame)
        self._left -= n_gliding
        self._latest[:] = magnitude[-1]


class Sketch:
    """Frames drawn ahead of need from one score; any other score or frame makes it anew."""

    def __init__(self, network: Network, transport: Transport) -> None:
        self._network = network
        self._transport = transport
        self._score: Score | None = None
        self._first = 0
        self._frames = np.zeros((0, network.card.n_bins), np.float32)

    def draw(self, score: Score, first_frame: int, out: NDArray[np.float32]) -> None:
        """Fill (n_frames, n_bins) with the magnitudes from `first_frame` on."""
        done = 0
        while done < len(out):
            at = first_frame + done - self._first
            if score is not self._score or not 0 <= at < len(self._frames):
                self._draw_ahead(score, first_frame + done, len(out) - done)
                at = 0
            n = min(len(out) - done, len(self._frames) - at)
            out[done : done + n] = self._frames[at : at + n]
            done += n

    def _draw_ahead(self, score: Score, first_frame: int, n_needed: int) -> None:
        n = max(n_needed, DRAWN_AHEAD_FRAMES)
        position = self._transport.in_loop(self._transport.beats(first_frame, n))
        self._frames = self._network.magnitude(score, position)
        self._score, self._first = score, first_frame


class Voice:
    """Draws and inverts blocks of frames, one after another.

    Parameters
    ----------
    ahead : bool
        Compose ahead on a helper thread; for live playing.
    """

    def __init__(self, network: Network, performance: Performance, *, ahead: bool = False) -> None:
        card = network.card
        self.card: ModelCard = card
        self.transport = Transport.of(card, performance.tempo_bpm)
        self.inversion = GriffinLim(n_fft=card.n_fft, hop_length=card.hop_length)
        self.spent = StageSeconds()
        self.block_samples = performance.block_frames * card.hop_length
        self.sounding: Bits | None = None
        self.n_frames = 0
        self._grid = performance.quantize.beats
        wander = Wander(card.n_variation, seed=performance.seed, still=performance.still)
        self._scores = Scores(network, wander, ahead=ahead)
        self._still = performance.still
        gain = 10 ** (performance.gain_db / 20)
        self._tape = Tape(
            card.sample_rate,
            patina=performance.patina,
            seed=performance.seed,
            gain=gain,
            volume_limit=10 ** (performance.volume_limit_db / 20),
        )
        self._glide = Glide(card.n_bins)
        self._sketch = Sketch(network, self.transport)
        self._score: Score | None = None
        self._pending: tuple[Bits, float] | None = None
        self._magnitude = np.zeros((performance.block_frames, card.n_bins), np.float32)

    def close(self) -> None:
        """End the helper thread; idempotent."""
        self._scores.close()

    @property
    def n_misses(self) -> int:
        """Scores that had to be composed while a block waited."""
        return self._scores.n_misses

    @property
    def compose_seconds(self) -> float:
        """Processor time of composing, on the helper thread or not."""
        return self.spent.compose + self._scores.helper_seconds

    @property
    def beat(self) -> float:
        """Position of the next frame in beats since the start."""
        return float(self.transport.beats(self.n_frames, 1)[0])

    def block(self, bits: Bits) -> Samples:
        """The next block of sound for a panel state, (block_samples,)."""
        self._schedule(bits, self.beat)
        started = time.thread_time()
        composed = self.spent.compose
        self._draw()
        self.n_frames += len(self._magnitude)
        drawn = time.thread_time()
        samples = self.inversion.process(self._magnitude)
        inverted = time.thread_time()
        self.spent.render += drawn - started - (self.spent.compose - composed)
        self.spent.inversion += inverted - drawn
        return self._tape.process(samples)

    def _schedule(self, bits: Bits, beat: float) -> None:
        """Decide when a panel state that differs from what sounds will sound."""
        if self.sounding is None:
            self.sounding = bits
        waiting = self._pending[0] if self._pending else self.sounding
        if bits != waiting:
            self._pending = (bits, next_boundary(beat, self._grid))
        if bits == self.sounding:
            self._pending = None

    def _draw(self) -> None:
        """Fill the block's magnitudes, in as many pieces as scores take part in it."""
        beats = self.transport.beats(self.n_frames, len(self._magnitude))
        start = 0
        while start < len(beats):
            page = self._page(float(beats[start]))
            stop = start + 1
            while stop < len(beats) and self._page(float(beats[stop])) == page:
                stop += 1
            self._draw_piece(page, self.n_frames + start, self._magnitude[start:stop])
            start = stop

    def _page(self, beat: float) -> tuple[Bits, int]:
        """The panel state and turn of the loop whose score a frame at `beat` belongs to."""
        if self._pending and beat >= self._pending[1] - 1e-9:
            self.sounding = self._pending[0]
            self._pending = None
        assert self.sounding is not None
        return self.sounding, 0 if self._still else int(beat // self.card.beats_per_loop)

    def _draw_piece(
        self, page: tuple[Bits, int], first_frame: int, out: NDArray[np.float32]
    ) -> None:
        started = time.thread_time()
        score = self._scores.get(*page)
        self.spent.compose += time.thread_time() - started
        if self._score is not None and score is not self._score:
            self._glide.start()
        self._score = score
        self._sketch.draw(score, first_frame, out)
        self._glide.apply(out)
