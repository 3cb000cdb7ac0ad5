"""How much sound is left in the speaker's queue when the switches are read for the next block."""

START_SECONDS = 0.010
LEAST_SECONDS = 0.005
MOST_SECONDS = 0.060
# After an underrun, at once; given back a quarter at a time.
_STEP_SECONDS = 0.004
# The longest block of so long counts.
_MEMORY_SECONDS = 60.0
_FACTOR, _MARGIN_SECONDS = 1.25, 0.003


class QueueGuard:
    """Follows the longest block: late enough that a flip is heard soon, early enough for no gap.

    The switches are read, and the next block is made, when the queue is down to the guard. It is
    1.25 times what the longest block of the last one to two minutes took, and 3 ms, from 5 to
    60 ms. It starts with 10 ms. An underrun adds 4 ms, of which every quiet minute takes 1 ms back.

    Attributes
    ----------
    seconds : float
        The guard now.
    """

    def __init__(self) -> None:
        self.seconds = START_SECONDS
        # Of the last minute, and of the one before it, which starts with what the start allows for.
        self._longest = 0.0
        self._longest_before = (START_SECONDS - _MARGIN_SECONDS) / _FACTOR
        self._extra = 0.0
        self._n_underruns = 0
        self._renewed_at: float | None = None

    def update(self, used_seconds: float, n_underruns: int, now: float) -> None:
        """Take account of one block.

        Parameters
        ----------
        used_seconds : float
            From the moment at which the queue was down to the guard until the block was written.
        n_underruns : int
            Of the speaker, so far.
        now : float
            Seconds, monotonic.
        """
        if self._renewed_at is None:
            self._renewed_at = now
        self._longest = max(self._longest, used_seconds)
        if now - self._renewed_at >= _MEMORY_SECONDS:
            self._renewed_at = now
            self._longest_before, self._longest = self._longest, 0.0
            self._extra = max(self._extra - _STEP_SECONDS / 4, 0.0)
        if n_underruns > self._n_underruns:
            self._extra += _STEP_SECONDS
        self._n_underruns = n_underruns
        longest = max(self._longest, self._longest_before)
        wanted = max(_FACTOR * longest + _MARGIN_SECONDS, LEAST_SECONDS) + self._extra
        self.seconds = min(wanted, MOST_SECONDS)
        self._extra = min(self._extra, MOST_SECONDS)
