"""The loop: how long it plays, how it ends, and what it reports."""

import json
import threading
from itertools import pairwise

import numpy as np
import pytest

from device.closeable import Closeable
from device.playback.instrument import Instrument
from device.switches.base import FixedSwitches, SwitchesBase
from device.switches.script import ScriptSwitches
from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.performance import Performance
from device.synthesis.transport import Quantize
from device.synthesis.voice import Voice

RATE, HOP = 22050, 64
OFF, ALL = (False,) * 3, (True,) * 3
BLOCK_FRAMES = 8
BLOCK = BLOCK_FRAMES * HOP


class Recorder(Closeable):
    """A speaker that keeps its blocks; `on_write` is called with their number."""

    name = "recorder"
    latency_seconds = 0.06
    n_underruns = 0

    def __init__(self, on_write=lambda n_blocks: None):
        self.blocks = []
        self._on_write = on_write

    def write(self, samples):
        self.blocks.append(samples.copy())
        self._on_write(len(self.blocks))

    @property
    def samples(self):
        return np.concatenate(self.blocks) if self.blocks else np.zeros(0, np.float32)


class Clock:
    """A clock that is read twice per block, before and after it is made."""

    def __init__(self, *block_seconds):
        self._times = [0.0]
        for seconds in block_seconds:
            self._times += [self._times[-1] + seconds, self._times[-1] + seconds + 1.0]
        self._n = -1

    def __call__(self):
        self._n += 1
        return self._times[min(self._n, len(self._times) - 1)]


class FinishingSwitches(SwitchesBase):
    """Switches that finish after a number of reads."""

    n_switches = 3

    def __init__(self, n_reads):
        self._left = n_reads

    @property
    def finished(self):
        return self._left <= 0

    def read(self, seconds):
        self._left -= 1
        return ALL


@pytest.fixture
def make(network):
    opened = []

    def make(speaker, switches=None, *, ahead=False, listeners=(), clock=None, **performance):
        performance = {"block_frames": BLOCK_FRAMES, **performance}
        instrument = Instrument(
            network,
            switches or FixedSwitches(ALL),
            speaker,
            Performance(**performance),
            ahead=ahead,
            listeners=listeners,
            **({"clock": clock} if clock else {}),
        )
        opened.append(instrument)
        return instrument

    yield make
    for instrument in opened:
        instrument.voice.close()


def script(*flips, n_switches=3):
    return ScriptSwitches(flips, n_switches)


@pytest.mark.parametrize(
    "seconds", [1.5 * BLOCK / RATE, 2 * BLOCK / RATE, 0.1, 0.5, 10 * BLOCK / RATE, 1.2345]
)
@pytest.mark.parametrize("block_frames", [1, 8])
def test_it_plays_exactly_the_requested_seconds(make, seconds, block_frames):
    recorder = Recorder()
    report = make(recorder, block_frames=block_frames).play(seconds)
    assert len(recorder.samples) == round(seconds * RATE)
    assert report.seconds == pytest.approx(seconds, abs=1 / RATE)


def test_it_plays_less_than_a_block_as_well(make):
    recorder = Recorder()
    make(recorder).play(0.5 * BLOCK / RATE)
    assert len(recorder.samples) == BLOCK // 2


def test_the_end_is_a_fade_and_no_click(make):
    recorder = Recorder()
    make(recorder, tape=0.0).play(2.0)
    samples = recorder.samples
    assert samples[-1] == 0
    assert np.abs(np.diff(samples[-BLOCK:])).max() <= np.abs(np.diff(samples)).max()
    assert np.abs(samples[-20:]).max() < 0.05 * np.abs(samples).max()


def test_all_but_the_end_are_the_samples_of_the_voice(make, network):
    recorder = Recorder()
    make(recorder, script((0.0, ALL), (0.5, OFF)), seed=7).play(1.0)
    voice = Voice(network, Performance(seed=7, block_frames=BLOCK_FRAMES))
    n_all = next(n for n in range(100) if n * BLOCK / RATE >= 0.5)
    expected = [voice.block(ALL if n < n_all else OFF) for n in range(len(recorder.blocks) - 2)]
    assert np.array_equal(recorder.samples[: len(expected) * BLOCK], np.concatenate(expected))


