"""The gesture on the switches that starts the sleep timer."""

from collections import deque

from device.switches.bits import Bits, moved

GESTURE_SECONDS = 3.0
# Three times there and back.
MOVES = 6


class SleepGesture:
    """The first and the last switch, each flipped there and back three times within 3 s.

    No other switch may move meanwhile. Afterwards both are where they were.
    """

    def __init__(self) -> None:
        self._moves: deque[tuple[float, int]] = deque()

    def update(self, now: float, before: Bits, after: Bits) -> bool:
        """Take a move of the panel at `now` (s); whether it completes the gesture."""
        ends = (0, len(after) - 1)
        for index in moved(before, after):
            self._moves.append((now, index))
            if index not in ends or len(after) < 2 or len(before) != len(after):
                self._moves.clear()
        while self._moves and now - self._moves[0][0] > GESTURE_SECONDS:
            self._moves.popleft()
        indices = [index for _, index in self._moves]
        is_complete = all(indices.count(end) >= MOVES for end in ends)
        if is_complete:
            self._moves.clear()
        return is_complete
