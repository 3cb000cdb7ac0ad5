"""Sleep, wake, quiet hours and wander, in a performance that is played as fast as possible."""

import numpy as np
import pytest

from device.playback.evening.state import EveningSettings, EveningState
from device.playback.instrument import Instrument
from device.switches.commands import FlipSwitch, Keep, SetQuiet, SetTempo, Sleep, Wake, Wander
from device.switches.script import ScriptSwitches
from device.synthesis.performance import Performance
from tests.support.speakers import RecordingSpeaker, SimulatedCard

RATE = 22050
OFF = (False,) * 3
# Of a block, in seconds.
BLOCK = 8 * 64 / RATE


class Evening:
    """What was played: the samples, and the snapshots."""

    def __init__(self, speaker, states, instrument):
        self.samples = speaker.samples
        self.states = states
        self.instrument = instrument

    def level(self, from_seconds, to_seconds):
        """The largest sample of a stretch."""
        return np.abs(self.samples[round(from_seconds * RATE) : round(to_seconds * RATE)]).max()

    def at(self, seconds):
        """The snapshot at a time."""
        return next(state for state in self.states if state.seconds >= seconds)


@pytest.fixture
def play(make_instrument):
    """Plays for so many seconds; commands are queued once so many seconds were played."""

    def play(seconds, commands=(), switches=None, tempo_bpm=300.0, seed=1, **settings):
        states, waiting = [], list(commands)

        def note(state):
            states.append(state)
            while waiting and state.seconds >= waiting[0][0]:
                instrument.control.queue.put(waiting.pop(0)[1])

        speaker = RecordingSpeaker()
        instrument = make_instrument(
            speaker,
            switches or ScriptSwitches([(0.0, OFF)], 3),
            listeners=[note],
            tempo_bpm=tempo_bpm,
            seed=seed,
        )
        instrument.evening.configure(EveningSettings(**settings))
        instrument.play(seconds)
        return Evening(speaker, states, instrument)

    return play


def test_without_settings_and_commands_no_sample_is_changed(play):
    quiet = play(2.0, [(1.0, SetQuiet(True))])
    assert np.array_equal(play(2.0).samples[:RATE], quiet.samples[:RATE])
    assert play(2.0).states[-1].evening == EveningState()


def test_it_falls_asleep_with_a_fade_and_is_silent_from_then_on(play):
    evening = play(6.0, sleep_minutes=4 / 60, sleep_fade_minutes=2 / 60)
    awake = play(6.0)
    assert np.array_equal(
        evening.samples[: round(1.95 * RATE)], awake.samples[: round(1.95 * RATE)]
    )
    levels = [evening.level(at, at + 0.5) for at in (1.4, 2.5, 3.0, 3.5)]
    assert levels == sorted(levels, reverse=True)
    assert evening.level(4.0 + BLOCK, 6.0) == 0
    assert len(evening.samples) == len(awake.samples)
    assert 1.5 < evening.at(2.2).evening.sleep_in_seconds < 2.0
    assert evening.at(5.0).evening == EveningState(is_asleep=True)


def test_asleep_it_computes_nothing_and_the_music_stands_still(play):
    evening = play(8.0, [(0.0, Sleep(1 / 60)), (6.0, Wake())], wake_fade_minutes=0.0)
    asleep = [state for state in evening.states if state.evening.is_asleep]
    assert len({state.n_blocks for state in asleep}) == 1
    assert len({state.position for state in asleep}) == 1
    # What comes after is what would have come without the rest.
    awake = play(8.0).samples
    start = len(awake) - round(6.5 * RATE)
    rest = np.flatnonzero(evening.samples)
    first = rest[rest > 2 * RATE][0]
    shift = next(
        s for s in range(first - start - RATE, first - start + RATE)
        if np.array_equal(evening.samples[7 * RATE : 7 * RATE + 999], awake[7 * RATE - s :][:999])
    )  # fmt: skip
    assert shift > 4 * RATE


@pytest.mark.parametrize("hand", ["panel", "remote"])
def test_any_hand_wakes_it(play, hand):
    by_hand = ScriptSwitches([(0.0, OFF), (4.0, (True, False, False))], 3)
    evening = play(
        8.0,
        [] if hand == "panel" else [(4.0, FlipSwitch(0, "midi"))],
        by_hand if hand == "panel" else None,
        sleep_minutes=2 / 60,
    )
    assert evening.level(3.0, 3.9) == 0 < evening.level(4.3, 6.0) < evening.level(6.0, 8.0)
    assert evening.states[-1].evening == EveningState()


def test_a_hand_during_the_fade_ends_it_and_the_timer(play):
    evening = play(8.0, [(3.0, FlipSwitch(0, "midi"))], sleep_minutes=4 / 60)
    assert evening.level(5.0, 8.0) > 2 * evening.level(2.5, 3.0)
    assert evening.states[-1].evening.sleep_in_seconds is None


def test_before_the_fade_a_flip_does_not_end_the_timer(play):
    evening = play(
        5.0, [(1.0, FlipSwitch(0, "midi"))], sleep_minutes=4 / 60, sleep_fade_minutes=1 / 60
    )
    assert evening.states[-1].evening.is_asleep


