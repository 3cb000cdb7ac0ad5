"""What a sound card has yet to play, by the clock and by the room that the card reports."""

from device.audio.speaker import Clock

# The smallest error of so long is the one that counts.
_WINDOW_SECONDS = 1.0


class CardQueue:
    """A model of a card's buffer: what was written, less what has been played since.

    A card reports how much it would take without blocking. The report is as old as the card's last
    interrupt, so that it is too little and never too much: what is missing to the whole buffer is
    at least what is queued. An error on that side is corrected at once. On the other side the
    smallest error of a second is: so the model follows the card's clock and not the machine's.

    Parameters
    ----------
    rate : int
        Of the card, in Hz.
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    capacity_seconds : float
        All that the buffer holds.
    """

    def __init__(self, rate: int, clock: Clock) -> None:
        self.capacity_seconds = 0.0
        self._rate = rate
        self._clock = clock
        self._played_at = clock()
        self._renewed_at = self._played_at
        self._least_error = float("inf")
        self._has_reports = True

    def start(self, n_free: int, otherwise: float) -> None:
        """Begin with an empty buffer.

        Parameters
        ----------
        n_free : int
            Samples that it takes now.
        otherwise : float
            Capacity in seconds, where the card reports no room. Its reports are ignored then.
        """
        self._has_reports = n_free > 0
        self.capacity_seconds = n_free / self._rate if self._has_reports else otherwise
        self._played_at = self._renewed_at = self._clock()

    @property
    def seconds(self) -> float:
        """How long what is queued plays."""
        return max(self._played_at - self._clock(), 0.0)

    def add(self, n_samples: int) -> None:
        """Queue so many samples."""
        self._played_at = max(self._played_at, self._clock()) + n_samples / self._rate

    def correct(self, n_free: int) -> None:
        """Compare with the room that the card reports, in samples."""
        if not self._has_reports:
            return
        now = self._clock()
        most = max(self.capacity_seconds - n_free / self._rate, 0.0)
        error = most - (self._played_at - now)
        if error < 0:
            self._played_at += error
            error = 0.0
        self._least_error = min(self._least_error, error)
        if now - self._renewed_at >= _WINDOW_SECONDS:
            self._played_at += self._least_error
            self._renewed_at, self._least_error = now, float("inf")
