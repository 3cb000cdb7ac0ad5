"""The health monitor: what is a fault of the model, and what is not."""

import pytest

from device.playback.health_monitor import MOST_LATE, MOST_UNDERRUNS, WINDOW_SECONDS, HealthMonitor
from tests.support.instrument_state import snapshot

FIRST = snapshot(seconds=100.0, n_underruns=7, n_late=9)


def checked(**changes):
    good = {"seconds": 101.5, "n_underruns": 7, "n_late": 9}
    return HealthMonitor(FIRST).check(snapshot(**{**good, **changes}))


def test_a_model_that_plays_in_time_and_gives_numbers_stays():
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
    found = checked(**changes)
    assert words in found.reason
    assert found.at_once == at_once


def test_a_machine_that_stumbles_once_or_twice_is_not_the_models_fault():
    assert checked(n_underruns=7 + MOST_UNDERRUNS, n_late=9 + MOST_LATE) is None


def test_what_happened_before_it_took_over_is_not_the_models_fault():
    assert (
        HealthMonitor(snapshot(n_underruns=50, n_late=50)).check(
            snapshot(n_underruns=50, n_late=50)
        )
        is None
    )


def test_what_happens_once_in_a_while_never_adds_up():
    monitor = HealthMonitor(FIRST)
    for n in range(12):
        state = snapshot(seconds=100 + n * WINDOW_SECONDS, n_underruns=7 + n, n_late=9 + n)
        assert monitor.check(state) is None


def test_many_late_blocks_among_very_many_are_the_machines_fault():
    monitor = HealthMonitor(FIRST)
    for n in range(300):
        state = snapshot(seconds=100 + 0.01 * n, n_underruns=7, n_late=9 + n // 20)
        assert monitor.check(state) is None


def test_it_is_over_after_so_much_music():
    monitor = HealthMonitor(FIRST, seconds=60.0)
    assert not monitor.is_over(snapshot(seconds=159.9))
    assert monitor.is_over(snapshot(seconds=160.0))