def test_the_same_performance_twice_is_the_same_to_the_last_bit(make):
    one, other = Recorder(), Recorder()
    for recorder in (one, other):
        make(recorder, script((0.2, ALL), (0.6, OFF)), ahead=True).play(1.0)
    assert one.samples.tobytes() == other.samples.tobytes()


def test_after_stop_it_plays_one_more_block_that_fades_out(make):
    recorder = Recorder(lambda n_blocks: instrument.stop.set() if n_blocks == 10 else None)
    instrument = make(recorder)
    instrument.play()
    assert len(recorder.blocks) == 11
    assert recorder.samples[-1] == 0


def test_stop_from_another_thread_ends_an_endless_performance(make):
    begun = threading.Event()
    instrument = make(Recorder(lambda _: begun.set()), ahead=True)
    player = threading.Thread(target=instrument.play)
    player.start()
    assert begun.wait(10)
    instrument.stop.set()
    player.join(10)
    assert not player.is_alive()


def test_when_the_switches_finish_it_ends_with_a_fade(make):
    recorder = Recorder()
    make(recorder, FinishingSwitches(5)).play()
    assert len(recorder.blocks) == 6
    assert recorder.samples[-1] == 0


def test_if_stopped_before_the_start_it_plays_at_most_one_block(make):
    recorder = Recorder()
    instrument = make(recorder)
    instrument.stop.set()
    report = instrument.play()
    assert len(recorder.samples) <= BLOCK
    assert report.n_flips == 0


def test_leaving_the_instrument_ends_its_helper(make):
    with make(Recorder(), ahead=True) as instrument:
        instrument.play(0.2)
    assert "scores" not in {thread.name for thread in threading.enumerate()}


def test_the_switches_are_read_in_music_time(make):
    times = []

    class TimedSwitches(FixedSwitches):
        def read(self, seconds):
            times.append(seconds)
            return super().read(seconds)

    make(Recorder(), TimedSwitches(ALL)).play(0.5)
    assert times[0] == 0
    assert [b - a for a, b in pairwise(times)] == pytest.approx([BLOCK / RATE] * (len(times) - 1))


def test_a_flip_is_timed_from_its_reading_to_the_block_that_sounds_it(make):
    clock = Clock(0.001, 0.001, 0.004, 0.001)
    report = make(Recorder(), script((2 * BLOCK / RATE, ALL)), clock=clock).play(5 * BLOCK / RATE)
    assert report.n_flips == 1
    assert report.switch_to_sample_p50_ms == pytest.approx(4.0)
    assert report.switch_to_sample_p99_ms == pytest.approx(4.0)


def test_a_quantised_flip_is_timed_until_it_sounds(make):
    clock = Clock(*[0.001] * 40)
    flips = script((2 * BLOCK / RATE, ALL))
    performance = {"quantize": Quantize.SIXTEENTH, "clock": clock}
    report = make(Recorder(), flips, **performance).play(20 * BLOCK / RATE)
    # A 16th is 5.4 blocks: read with block 2, heard in block 5. Between blocks the clock adds 1 s.
    assert report.switch_to_sample_p50_ms == pytest.approx(3 * 1001 + 1, abs=1)


def test_the_switch_states_at_the_start_are_no_flip(make):
    report = make(Recorder(), script((0.0, ALL))).play(0.3)
    assert report.n_flips == 0
    assert np.isnan(report.switch_to_sample_p50_ms)


def test_every_change_of_the_switch_states_is_counted(make):
    flips = [(0.1 * n, ALL if n % 2 else OFF) for n in range(1, 8)]
    assert make(Recorder(), script(*flips)).play(1.0).n_flips == 7