@pytest.mark.parametrize("command", [Keep(), SetTempo(200.0), Wander()])
def test_what_is_no_hand_does_not_wake_it(play, command):
    evening = play(5.0, [(3.0, command)], sleep_minutes=2 / 60)
    assert evening.level(2.1, 5.0) == 0


def test_sleep_0_cancels(play):
    assert not play(5.0, [(1.0, Sleep(0.0))], sleep_minutes=2 / 60).states[-1].evening.is_asleep


def test_a_longer_sleep_takes_the_place_of_the_one_before(play):
    evening = play(5.0, [(1.0, Sleep(60.0))], sleep_minutes=2 / 60)
    assert 3590 < evening.states[-1].evening.sleep_in_seconds < 3600


def test_it_wakes_after_a_time_with_a_fade(play):
    evening = play(9.0, sleep_minutes=2 / 60, wake_minutes=3 / 60, wake_fade_minutes=2 / 60)
    assert evening.level(2.1, 5.0) == 0 < evening.level(5.0, 6.0) < evening.level(7.0, 9.0)
    assert 0 < evening.at(4.0).evening.wake_in_seconds < 1.1


def test_quiet_hours_lower_the_level_and_end(play):
    evening = play(40.0, [(1.0, SetQuiet(True)), (20.0, SetQuiet(False))], quiet_db=-40.0)
    awake = play(40.0)
    ratio = evening.level(5.0, 20.0) / awake.level(5.0, 20.0)
    assert ratio == pytest.approx(0.01, rel=1e-3)
    assert np.array_equal(evening.samples[-5 * RATE :], awake.samples[-5 * RATE :])
    assert evening.at(10.0).evening.is_quiet
    assert not evening.states[-1].evening.is_quiet


def test_it_begins_quiet_in_the_quiet_hours(make_instrument):
    speaker = RecordingSpeaker()
    instrument = make_instrument(speaker)
    instrument.evening.configure(EveningSettings(quiet_db=-60.0))
    instrument.control.queue.put(SetQuiet(True))
    instrument.play(1.0)
    assert len(speaker.samples) == RATE
    assert not speaker.samples.any()


def test_in_real_time_it_rests_in_ordinary_blocks_and_wakes_without_a_gap(network):
    card = SimulatedCard()
    hands = ScriptSwitches([(0.0, OFF), (3.0, (True, False, False))], 3)
    states = []
    with Instrument(
        network, hands, card, Performance(), ahead=False, listeners=[states.append],
        clock=card.time.clock,
    ) as instrument:  # fmt: skip
        instrument.evening.configure(EveningSettings(sleep_minutes=1 / 60))
        lengths, write = [], card.write
        card.write = lambda samples: (lengths.append(len(samples)), write(samples))
        report = instrument.play(6.0)
    assert max(lengths) <= 64
    assert report.underruns == 0
    seconds = [state.seconds for state in states]
    assert max(np.diff(seconds)) < 0.06
    # A flip is read within a period, although nothing is computed.
    woken = next(state for state in states if state.bits == (True, False, False))
    assert woken.seconds < 3.0 + 0.13
    assert card.time.now == pytest.approx(6.0, abs=0.1)


def test_silent_quiet_hours_are_silent_whatever_a_hand_does(play):
    commands = [(1.0, SetQuiet(True)), (4.0, FlipSwitch(0, "midi")), (5.0, Wake())]
    evening = play(6.0, commands, quiet_db=-60.0)
    assert evening.level(2.2, 6.0) == 0


def test_asleep_at_the_end_of_the_quiet_hours_it_sleeps_on(play):
    commands = [(1.0, SetQuiet(True)), (5.0, SetQuiet(False))]
    assert play(7.0, commands, sleep_minutes=2 / 60).level(2.1, 7.0) == 0


def flips(evening):
    """(bar, switch states) of every change of what is played."""
    pairs = zip(evening.states, evening.states[1:], strict=False)
    return [(now.bar, now.bits) for before, now in pairs if now.bits != before.bits]


def test_without_a_hand_it_wanders_one_switch_every_few_bars(play):
    evening = play(20.0, wander_minutes=4 / 60, wander_bars=3)
    changes = flips(evening)
    assert [bar for bar, _ in changes] == list(range(changes[0][0], 25, 3))
    assert evening.at(3.0).evening == EveningState()
    assert evening.at(6.0).evening.is_wandering
    assert flips(play(20.0, wander_minutes=4 / 60, wander_bars=3)) == changes
    other = flips(play(20.0, wander_minutes=4 / 60, wander_bars=3, seed=5))
    assert other != changes


def test_any_hand_ends_the_wander_and_the_panel_is_the_patch(play):
    panel = ScriptSwitches([(0.0, OFF), (10.0, (False, False, True))], 3)
    evening = play(12.0, [(0.0, Wander())], panel, wander_bars=1)
    assert evening.at(9.0).holders
    assert set(evening.at(9.0).holders.values()) == {"wander"}
    assert evening.states[-1].holders == {}
    assert evening.states[-1].bits == (False, False, True)
    assert not evening.states[-1].evening.is_wandering


def test_the_wander_leaves_what_another_hand_holds(play):
    evening = play(15.0, [(0.0, FlipSwitch(1, "midi")), (0.5, Wander())], wander_bars=1)
    assert all(state.holders[1] == "midi" for state in evening.states[2:])
    evening.instrument.evening.notice_hand()
    assert evening.instrument.control.remote.holders == {1: "midi"}
