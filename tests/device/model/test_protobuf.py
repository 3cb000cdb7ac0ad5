"""The reader of protobuf: it reads every allowed field, and refuses damaged or forbidden ones."""

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
    ("data", "words"),
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
def test_a_damaged_message_is_refused_with_the_damage_named(data, words):
    with pytest.raises(DamagedMessage, match=words):
        read(data)


def test_an_unknown_field_is_forbidden_and_named():
    with pytest.raises(ForbiddenField, match="field 9 in a outer") as caught:
        read(field(4, field(9, 1)))
    assert (caught.value.kind, caught.value.number) == ("outer", 9)


def test_the_number_and_the_depth_of_fields_are_limited():
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
def test_arbitrary_bytes_are_read_or_refused(data):
    try:
        read(data)
    except (DamagedMessage, ForbiddenField):
        return
