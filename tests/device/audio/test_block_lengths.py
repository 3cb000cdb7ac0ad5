"""Speakers play the same for all lengths of blocks, empty ones included."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from device.audio.speaker import BUFFER_SECONDS, SilentSpeaker
from device.audio.wav_file import WavSpeaker
from tests.support.simulated_audio import (
    BLOCK,
    BUILTIN,
    RATE,
    SimulatedClock,
    SimulatedPortAudio,
    play_on,
    read_wav,
    tone,
)

any_lengths = given(lengths=st.lists(st.sampled_from([0, 0, 1, 2, 63, 441, 1000]), max_size=12))
no_block_at_first = example(lengths=[0, 0, 441, 0, 441])
a_few = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write_all(speaker, lengths):
    for block in np.split(tone(sum(lengths)), np.cumsum(lengths)[:-1]) if lengths else []:
        speaker.write(block)


@any_lengths
@no_block_at_first
@a_few
def test_a_recording_is_the_same_for_all_block_lengths(tmp_path, lengths):
    contents = []
    for pieces in (lengths, [sum(lengths)]):
        with WavSpeaker(tmp_path / "song.wav", RATE, paced=False) as speaker:
            write_all(speaker, pieces)
        contents.append((tmp_path / "song.wav").read_bytes())
    assert contents[0] == contents[1]
    assert len(read_wav(tmp_path / "song.wav")) == sum(lengths)


@any_lengths
@no_block_at_first
@a_few
def test_a_silent_speaker_takes_as_long_for_all_block_lengths(lengths):
    ends = []
    for pieces in (lengths, [sum(lengths)]):
        time = SimulatedClock()
        speaker = SilentSpeaker(RATE, clock=time.clock, sleep=time.sleep)
        write_all(speaker, pieces)
        ends.append(time.now)
        assert speaker.n_underruns == 0
    assert ends[0] == pytest.approx(ends[1])
    assert ends[0] == pytest.approx(max(sum(lengths) / RATE - BUFFER_SECONDS, 0))


def test_an_empty_block_is_never_late():
    time = SimulatedClock()
    speaker = SilentSpeaker(RATE, clock=time.clock, sleep=time.sleep)
    speaker.write(BLOCK[:0])
    time.now += 1.0
    speaker.write(BLOCK)
    time.now += 1.0
    speaker.write(BLOCK[:0])
    assert speaker.n_underruns == 0
    speaker.write(BLOCK)
    assert speaker.n_underruns == 1


@pytest.mark.parametrize("accepted", [(RATE, 1), (RATE, 2), (2 * RATE, 1), (48_000, 1)])
@any_lengths
@no_block_at_first
@a_few
def test_a_card_plays_the_same_for_all_block_lengths(accepted, lengths):
    played = []
    for pieces in (lengths, [sum(lengths)]):
        backend = SimulatedPortAudio(BUILTIN, accepted={accepted})
        with play_on(backend) as speaker:
            write_all(speaker, pieces)
        (stream,) = backend.streams
        # A card that is started without samples runs dry.
        assert stream.started == bool(stream.blocks)
        assert all(len(block) for block in stream.blocks)
        played.append(stream.sound if stream.blocks else np.zeros((0, accepted[1]), np.float32))
    assert played[0].tobytes() == played[1].tobytes()
