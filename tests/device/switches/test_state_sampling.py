"""State samples: all states where there are few, else a fixed sample for every seed."""

import hashlib

import numpy as np
import pytest

from device.switches.bits import format_bits
from device.switches.state_sampling import (
    all_states,
    flipped,
    random_states,
    sample_states,
    sample_with_flips,
)


def digest(states):
    text = "\n".join(map(format_bits, states))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize("sample", [sample_states, sample_with_flips])
def test_eight_switches_have_256_states_in_binary_order(sample):
    states = sample(8, 256, np.random.default_rng(1))
    assert states == all_states(8)
    assert len(set(states)) == len(states) == 256
    assert states[1] == (False,) * 7 + (True,)


@pytest.mark.parametrize("n_switches", [9, 12, 16])
def test_a_sample_with_flips_holds_every_flip_of_its_random_states(n_switches):
    most = 256
    states = set(sample_with_flips(n_switches, most, np.random.default_rng([1, n_switches])))
    flips = [[flipped(state, i) in states for state in states] for i in range(n_switches)]
    assert most / 2 < len(states) <= most
    # Both ends of a flip are counted, and some states were drawn twice.
    assert min(sum(f) for f in flips) >= 1.5 * (most // (n_switches + 1))


def test_a_flip_changes_one_switch_and_undoes_itself():
    bits = (True, False, True)
    assert flipped(bits, 1) == (True, True, True)
    assert flipped(flipped(bits, 2), 2) == bits


# Digests of what the separate samplers of version 0.1 gave: scores measured on these states compare
# with scores measured before.
@pytest.mark.parametrize(
    ("n_switches", "bounded", "with_flips", "random", "n_next"),
    [
        (12, "754d83644455b760", "6980e6743d7c4764", "ec2d9c27454232c2", 805),
        (16, "5a3a0100ae6989b2", "36c879bc8ec7787c", "86b8d4197a1cbb25", 876),
    ],
)
def test_equal_seeds_give_the_states_of_version_0_1(
    n_switches, bounded, with_flips, random, n_next
):
    rng = np.random.default_rng(0)
    assert digest(random_states(n_switches, 1024, rng)) == random
    assert rng.integers(1000) == n_next
    assert digest(sample_states(n_switches, 64, np.random.default_rng(0))) == bounded
    rng = np.random.default_rng([1, n_switches])
    assert digest(sample_with_flips(n_switches, 256, rng)) == with_flips
