"""The governor: a device that is too slow plays with fewer iterations, without gaps."""

# Above this share of a block's time, the next delay would make a block late.
_HEAVY = 0.85
# Below this share one more iteration fits: it costs less than half of a block without it.
_LIGHT = 0.5
# Seconds below `_LIGHT` before an iteration is added, and the longest they can become.
_PATIENCE_SECONDS = 5.0
_LONGEST_PATIENCE_SECONDS = 300.0


class Governor:
    """Chooses the iterations of the inversion by the share of a block's time that making it takes.

    One block above 0.85 of its time removes an iteration at once. After 5 s below 0.5 it is added
    again; if a block is above 0.85 after that, the next addition waits twice as long.

    Parameters
    ----------
    most_iterations : int
        Where time allows; at least 0.

    Attributes
    ----------
    n_iterations : int
        What the inversion may do now.
    n_lowered, n_raised : int
        How often an iteration was removed and added.

    Raises
    ------
    ValueError
        If `most_iterations` is negative.
    """

    def __init__(self, most_iterations: int) -> None:
        if most_iterations < 0:
            raise ValueError(f"most_iterations {most_iterations}: expected at least 0")
        self.n_iterations = self.most_iterations = most_iterations
        self.n_lowered = self.n_raised = 0
        self._patience = _PATIENCE_SECONDS
        self._calm_seconds = 0.0

    def update(self, making_ms: float, playing_ms: float) -> int:
        """The iterations for the next block, from the times to make and to play this one."""
        load = making_ms / playing_ms
        self._calm_seconds = self._calm_seconds + playing_ms / 1e3 if load < _LIGHT else 0.0
        if load > _HEAVY and self.n_iterations > 0:
            self._lower()
        elif self._calm_seconds >= self._patience and self.n_iterations < self.most_iterations:
            self.n_iterations += 1
            self.n_raised += 1
            self._calm_seconds = 0.0
        elif self._calm_seconds >= _LONGEST_PATIENCE_SECONDS:
            self._patience = _PATIENCE_SECONDS
        return self.n_iterations

    def _lower(self) -> None:
        self.n_iterations -= 1
        self.n_lowered += 1
        if self.n_raised:
            self._patience = min(2 * self._patience, _LONGEST_PATIENCE_SECONDS)
