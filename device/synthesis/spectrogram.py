"""The spectrogram a model draws for a panel: panel state in, magnitudes out, frame after frame."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.closeable import Closeable
from device.errors import ModelFailed
from device.model.network import Network, Score
from device.switches.bits import Bits
from device.synthesis.score_cache import ScoreCache, ScoreKey
from device.synthesis.transport import Quantize, Transport, next_boundary
from device.synthesis.variation import VariationWalk

Magnitudes = NDArray[np.float32]

GLIDE_FRAMES = 3
# Frames drawn in one call. Much of a call is fetching the weights, which does not grow with the
# number of frames; what a flip makes obsolete is drawn again.
DRAWN_AHEAD_FRAMES = 48
# In the first call for a new score: somebody has flipped a switch and waits.
FIRST_DRAWN_FRAMES = 16


class MagnitudeSmoother:
    """Leads from the last frame of one score into the next score over `GLIDE_FRAMES` frames.

    An abrupt change of target would not click, but it can be heard as an edge; this leaves none.
    It remembers the frames that are still open, so that some can be taken back.

    Parameters
    ----------
    n_open : int
        Most frames that can be taken back.

    Attributes
    ----------
    open_frames : (n_open, n_bins)
        The last frames that `apply` has seen, oldest first; silence before the first.
    """

    def __init__(self, n_bins: int, n_open: int = 0) -> None:
        self._recent = np.zeros((1 + n_open, n_bins), np.float32)
        self.open_frames = self._recent[1:]
        self._from = np.zeros(n_bins, np.float32)
        self._left = 0
        self._begun = False

    def start(self) -> None:
        """The frames from now on belong to a new score; the very first one is not glided to."""
        if self._begun:
            self._from[:] = self._recent[-1]
            self._left = GLIDE_FRAMES

    def apply(self, magnitude: Magnitudes) -> None:
        """Blend (n_frames, n_bins), n_frames from 0 on, in place."""
        n_gliding = min(self._left, len(magnitude))
        for frame, left in zip(magnitude[:n_gliding], range(self._left, 0, -1), strict=False):
            # Not +=, which would bind the loop's variable anew.
            np.add(frame, np.float32(left / (GLIDE_FRAMES + 1)) * (self._from - frame), out=frame)
        self._left -= n_gliding
        self._remember(magnitude[-len(self._recent) :])
        self._begun = self._begun or len(magnitude) > 0

    def take_back(self, n_frames: int) -> None:
        """Forget the last frames; others follow, of a new score."""
        n_kept = len(self._recent) - n_frames
        self._recent[n_frames:] = self._recent[:n_kept]

    def _remember(self, frames: Magnitudes) -> None:
        n_kept = len(self._recent) - len(frames)
        self._recent[:n_kept] = self._recent[len(frames) :]
        self._recent[n_kept:] = frames


class FrameCache:
    """Frames drawn ahead of need from one score; any other score or frame makes it anew."""

    def __init__(self, network: Network, transport: Transport) -> None:
        self._network = network
        self._transport = transport
        self._score: Score | None = None
        self._first = 0
        self._frames = np.zeros((0, network.card.n_bins), np.float32)

    def draw(self, score: Score, first_frame: int, out: Magnitudes) -> None:
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
        n_usual = DRAWN_AHEAD_FRAMES if score is self._score else FIRST_DRAWN_FRAMES
        n = max(n_needed, n_usual)
        position = self._transport.in_loop(self._transport.beats(first_frame, n))
        self._frames = self._network.magnitude(score, position)
        self._score, self._first = score, first_frame


@dataclass
class DrawingSeconds:
    """Processor time spent in the caller's thread, by half of the network."""

    compose: float = 0.0
    render: float = 0.0


