"""The health monitor: what is a fault of the model, and what is not."""

import pytest

from device.playback.health_monitor import MOST_LATE, MOST_UNDERRUNS, WINDOW_SECONDS, HealthMonitor
from tests.support.instrument_state import snapshot

FIRST = snapshot(seconds=100.0, n_underruns=7, n_late=9)


def checked(**changes):
    good = {"seconds": 101.5, "n_underruns": 7, "n_late": 9}
    return HealthMonitor(FIRST).check(snapshot(**{**good, **changes}))


def test_a_model_that_plays_in_time_and_is_finite_stays():
    assert checked() is None


@pytest.mark.parametrize(
    ("changes", "words", "at_once"),
    [
        ({"n_not_finite": 3}, "3 frames not finite with switches 10, 1.5 s after it took", True),
        ({"n_underruns": 8 + MOST_UNDERRUNS}, f"{MOST_UNDERRUNS + 1} underruns with", True),
        ({"n_late": 10 + MOST_LATE}, f"{MOST_LATE + 1} blocks late with switches 10", False),
        ({"failure": "it broke"}, "it broke", True),
    ],
)
def test_a_fault_is_named_and_broken_sound_does_not_wait_for_the_bar(changes, words, at_once):
    fault = checked(**changes)
    assert words in fault.reason
    assert fault.at_once == at_once


def test_a_few_underruns_and_late_blocks_are_no_fault_of_the_model():
    assert checked(n_underruns=7 + MOST_UNDERRUNS, n_late=9 + MOST_LATE) is None


def test_counts_from_before_the_takeover_are_no_fault_of_the_model():
    assert (
        HealthMonitor(snapshot(n_underruns=50, n_late=50)).check(
            snapshot(n_underruns=50, n_late=50)
        )
        is None
    )


def test_rare_underruns_do_not_add_up():
    monitor = HealthMonitor(FIRST)
    for n in range(12):
        state = snapshot(seconds=100 + n * WINDOW_SECONDS, n_underruns=7 + n, n_late=9 + n)
        assert monitor.check(state) is None


def faults_with_one_late_block_in(n_blocks, blocks_per_snapshot):
    monitor = HealthMonitor(FIRST)
    for n in range(0, 1200, blocks_per_snapshot):
        state = snapshot(
            seconds=100 + 0.01 * n,
            n_underruns=7,
            n_late=9 + n // n_blocks,
            n_blocks=FIRST.n_blocks + n,
        )
        if fault := monitor.check(state):
            yield fault


@pytest.mark.parametrize("blocks_per_snapshot", [1, 5, 20])
def test_a_small_share_of_late_blocks_is_no_fault_of_the_model(blocks_per_snapshot):
    assert not list(faults_with_one_late_block_in(20, blocks_per_snapshot))


@pytest.mark.parametrize("blocks_per_snapshot", [1, 5, 20])
def test_a_large_share_of_late_blocks_is_a_fault_of_the_model(blocks_per_snapshot):
    fault = next(faults_with_one_late_block_in(5, blocks_per_snapshot))
    assert "blocks late" in fault.reason
    assert not fault.at_once


def test_the_monitor_is_over_after_its_seconds_of_music():
    monitor = HealthMonitor(FIRST, seconds=60.0)
    assert not monitor.is_over(snapshot(seconds=159.9))
    assert monitor.is_over(snapshot(seconds=160.0))
