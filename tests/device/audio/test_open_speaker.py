"""A speaker is chosen by the text of the setting."""

import pytest

from device.audio import port_audio, sound_card
from device.audio.open_speaker import open_speaker
from device.audio.port_audio import list_cards
from device.audio.speaker import SilentSpeaker
from device.errors import OutputError, SpeakerUnavailable
from tests.support.simulated_audio import BLOCK, BUILTIN, RATE, SimulatedPortAudio, read_wav


def test_a_speaker_is_chosen_by_the_setting(tmp_path):
    with open_speaker("silent", RATE, live=True, report=print) as speaker:
        assert isinstance(speaker, SilentSpeaker)
    with open_speaker(f"wav:{tmp_path}/a.wav", RATE, live=False, report=print) as speaker:
        assert speaker.name == f"{tmp_path}/a.wav"
    with pytest.raises(OutputError, match="write wav:FILE"):
        open_speaker("wav:", RATE, live=False, report=print)


@pytest.mark.parametrize("spec", ["auto", "card", "head"])
def test_a_card_is_played_on_where_there_is_one(monkeypatch, spec):
    monkeypatch.setattr(sound_card, "PortAudio", lambda: SimulatedPortAudio(BUILTIN))
    reports = []
    with open_speaker(spec, RATE, live=True, report=reports.append) as speaker:
        assert speaker.name == BUILTIN.name
    assert not reports


def test_auto_records_where_there_is_no_card_and_reports_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sound_card, "PortAudio", SimulatedPortAudio)
    reports = []
    with open_speaker("auto", RATE, live=False, report=reports.append) as speaker:
        speaker.write(BLOCK)
    assert len(read_wav(tmp_path / "performance.wav")) == len(BLOCK)
    assert len(reports) == 1
    assert reports[0].endswith("recording to performance.wav meanwhile")


@pytest.mark.parametrize("spec", ["card", "HiFiBerry"])
def test_a_card_requested_by_name_is_not_replaced_by_a_recording(monkeypatch, spec):
    monkeypatch.setattr(sound_card, "PortAudio", SimulatedPortAudio)
    with pytest.raises(SpeakerUnavailable):
        open_speaker(spec, RATE, live=True, report=print)


def test_a_missing_portaudio_names_the_package_to_install(monkeypatch):
    def missing(name, *args, **kwargs):
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real_import(name, *args, **kwargs)

    real_import = __import__
    monkeypatch.setattr("builtins.__import__", missing)
    assert "sudo apt install libportaudio2" in port_audio.portaudio_problem()
    with pytest.raises(SpeakerUnavailable, match="PortAudio library not found"):
        list_cards()
