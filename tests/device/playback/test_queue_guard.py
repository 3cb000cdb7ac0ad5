"""The guard of the speaker's queue, block by block."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.playback.queue_guard import LEAST_SECONDS, MOST_SECONDS, START_SECONDS, QueueGuard

PERIOD = 0.058


class Device:
    """Updates a guard once a period, by a clock of its own."""

    def __init__(self):
        self.guard = QueueGuard()
        self.now = 1000.0
        self.n_underruns = 0

    def play(self, used_seconds, seconds=PERIOD):
        for _ in range(max(round(seconds / PERIOD), 1)):
            self.guard.update(used_seconds, self.n_underruns, self.now)
            self.now += PERIOD
        return self.guard.seconds

    def break_off(self, used_seconds=0.001):
        self.n_underruns += 1
        return self.play(used_seconds)


def test_it_starts_with_ten_milliseconds():
    assert QueueGuard().seconds == START_SECONDS == 0.010


def test_short_blocks_leave_the_start_as_it_is_for_a_minute():
    device = Device()
    assert device.play(0.001, 55) == pytest.approx(START_SECONDS)


@pytest.mark.parametrize("used_seconds", [0.008, 0.010, 0.020, 0.040])
def test_it_follows_the_longest_block_at_once(used_seconds):
    device = Device()
    device.play(0.001, 5)
    expected = 1.25 * used_seconds + 0.003
    assert device.play(used_seconds) == pytest.approx(expected)
    assert device.play(0.001, 30) == pytest.approx(expected)


def test_a_block_that_is_a_little_longer_than_the_start_allows_for_counts():
    device = Device()
    assert device.play(0.0055) == pytest.approx(START_SECONDS)
    assert device.play(0.0057) > START_SECONDS


@pytest.mark.parametrize("after_seconds", [1.0, 30.0, 58.0])
def test_a_long_block_is_forgotten_after_one_to_two_minutes(after_seconds):
    device = Device()
    device.play(0.001, after_seconds)
    device.play(0.030)
    assert device.play(0.001, 59) == pytest.approx(1.25 * 0.030 + 0.003)
    assert device.play(0.001, 62) == LEAST_SECONDS


def test_it_is_never_shorter_than_five_milliseconds():
    device = Device()
    assert device.play(0.0, 300) == LEAST_SECONDS == 0.005


def test_it_is_never_longer_than_sixty_milliseconds():
    device = Device()
    assert device.play(0.5) == MOST_SECONDS == 0.060


def test_an_underrun_adds_four_milliseconds_at_once():
    device = Device()
    device.play(0.010, 5)
    usual = device.guard.seconds
    assert device.break_off(0.010) == pytest.approx(usual + 0.004)
    assert device.break_off(0.010) == pytest.approx(usual + 0.008)


def test_underruns_from_before_the_first_block_are_one_underrun():
    device = Device()
    device.n_underruns = 40
    assert device.play(0.001) == pytest.approx(START_SECONDS + 0.004)


def test_what_an_underrun_added_is_given_back_within_four_minutes():
    device = Device()
    device.play(0.010, 5)
    device.break_off(0.010)
    levels = [device.play(0.010, 60) for _ in range(5)]
    assert levels == sorted(levels, reverse=True)
    usual = 1.25 * 0.010 + 0.003
    assert usual < levels[2] < usual + 0.004
    assert levels[-1] == pytest.approx(usual)


def test_many_underruns_are_given_back_as_well():
    device = Device()
    for _ in range(500):
        device.break_off()
    assert device.guard.seconds == MOST_SECONDS
    # No more than a minute for each of the 60 ms.
    assert device.play(0.001, 62 * 60) == LEAST_SECONDS


@given(
    st.lists(
        st.tuples(st.floats(0, 10), st.integers(0, 3), st.floats(0, 100)), min_size=1, max_size=60
    )
)
def test_it_stays_within_its_limits_whatever_happens(blocks):
    guard, n_underruns, now = QueueGuard(), 0, 0.0
    for used_seconds, more_underruns, passed in blocks:
        n_underruns += more_underruns
        now += passed
        guard.update(used_seconds, n_underruns, now)
        assert LEAST_SECONDS <= guard.seconds <= MOST_SECONDS
        assert guard.seconds >= min(1.25 * used_seconds + 0.003, MOST_SECONDS)
