"""The slow drift of the variation, so that no turn of the loop comes back exactly."""

import numpy as np
from numpy.typing import NDArray


class VariationWalk:
    """A standard-normal vector for every turn of the loop, random access, no state.

    Independent normal knots lie `turns_per_knot` apart; between them the vector turns from one to
    the next along a quarter circle, which keeps its variance at 1 all the way. So it wanders
    inside the distribution the network was trained on and can neither drift away nor get stuck.

    Parameters
    ----------
    n_variation : int
    seed : int
        Not negative.
    turns_per_knot : int
    still : bool
        Hold the first knot for ever.
    """

    def __init__(
        self, n_variation: int, *, seed: int, turns_per_knot: int = 4, still: bool = False
    ) -> None:
        self.n_variation = n_variation
        self.seed = seed
        self.turns_per_knot = turns_per_knot
        self.still = still

    def at(self, turn: int) -> NDArray[np.float32]:
        """The variation during a turn, (n_variation,)."""
        knot, step = divmod(0 if self.still else turn, self.turns_per_knot)
        angle = 0.5 * np.pi * step / self.turns_per_knot
        here, there = self._knot(knot), self._knot(knot + 1)
        return np.asarray(np.cos(angle) * here + np.sin(angle) * there, dtype=np.float32)

    def _knot(self, number: int) -> NDArray[np.float64]:
        rng = np.random.default_rng([self.seed, number])
        return rng.standard_normal(self.n_variation)
