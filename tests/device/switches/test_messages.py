"""Messages of a remote panel: what is a command, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.switches.commands import (
    FlipSwitch,
    Keep,
    Recall,
    SetQuiet,
    SetSwitch,
    SetTempo,
    SetVolume,
    Sleep,
    Wake,
    Wander,
)
from device.switches.messages import MessageError, parse_message

SCENES = ["verse", "chorus"]
COMMANDS = {
    '{"do":"flip","switch":3}': FlipSwitch(2, "phone"),
    '{"do":"set","switch":1,"on":true}': SetSwitch(0, True, "phone"),
    '{"do":"tempo","bpm":72.5}': SetTempo(72.5),
    ' {"gain_db": -6, "do": "volume"} ': SetVolume(-6.0),
    '{"do":"keep"}': Keep(),
    '{"do":"scene","name":"chorus"}': Recall(1, "phone"),
    '{"do":"sleep","minutes":45}': Sleep(45.0),
    '{"do":"sleep","minutes":0}': Sleep(0.0),
    '{"do":"quiet","on":true}': SetQuiet(True),
    '{"do":"wake"}': Wake(),
    '{"do":"wander"}': Wander(),
}
REFUSED = [
    "",
    "[]",
    "7",
    "null",
    '"keep"',
    "{}",
    '{"do":"keep"',
    '{"do":"keep","path":"/etc/passwd"}',
    '{"do":"Keep"}',
    '{"do":["keep"]}',
    '{"do":"model","path":"x.onnx"}',
    '{"do":"flip"}',
    '{"do":"flip","switch":0}',
    '{"do":"flip","switch":65}',
    '{"do":"flip","switch":"1"}',
    '{"do":"flip","switch":1.0}',
    '{"do":"flip","switch":true}',
    '{"do":"set","switch":1,"on":1}',
    '{"do":"tempo","bpm":19}',
    '{"do":"tempo","bpm":1e999}',
    '{"do":"tempo","bpm":NaN}',
    '{"do":"tempo","bpm":true}',
    '{"do":"volume","gain_db":13}',
    '{"do":"volume","gain_db":null}',
    '{"do":"scene","name":"bridge"}',
    '{"do":"scene","name":0}',
    '{"do":"sleep","minutes":-1}',
    '{"do":"quiet","on":1}',
    '{"do":"quiet"}',
    '{"do":"wake","at":"07:00"}',
    '{"do":"wander","bars":1}',
    '{"do":"sleep","minutes":100000}',
    "[" * 500,
]


@pytest.mark.parametrize(("line", "command"), COMMANDS.items())
def test_a_line_is_a_command(line, command):
    assert parse_message(line.encode(), SCENES, "phone") == command


@pytest.mark.parametrize("line", REFUSED)
def test_anything_else_is_refused_with_what_was_found(line):
    with pytest.raises(MessageError, match=r"found .+, expected") as refused:
        parse_message(line.encode(), SCENES, "phone")
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(["do", "switch", "on", "bpm", "gain_db", "minutes", "name", "x"])
WORDS = st.sampled_from(["flip", "set", "tempo", "volume", "keep", "scene", "sleep", "verse",
                         "quiet", "wake", "wander"])  # fmt: skip


@given(st.binary(max_size=200) | st.dictionaries(KEYS, WORDS | VALUES).map(
    lambda message: json.dumps(message).encode()))  # fmt: skip
def test_no_line_does_anything_but_a_command_in_its_range(line):
    try:
        command = parse_message(line, SCENES, "phone")
    except MessageError:
        return
    match command:
        case FlipSwitch(index) | SetSwitch(index):
            assert 0 <= index < 64
        case SetTempo(bpm):
            assert 20 <= bpm <= 400
        case SetVolume(gain_db):
            assert -60 <= gain_db <= 12
        case Sleep(minutes):
            assert 0 <= minutes <= 24 * 60
        case _:
            others = Keep(), Wake(), Wander(), SetQuiet(True), SetQuiet(False)
            assert command in (*others, Recall(0, "phone"), Recall(1, "phone"))
