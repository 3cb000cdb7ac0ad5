"""Speakers without a card, and the card's behaviour on a simulated PortAudio."""

import errno
import wave
from pathlib import Path

import numpy as np
import pytest

from device.audio import sound_card as card_module
from device.audio.open_speaker import open_speaker
from device.audio.sound_card import Card, CardSpeaker, list_cards
from device.audio.speaker import SilentSpeaker
from device.audio.wav_file import WavSpeaker
from device.errors import OutputError, SpeakerUnavailable

RATE = 22_050
BLOCK = np.zeros(441, np.float32)  # 20 ms


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        assert seconds >= 0
        self.now += seconds


class SoundError(Exception):
    """Stands for sounddevice.PortAudioError."""


class FakeStream:
    def __init__(self, system, card, rate, n_channels, latency):
        self.system, self.card, self.rate, self.n_channels = system, card, rate, n_channels
        self.latency = latency
        self.blocks = []
        self.started = self.closed = False

    def start(self):
        self.started = True

    def write(self, data):
        assert self.started and not self.closed
        assert data.dtype == np.float32 and data.shape[1] == self.n_channels
        assert data.flags.c_contiguous
        if self.card not in self.system.plugged:
            raise SoundError("device unavailable")
        self.blocks.append(data.copy())
        return self.system.underflows.pop(0) if self.system.underflows else False

    def close(self):
        self.closed = True

    @property
    def sound(self):
        return np.concatenate(self.blocks)


class FakeSound:
    """PortAudio with cards that can be unplugged, and see no news before a rescan."""

    error = SoundError

    def __init__(self, *cards, accepted=None):
        self.plugged = list(cards)
        self.known = list(cards)
        self.accepted = accepted
        self.underflows = []
        self.streams = []
        self.n_rescans = 0
        self.is_busy = False

    def cards(self):
        return list(self.known)

    def accepts(self, card, sample_rate, n_channels):
        return self.accepted is None or (sample_rate, n_channels) in self.accepted

    def open(self, card, sample_rate, n_channels, latency_seconds):
        if self.is_busy or card not in self.plugged:
            raise SoundError("device busy")
        stream = FakeStream(self, card, sample_rate, n_channels, latency_seconds)
        self.streams.append(stream)
        return stream

    def rescan(self):
        self.n_rescans += 1
        if not self.plugged:
            self.known = []
            raise SoundError("no device")
        self.known = list(self.plugged)


BUILTIN = Card(0, "bcm2835 Headphones", 44_100, is_default=True)
DAC = Card(3, "HiFiBerry DAC: pcm5102a (hw:1,0)", 48_000, is_default=False)


def play_on(sound, name=None, reports=None, time=None, **options):
    time = time or Time()
    report = (reports if reports is not None else []).append
    times = {"clock": time.clock, "sleep": time.sleep}
    return CardSpeaker(name, RATE, report=report, backend=sound, **times, **options)


def tone(n, frequency=440.0):
    return np.float32(0.5) * np.sin(2 * np.pi * frequency / RATE * np.arange(n)).astype(np.float32)


# Silent


def test_a_silent_speaker_fills_its_buffer_at_once_and_then_keeps_real_time():
    time = Time()
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
    time = Time()
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
    time = Time()
    speaker = SilentSpeaker(RATE, buffer_seconds=0.01, clock=time.clock, sleep=time.sleep)
    speaker.write(np.zeros(RATE, np.float32))
    assert time.now == pytest.approx(0.99)


# Recording


def read_wav(path):
    with wave.open(str(path)) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, RATE)
        return np.frombuffer(wav.readframes(wav.getnframes()), "<i2")


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


def test_a_place_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    for path in (tmp_path / "no such folder" / "song.wav", tmp_path):
        with pytest.raises(OutputError, match="expected a writable folder with room") as caught:
            WavSpeaker(path, RATE, paced=False)
        assert "\n" not in str(caught.value)


def test_a_full_disk_is_told_and_leaves_nothing_behind(tmp_path, monkeypatch):
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


def test_a_disk_that_fills_up_at_the_end_leaves_nothing_behind(tmp_path, monkeypatch):
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
    time = Time()
    path = tmp_path / "song.wav"
    with WavSpeaker(path, RATE, paced=True, clock=time.clock, sleep=time.sleep) as speaker:
        for _ in range(50):
            speaker.write(BLOCK)
        assert time.now == pytest.approx(50 * 0.02, abs=0.07)
        time.now += 1
        speaker.write(BLOCK)
        assert speaker.n_underruns == 1


# Card


