"""A recording is a whole WAV file or none."""

import errno
from pathlib import Path

import numpy as np
import pytest

from device.audio.wav_file import WavSpeaker
from device.errors import OutputError
from tests.support.simulated_audio import BLOCK, RATE, SimulatedClock, read_wav, tone


def test_a_recording_is_what_was_played_rounded_to_16_bits_and_clipped(tmp_path):
    path = tmp_path / "song.wav"
    with WavSpeaker(path, RATE, paced=False) as speaker:
        speaker.write(tone(1000))
        speaker.write(np.array([1, -1, 2, -2, 0], np.float32))
        assert (speaker.latency_seconds, speaker.n_underruns) == (0, 0)
    recorded = read_wav(path)
    assert np.abs(recorded[:1000] / 32767 - tone(1000)).max() <= 0.5 / 32767 + 1e-7
    assert recorded[1000:].tolist() == [32767, -32767, 32767, -32767, 0]
    assert list(tmp_path.iterdir()) == [path]


def test_a_recording_takes_its_name_only_when_complete(tmp_path):
    path = tmp_path / "song.wav"
    path.write_bytes(b"an older one")
    with WavSpeaker(path, RATE, paced=False) as speaker:
        speaker.write(BLOCK)
        assert path.read_bytes() == b"an older one"
    assert len(read_wav(path)) == len(BLOCK)


def test_an_empty_recording_is_a_valid_file(tmp_path):
    with WavSpeaker(tmp_path / "song.wav", RATE, paced=False):
        pass
    assert len(read_wav(tmp_path / "song.wav")) == 0


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_a_recording_ended_by_the_player_is_kept(tmp_path, end):
    path = tmp_path / "song.wav"
    with pytest.raises(end), WavSpeaker(path, RATE, paced=False) as speaker:
        speaker.write(BLOCK)
        raise end
    assert len(read_wav(path)) == len(BLOCK)


def test_a_recording_ended_by_an_error_leaves_what_was_there_before(tmp_path):
    path = tmp_path / "song.wav"
    path.write_bytes(b"an older one")
    with pytest.raises(ZeroDivisionError), WavSpeaker(path, RATE, paced=False) as speaker:
        speaker.write(BLOCK)
        raise ZeroDivisionError
    assert path.read_bytes() == b"an older one"
    assert list(tmp_path.iterdir()) == [path]


def test_closing_and_dropping_a_recording_twice_is_fine(tmp_path):
    speaker = WavSpeaker(tmp_path / "song.wav", RATE, paced=False)
    speaker.close()
    speaker.close()
    speaker.abort()
    assert (tmp_path / "song.wav").exists()
    with pytest.raises(OutputError, match="found a closed recording"):
        speaker.write(BLOCK)


def test_a_path_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    for path in (tmp_path / "no such folder" / "song.wav", tmp_path):
        with pytest.raises(OutputError, match="expected a writable folder with room") as caught:
            WavSpeaker(path, RATE, paced=False)
        assert "\n" not in str(caught.value)


def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path, monkeypatch):
    class FullDisk:
        """A file on a disk with room for 4 KiB."""

        def __init__(self, file):
            self.file, self.room = file, 4096

        def write(self, data):
            self.room -= len(data)
            if self.room < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(data)

        def __getattr__(self, name):
            return getattr(self.file, name)

    real_open = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode: FullDisk(real_open(path, mode)))
    speaker = WavSpeaker(tmp_path / "song.wav", RATE, paced=False)
    with pytest.raises(OutputError, match="found No space left on device"):
        for _ in range(10):
            speaker.write(BLOCK)
    speaker.close()
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_at_the_end_leaves_no_file(tmp_path, monkeypatch):
    def no_room(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    speaker = WavSpeaker(tmp_path / "song.wav", RATE, paced=False)
    speaker.write(BLOCK)
    monkeypatch.setattr("os.fsync", no_room)
    with pytest.raises(OutputError, match="No space left on device"):
        speaker.close()
    assert not list(tmp_path.iterdir())


def test_a_recording_as_long_as_wav_allows_is_kept_and_ends(tmp_path):
    path = tmp_path / "song.wav"
    with (
        pytest.raises(OutputError, match="what was played so far is kept"),
        WavSpeaker(path, RATE, paced=False, max_bytes=5 * 2 * len(BLOCK)) as speaker,
    ):
        for _ in range(6):
            speaker.write(BLOCK)
    assert len(read_wav(path)) == 5 * len(BLOCK)


def test_a_live_recording_keeps_real_time_and_counts_underruns(tmp_path):
    time = SimulatedClock()
    path = tmp_path / "song.wav"
    with WavSpeaker(path, RATE, paced=True, clock=time.clock, sleep=time.sleep) as speaker:
        for _ in range(50):
            speaker.write(BLOCK)
        assert time.now == pytest.approx(50 * 0.02, abs=0.07)
        time.now += 1
        speaker.write(BLOCK)
        assert speaker.n_underruns == 1
