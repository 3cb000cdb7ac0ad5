"""What MIDI messages do, by default and as configured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.errors import SettingsError
from device.switches import commands
from device.switches.midi.mapping import MidiMapping, describe, volume_db
from device.switches.midi.parser import Message

ANY_MESSAGE = st.builds(
    lambda status, data: Message(status, bytes(data[: 1 if status & 0xE0 == 0xC0 else 2])),
    st.integers(0x80, 0xEF),
    st.lists(st.integers(0, 127), min_size=2, max_size=2),
)


def note(number, velocity=100, channel=1):
    return Message(0x90 + channel - 1, bytes((number, velocity)))


def controller(number, value, channel=1):
    return Message(0xB0 + channel - 1, bytes((number, value)))


def program(number):
    return Message(0xC0, bytes((number,)))


def test_notes_from_36_on_flip_the_switches():
    mapping = MidiMapping()
    assert mapping.command(note(36)) == commands.FlipSwitch(0, "midi")
    assert mapping.command(note(43)) == commands.FlipSwitch(7, "midi")
    assert mapping.command(note(99)) == commands.FlipSwitch(63, "midi")
    assert mapping.command(note(35)) is None
    assert mapping.command(note(100)) is None


def test_a_note_that_ends_does_nothing_whichever_way_it_is_sent():
    assert MidiMapping().command(note(36, velocity=0)) is None
    assert MidiMapping().command(Message(0x80, b"\x24\x40")) is None


def test_controller_7_is_the_volume():
    assert MidiMapping().command(controller(7, 127)) == commands.SetVolume(0.0)
    assert MidiMapping().command(controller(7, 0)) == commands.SetVolume(-60.0)
    assert volume_db(64) == pytest.approx(-11.9, abs=0.1)


@given(st.integers(0, 126))
def test_the_volume_rises_with_the_value(value):
    assert volume_db(value) <= volume_db(value + 1)


def test_programs_are_the_scenes_or_without_scenes_the_next_model():
    assert MidiMapping(scenes=["verse"]).command(program(0)) == commands.Recall(0, "midi")
    assert MidiMapping().command(program(5)) == commands.NextModel()


def test_entries_go_before_the_defaults():
    entries = [
        "note 36 = keep", "cc 21 = tempo", "cc 22 = switch 3", "cc 23 = volume",
        "note 40 = switch 1",
        "program 9 = scene the chorus", "cc 24 = next-model",
    ]  # fmt: skip
    mapping = MidiMapping(entries, scenes=["verse", "the chorus"])
    assert mapping.command(note(36)) == commands.Keep()
    assert mapping.command(note(37)) == commands.FlipSwitch(1, "midi")
    assert mapping.command(controller(21, 0)) == commands.SetTempo(40.0)
    assert mapping.command(controller(21, 127)) == commands.SetTempo(200.0)
    assert mapping.command(controller(22, 127)) == commands.SetSwitch(2, True, "midi")
    assert mapping.command(controller(22, 0)) == commands.SetSwitch(2, False, "midi")
    assert mapping.command(program(9)) == commands.Recall(1, "midi")
    assert mapping.command(controller(24, 127)) == commands.NextModel()
    assert mapping.command(controller(24, 0)) is None
    assert mapping.lights(0, True) == b"\x90\x28\x7f"


def test_the_evening_is_in_a_players_hands():
    entries = ["note 60 = sleep 45", "note 61 = sleep 0", "note 62 = wake", "cc 25 = wander"]
    mapping = MidiMapping([*entries, "cc 26 = quiet"])
    assert mapping.command(note(60)) == commands.Sleep(45.0)
    assert mapping.command(note(61)) == commands.Sleep(0.0)
    assert mapping.command(note(62)) == commands.Wake()
    assert mapping.command(controller(25, 127)) == commands.Wander()
    assert mapping.command(controller(25, 0)) is None
    assert mapping.command(controller(26, 127)) == commands.SetQuiet(True)
    assert mapping.command(controller(26, 0)) == commands.SetQuiet(False)
    assert str(mapping.target(note(60))) == "sleep 45"


def test_only_the_channel_is_heard_and_lights_go_to_it():
    mapping = MidiMapping(channel=10)
    assert mapping.command(note(36)) is None
    assert mapping.command(note(36, channel=10)) == commands.FlipSwitch(0, "midi")
    assert mapping.lights(1, True) == b"\x99\x25\x7f"
    assert mapping.lights(1, False) == b"\x99\x25\x00"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("", "note/cc/program"),
        ("note 128 = keep", "0 to 127"),
        ("knob 3 = tempo", "note/cc/program"),
        ("note 3 = tempo", "a controller"),
        ("note 3 = switch 65", "from 1 to 64"),
        ("note 3 = switch 0", "from 1 to 64"),
        ("note 3 = switch", "from 1 to 64"),
        ("note 3 = keep it", "tempo, volume, keep"),
        ("note 3 = wake 7", "sleep MINUTES, wake, wander or quiet"),
        ("note 3 = quiet", "a controller"),
        ("note 3 = sleep", "sleep and 0 to 1440 minutes"),
        ("note 3 = sleep 1441", "sleep and 0 to 1440 minutes"),
        ("note 3 = \x1b[2J", "tempo, volume, keep"),
        ("program 1 = scene bridge", "verse, chorus"),
    ],
)
def test_an_entry_that_is_none_is_refused_with_what_was_expected(entry, expected):
    with pytest.raises(SettingsError, match=expected) as refusal:
        MidiMapping([entry], scenes=["verse", "chorus"])
    assert "\x1b" not in str(refusal.value)


@given(st.text(max_size=40))
def test_any_text_is_an_entry_or_refused(text):
    try:
        MidiMapping([text])
    except SettingsError as refusal:
        assert "expected" in str(refusal)


@given(ANY_MESSAGE)
def test_any_message_has_words_and_at_most_one_command(message):
    assert describe(message)
    MidiMapping(["note 1 = keep"]).command(message)


def test_messages_are_described_as_entries_name_them():
    assert describe(note(48, 90)) == "note 48, value 90, channel 1"
    assert describe(program(3)) == "program 3, channel 1"
    assert describe(Message(0xF0, b"\x01\x02")) == "message F0 01 02"
