"""The governor, fed with loads instead of blocks."""

import pytest

from device.playback.governor import Governor

BLOCK = 0.05  # seconds
BLOCK_MS = 50.0
CALM, BUSY, LATE = 0.1, 0.7, 1.2


def play(governor, load, seconds):
    """Passes after every block."""
    return [governor.update(load * BLOCK_MS, BLOCK_MS) for _ in range(round(seconds / BLOCK))]


def seconds_until_raised(governor):
    passes, n_blocks = governor.n_iterations, 0
    while governor.update(CALM * BLOCK_MS, BLOCK_MS) == passes:
        n_blocks += 1
    return n_blocks * BLOCK


def test_a_box_with_time_keeps_all_its_passes():
    governor = Governor(2)
    assert set(play(governor, CALM, 60)) == {2}
    assert (governor.n_lowered, governor.n_raised) == (0, 0)


def test_a_late_block_takes_a_pass_away_at_once_and_never_more_than_there_are():
    governor = Governor(2)
    assert play(governor, LATE, 4 * BLOCK) == [1, 0, 0, 0]
    assert governor.n_lowered == 2


def test_calm_gives_the_passes_back_one_by_one():
    governor = Governor(2)
    play(governor, LATE, 1)
    assert play(governor, CALM, 60)[-1] == 2
    assert governor.n_raised == 2


def test_a_box_that_just_manages_stays_as_it_is():
    governor = Governor(2)
    play(governor, LATE, BLOCK)
    assert set(play(governor, BUSY, 600)) == {1}


def test_calm_must_last():
    governor = Governor(1)
    play(governor, LATE, BLOCK)
    for _ in range(20):
        assert play(governor, CALM, 4)[-1] == 0
        play(governor, BUSY, BLOCK)


def test_a_raise_that_came_too_early_is_tried_again_later_each_time():
    governor = Governor(1)
    waits = []
    for _ in range(4):
        play(governor, LATE, BLOCK)
        waits.append(seconds_until_raised(governor))
    assert waits == sorted(waits)
    assert waits[-1] >= 4 * waits[0]


def test_it_tries_again_within_minutes_however_often_it_failed():
    governor = Governor(1)
    for _ in range(20):
        play(governor, LATE, BLOCK)
        assert seconds_until_raised(governor) <= 301


def test_a_long_calm_is_forgiving():
    governor = Governor(1)
    play(governor, LATE, BLOCK)
    first = seconds_until_raised(governor)
    for _ in range(5):
        play(governor, LATE, BLOCK)
        seconds_until_raised(governor)
    play(governor, CALM, 700)
    play(governor, LATE, BLOCK)
    assert seconds_until_raised(governor) <= 2 * first + BLOCK


def test_less_than_no_passes_is_refused():
    with pytest.raises(ValueError, match="most_iterations -1: expected at least 0"):
        Governor(-1)
