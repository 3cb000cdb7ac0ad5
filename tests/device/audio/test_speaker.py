"""The silent speaker keeps real time on a simulated clock."""

import numpy as np
import pytest

from device.audio.speaker import SilentSpeaker
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
    assert speaker.latency_seconds == 0.06


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
