"""From one score into the next: the frames in between."""

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float32]


class FrameSmoother:
    """Fades from the last frame of one score into the next score over some frames.

    Parameters
    ----------
    frame_size : int
    n_smoothed : int
        Frames between the two scores; 0 changes from one frame to the next.
    """

    def __init__(self, frame_size: int, n_smoothed: int) -> None:
        self.n_smoothed = n_smoothed
        self._last = np.zeros(frame_size, np.float32)
        self._from = np.zeros(frame_size, np.float32)
        self._left = 0
        self._begun = False

    def start(self) -> None:
        """The frames from now on belong to a new score; the first one of all is not smoothed."""
        if self._begun:
            self._from[:] = self._last
            self._left = self.n_smoothed

    def apply(self, frames: Frames) -> None:
        """Blend (n_frames, frame_size), n_frames from 0 on, in place."""
        n_blended = min(self._left, len(frames))
        for frame, left in zip(frames[:n_blended], range(self._left, 0, -1), strict=False):
            share = np.float32(left / (self.n_smoothed + 1))
            # Not +=, which would rebind the loop's variable.
            np.add(frame, share * (self._from - frame), out=frame)
        self._left -= n_blended
        if len(frames):
            self.resume_from(frames[-1])
            self._begun = True

    @property
    def is_settled(self) -> bool:
        """Whether the frames from now on are those of the score alone."""
        return self._left == 0

    def hold(self, frame: Frames) -> None:
        """Take (1, frame_size) as the last frame, and keep it: it is not written to."""
        self._last = frame

    def resume_from(self, frame: Frames) -> None:
        """Take a copy of (frame_size,) as the last frame: those after it have been dropped."""
        self._last = frame.copy()
