"""The spectrogram of a model: switch states in, frames out, frame after frame."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from device.closeable import Closeable
from device.errors import ModelFailed
from device.model.network import Network, Score
from device.switches.bits import Bits
from device.synthesis.breaks import Breaks
from device.synthesis.frame_cache import FrameCache
from device.synthesis.score_cache import ScoreCache, ScoreKey
from device.synthesis.smoother import FrameSmoother
from device.synthesis.transport import Quantize, Transport, next_boundary, speed_of
from device.synthesis.variation import SongForm

Frames = NDArray[np.float32]

# From which frame of several on there is which key, in semitones above the home key.
Keys = list[tuple[int, int]]

# So long a flip waits for a score of the helper; then it is composed in the caller's thread.
MOST_WAIT_SECONDS = 0.25


@dataclass
class DrawingSeconds:
    """Processor time by half of the network, in s."""

    compose: float = 0.0
    render: float = 0.0


class Spectrogram(Closeable):
    """Draws the frames of one model, for the current bits and from any beat on.

    Parameters
    ----------
    smoother : FrameSmoother
        Holds the last frame drawn; the next voice with the same bins goes on with it.
    n_open : int
        How many of the last frames can be drawn again.
    form : SongForm
        The variation, and its keys.
    tempo_bpm : float or None
        None for the model's own.
    ahead : bool
        Compose and draw ahead on helper threads.

    Attributes
    ----------
    sounding : Bits or None
        Of the last frame drawn; they differ from the switches while a flip waits for its beat.
    n_frames : int
        Index of the next frame.
    failure : ModelFailed or None
        Why only silence is drawn from now on.
    on_change : callable or None
        Called with the index of the next frame and the bits, when others than before are applied:
        those of the switches, but for a flip that waits for its score.
    """

    def __init__(
        self,
        network: Network,
        smoother: FrameSmoother,
        *,
        n_open: int,
        form: SongForm,
        tempo_bpm: float | None,
        quantize: Quantize,
        ahead: bool,
    ) -> None:
        self.network = network
        self.card = network.card
        self.transport = Transport.of(network.card, tempo_bpm)
        self.drawing_seconds = DrawingSeconds()
        self.sounding: Bits | None = None
        self.n_frames = 0
        self.failure: ModelFailed | None = None
        self.on_change: Callable[[int, Bits], None] | None = None
        self._applied: Bits | None = None
        self._smoother = smoother
        self._n_open = n_open
        self._first_frame = 0
        self._n_replaced = 0
        self._grid = quantize.beats
        self._form = form
        self._home_hop_seconds = self.transport.hop_seconds
        self.scores = ScoreCache(network, self._form, ahead=ahead)
        self._breaks = Breaks(self._form, network.card)
        self._frame_cache = FrameCache(network, self.transport, ahead=ahead, breaks=self._breaks)
        # The passage whose break a flip has ended.
        self._flipped_in: int | None = None
        self._ahead = ahead
        # A frame, while a flip waits for its score.
        self._waiting_since: int | None = None
        self._score: Score | None = None
        self._score_key: ScoreKey | None = None
        self._first_row = 0
        self._rows: list[Frames] = []
        self._pending: tuple[Bits, float] | None = None

    def close(self) -> None:
        """End the helper threads; idempotent."""
        self.scores.close()
        self._frame_cache.close()

    @property
    def helper_seconds(self) -> DrawingSeconds:
        """Processor time spent in the helper threads."""
        return DrawingSeconds(self.scores.helper_seconds, self._frame_cache.helper_seconds)

    @property
    def held_frames(self) -> int:
        """Hops for which a frame that the network draws is held; from the next chunk on."""
        return self._frame_cache.held_frames

    @held_frames.setter
    def held_frames(self, n: int) -> None:
        self._frame_cache.held_frames = n

    @property
    def beat(self) -> float:
        """Position of the next frame in beats since the start."""
        return self.transport.beat_at(self.n_frames)

    @property
    def key(self) -> int:
        """Of the next frame, in semitones above the home key."""
        return self._form.transposition_of(self._passage(self.beat))

    def set_tempo(self, tempo_bpm: float) -> None:
        """Advance at another tempo from the next frame on; what was drawn ahead is drawn again."""
        if tempo_bpm != self.transport.tempo_bpm:
            self._set_transport(self.transport.with_tempo(tempo_bpm, self.n_frames))
            self._rows = []

    def seek(self, beat: float) -> None:
        """Go on with the first frame that is not before `beat`, and the bits to come."""
        frame = self._frame_from(beat)
        self.n_frames = self._first_frame = frame
        self._n_replaced = 0
        self._flipped_in = None
        self._rows = []
        self.sounding = self._pending = self._score = self._score_key = self._applied = None
        self._frame_cache.restart(frame)

    def replace_open_frames(self, beat: float) -> None:
        """Go on with the first frame that is not before `beat`; all open frames are stale."""
        self.seek(beat)
        self._n_replaced = self._n_open
        self.n_frames += self._n_replaced

    def prepare(self, beat: float) -> None:
        """Compute what the scores of all states at `beat` share; not for the audio loop."""
        self.network.prepare(self._form.at(self._passage(beat)))

    def prefetch(self, bits: Bits, beat: float) -> None:
        """Compose and draw what playing from `beat` needs first; not for the audio loop."""
        score = self.scores.get(bits, self._passage(beat))
        scratch = np.zeros((1, self.card.frame_size), np.float32)
        self._frame_cache.draw(score, self._frame_from(beat), scratch)

    def _frame_from(self, beat: float) -> int:
        """The first frame that is not before `beat`.

        Frames of a journey are counted from a beat on, because keys leave no common grid: then the
        first frame is at `beat`.
        """
        if self._form.journey:
            hop_seconds = self._hop_seconds(self._form.transposition_of(self._passage(beat)))
            start = replace(self.transport, hop_seconds=hop_seconds, before=None)
            frame = round(beat / start.beats_per_frame)
            start = replace(start, first_frame=frame, first_beat=beat)
            if start != self.transport:
                self._set_transport(start)
        return self.transport.frame_at(beat)

    def _hop_seconds(self, semitones: int) -> float:
        """Time between frames in a key."""
        return self._home_hop_seconds / speed_of(semitones)

    def _set_transport(self, transport: Transport) -> None:
        self.transport = self._frame_cache.transport = transport

    def update_switches(self, bits: Bits) -> int:
        """Set the bits for the frames to come, and go back to the first open frame they change.

        Returns
        -------
        How many of the last frames are stale; `draw` gives them anew.
        """
        self._schedule(bits)
        n_stale, self._n_replaced = self._n_replaced or self._n_stale, 0
        self.n_frames -= n_stale
        self._rows = []
        return n_stale

    def next_frame(self, bits: Bits) -> Frames | None:
        """The next frame, (1, frame_size), not to be written to; None where something changes.

        What `update_switches` and `draw` do for a frame like the one before it, at a small part of
        the cost. Where it is None, they are to be called.
        """
        i = self.n_frames - self._first_row
        if not 0 <= i < len(self._rows) or not self._is_steady(bits):
            return None
        self.n_frames += 1
        frame = self._rows[i]
        self._smoother.hold(frame)
        return frame

    def upcoming(self, bits: Bits) -> list[Frames]:
        """What `next_frame` will return, in this order, as long as nothing changes."""
        i = self.n_frames - self._first_row
        return self._rows[i:] if i >= 0 and self._is_steady(bits) else []

    def skip(self, n_frames: int) -> None:
        """Go on after so many of the upcoming frames."""
        if n_frames:
            self.n_frames += n_frames
            self._smoother.hold(self._rows[self.n_frames - self._first_row - 1])

    def _is_steady(self, bits: Bits) -> bool:
        """Whether these bits are those of the frames that are drawn already."""
        return bits == self.sounding and self._pending is None

    def draw(self, out: Frames) -> Keys:
        """Fill (n_frames, frame_size), one piece for each score in it; returns their keys."""
        beats = self.transport.beats(self.n_frames, len(out))
        start, keys = 0, []
        while start < len(beats):
            key = self._key(float(beats[start]))
            if self._form.journey:
                keys.append((start, self._enter_key(key[1], self.n_frames + start)))
                beats = self.transport.beats(self.n_frames, len(out))
            stop = start + 1
            while stop < len(beats) and self._key(float(beats[stop])) == key:
                stop += 1
            self._draw_piece(key, self.n_frames + start, out[start:stop])
            start = stop
        self.n_frames += len(out)
        self._keep_rows()
        return keys

    def _enter_key(self, passage: int, frame: int) -> int:
        """Draw a frame and those after it at the intervals of a passage's key, which it returns."""
        semitones = self._form.transposition_of(passage)
        hop_seconds = self._hop_seconds(semitones)
        is_drawn_anew = frame < self.transport.first_frame
        if not is_drawn_anew and hop_seconds != self.transport.hop_seconds:
            self._set_transport(self.transport.with_hop(hop_seconds, frame))
        return semitones

    def _keep_rows(self) -> None:
        """Keep the frames of this score that are drawn already, for `next_frame`."""
        self._rows = []
        if self.failure is None and self._score is not None and self._smoother.is_settled:
            passage = self._passage(self.transport.beat_at(self.n_frames - 1))
            frames = self._frame_cache.rows_from(self._score, self.n_frames)
            if not self._form.frozen:
                end = self.transport.frame_at(self._form.end(passage) * self.card.beats_per_loop)
                frames = frames[: max(end - self.n_frames, 0)]
            self._first_row = self.n_frames
            self._rows = [frames[i : i + 1] for i in range(len(frames))]

    @property
    def _first_open_frame(self) -> int:
        """The first frame of this spectrogram that has not left the inversion."""
        return max(self.n_frames - self._n_open, self._first_frame)

    @property
    def _n_stale(self) -> int:
        """How many of the last frames were drawn before the flip that applies to them."""
        if self._pending is None:
            return 0
        return max(self.n_frames - self.transport.frame_at(self._pending[1]), 0)

    def _schedule(self, bits: Bits) -> None:
        """Decide at which beat bits that differ from the sounding ones are heard."""
        if self.sounding is None:
            self.sounding = bits
        waiting, applied = self._pending[0] if self._pending else self.sounding, bits
        if bits != waiting:
            beat = self.transport.beat_at(self._first_open_frame)
            if self._must_wait((bits, self._passage(beat))):
                applied = waiting
            else:
                self._pending = (bits, next_boundary(beat, self._grid))
        if bits == self.sounding:
            self._pending = self._waiting_since = None
        if applied != self._applied:
            self._applied = applied
            if self.on_change is not None:
                self.on_change(self.n_frames, applied)

    def _must_wait(self, key: ScoreKey) -> bool:
        """Whether a flip is to be heard at once, and a block had better not wait for its score."""
        # Where one passage follows another, the open frames need the scores of both.
        is_costly = self.scores.is_slow or key[1] != self._passage(self.beat)
        if not self._ahead or self._grid > 0 or not is_costly or self.scores.has(key):
            self._waiting_since = None
            return False
        if self._waiting_since is None:
            self._waiting_since = self.n_frames
        n_waited = self.n_frames - self._waiting_since
        if n_waited * self.transport.hop_seconds < MOST_WAIT_SECONDS:
            self.scores.request(key)
            return True
        self._waiting_since = None
        return False

    def _key(self, beat: float) -> ScoreKey:
        """The bits and the passage of the score that a frame at `beat` belongs to."""
        if self._pending and beat >= self._pending[1] - 1e-9:
            self.sounding = self._pending[0]
            self._pending = None
        assert self.sounding is not None
        return self.sounding, self._passage(beat)

    def _passage(self, beat: float) -> int:
        return self._form.passage_at(beat / self.card.beats_per_loop)

    def _draw_piece(self, key: ScoreKey, first_frame: int, out: Frames) -> None:
        try:
            self._draw_score(key, first_frame, out)
        except ModelFailed as failure:
            # Silence keeps the speaker fed; the caller reads `failure` and decides what follows.
            self.failure = failure
            out[:] = 0
        self._smoother.apply(out)

    def _draw_score(self, key: ScoreKey, first_frame: int, out: Frames) -> None:
        started = time.thread_time()
        score = self._score
        if score is None or key != self._score_key:
            score = self.scores.get(*key)
            self._smoother.start()
            self._set_breaks(key)
        composed = time.thread_time()
        self._score, self._score_key = score, key
        self._frame_cache.draw(score, first_frame, out)
        self.drawing_seconds.compose += composed - started
        self.drawing_seconds.render += time.thread_time() - composed

    def _set_breaks(self, key: ScoreKey) -> None:
        """A flip ends the break in which it falls: its low end is to be heard."""
        before, (bits, passage) = self._score_key, key
        if before and before[1] == passage and before[0] != bits and self._form.has_break(passage):
            self._flipped_in = passage
        self._frame_cache.breaks = None if passage == self._flipped_in else self._breaks
