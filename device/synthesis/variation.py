"""The slow change of the variation, so that no two passes of the loop are equal."""

import numpy as np
from numpy.typing import NDArray


class VariationWalk:
    """A standard-normal vector for every pass of the loop; random access, no state.

    Independent normal knots are `loops_per_knot` apart. Between two knots the vector is
    interpolated along a quarter circle, which keeps its variance at 1: it stays inside the
    distribution that the network was trained on, without drift and without a fixed point.

    Parameters
    ----------
    n_variation : int
    seed : int
        Not negative.
    loops_per_knot : int
    frozen : bool
        Always the first knot.
    """

    def __init__(
        self, n_variation: int, *, seed: int, loops_per_knot: int = 4, frozen: bool = False
    ) -> None:
        self.n_variation = n_variation
        self.seed = seed
        self.loops_per_knot = loops_per_knot
        self.frozen = frozen

    def at(self, loop_index: int) -> NDArray[np.float32]:
        """The variation during one pass of the loop, (n_variation,), float32."""
        knot, step = divmod(0 if self.frozen else loop_index, self.loops_per_knot)
        angle = 0.5 * np.pi * step / self.loops_per_knot
        here, there = self._knot(knot), self._knot(knot + 1)
        return np.asarray(np.cos(angle) * here + np.sin(angle) * there, dtype=np.float32)

    def _knot(self, number: int) -> NDArray[np.float64]:
        rng = np.random.default_rng([self.seed, number])
        return rng.standard_normal(self.n_variation)
