"""The governor, driven by loads instead of blocks."""

import pytest

from device.playback.governor import Governor, Quality, qualities

BLOCK = 0.05  # seconds
BLOCK_MS = 50.0
CALM, BUSY, LATE = 0.1, 0.7, 1.2


def play(governor, load, seconds):
    """Iterations after every block."""
    return [governor.update(load * BLOCK_MS, BLOCK_MS) for _ in range(round(seconds / BLOCK))]


def seconds_until_raised(governor):
    level, n_blocks = governor.level, 0
    while governor.update(CALM * BLOCK_MS, BLOCK_MS) == level:
        n_blocks += 1
    return n_blocks * BLOCK


def test_under_a_low_load_no_iteration_is_removed():
    governor = Governor(2)
    assert set(play(governor, CALM, 60)) == {2}
    assert (governor.n_lowered, governor.n_raised) == (0, 0)


def test_each_late_block_removes_one_iteration_at_once_down_to_none():
    governor = Governor(2)
    assert play(governor, LATE, 4 * BLOCK) == [1, 0, 0, 0]
    assert governor.n_lowered == 2


def test_a_low_load_adds_the_iterations_again_one_by_one():
    governor = Governor(2)
    play(governor, LATE, 1)
    assert play(governor, CALM, 60)[-1] == 2
    assert governor.n_raised == 2


def test_a_load_between_the_limits_changes_nothing():
    governor = Governor(2)
    play(governor, LATE, BLOCK)
    assert set(play(governor, BUSY, 600)) == {1}


def test_a_short_low_load_adds_no_iteration():
    governor = Governor(1)
    play(governor, LATE, BLOCK)
    for _ in range(20):
        assert play(governor, CALM, 4)[-1] == 0
        play(governor, BUSY, BLOCK)


def test_an_addition_that_makes_blocks_late_waits_longer_each_time():
    governor = Governor(1)
    waits = []
    for _ in range(4):
        play(governor, LATE, BLOCK)
        waits.append(seconds_until_raised(governor))
    assert waits == sorted(waits)
    assert waits[-1] >= 4 * waits[0]


def test_the_wait_has_an_upper_limit():
    governor = Governor(1)
    for _ in range(20):
        play(governor, LATE, BLOCK)
        assert seconds_until_raised(governor) <= 301


def test_a_long_low_load_resets_the_wait():
    governor = Governor(1)
    play(governor, LATE, BLOCK)
    first = seconds_until_raised(governor)
    for _ in range(5):
        play(governor, LATE, BLOCK)
        seconds_until_raised(governor)
    play(governor, CALM, 700)
    play(governor, LATE, BLOCK)
    assert seconds_until_raised(governor) <= 2 * first + BLOCK


def test_a_negative_number_of_iterations_is_refused():
    with pytest.raises(ValueError, match="most -1: expected at least 0"):
        Governor(-1)


def test_frames_are_held_before_iterations_are_left_out():
    assert qualities(1) == [Quality(0, 2), Quality(1, 2), Quality(1, 1)]
    assert qualities(0) == [Quality(0, 2), Quality(0, 1)]
