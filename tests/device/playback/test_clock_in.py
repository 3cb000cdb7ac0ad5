"""A MIDI clock that is followed: the tempo, and the beats in the recorded sound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.playback.clock_in import ClockIn
from device.switches.commands import CommandQueue
from device.switches.midi.parser import Message
from tests.support.clocked_music import PULSES_PER_BEAT, ClockedMusic, onset_seconds
from tests.support.simulated_audio import RATE

PULSE, START, CONTINUE, STOP = (Message(status) for status in (0xF8, 0xFA, 0xFB, 0xFC))


class Beats:
    is_running = False


def tempos(times, *, before=()):
    """The tempos that pulses at these times lead to, in bpm."""
    queue, found = CommandQueue(), []
    clock = ClockIn(Beats(), queue)
    for message in before:
        clock(message, 0.0, "port")
    for at in times:
        clock(PULSE, at, "port")
        while queue:
            found.append(queue.take().bpm)
    return found


def pulses(bpm, seconds, start=0.0):
    return start + np.arange(0, seconds, 60 / bpm / PULSES_PER_BEAT)


@given(st.floats(41, 199))
def test_the_tempo_is_that_of_the_pulses(bpm):
    assert tempos(pulses(bpm, 6.0))[-1] == pytest.approx(bpm, rel=1e-4)


@given(st.floats(12, 39), st.floats(201, 900))
def test_the_tempo_stays_within_its_bounds(slow, fast):
    assert tempos(pulses(slow, 10.0))[-1] == 40.0
    assert tempos(pulses(fast, 4.0))[-1] == 200.0


def test_pulses_that_jitter_by_two_milliseconds_move_the_tempo_by_less_than_a_percent():
    rng = np.random.default_rng(0)
    times = pulses(90.0, 30.0)
    found = tempos(np.sort(times + rng.uniform(-0.002, 0.002, len(times))))[4:]
    assert np.abs(np.array(found) / 90.0 - 1).max() < 0.01


def test_a_clock_that_pauses_begins_anew():
    times = [*pulses(120.0, 4.0), *pulses(60.0, 6.0, start=10.0)]
    found = tempos(times)
    assert found[0] == pytest.approx(120.0)
    assert set(np.round(found, 3)) == {120.0, 60.0}


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0xF0, 0xFF), st.floats(-1, 3), st.booleans()), max_size=99))
def test_any_order_of_messages_and_times_leads_to_tempos_in_bounds(events):
    queue, now = CommandQueue(), 0.0
    clock = ClockIn(Beats(), queue)
    for status, pause, is_other in events:
        now += pause
        data = b"\x7f\x7f" if status == 0xF2 else b""
        for _ in range(10):
            clock(Message(status, data), now, "one" if is_other else "other")
    while queue:
        assert 40.0 <= queue.take().bpm <= 200.0


@pytest.mark.parametrize("at", [0.0, 1 / 3, 1e6])
def test_pulses_that_come_all_at_once_say_nothing_of_the_tempo(at):
    assert set(tempos([at] * 99)) <= {200.0}


def test_a_second_port_is_ignored_while_the_first_one_sends():
    queue = CommandQueue()
    clock = ClockIn(Beats(), queue)
    for at in pulses(120.0, 4.0):
        clock(PULSE, at, "one")
        clock(PULSE, at + 0.003, "other")
    assert queue.take().bpm == pytest.approx(120.0)


def followed(network, bpm, seconds, messages_at, jitter=0.0):
    """Music that follows pulses, and the true beats of the clock at every sample of the sound."""
    music = ClockedMusic(network)
    clock = ClockIn(music.beats, music.instrument.control.queue)
    rng, start = np.random.default_rng(3), 1.234
    times = pulses(bpm, seconds, start)
    events = sorted(
        [
            *((at + rng.uniform(0, jitter), PULSE) for at in times),
            *messages_at,
        ],
        key=lambda event: event[0],
    )
    music.time.next_at = lambda: events[0][0] if events else float("inf")
    music.time.do = lambda: clock(*reversed(events.pop(0)), "port")
    music.play(seconds)
    at = music.sample_at(times)
    beats = np.interp(np.arange(len(music.sound)), at, np.arange(len(times)) / PULSES_PER_BEAT)
    return music, beats


@pytest.mark.parametrize(("bpm", "jitter"), [(97.0, 0.0), (123.4, 0.002)])
def test_after_start_the_beats_that_are_heard_are_those_of_the_clock(network, bpm, jitter):
    music, beats = followed(network, bpm, 90.0, [(1.2, START)], jitter)
    late = slice(-30 * RATE, -2 * RATE)
    samples = np.arange(len(music.sound))[late]
    phase = (music.beat_of(samples) - beats[late] + 0.5) % 1 - 0.5
    assert np.abs(phase).max() * 60 / bpm <= 0.004
    assert abs(onset_seconds(music.sound[late], beats[late], bpm / 60)) <= 0.004


def test_the_phase_is_caught_up_with_two_percent_of_the_tempo_at_most(network):
    music, _ = followed(network, 120.0, 40.0, [(1.2, START)])
    seconds, beats = np.array(music.heard).T
    bpm = 60 * np.diff(beats) / np.diff(seconds)
    assert np.all(np.abs(bpm / 120.0 - 1) <= 0.0205)
    assert len(set(np.round(bpm, 2))) > 3


def test_without_start_the_tempo_alone_is_followed(network):
    music, _ = followed(network, 100.0, 20.0, [])
    assert music.instrument.voice.transport.tempo_bpm == pytest.approx(100.0, rel=1e-4)


def test_after_stop_the_music_goes_on_at_the_last_tempo(network):
    music, _ = followed(network, 100.0, 20.0, [(1.2, START), (15.0, STOP)])
    assert music.instrument.seconds == pytest.approx(20.0, abs=0.01)
    assert music.instrument.voice.transport.tempo_bpm == pytest.approx(100.0, rel=0.001)
