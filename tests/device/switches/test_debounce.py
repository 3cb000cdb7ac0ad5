"""A loose wire: held where it was, told once, obeyed again when it is calm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.switches.debounce import CALM_SECONDS, ChatterFilter

POLL_SECONDS = 0.058


class Panel:
    """One switch, polled as the audio loop polls."""

    def __init__(self):
        self.told = []
        self.guard = ChatterFilter(1, lambda i, chatters: self.told.append((i, chatters)))
        self.now = 50.0

    def play(self, levels, poll_seconds=POLL_SECONDS):
        seen = []
        for level in levels:
            seen.append(self.guard.update((bool(level),), self.now)[0])
            self.now += poll_seconds
        return seen

    def rest(self, level, seconds):
        return self.play([level] * round(seconds / POLL_SECONDS))


def chatter(seconds, seed=1):
    return np.random.default_rng(seed).integers(0, 2, round(seconds / POLL_SECONDS))


@pytest.mark.parametrize("before", [False, True])
def test_a_switch_that_chatters_is_held_where_it_was_before(before):
    panel = Panel()
    panel.rest(before, 2)
    seen = panel.play(chatter(20))
    assert set(seen[-200:]) == {before}
    assert panel.told == [(0, True)]
    # It was obeyed for a few seconds at most.
    assert not any(a != before for a in seen[round(5 / POLL_SECONDS) :])


def test_when_it_is_calm_it_is_obeyed_again_as_it_stands_now():
    panel = Panel()
    panel.rest(False, 2)
    panel.play(chatter(10))
    calm = panel.rest(True, CALM_SECONDS + 1)
    assert (calm[0], calm[-1]) == (False, True)
    assert panel.told == [(0, True), (0, False)]
    assert panel.rest(False, 0.1) == [False, False]


def test_chatter_that_is_slow_because_polls_are_slower_is_found_as_well():
    # 50 Hz hum, polled every 58 ms, looks like a flip every 290 ms.
    panel = Panel()
    panel.rest(False, 2)
    seen = panel.play([(i // 5) % 2 for i in range(400)])
    assert panel.guard.chattering == (True,)
    assert set(seen[-100:]) == {False}


@pytest.mark.parametrize(("per_second", "seconds"), [(6, 2), (4, 3), (2, 600)])
def test_a_busy_hand_is_obeyed(per_second, seconds):
    panel = Panel()
    n_polls = round(1 / per_second / POLL_SECONDS)
    levels = [(i // n_polls) % 2 for i in range(round(seconds / POLL_SECONDS))]
    assert panel.play(levels) == [bool(level) for level in levels]
    assert panel.told == []


def test_one_loose_wire_leaves_the_other_switches_alone():
    guard = ChatterFilter(3)
    loose = chatter(20)
    seen = [
        guard.update((True, bool(level), False), i * POLL_SECONDS) for i, level in enumerate(loose)
    ]
    assert guard.chattering == (False, True, False)
    assert {(bits[0], bits[2]) for bits in seen} == {(True, False)}


@given(st.lists(st.tuples(st.floats(0.001, 1.0), st.booleans()), max_size=200), st.booleans())
def test_whatever_happened_a_switch_at_rest_is_obeyed_in_the_end(moves, rest):
    guard, now = ChatterFilter(1), 0.0
    for pause, level in moves:
        now += pause
        guard.update((level,), now)
    for _ in range(100):
        now += POLL_SECONDS
        seen = guard.update((rest,), now)
    assert seen == (rest,)