def test_blocks_that_take_longer_to_make_than_to_play_are_counted(make):
    deadline = BLOCK / RATE
    clock = Clock(0.001, 1.5 * deadline, 0.9 * deadline, 3 * deadline)
    report = make(Recorder(), clock=clock).play(5 * deadline)
    assert report.missed_deadlines == 2
    assert report.block_deadline_ms == pytest.approx(1e3 * deadline)
    assert report.block_max_ms == pytest.approx(3e3 * deadline)
    assert report.block_p50_ms == pytest.approx(1.2e3 * deadline)
    assert report.block_p99_ms <= report.block_max_ms


def test_latencies_and_underruns_are_reported(make):
    recorder = Recorder()
    recorder.n_underruns = 3
    report = make(recorder).play(0.2)
    assert report.underruns == 3
    assert report.speaker_latency_ms == pytest.approx(60)
    inversion = GriffinLim(n_fft=256, hop_length=64)
    assert report.inversion_latency_ms == pytest.approx(1e3 * inversion.latency_samples / RATE)
    assert report.inversion_halfway_ms == pytest.approx(1e3 * inversion.halfway_samples / RATE)


def test_a_report_is_json_with_none_for_what_was_not_measured(make):
    figures = make(Recorder()).play(0.2).to_dict()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["switch_to_sample_p99_ms"] is None
    assert figures["seconds"] == 0.2


def test_every_block_has_a_snapshot(make):
    snapshots = []
    flips = script((0.5, ALL))
    make(Recorder(), flips, listeners=[snapshots.append], quantize=Quantize.BEAT).play(3.0)
    first, last = snapshots[0], snapshots[-1]
    assert len(snapshots) == 3 * RATE // BLOCK
    assert (first.bits, first.sounding, first.bar, first.beat) == (OFF, OFF, 0, 0)
    assert (last.bits, last.sounding, last.bar, last.beat) == (ALL, ALL, 1, 1)
    assert (first.title, first.n_beats, first.bars_per_loop) == ("Tiny test model", 4, 1)
    assert first.labels == ("partials 0", "partials 1", "partials 2")
    assert last.seconds == pytest.approx(len(snapshots) * BLOCK / RATE)
    assert -60 < last.level_db < 0


def test_while_a_flip_waits_the_snapshot_has_other_bits_than_those_that_sound(make):
    snapshots = []
    flips = script((0.3, ALL))
    make(Recorder(), flips, listeners=[snapshots.append], quantize=Quantize.BAR).play(3.0)
    waiting = [state for state in snapshots if state.bits != state.sounding]
    assert waiting[0].seconds > 0.3
    assert waiting[-1].seconds == pytest.approx(2.0, abs=2 * BLOCK / RATE)


def test_every_listener_is_called_with_the_same_snapshot_after_each_block(make):
    one, other, recorder = [], [], Recorder()
    n_blocks = []
    listeners = [one.append, other.append, lambda _: n_blocks.append(len(recorder.blocks))]
    make(recorder, listeners=listeners).play(5 * BLOCK / RATE)
    assert n_blocks == [1, 2, 3, 4]  # the fifth is the end, which is not reported to listeners
    assert all(a is b for a, b in zip(one, other, strict=True))


class LoadClock:
    """A clock by which every block takes `step` seconds to make."""

    def __init__(self):
        self.now = self.step = 0.0

    def __call__(self):
        self.now += self.step
        return self.now


@pytest.mark.parametrize(("governed", "expected"), [(True, [0, 1]), (False, [1, 1])])
def test_a_governed_instrument_has_fewer_iterations_while_blocks_are_late(
    network, governed, expected
):
    clock, iterations = LoadClock(), []

    def record(state):
        clock.step = 1.0 if state.seconds < 1 else 0.0
        iterations.append(state.n_iterations)

    switches = FixedSwitches(ALL)
    with Instrument(
        network,
        switches,
        Recorder(),
        Performance(),
        ahead=False,
        listeners=[record],
        governed=governed,
        clock=clock,
    ) as instrument:
        report = instrument.play(12.0)
    assert [iterations[30], iterations[-1]] == expected
    assert report.passes_lowered == int(governed)
