"""The loop: how long it plays, how it ends, and what it reports."""

import json
import threading
from itertools import pairwise

import numpy as np
import pytest

from device.playback.instrument import FADE_SECONDS
from device.switches.base import FixedSwitches, SwitchesBase
from device.switches.script import ScriptSwitches
from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.performance import Performance
from device.synthesis.transport import Quantize
from device.synthesis.voice import Voice
from tests.support.speakers import RecordingSpeaker

RATE, HOP = 22050, 64
OFF, ALL = (False,) * 3, (True,) * 3
BLOCK_FRAMES = 8
BLOCK = BLOCK_FRAMES * HOP
END = round(FADE_SECONDS * RATE)


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


def script(*flips, n_switches=3):
    return ScriptSwitches(flips, n_switches)


@pytest.mark.parametrize(
    "seconds", [1.5 * BLOCK / RATE, 2 * BLOCK / RATE, 0.1, 0.5, 10 * BLOCK / RATE, 1.2345]
)
@pytest.mark.parametrize("block_frames", [1, 8])
def test_it_plays_exactly_the_requested_seconds(make_instrument, seconds, block_frames):
    recorder = RecordingSpeaker()
    report = make_instrument(recorder, block_frames=block_frames).play(seconds)
    assert len(recorder.samples) == round(seconds * RATE)
    assert report.seconds == pytest.approx(seconds, abs=1 / RATE)


def test_it_plays_less_than_a_block_as_well(make_instrument):
    recorder = RecordingSpeaker()
    make_instrument(recorder).play(0.5 * BLOCK / RATE)
    assert len(recorder.samples) == BLOCK // 2


def test_the_end_fades_in_blocks_as_short_as_those_before(make_instrument):
    recorder = RecordingSpeaker()
    make_instrument(recorder, block_frames=1).play(0.5)
    assert max(map(len, recorder.blocks)) == HOP


def test_the_end_is_a_fade_and_no_click(make_instrument):
    recorder = RecordingSpeaker()
    make_instrument(recorder, tape=0.0).play(2.0)
    samples = recorder.samples
    assert samples[-1] == 0
    assert np.abs(np.diff(samples[-END:])).max() <= np.abs(np.diff(samples)).max()
    assert np.abs(samples[-20:]).max() < 0.05 * np.abs(samples).max()


def test_all_but_the_end_are_the_samples_of_the_voice(make_instrument, network):
    recorder = RecordingSpeaker()
    make_instrument(recorder, script((0.0, ALL), (0.5, OFF)), seed=7).play(1.0)
    voice = Voice(network, Performance(seed=7, block_frames=BLOCK_FRAMES))
    n_all = next(n for n in range(100) if n * BLOCK / RATE >= 0.5)
    n_blocks = (RATE - END) // BLOCK
    expected = [voice.block(ALL if n < n_all else OFF) for n in range(n_blocks)]
    assert np.array_equal(recorder.samples[: n_blocks * BLOCK], np.concatenate(expected))


def test_the_same_performance_twice_is_the_same_to_the_last_bit(make_instrument):
    one, other = RecordingSpeaker(), RecordingSpeaker()
    for recorder in (one, other):
        make_instrument(recorder, script((0.2, ALL), (0.6, OFF)), ahead=True).play(1.0)
    assert one.samples.tobytes() == other.samples.tobytes()


def test_after_stop_it_plays_no_more_than_a_fade(make_instrument):
    recorder = RecordingSpeaker(lambda n_blocks: instrument.stop.set() if n_blocks == 10 else None)
    instrument = make_instrument(recorder)
    instrument.play()
    assert len(recorder.samples) == 10 * BLOCK + END
    assert recorder.samples[-1] == 0


def test_stop_from_another_thread_ends_an_endless_performance(make_instrument):
    begun = threading.Event()
    instrument = make_instrument(RecordingSpeaker(lambda _: begun.set()), ahead=True)
    player = threading.Thread(target=instrument.play)
    player.start()
    assert begun.wait(10)
    instrument.stop.set()
    player.join(10)
    assert not player.is_alive()


def test_when_the_switches_finish_it_ends_with_a_fade(make_instrument):
    recorder = RecordingSpeaker()
    make_instrument(recorder, FinishingSwitches(5)).play()
    assert len(recorder.samples) == 5 * BLOCK + END
    assert recorder.samples[-1] == 0