class Spectrogram(Closeable):
    """Draws the frames of one model, as the panel stands and from any beat on.

    Parameters
    ----------
    glide : Glide
        Carries the last frame drawn; a successor with bins like these takes it over.
    seed, still
        Of the variation.
    tempo_bpm : float or None
        None for the model's own.
    ahead : bool
        Compose ahead on a helper thread.

    Attributes
    ----------
    sounding : Bits or None
        The panel state drawn last; differs from the panel while a flip waits for its line.
    n_frames : int
        Index of the next frame.
    failure : ModelFailed or None
        Why only silence is drawn any more.
    """

    def __init__(
        self,
        network: Network,
        glide: MagnitudeSmoother,
        *,
        seed: int,
        still: bool,
        tempo_bpm: float | None,
        quantize: Quantize,
        ahead: bool,
    ) -> None:
        self.network = network
        self.card = network.card
        self.transport = Transport.of(network.card, tempo_bpm)
        self.spent = DrawingSeconds()
        self.sounding: Bits | None = None
        self.n_frames = 0
        self.failure: ModelFailed | None = None
        self._glide = glide
        self._first_frame = 0
        self._n_interrupted = 0
        self._grid = quantize.beats
        self._still = still
        wander = VariationWalk(network.card.n_variation, seed=seed, still=still)
        self.scores = ScoreCache(network, wander, ahead=ahead)
        self._sketch = FrameCache(network, self.transport)
        self._score: Score | None = None
        self._pending: tuple[Bits, float] | None = None

    def close(self) -> None:
        """End the helper thread; idempotent."""
        self.scores.close()

    @property
    def beat(self) -> float:
        """Position of the next frame in beats since the start."""
        return self.transport.beat_at(self.n_frames)

    def enter(self, frame: int) -> None:
        """Draw from another frame on, with the panel as it stands then."""
        self.n_frames = self._first_frame = frame
        self._n_interrupted = 0
        self.sounding = self._pending = self._score = None

    def interrupt(self, frame: int) -> None:
        """Draw from another frame on in place of the open frames; `update_switches` gives them."""
        self.enter(frame)
        self._n_interrupted = len(self._glide.open_frames)
        self.n_frames += self._n_interrupted

    def warm(self, panel: Bits, beat: float) -> None:
        """Do now, and not in the audio loop, what entering at `beat` will take."""
        score = self.scores.get(panel, self._turn(beat))
        scratch = np.zeros((1, self.card.n_bins), np.float32)
        self._sketch.draw(score, self.transport.frame_at(beat), scratch)

    def update_switches(self, panel: Bits) -> Magnitudes | None:
        """Take note of how the panel stands, and draw anew what a flip still reaches.

        Returns
        -------
        The open frames, (n_open, n_bins), if any of them has changed; good until the next `draw`.
        """
        self._schedule(panel)
        n_stale, self._n_interrupted = self._n_interrupted or self._n_stale, 0
        if n_stale == 0:
            return None
        self._glide.take_back(n_stale)
        self.n_frames -= n_stale
        self.draw(np.zeros((n_stale, self.card.n_bins), np.float32))
        return self._glide.open_frames

    def draw(self, out: Magnitudes) -> None:
        """Fill (n_frames, n_bins), in as many pieces as scores take part in it."""
        beats = self.transport.beats(self.n_frames, len(out))
        start = 0
        while start < len(beats):
            page = self._page(float(beats[start]))
            stop = start + 1
            while stop < len(beats) and self._page(float(beats[stop])) == page:
                stop += 1
            self._draw_piece(page, self.n_frames + start, out[start:stop])
            start = stop
        self.n_frames += len(out)

    @property
    def _first_open_frame(self) -> int:
        """The first frame of this spectrogram that has not left the inversion."""
        return max(self.n_frames - len(self._glide.open_frames), self._first_frame)

    @property
    def _n_stale(self) -> int:
        """How many of the last frames were drawn before the flip they should show."""
        if self._pending is None:
            return 0
        return max(self.n_frames - self.transport.frame_at(self._pending[1]), 0)

    def _schedule(self, bits: Bits) -> None:
        """Decide when a panel state that differs from what sounds will sound."""
        if self.sounding is None:
            self.sounding = bits
        waiting = self._pending[0] if self._pending else self.sounding
        if bits != waiting:
            beat = self.transport.beat_at(self._first_open_frame)
            self._pending = (bits, next_boundary(beat, self._grid))
        if bits == self.sounding:
            self._pending = None

    def _page(self, beat: float) -> ScoreKey:
        """The panel state and turn of the loop whose score a frame at `beat` belongs to."""
        if self._pending and beat >= self._pending[1] - 1e-9:
            self.sounding = self._pending[0]
            self._pending = None
        assert self.sounding is not None
        return self.sounding, self._turn(beat)

    def _turn(self, beat: float) -> int:
        return 0 if self._still else int(beat // self.card.beats_per_loop)

    def _draw_piece(self, page: ScoreKey, first_frame: int, out: Magnitudes) -> None:
        try:
            self._draw_score(page, first_frame, out)
        except ModelFailed as failure:
            # Silence is the least bad thing to hand to the speaker; who plays decides what next.
            self.failure = failure
            out[:] = 0
        self._glide.apply(out)

    def _draw_score(self, page: ScoreKey, first_frame: int, out: Magnitudes) -> None:
        started = time.thread_time()
        score = self.scores.get(*page)
        composed = time.thread_time()
        if score is not self._score:
            self._glide.start()
        self._score = score
        self._sketch.draw(score, first_frame, out)
        self.spent.compose += composed - started
        self.spent.render += time.thread_time() - composed
