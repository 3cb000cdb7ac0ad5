"""Which states of a panel are heard: all of them, or a sample that still holds every flip."""

from itertools import product

import numpy as np

from device.switches.bits import Bits

MOST_STATES = 256


def choose_states(n_switches: int, *, seed: int) -> list[Bits]:
    """All states of up to eight switches, in the order of binary numbers.

    Of more switches a sample of at most `MOST_STATES`: some states, each with every single flip of
    it, so that what a switch does can still be heard.
    """
    if 2**n_switches <= MOST_STATES:
        return list(product((False, True), repeat=n_switches))
    n_bases = MOST_STATES // (n_switches + 1)
    rng = np.random.default_rng([seed, n_switches])
    chosen: dict[Bits, None] = {}
    for base in rng.integers(0, 2, (n_bases, n_switches)):
        state = tuple(bool(bit) for bit in base)
        chosen |= dict.fromkeys([state, *(flipped(state, i) for i in range(n_switches))])
    return sorted(chosen)


def flipped(bits: Bits, switch: int) -> Bits:
    """The state one flip away."""
    return (*bits[:switch], not bits[switch], *bits[switch + 1 :])
