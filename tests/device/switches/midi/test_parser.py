"""MIDI bytes, compared with mido: cut anywhere, with running status and bytes of real time."""

from itertools import pairwise

import mido
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.switches.midi.parser import MOST_EXCLUSIVE_BYTES, Message, MidiParser

number = st.integers(0, 127)
channel = st.integers(0, 15)
channel_messages = st.one_of(
    st.builds(mido.Message, st.sampled_from(["note_on", "note_off"]), channel=channel,
              note=number, velocity=number),
    st.builds(mido.Message, st.just("control_change"), channel=channel, control=number,
              value=number),
    st.builds(mido.Message, st.just("polytouch"), channel=channel, note=number, value=number),
    st.builds(mido.Message, st.just("program_change"), channel=channel, program=number),
    st.builds(mido.Message, st.just("aftertouch"), channel=channel, value=number),
    st.builds(mido.Message, st.just("pitchwheel"), channel=channel,
              pitch=st.integers(-8192, 8191)),
)  # fmt: skip
system_messages = st.one_of(
    st.builds(mido.Message, st.just("sysex"), data=st.lists(number, max_size=20)),
    st.builds(mido.Message, st.just("songpos"), pos=st.integers(0, 16383)),
    st.builds(mido.Message, st.just("song_select"), song=number),
    st.builds(mido.Message, st.just("quarter_frame"), frame_type=st.integers(0, 7),
              frame_value=st.integers(0, 15)),
    st.builds(mido.Message, st.just("tune_request")),
)  # fmt: skip
real_time = st.sampled_from([0xF8, 0xFA, 0xFB, 0xFC, 0xFE, 0xFF])


def as_bytes(message):
    end = [0xF7] if message.status == 0xF0 else []
    return [message.status, *message.data, *end]


def parsed(pieces):
    parser = MidiParser()
    return [as_bytes(message) for piece in pieces for message in parser.feed(bytes(piece))]


def cut(stream, places):
    bounds = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in pairwise(bounds)]


def with_running_status(messages):
    """The bytes of messages, with each status that can be left out left out."""
    stream, running = [], None
    for message in messages:
        data = message.bytes()
        stream += data[1:] if data[0] == running else data
        running = data[0] if data[0] < 0xF0 else None
    return stream


@given(st.lists(st.one_of(channel_messages, system_messages)), st.lists(st.integers(0, 999)))
def test_messages_are_those_of_mido_wherever_the_stream_is_cut(messages, places):
    stream = [byte for message in messages for byte in message.bytes()]
    assert parsed(cut(stream, places)) == [m.bytes() for m in mido.parse_all(stream)]


@given(st.lists(st.one_of(channel_messages, system_messages)), st.lists(st.integers(0, 999)))
def test_running_status_gives_the_messages_with_every_status_in_place(messages, places):
    stream = with_running_status(messages)
    assert parsed(cut(stream, places)) == [message.bytes() for message in messages]


@given(
    st.lists(st.one_of(channel_messages, system_messages), min_size=1),
    st.lists(st.tuples(st.integers(0, 999), real_time), min_size=1),
    st.lists(st.integers(0, 999)),
)
def test_real_time_bytes_inside_messages_come_out_and_change_nothing(messages, inserted, places):
    stream = with_running_status(messages)
    for place, byte in inserted:
        stream.insert(place % (len(stream) + 1), byte)
    found = parsed(cut(stream, places))
    assert [m for m in found if m[0] < 0xF8] == [message.bytes() for message in messages]
    assert [m for m in found if m[0] >= 0xF8] == [[b] for b in stream if b >= 0xF8]


@given(st.binary(max_size=200), st.lists(st.integers(0, 999)))
def test_any_bytes_give_whole_messages_and_cutting_changes_none(stream, places):
    found = parsed([stream])
    assert parsed(cut(stream, places)) == found
    for message in found:
        assert message[0] >= 0x80 and all(byte < 0x80 or byte == 0xF7 for byte in message[1:])
        assert [m.bytes() for m in mido.parse_all(message)] == [message]


@given(st.binary(max_size=100), channel_messages)
def test_after_any_bytes_the_next_message_is_understood(noise, message):
    assert parsed([noise, message.bytes()])[-1] == message.bytes()


def test_a_system_exclusive_message_without_an_end_is_dropped_and_costs_no_memory():
    parser = MidiParser()
    parser.feed(b"\xf0")
    for _ in range(40):
        assert parser.feed(bytes(MOST_EXCLUSIVE_BYTES // 16)) == []
    assert parser.feed(b"\xf7\x90\x24\x40") == [Message(0x90, b"\x24\x40")]
    assert len(parser._data) == 0


@pytest.mark.parametrize(("status", "expected"), [(0x90, 1), (0x9F, 16), (0xF8, None)])
def test_channels_are_counted_from_one(status, expected):
    assert Message(status, b"\0\0").channel == expected