def test_the_default_card_plays_the_models_own_rate_in_mono():
    sound = FakeSound(DAC, BUILTIN)
    with play_on(sound) as speaker:
        speaker.write(tone(441))
        assert (speaker.name, speaker.latency_seconds) == (BUILTIN.name, 0.06)
    stream = sound.streams[0]
    assert (stream.card, stream.rate, stream.n_channels) == (BUILTIN, RATE, 1)
    np.testing.assert_array_equal(stream.sound[:, 0], tone(441))
    assert stream.closed


def test_a_card_is_chosen_by_a_part_of_its_name():
    sound = FakeSound(BUILTIN, DAC)
    with play_on(sound, "hifiberry") as speaker:
        assert speaker.name == DAC.name


def test_a_card_that_wants_two_channels_gets_the_same_on_both():
    sound = FakeSound(BUILTIN, accepted={(RATE, 2), (44_100, 1)})
    with play_on(sound) as speaker:
        speaker.write(tone(441))
    stream = sound.streams[0]
    assert (stream.rate, stream.n_channels) == (RATE, 2)
    np.testing.assert_array_equal(stream.sound, np.stack([tone(441)] * 2, axis=1))


@pytest.mark.parametrize(("accepted", "card_rate"), [((44_100, 1), 44_100), ((48_000, 2), 48_000)])
def test_a_card_that_refuses_the_models_rate_gets_the_same_tone_at_its_own(accepted, card_rate):
    pytest.importorskip("soxr", reason="soxr is not installed")
    sound = FakeSound(BUILTIN, accepted={accepted})
    with play_on(sound) as speaker:
        for start in range(0, RATE, 441):
            speaker.write(tone(RATE)[start : start + 441])
        delay = speaker.latency_seconds - 0.06
    stream = sound.streams[0]
    assert (stream.rate, stream.n_channels) == accepted
    assert 0.001 < delay < 0.02
    # All of the sound comes out, evenly, and of the same pitch.
    lengths = [len(block) for block in stream.blocks]
    assert sum(lengths) == pytest.approx(card_rate, abs=8)
    assert max(lengths) - min(lengths) <= 1
    middle = stream.sound[card_rate // 4 : card_rate // 4 + card_rate // 2, 0]
    peak = np.argmax(np.abs(np.fft.rfft(middle * np.hanning(len(middle))))) * 2
    assert peak == pytest.approx(440, abs=2)


def test_underflows_are_counted_but_the_start_is_none():
    sound = FakeSound(BUILTIN)
    sound.underflows = [True, False, True, True]
    with play_on(sound) as speaker:
        for _ in range(6):
            speaker.write(BLOCK)
        assert speaker.n_underruns == 2


def test_the_end_of_the_music_is_heard_before_the_card_is_let_go():
    time = Time()
    speaker = play_on(FakeSound(BUILTIN), time=time)
    speaker.write(BLOCK)
    speaker.close()
    speaker.close()
    assert time.now == pytest.approx(0.06)


def test_a_card_that_goes_away_is_waited_for_in_real_time_and_taken_back():
    sound, time, reports = FakeSound(BUILTIN), Time(), []
    with play_on(sound, reports=reports, time=time) as speaker:
        speaker.write(BLOCK)
        sound.plugged = []
        for _ in range(250):
            speaker.write(BLOCK)
        assert time.now == pytest.approx(250 * 0.02, abs=0.07)
        assert not speaker.is_there
        assert sound.n_rescans == 4
        # It comes back under another number.
        sound.plugged = [Card(7, BUILTIN.name, 44_100, is_default=True)]
        for _ in range(60):
            speaker.write(BLOCK)
        assert speaker.is_there
    assert [stream.closed for stream in sound.streams] == [True, True]
    assert sound.streams[1].card.index == 7
    assert reports == [
        "the card bcm2835 Headphones is gone (device unavailable); the music goes on unheard",
        "the card bcm2835 Headphones is there",
    ]


@pytest.mark.parametrize("how", ["absent", "busy"])
def test_a_patient_speaker_begins_unheard_where_the_card_is_not_to_be_had_yet(how):
    sound, time, reports = FakeSound(), Time(), []
    sound.plugged, sound.is_busy = ([DAC], True) if how == "busy" else ([], False)
    sound.known = list(sound.plugged)
    with play_on(sound, "hifiberry", reports, time, wait_for_device=True) as speaker:
        assert (speaker.is_there, speaker.name) == (False, "hifiberry")
        for _ in range(150):
            speaker.write(BLOCK)
        assert time.now == pytest.approx(150 * 0.02, abs=0.07)
        assert speaker.n_underruns == 0
        sound.plugged, sound.is_busy = [DAC], False
        for _ in range(60):
            speaker.write(BLOCK)
        assert (speaker.is_there, speaker.name) == (True, DAC.name)
    assert len(reports) == 2
    assert reports[0].endswith("the music goes on unheard until then")
    assert reports[1] == f"the card {DAC.name} is there"
    assert sum(len(stream.sound) for stream in sound.streams) > 0


def test_a_speaker_that_is_not_patient_refuses_at_once():
    with pytest.raises(SpeakerUnavailable):
        play_on(FakeSound(), "hifiberry")


def test_a_card_that_is_back_but_busy_is_tried_again():
    sound, time, reports = FakeSound(BUILTIN), Time(), []
    with play_on(sound, reports=reports, time=time) as speaker:
        speaker.write(BLOCK)
        sound.plugged = []
        speaker.write(BLOCK)
        sound.plugged, sound.is_busy = [BUILTIN], True
        for _ in range(120):
            speaker.write(BLOCK)
        assert not speaker.is_there
        sound.is_busy = False
        for _ in range(60):
            speaker.write(BLOCK)
        assert speaker.is_there
    assert len(reports) == 2


def test_another_card_does_not_stand_in_for_one_chosen_by_name():
    sound, time = FakeSound(BUILTIN, DAC), Time()
    with play_on(sound, "hifiberry", time=time) as speaker:
        speaker.write(BLOCK)
        sound.plugged = [BUILTIN]
        for _ in range(120):
            speaker.write(BLOCK)
        assert not speaker.is_there


def test_an_unknown_card_is_refused_with_the_names_there_are():
    with pytest.raises(SpeakerUnavailable, match="found 'bcm2835 Headphones', expected one whose"):
        play_on(FakeSound(BUILTIN), "nowhere")
    with pytest.raises(SpeakerUnavailable, match="found no card at all, expected a sound card"):
        play_on(FakeSound())


def test_a_card_that_cannot_be_opened_is_refused():
    busy = FakeSound(BUILTIN)
    busy.is_busy = True
    with pytest.raises(SpeakerUnavailable, match="found device busy, expected a card that opens"):
        play_on(busy)
    with pytest.raises(SpeakerUnavailable, match="found neither 22050 nor 44100 Hz accepted"):
        play_on(FakeSound(BUILTIN, accepted=set()))


def test_cards_are_listed_by_name():
    assert list_cards(FakeSound(BUILTIN, DAC)) == [BUILTIN.name, DAC.name]


# Choosing


def test_a_speaker_is_chosen_by_its_text(tmp_path):
    with open_speaker("silent", RATE, live=True, report=print) as speaker:
        assert isinstance(speaker, SilentSpeaker)
    with open_speaker(f"wav:{tmp_path}/a.wav", RATE, live=False, report=print) as speaker:
        assert speaker.name == f"{tmp_path}/a.wav"
    with pytest.raises(OutputError, match="write wav:FILE"):
        open_speaker("wav:", RATE, live=False, report=print)


@pytest.mark.parametrize("spec", ["auto", "card", "head"])
def test_a_card_is_played_on_where_there_is_one(monkeypatch, spec):
    monkeypatch.setattr(card_module, "PortAudio", lambda: FakeSound(BUILTIN))
    reports = []
    with open_speaker(spec, RATE, live=True, report=reports.append) as speaker:
        assert speaker.name == BUILTIN.name
    assert not reports


def test_auto_records_where_there_is_no_card_and_says_so(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(card_module, "PortAudio", FakeSound)
    reports = []
    with open_speaker("auto", RATE, live=False, report=reports.append) as speaker:
        speaker.write(BLOCK)
    assert len(read_wav(tmp_path / "performance.wav")) == len(BLOCK)
    assert len(reports) == 1
    assert reports[0].endswith("recording to performance.wav meanwhile")


@pytest.mark.parametrize("spec", ["card", "HiFiBerry"])
def test_a_card_asked_for_by_name_has_no_stand_in(monkeypatch, spec):
    monkeypatch.setattr(card_module, "PortAudio", FakeSound)
    with pytest.raises(SpeakerUnavailable):
        open_speaker(spec, RATE, live=True, report=print)


def test_a_missing_portaudio_names_the_package_to_install(monkeypatch):
    def missing(name, *args, **kwargs):
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real_import(name, *args, **kwargs)

    real_import = __import__
    monkeypatch.setattr("builtins.__import__", missing)
    assert "sudo apt install libportaudio2" in card_module.portaudio_problem()
    with pytest.raises(SpeakerUnavailable, match="PortAudio library not found"):
        list_cards()
