"""Chatter of a loose wire: the level is held, reported once, and followed again when it is calm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.switches.debounce import CALM_SECONDS, ChatterFilter

POLL_SECONDS = 0.058


class PolledSwitch:
    """One switch with its filter, polled as often as by the audio loop."""

    def __init__(self):
        self.reports = []
        self.filter = ChatterFilter(1, lambda i, chatters: self.reports.append((i, chatters)))
        self.now = 50.0

    def play(self, levels, poll_seconds=POLL_SECONDS):
        outputs = []
        for level in levels:
            outputs.append(self.filter.update((bool(level),), self.now)[0])
            self.now += poll_seconds
        return outputs

    def rest(self, level, seconds):
        return self.play([level] * round(seconds / POLL_SECONDS))


def chatter(seconds, seed=1):
    return np.random.default_rng(seed).integers(0, 2, round(seconds / POLL_SECONDS))


@pytest.mark.parametrize("before", [False, True])
def test_a_switch_that_chatters_is_held_at_its_earlier_level(before):
    switch = PolledSwitch()
    switch.rest(before, 2)
    outputs = switch.play(chatter(20))
    assert set(outputs[-200:]) == {before}
    assert switch.reports == [(0, True)]
    # The chatter passed for a few seconds at most.
    assert not any(a != before for a in outputs[round(5 / POLL_SECONDS) :])


def test_when_it_is_calm_its_present_level_passes_again():
    switch = PolledSwitch()
    switch.rest(False, 2)
    switch.play(chatter(10))
    calm = switch.rest(True, CALM_SECONDS + 1)
    assert (calm[0], calm[-1]) == (False, True)
    assert switch.reports == [(0, True), (0, False)]
    assert switch.rest(False, 0.1) == [False, False]


def test_chatter_that_is_sampled_at_a_low_rate_is_detected():
    # 50 Hz hum, polled every 58 ms, looks like a flip every 290 ms.
    switch = PolledSwitch()
    switch.rest(False, 2)
    outputs = switch.play([(i // 5) % 2 for i in range(400)])
    assert switch.filter.chattering == (True,)
    assert set(outputs[-100:]) == {False}


@pytest.mark.parametrize(("per_second", "seconds"), [(6, 2), (4, 3), (2, 600)])
def test_flips_as_fast_as_a_player_can_make_them_pass(per_second, seconds):
    switch = PolledSwitch()
    n_polls = round(1 / per_second / POLL_SECONDS)
    levels = [(i // n_polls) % 2 for i in range(round(seconds / POLL_SECONDS))]
    assert switch.play(levels) == [bool(level) for level in levels]
    assert switch.reports == []


def test_one_loose_wire_does_not_hold_the_other_switches():
    chatter_filter = ChatterFilter(3)
    loose = chatter(20)
    outputs = [
        chatter_filter.update((True, bool(level), False), i * POLL_SECONDS)
        for i, level in enumerate(loose)
    ]
    assert chatter_filter.chattering == (False, True, False)
    assert {(bits[0], bits[2]) for bits in outputs} == {(True, False)}


@given(st.lists(st.tuples(st.floats(0.001, 1.0), st.booleans()), max_size=200), st.booleans())
def test_after_any_input_a_switch_at_rest_has_its_level(moves, rest):
    chatter_filter, now = ChatterFilter(1), 0.0
    for pause, level in moves:
        now += pause
        chatter_filter.update((level,), now)
    for _ in range(100):
        now += POLL_SECONDS
        output = chatter_filter.update((rest,), now)
    assert output == (rest,)
