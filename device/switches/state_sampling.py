"""Which switch states a check or a measurement covers: all of a few, a sample of many.

Every sample is determined by the random generator, so equal seeds give equal states.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np

from device.switches.bits import Bits


def all_states(n_switches: int) -> list[Bits]:
    """All 2**n_switches states in the order of binary numbers, the first switch leading."""
    return list(product((False, True), repeat=n_switches))


def random_states(n_switches: int, n_states: int, rng: np.random.Generator) -> list[Bits]:
    """Draw states uniformly; some may be equal."""
    drawn = rng.integers(0, 2, (n_states, n_switches))
    return [tuple(bool(bit) for bit in row) for row in drawn]


def sample_states(n_switches: int, most: int, rng: np.random.Generator) -> list[Bits]:
    """All states where there are at most `most`; else `most` different ones.

    The sample begins with all off, all on, each switch alone on and each alone off, and goes on
    with random states.
    """
    if 2**n_switches <= most:
        return all_states(n_switches)
    states = [*_boundary_states(n_switches), *random_states(n_switches, 2 * most, rng)]
    return list(dict.fromkeys(states))[:most]


def sample_with_flips(n_switches: int, most: int, rng: np.random.Generator) -> list[Bits]:
    """All states where there are at most `most`; else random ones, each with every flip of it.

    The sample is sorted, holds `most` states at most, and lets the effect of every single switch
    be measured.
    """
    if 2**n_switches <= most:
        return all_states(n_switches)
    bases = random_states(n_switches, most // (n_switches + 1), rng)
    flips = [flipped(base, switch) for base in bases for switch in range(n_switches)]
    return sorted({*bases, *flips})


def flipped(bits: Bits, switch: int) -> Bits:
    """The state in which one switch, counted from 0, is inverted."""
    return (*bits[:switch], not bits[switch], *bits[switch + 1 :])


def _boundary_states(n_switches: int) -> Iterator[Bits]:
    """All off, all on, each switch alone on, each alone off."""
    for others in (False, True):
        yield (others,) * n_switches
    for others in (False, True):
        for switch in range(n_switches):
            yield flipped((others,) * n_switches, switch)
