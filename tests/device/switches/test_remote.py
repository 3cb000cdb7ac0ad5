"""Many hands on one panel: what remote hands flip, and what the real switches drop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.switches.base import SwitchesBase
from device.switches.remote import MOST_SWITCHES, RemoteSwitches

hands = st.lists(
    st.one_of(
        st.tuples(st.just("panel"), st.integers(0, 3)),
        st.tuples(st.just("remote"), st.integers(0, 5)),
        st.tuples(st.just("on"), st.integers(0, 5)),
        st.tuples(st.just("off"), st.integers(0, 5)),
    ),
    max_size=30,
)


class Panel(SwitchesBase):
    n_switches = 4

    def __init__(self):
        self.states = [False] * 4

    def read(self, seconds):
        return tuple(self.states)

    def flip(self, index):
        self.states[index] = not self.states[index]


@pytest.fixture
def panel():
    return Panel()


@pytest.fixture
def remote(panel):
    switches = RemoteSwitches(panel)
    switches.read(0.0)
    return switches


def test_without_remote_hands_the_panel_is_what_is_read(panel, remote):
    panel.flip(2)
    assert remote.read(0.0) == (False, False, True, False)
    assert remote.holders == {}


def test_a_remote_flip_is_a_difference_to_the_panel(panel, remote):
    remote.flip(1, "midi")
    assert remote.read(0.0) == (False, True, False, False)
    assert remote.holders == {1: "midi"}
    panel.flip(3)
    assert remote.read(0.0) == (False, True, False, True)


def test_moving_the_real_switch_drops_what_was_flipped_by_remote(panel, remote):
    remote.flip(1, "midi")
    remote.read(0.0)
    panel.flip(1)
    assert remote.read(0.0) == (False, True, False, False)
    assert remote.holders == {}
    panel.flip(1)
    assert remote.read(0.0) == (False, False, False, False)


def test_setting_a_switch_that_is_so_already_changes_no_holder(panel, remote):
    panel.flip(0)
    remote.read(0.0)
    remote.set(0, True, "midi")
    assert remote.holders == {}
    remote.set(0, False, "midi")
    remote.set(0, False, "scene")
    assert remote.read(0.0)[0] is False
    assert remote.holders == {0: "midi"}


def test_a_switch_that_the_panel_does_not_have_can_be_flipped(remote):
    remote.flip(6, "midi")
    assert remote.read(0.0) == (False,) * 6 + (True,)
    remote.flip(6, "midi")
    assert remote.read(0.0) == (False,) * 4


@pytest.mark.parametrize("index", [-1, MOST_SWITCHES, 10**9])
def test_switches_that_no_panel_has_are_ignored(remote, index):
    remote.flip(index, "midi")
    remote.set(index, True, "midi")
    assert remote.read(0.0) == (False,) * 4
    assert remote.holders == {}


@given(hands)
def test_the_panel_and_its_holders_explain_every_state(moves):
    panel = Panel()
    remote = RemoteSwitches(panel)
    for hand, index in moves:
        remote.read(0.0)
        if hand == "panel":
            panel.flip(index)
        elif hand == "remote":
            remote.flip(index, "midi")
        else:
            remote.set(index, hand == "on", "midi")
    states = remote.read(0.0)
    assert len(states) >= 4
    for index, on in enumerate(states):
        at_panel = index < 4 and panel.states[index]
        assert on == (at_panel != (index in remote.holders))
    for index in range(4):
        panel.flip(index)
    assert remote.read(0.0)[:4] == tuple(panel.states)
