"""The governor: a device that is too slow plays with less work, without gaps."""

from dataclasses import dataclass

# Above this share of a block's time, the next delay would make a block late.
_HEAVY = 0.85
# Below this share one more iteration fits: it costs less than half of a block without it.
_LIGHT = 0.5
# Seconds below `_LIGHT` before an iteration is added, and the longest they can become.
_PATIENCE_SECONDS = 5.0
_LONGEST_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Quality:
    """How much work is done for a hop.

    Attributes
    ----------
    n_iterations : int
        Of the inversion.
    held_frames : int
        Hops for which a frame that the network draws is held.
    """

    n_iterations: int
    held_frames: int


def qualities(most_iterations: int) -> list[Quality]:
    """All steps, the least work first: frames are held before iterations are left out."""
    return [*(Quality(n, 2) for n in range(most_iterations + 1)), Quality(most_iterations, 1)]


class Governor:
    """Chooses a step of quality by the share of a block's time that making it takes.

    A share above 0.85 goes one step down at once. After 5 s below 0.5 it goes up again; if the
    share is above 0.85 after that, the next step up waits twice as long.

    Parameters
    ----------
    most : int
        The step where time allows; at least 0, which is the least work.

    Attributes
    ----------
    level : int
        The step now.
    n_lowered, n_raised : int
        How often it went down and up.

    Raises
    ------
    ValueError
        If `most` is negative.
    """

    def __init__(self, most: int) -> None:
        if most < 0:
            raise ValueError(f"most {most}: expected at least 0")
        self.level = self.most = most
        self.n_lowered = self.n_raised = 0
        self._patience = _PATIENCE_SECONDS
        self._calm_seconds = 0.0

    def update(self, making_ms: float, playing_ms: float) -> int:
        """The step for the next blocks, from the times to make and to play the last ones."""
        load = making_ms / playing_ms
        self._calm_seconds = self._calm_seconds + playing_ms / 1e3 if load < _LIGHT else 0.0
        if load > _HEAVY and self.level > 0:
            self._lower()
        elif self._calm_seconds >= self._patience and self.level < self.most:
            self.level += 1
            self.n_raised += 1
            self._calm_seconds = 0.0
        elif self._calm_seconds >= _LONGEST_PATIENCE_SECONDS:
            self._patience = _PATIENCE_SECONDS
        return self.level

    def _lower(self) -> None:
        self.level -= 1
        self.n_lowered += 1
        if self.n_raised:
            self._patience = min(2 * self._patience, _LONGEST_PATIENCE_SECONDS)
