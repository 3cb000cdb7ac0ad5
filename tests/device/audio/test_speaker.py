"""Speakers without a card keep real time on a simulated clock."""

import numpy as np
import pytest

from device.audio.speaker import SilentSpeaker
from device.audio.wav_file import WavSpeaker
from tests.support.simulated_audio import BLOCK, RATE, SimulatedClock


def test_a_silent_speaker_fills_its_buffer_at_once_and_then_keeps_real_time():
    time = SimulatedClock()
    speaker = SilentSpeaker(RATE, buffer_seconds=0.06, clock=time.clock, sleep=time.sleep)
    ends = []
    for _ in range(100):
        speaker.write(BLOCK)
        ends.append(time.now)
    assert ends[:3] == pytest.approx([0, 0, 0])
    assert ends[-1] == pytest.approx(100 * 0.02 - 0.06)
    assert speaker.n_underruns == 0
    assert speaker.queued_seconds == speaker.latency_seconds == pytest.approx(0.06)


def test_a_silent_speaker_counts_blocks_that_came_too_late():
    time = SimulatedClock()
    speaker = SilentSpeaker(RATE, buffer_seconds=0.06, clock=time.clock, sleep=time.sleep)
    speaker.write(BLOCK)
    time.now += 0.019
    speaker.write(BLOCK)
    assert speaker.n_underruns == 0
    time.now += 0.5
    speaker.write(BLOCK)
    speaker.write(BLOCK)
    assert speaker.n_underruns == 1


def test_a_silent_speaker_takes_a_block_longer_than_its_buffer():
    time = SimulatedClock()
    speaker = SilentSpeaker(RATE, buffer_seconds=0.01, clock=time.clock, sleep=time.sleep)
    speaker.write(np.zeros(RATE, np.float32))
    assert time.now == pytest.approx(0.99)


def test_the_latency_of_a_silent_speaker_is_what_is_queued():
    time = SimulatedClock()
    speaker = SilentSpeaker(RATE, buffer_seconds=0.06, clock=time.clock, sleep=time.sleep)
    assert speaker.queued_seconds == 0
    speaker.write(BLOCK)
    assert speaker.queued_seconds == speaker.latency_seconds == pytest.approx(0.02)
    time.now += 0.015
    assert speaker.queued_seconds == speaker.latency_seconds == pytest.approx(0.005)
    time.now += 0.015
    assert speaker.queued_seconds == speaker.latency_seconds == 0


def paced_wav(tmp_path, time):
    return WavSpeaker(tmp_path / "song.wav", RATE, paced=True, clock=time.clock, sleep=time.sleep)


def silent(_, time):
    return SilentSpeaker(RATE, clock=time.clock, sleep=time.sleep)


in_real_time = pytest.mark.parametrize("open_paced", [silent, paced_wav])


@in_real_time
def test_waiting_ends_when_no_more_than_so_much_is_queued(tmp_path, open_paced):
    time = SimulatedClock()
    with open_paced(tmp_path, time) as speaker:
        assert speaker.is_live
        assert (speaker.wait(0.012), time.now) == (0, 0)
        for n_blocks in range(1, 50):
            speaker.write(BLOCK)
            assert speaker.wait(0.012) == pytest.approx(0)
            assert speaker.queued_seconds == pytest.approx(0.012)
            assert time.now == pytest.approx(n_blocks * 0.02 - 0.012)
        assert speaker.n_underruns == 0


@in_real_time
def test_waiting_returns_at_once_where_less_is_queued(tmp_path, open_paced):
    time = SimulatedClock()
    with open_paced(tmp_path, time) as speaker:
        speaker.write(BLOCK)
        assert (speaker.wait(0.03), time.now) == (0, 0)
        time.now += 1.0
        assert (speaker.wait(0.03), time.now) == (0, 1.0)


@in_real_time
def test_waiting_returns_by_how_much_it_overslept(tmp_path, open_paced):
    time = SimulatedClock()
    with open_paced(tmp_path, time) as speaker:
        speaker.write(BLOCK)
        time.overslept = 0.003
        assert speaker.wait(0.012) == pytest.approx(0.003)
        assert speaker.queued_seconds == pytest.approx(0.009)


@in_real_time
def test_waiting_past_the_end_of_the_queue_is_an_underrun(tmp_path, open_paced):
    time = SimulatedClock()
    with open_paced(tmp_path, time) as speaker:
        speaker.write(BLOCK)
        time.overslept = 0.013
        speaker.wait(0.012)
        time.overslept = 0.0
        assert (speaker.queued_seconds, speaker.n_underruns) == (0, 0)
        speaker.write(BLOCK)
        assert speaker.n_underruns == 1
        assert speaker.queued_seconds == pytest.approx(0.02)


def test_a_recording_faster_than_real_time_waits_for_nothing(tmp_path):
    time = SimulatedClock()
    with WavSpeaker(
        tmp_path / "song.wav", RATE, paced=False, clock=time.clock, sleep=time.sleep
    ) as speaker:
        assert not speaker.is_live
        for _ in range(50):
            speaker.write(BLOCK)
            assert (speaker.queued_seconds, speaker.latency_seconds) == (0, 0)
            assert speaker.wait(0.012) == 0
        assert time.now == 0


def test_a_recording_in_real_time_has_a_queue_and_no_latency(tmp_path):
    """In the file a flip is where it was made, however long the queue was."""
    time = SimulatedClock()
    with paced_wav(tmp_path, time) as speaker:
        speaker.write(BLOCK)
        assert speaker.queued_seconds == pytest.approx(0.02)
        assert speaker.latency_seconds == 0