def test_if_stopped_before_the_start_it_plays_at_most_a_fade(make_instrument):
    recorder = RecordingSpeaker()
    instrument = make_instrument(recorder)
    instrument.stop.set()
    report = instrument.play()
    assert len(recorder.samples) <= END
    assert report.n_flips == 0


def test_leaving_the_instrument_ends_its_helper(make_instrument):
    with make_instrument(RecordingSpeaker(), ahead=True) as instrument:
        instrument.play(0.2)
    assert not {"scores", "frames"} & {thread.name for thread in threading.enumerate()}


def test_the_switches_are_read_in_music_time(make_instrument):
    times = []

    class TimedSwitches(FixedSwitches):
        def read(self, seconds):
            times.append(seconds)
            return super().read(seconds)

    make_instrument(RecordingSpeaker(), TimedSwitches(ALL)).play(0.5)
    assert times[0] == 0
    assert [b - a for a, b in pairwise(times)] == pytest.approx([BLOCK / RATE] * (len(times) - 1))


def test_a_flip_is_timed_from_its_reading_to_the_block_that_sounds_it(make_instrument):
    clock = Clock(0.001, 0.001, 0.004, 0.001)
    report = make_instrument(RecordingSpeaker(), script((2 * BLOCK / RATE, ALL)), clock=clock).play(
        5 * BLOCK / RATE
    )
    assert report.n_flips == 1
    assert report.switch_to_sample_p50_ms == pytest.approx(4.0)
    assert report.switch_to_sample_p99_ms == pytest.approx(4.0)


def test_a_quantised_flip_is_timed_until_it_sounds(make_instrument):
    clock = Clock(*[0.001] * 40)
    flips = script((2 * BLOCK / RATE, ALL))
    performance = {"quantize": Quantize.SIXTEENTH, "clock": clock}
    report = make_instrument(RecordingSpeaker(), flips, **performance).play(20 * BLOCK / RATE)
    # A 16th is 5.4 blocks: read with block 2, heard in block 5. Between blocks the clock adds 1 s.
    assert report.switch_to_sample_p50_ms == pytest.approx(3 * 1001 + 1, abs=1)


def test_the_switch_states_at_the_start_are_no_flip(make_instrument):
    report = make_instrument(RecordingSpeaker(), script((0.0, ALL))).play(0.3)
    assert report.n_flips == 0
    assert np.isnan(report.switch_to_sample_p50_ms)


def test_every_change_of_the_switch_states_is_counted(make_instrument):
    flips = [(0.1 * n, ALL if n % 2 else OFF) for n in range(1, 8)]
    assert make_instrument(RecordingSpeaker(), script(*flips)).play(1.0).n_flips == 7


def test_of_a_recording_blocks_that_take_longer_to_make_than_to_play_are_counted(make_instrument):
    deadline = BLOCK / RATE
    clock = Clock(0.001, 1.5 * deadline, 0.9 * deadline, 3 * deadline)
    report = make_instrument(RecordingSpeaker(), clock=clock).play((4 * BLOCK + END) / RATE)
    assert report.missed_deadlines == 2
    assert report.block_deadline_ms == pytest.approx(1e3 * deadline)
    assert report.block_max_ms == pytest.approx(3e3 * deadline)
    assert report.block_p50_ms == pytest.approx(1.2e3 * deadline)
    assert report.block_p99_ms <= report.block_max_ms


def test_latencies_and_underruns_are_reported(make_instrument):
    recorder = RecordingSpeaker()
    recorder.n_underruns, recorder.latency_seconds = 3, 0.06
    report = make_instrument(recorder).play(0.2)
    assert report.underruns == 3
    assert report.speaker_latency_ms == pytest.approx(60)
    inversion = GriffinLim(n_fft=256, hop_length=64)
    # A frame of glide comes between the score before a flip and the one after it.
    assert report.inversion_latency_ms == pytest.approx(
        1e3 * (inversion.latency_samples + HOP) / RATE
    )
    halfway = inversion.samples_until(0.5, n_smoothed=1)
    assert report.inversion_halfway_ms == pytest.approx(1e3 * halfway / RATE)


def test_a_report_is_json_with_none_for_what_was_not_measured(make_instrument):
    figures = make_instrument(RecordingSpeaker()).play(0.2).to_dict()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["switch_to_sample_p99_ms"] is None
    assert figures["guard_ms"] is None
    assert figures["seconds"] == 0.2
