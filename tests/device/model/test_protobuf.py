"""The reader of protobuf: what is there comes out, what is not or must not be is said."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.model.protobuf import DamagedMessage, ForbiddenField, MessageReader

SCHEMA = {
    "outer": {1: ("n", "number"), 2: ("many", "numbers"), 3: ("text", "bytes"), 4: ("in", "outer")},
    "plain": {1: ("x", "float"), 2: ("xs", "floats"), 3: ("y", "doubles"), 4: ("k", "varints")},
}


def varint(value):
    value &= 2**64 - 1
    digits = []
    while True:
        digits.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(digits)


def field(number, data):
    if isinstance(data, int):
        return varint(number << 3) + varint(data)
    return varint(number << 3 | 2) + varint(len(data)) + data


def read(data, kind="outer", *, most_fields=100, most_depth=4):
    reader = MessageReader(SCHEMA, most_fields=most_fields, most_depth=most_depth)
    return reader.read(kind, data)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_whole_number_comes_back(number):
    assert read(field(1, number)) == {"n": [number]}


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_repeated_numbers_are_the_same_packed_or_one_by_one(numbers):
    one_by_one = b"".join(field(2, n) for n in numbers)
    packed = field(2, b"".join(map(varint, numbers)))
    assert read(packed)["many"] == numbers
    assert read(one_by_one).get("many", []) == numbers


def test_texts_and_messages_in_messages_come_back_in_order():
    inner = field(3, b"deep")
    message = read(field(3, b"a") + field(4, inner) + field(3, b"b") + field(4, b""))
    assert [bytes(text) for text in message["text"]] == [b"a", b"b"]
    assert [bytes(t) for m in message["in"] for t in m.get("text", [])] == [b"deep"]
    assert read(b"") == {}


def test_floats_are_counted_without_being_read():
    data = b"\x0d" + struct.pack("<f", 1.5) + field(2, b"\0" * 8) + field(4, b"\1\2")
    assert {name: len(values) for name, values in read(data, "plain").items()} == {
        "x": 1,
        "xs": 1,
        "k": 1,
    }


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x08", "breaks off"),
        (b"\x08" + b"\xff" * 10, "without an end"),
        (b"\x1a\x05abc", "longer than its message"),
        (b"\x1a\xff\xff\xff\xff\x0f", "longer than its message"),
        (b"\x0b", "wire type 3"),
        (b"\x0f", "wire type 7"),
        (b"\x0d\0\0\0\0", "wire type 5 for number"),
        (b"\x20\x01", "wire type 0 for outer"),
        (field(2, b"\x80"), "breaks off"),
    ],
)
def test_a_damaged_message_is_said_to_be_one(data, said):
    with pytest.raises(DamagedMessage, match=said):
        read(data)


def test_an_unknown_field_is_forbidden_and_named():
    with pytest.raises(ForbiddenField, match="field 9 in a outer") as caught:
        read(field(4, field(9, 1)))
    assert (caught.value.kind, caught.value.number) == ("outer", 9)


def test_there_is_an_end_to_how_many_and_how_deep():
    data = b""
    for _ in range(4):
        data = field(4, data)
    read(data)
    with pytest.raises(ForbiddenField, match="more than 4 deep"):
        read(field(4, data))
    read(field(1, 1) * 100)
    with pytest.raises(ForbiddenField, match="more than 100 fields"):
        read(field(1, 1) * 101)
    with pytest.raises(ForbiddenField, match="more than 100 fields"):
        read(field(2, b"\1" * 101))


@given(st.binary(max_size=200))
def test_whatever_comes_the_reader_answers_or_refuses(data):
    try:
        read(data)
    except (DamagedMessage, ForbiddenField):
        return
