"""The governor: a box that cannot keep up gets rougher, never silent."""

# A block that took this much of its time leaves too little for the next surprise.
_HEAVY = 0.85
# Below this one more pass fits: it costs less than half of what a block costs without it.
_LIGHT = 0.5
# Calm that must last before a pass is tried again, and the longest it can come to.
_PATIENCE_SECONDS = 5.0
_LONGEST_PATIENCE_SECONDS = 300.0


class Governor:
    """Chooses the passes of the inversion by how much of a block's time goes into making it.

    One late block takes a pass away at once. After some seconds of calm it is given back; if that
    turns out to have been too early, the next try waits twice as long.

    Parameters
    ----------
    most_passes : int
        Of a box that has time; at least 0.

    Attributes
    ----------
    n_passes : int
        What the inversion may do now.
    n_lowered, n_raised : int
        How often a pass was taken away and given back.
    """

    def __init__(self, most_passes: int) -> None:
        if most_passes < 0:
            raise ValueError(f"most_passes {most_passes}: expected at least 0")
        self.n_passes = self.most_passes = most_passes
        self.n_lowered = self.n_raised = 0
        self._patience = _PATIENCE_SECONDS
        self._calm_seconds = 0.0

    def judge(self, making_ms: float, playing_ms: float) -> int:
        """The passes for the next block, given the time to make and the time to play this one."""
        load = making_ms / playing_ms
        self._calm_seconds = self._calm_seconds + playing_ms / 1e3 if load < _LIGHT else 0.0
        if load > _HEAVY and self.n_passes > 0:
            self._lower()
        elif self._calm_seconds >= self._patience and self.n_passes < self.most_passes:
            self._raise()
        elif self._calm_seconds >= _LONGEST_PATIENCE_SECONDS:
            self._patience = _PATIENCE_SECONDS
        return self.n_passes

    def _lower(self) -> None:
        self.n_passes -= 1
        self.n_lowered += 1
        if self.n_raised:
            self._patience = min(2 * self._patience, _LONGEST_PATIENCE_SECONDS)

    def _raise(self) -> None:
        self.n_passes += 1
        self.n_raised += 1
        self._calm_seconds = 0.0
