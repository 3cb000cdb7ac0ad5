"""The gesture on the switches: what starts the sleep timer, and what does not."""

from hypothesis import given
from hypothesis import strategies as st

from device.playback.evening.gesture import GESTURE_SECONDS, SleepGesture
from device.switches.bits import flipped
from device.switches.script import ScriptSwitches
from tests.device.playback.evening.test_evening import play  # noqa: F401

START = (False, True, False, True)


def completed(moves, start=START):
    """Whether moves (seconds, switch) complete the gesture, and when first."""
    gesture, bits = SleepGesture(), start
    for seconds, index in moves:
        before, bits = bits, flipped(bits, index)
        if gesture.update(seconds, before, bits):
            return seconds
    return None


def alternating(every, n=12, ends=(0, 3)):
    return [(every * i, ends[i % 2]) for i in range(n)]


def test_both_ends_there_and_back_three_times_in_any_order():
    assert completed(alternating(0.25)) == 0.25 * 11
    one_after_the_other = [(0.2 * i, 0 if i < 6 else 3) for i in range(12)]
    assert completed(one_after_the_other) == 0.2 * 11


def test_both_at_once_and_on_a_panel_of_two():
    gesture, bits, done = SleepGesture(), (True, False), []
    for i in range(6):
        before, bits = bits, tuple(not bit for bit in bits)
        done.append(gesture.update(0.4 * i, before, bits))
    assert done == [False] * 5 + [True]


def test_too_slow_too_few_or_with_another_switch_is_none():
    assert completed(alternating(0.28)) is None
    assert completed(alternating(0.2, n=11)) is None
    assert completed([*alternating(0.1, n=8), (0.8, 1), *alternating(0.1, n=8)]) is None


def test_one_switch_alone_is_none():
    assert completed([(0.1 * i, 0) for i in range(60)], start=(True,)) is None
    assert completed([(0.1 * i, 0) for i in range(60)]) is None


@given(
    st.lists(st.tuples(st.floats(0.01, 1.0), st.integers(0, 3)), max_size=80),
)
def test_whatever_is_played_it_takes_six_moves_of_each_end_and_no_other_within_3_s(steps):
    now, moves = 0.0, []
    for pause, index in steps:
        now += pause
        moves.append((now, index))
    at = completed(moves)
    if at is not None:
        # A tenth of a microsecond for the sums.
        recent = [i for t, i in moves if at - GESTURE_SECONDS - 1e-7 <= t <= at]
        assert recent.count(0) >= 6
        assert recent.count(3) >= 6
        assert set(recent[-12:]) <= {0, 3}


def test_the_gesture_starts_the_timer_dips_the_sound_and_ends_the_timer_again(play):  # noqa: F811
    bits, lines = (False,) * 3, [(0.0, (False,) * 3)]
    for start in (2.0, 8.0):
        for i in range(12):
            bits = flipped(bits, (0, 2)[i % 2])
            lines.append((start + 0.2 * i, bits))
    evening = play(12.0, (), ScriptSwitches(lines, 3), gesture_minutes=30.0)
    assert 1790 < evening.at(7.0).evening.sleep_in_seconds < 1800
    assert evening.states[-1].evening.sleep_in_seconds is None
    assert evening.level(4.6, 4.9) < 0.3 * evening.level(6.0, 8.0)
    assert play(12.0, (), ScriptSwitches(lines, 3), gesture_minutes=0.0).at(7.0).evening == (
        evening.states[0].evening
    )
