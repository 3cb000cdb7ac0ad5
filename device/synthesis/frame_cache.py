"""Frames drawn in advance, in chunks of fixed sizes."""

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

import numpy as np
from numpy.typing import NDArray

from device.closeable import Closeable
from device.errors import ModelFailed
from device.model.network import Network, Score
from device.synthesis.breaks import Breaks
from device.synthesis.transport import Transport
from device.system.threads import SupervisedThread

Frames = NDArray[np.float32]

# Frames of the first two chunks of a score: a switch has been flipped, and the block waits for
# them. Much of a call is reading the weights, which does not grow with the number of frames; so the
# chunks after those are larger.
FIRST_FRAMES = (8, 8)
AHEAD_FRAMES = 48
WAIT_SECONDS = 5.0
# The block that begins a chunk is made first: a helper takes the interpreter and a core from it.
START_SECONDS = 0.003


@dataclass
class _Chunk:
    """Consecutive frames of one score; `frames` is None until they are drawn."""

    score: Score
    number: int
    first: int
    transport: Transport
    breaks: Breaks | None
    held: int
    frames: Frames | None = None

    @property
    def n_frames(self) -> int:
        return FIRST_FRAMES[self.number] if self.number < len(FIRST_FRAMES) else AHEAD_FRAMES

    def contains(self, frame: int, *source: object) -> bool:
        """Whether a frame of a score, at positions of a transport and with breaks, is in it."""
        own = self.score, self.transport, self.breaks
        is_of_these = all(one is other for one, other in zip(own, source, strict=True))
        return is_of_these and 0 <= frame - self.first < self.n_frames

    def next(self) -> "_Chunk":
        return replace(self, number=self.number + 1, first=self.first + self.n_frames, frames=None)


class FrameCache(Closeable):
    """The frames of one score at one tempo; any other score or position is drawn anew.

    Which frames are drawn in one call depends on the score, its first frame, and `held_frames` when
    the first of them is read. So the frames are the same to the bit, drawn by the caller or by the
    helper thread, which draws the chunk after the one that is being read.

    Parameters
    ----------
    ahead : bool
        Draw ahead on a helper thread; for playing in real time.
    breaks : Breaks or None
        None: there are none.

    Attributes
    ----------
    helper_seconds : float
        Processor time of the helper.
    transport : Transport
        The positions of the frames that are not drawn yet; may be replaced.
    breaks : Breaks or None
        Of the frames that are not drawn yet; may be replaced.
    """

    def __init__(
        self,
        network: Network,
        transport: Transport,
        *,
        ahead: bool,
        breaks: Breaks | None = None,
    ) -> None:
        self.helper_seconds = 0.0
        self._held_frames = 1
        self._network = network
        self.transport = transport
        self.breaks = breaks
        self._no_frames = np.zeros((0, network.card.frame_size), np.float32)
        self._chunk: _Chunk | None = None
        self._next: _Chunk | None = None
        self._requests: SimpleQueue[_Chunk | None] = SimpleQueue()
        self._helper = SupervisedThread("frames", self._draw_ahead) if ahead else None

    def close(self) -> None:
        """End the helper; idempotent."""
        if self._helper is not None:
            self._helper.end()
            self._requests.put(None)
            self._helper.close()

    @property
    def held_frames(self) -> int:
        """1, or 2: every other frame is drawn, and held for two hops; from the next chunk on."""
        return self._held_frames

    @held_frames.setter
    def held_frames(self, n: int) -> None:
        if n == self._held_frames:
            return
        self._held_frames = n
        if self._next is not None:
            # Whether the helper has drawn it already must make no difference.
            self._plan(replace(self._next, held=n, frames=None))

    def restart(self, frame: int) -> None:
        """Forget what is not drawn again the same where a score begins at `frame`."""
        chunk = self._chunk
        if chunk and (chunk.number, chunk.first, chunk.held) != (0, frame, self._held_frames):
            self._chunk = self._next = None

    def draw(self, score: Score, first_frame: int, out: Frames) -> None:
        """Fill (n_frames, frame_size) with those from `first_frame` on."""
        done = 0
        while done < len(out):
            first, frames = self._frames_from(score, first_frame + done)
            at = first_frame + done - first
            n = min(len(out) - done, len(frames) - at)
            out[done : done + n] = frames[at : at + n]
            done += n

    def rows_from(self, score: Score, frame: int) -> Frames:
        """The frames from one on that are drawn already, (n, frame_size), n from 0 on."""
        chunk, source = self._chunk, (score, self.transport, self.breaks)
        if chunk is None or chunk.frames is None or not chunk.contains(frame, *source):
            return self._no_frames
        return chunk.frames[frame - chunk.first :]

    def _frames_from(self, score: Score, frame: int) -> tuple[int, Frames]:
        """The first frame of the chunk with a frame, and the chunk's frames."""
        chunk, source = self._chunk, (score, self.transport, self.breaks)
        if chunk is None or not chunk.contains(frame, *source):
            chunk = self._next
            if chunk is None or not chunk.contains(frame, *source):
                chunk = _Chunk(score, 0, frame, self.transport, self.breaks, self._held_frames)
            if chunk.frames is None:
                chunk.frames = self._drawn(chunk)
            self._chunk = chunk
            self._plan(chunk.next())
        assert chunk.frames is not None
        return chunk.first, chunk.frames

    def _plan(self, chunk: _Chunk) -> None:
        self._next = chunk
        if self._helper is not None:
            self._requests.put(chunk)

    def _drawn(self, chunk: _Chunk) -> Frames:
        held = chunk.held
        beats = chunk.transport.beats(chunk.first, chunk.n_frames)[::held]
        frames = self._network.frames(chunk.score, chunk.transport.in_loop(beats))
        if chunk.breaks is not None:
            frames = chunk.breaks.applied(frames, beats)
        return frames if held == 1 else np.repeat(frames, held, axis=0)

    def _draw_ahead(self) -> None:
        chunk = None
        with suppress(Empty):
            chunk = self._requests.get(timeout=WAIT_SECONDS)
            time.sleep(START_SECONDS)
            while True:
                chunk = self._requests.get_nowait()
        if chunk is None or chunk.frames is not None:
            return
        started = time.thread_time()
        # It fails again, and is reported, when the caller draws it.
        with suppress(ModelFailed):
            chunk.frames = self._drawn(chunk)
        self.helper_seconds += time.thread_time() - started
