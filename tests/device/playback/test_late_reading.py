"""In real time the switches are read late: when the speaker's queue is down to the guard."""

import itertools

import numpy as np
import pytest

from device.audio.speaker import SilentSpeaker
from device.playback.instrument import FADE_SECONDS, Instrument
from device.playback.queue_guard import LEAST_SECONDS, START_SECONDS
from device.switches.base import FixedSwitches
from device.synthesis.performance import Performance
from tests.support.speakers import SimulatedCard

HOP_SECONDS = 64 / 22050
OFF, ALL = (False,) * 3, (True,) * 3


class TimedSwitches(FixedSwitches):
    """Switches that keep the time of every reading, and how much was queued."""

    def __init__(self, card):
        super().__init__(ALL)
        self.card = card
        self.readings = []

    def read(self, seconds):
        self.readings.append((self.card.time.now, self.card.queued_seconds))
        return super().read(seconds)


class RealTime:
    """An instrument on a simulated card; making block n takes `block_seconds(n)`."""

    def __init__(self, network, block_seconds, switches=None, **card_options):
        self.card = SimulatedCard(**card_options)
        self.switches = switches or TimedSwitches(self.card)
        self.snapshots = []
        self.guards = []
        self._numbers = itertools.count()
        self._block_seconds = block_seconds
        self.instrument = Instrument(
            network,
            self.switches,
            self.card,
            Performance(),
            ahead=False,
            listeners=[self._keep],
            clock=self.card.time.clock,
        )
        make_block = self.instrument.voice_switcher.block

        def block(switch_states):
            self.card.time.sleep(self._block_seconds(next(self._numbers)))
            return make_block(switch_states)

        self.instrument.voice_switcher.block = block

    def _keep(self, state):
        self.snapshots.append(state)
        self.guards.append(self.instrument.report().guard_ms / 1e3)

    def play(self, seconds):
        with self.instrument:
            return self.instrument.play(seconds)

    @property
    def queued_at_readings(self):
        """Of the blocks before the end, once the queue is as long as the guard."""
        n_end = round(FADE_SECONDS / HOP_SECONDS) + 2
        return np.array([queued for _, queued in self.switches.readings[10:-n_end]])


@pytest.fixture
def play(network):
    def play(block_seconds, seconds=3.0, **options):
        make = block_seconds if callable(block_seconds) else lambda _: block_seconds
        device = RealTime(network, make, **options)
        return device, device.play(seconds)

    return play


def test_the_switches_are_read_when_the_queue_is_down_to_the_guard(play):
    device, report = play(0.0005)
    queued = device.queued_at_readings
    assert queued.max() <= START_SECONDS + 1e-9
    assert queued.min() > START_SECONDS - HOP_SECONDS
    assert report.guard_ms == pytest.approx(1e3 * START_SECONDS)
    assert (report.underruns, report.missed_deadlines) == (0, 0)


def test_a_flip_waits_for_no_more_than_the_guard_and_one_block(play):
    device, _ = play(0.0005)
    for (read_at, _), (written_at, queued) in zip(
        device.switches.readings, device.card.log, strict=True
    ):
        heard_at = written_at + queued
        if read_at < 2.9:
            assert heard_at - read_at <= START_SECONDS + HOP_SECONDS


def test_reading_late_does_not_change_the_music(network):
    recorded = {}
    for oversleeps in (0.0, 0.002):
        device = RealTime(network, lambda n: 0.001 * (n % 5), oversleeps=oversleeps)
        recorded[oversleeps] = blocks = []
        write = device.card.write

        def keep(samples, write=write, blocks=blocks):
            blocks.append(samples.copy())
            write(samples)

        device.card.write = keep
        device.play(1.0)
    one, other = (np.concatenate(blocks) for blocks in recorded.values())
    assert np.array_equal(one, other)


def test_a_slow_block_makes_the_guard_longer_from_the_next_snapshot_on(play):
    device, report = play(lambda n: 0.009 if n == 100 else 0.0005)
    before, after = device.guards[0], device.guards[-1]
    assert before == pytest.approx(START_SECONDS)
    assert after == pytest.approx(1.25 * 0.009 + 0.003)
    assert max(device.queued_at_readings) > START_SECONDS
    assert (report.underruns, report.missed_deadlines) == (0, 0)


def test_after_two_minutes_of_short_blocks_the_guard_is_short(play):
    device, report = play(lambda n: 0.009 if n == 100 else 0.0005, seconds=125.0)
    assert report.guard_ms == pytest.approx(1e3 * LEAST_SECONDS)
    assert device.queued_at_readings[-100:].max() <= LEAST_SECONDS + 1e-9
    assert report.underruns == 0


def test_what_a_sleep_is_too_long_belongs_to_the_guard(play):
    device, report = play(0.002, oversleeps=0.007)
    assert report.guard_ms == pytest.approx(1e3 * (1.25 * 0.009 + 0.003))
    assert report.underruns == 0
    assert device.snapshots[-1].n_late == 0


def test_a_block_that_takes_longer_than_what_is_queued_is_late(play):
    _, report = play(lambda n: 0.0105 if n == 200 else 0.0005)
    assert report.missed_deadlines == 1
    _, report = play(lambda n: 0.0095 if n == 200 else 0.0005)
    assert report.missed_deadlines == 0


def test_a_block_that_takes_longer_than_it_plays_is_not_late_by_itself(play):
    _, report = play(lambda n: 3 * HOP_SECONDS if n % 10 == 5 else 0.0005)
    assert (report.underruns, report.missed_deadlines) == (0, 0)


def test_after_a_gap_the_guard_is_longer_than_the_slow_block_asks_for(play):
    device, report = play(lambda n: 0.03 if n == 200 else 0.0005)
    assert report.underruns == 1
    assert report.guard_ms == pytest.approx(1e3 * (1.25 * 0.03 + 0.003 + 0.004))
    assert device.guards[-1] > device.guards[0]


def test_the_latency_of_the_speaker_is_what_is_queued(play):
    device, _ = play(0.0005)
    inversion = 1e3 * device.instrument.voice.vocoder.latency_seconds
    for state in device.snapshots[3:]:
        queued = (state.latency_ms - inversion) / 1e3
        assert START_SECONDS - HOP_SECONDS <= queued <= START_SECONDS + HOP_SECONDS


def test_a_speaker_that_starts_late_has_waited_for_nothing():
    card = SilentSpeaker(22050, clock=lambda: 5.0, sleep=lambda _: None)
    assert card.wait(0.012) == 0.0


def test_work_between_two_blocks_is_load_for_the_governor(network):
    card = SimulatedCard()
    with Instrument(
        network,
        FixedSwitches(ALL),
        card,
        Performance(),
        ahead=True,
        governed=True,
        clock=card.time.clock,
    ) as instrument:
        # As if the sound of each block were computed before it, in nearly all of its time.
        instrument.voice_switcher.work_ahead = lambda: card.time.sleep(0.9 * HOP_SECONDS)
        report = instrument.play(1.0)
    assert report.passes_lowered > 0
    assert report.underruns == 0
