"""A reader of untrusted protobuf messages: a schema defines the fields, limits their number.

The wire format is that of https://protobuf.dev/programming-guides/encoding: a message is a row of
fields, each a number, a wire type and a value. Standard library alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

# A message: for each field present, by name, its values in their order.
Message = dict[str, list[Any]]
# The fields of a message: number → (name, kind). A kind is one of `SCALARS` or another message's.
Schema = Mapping[str, Mapping[int, tuple[str, str]]]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Wire types that each kind of scalar may have. Repeated numbers come one by one or packed.
SCALARS = {
    "number": (_VARINT,),
    "numbers": (_VARINT, _BYTES),
    "bytes": (_BYTES,),
    "float": (_FIXED32,),
    # Only counted: their values are not needed here.
    "floats": (_FIXED32, _BYTES),
    "doubles": (_FIXED64, _BYTES),
    "varints": (_VARINT, _BYTES),
}
_MOST_VARINT_BYTES = 10


class DamagedMessage(ValueError):
    """The bytes are not a protobuf message of this kind."""


class ForbiddenField(ValueError):
    """The message contains a field that the schema does not have, or exceeds a limit.

    Attributes
    ----------
    kind, number
        Of the message and the field that the schema does not have.
    """

    def __init__(self, content: str, kind: str = "", number: int = 0) -> None:
        super().__init__(content)
        self.kind = kind
        self.number = number


class MessageReader:
    """Reads messages of one schema.

    Parameters
    ----------
    most_fields, most_depth : int
        Limits of a message, with the messages inside it.
    """

    def __init__(self, schema: Schema, *, most_fields: int, most_depth: int) -> None:
        self._schema = schema
        self._most_depth = most_depth
        self._most_fields = most_fields
        self._n_fields = 0

    def read(self, kind: str, data: bytes) -> Message:
        """Read a message of a kind.

        Raises
        ------
        DamagedMessage, ForbiddenField
        """
        self._n_fields = 0
        return self._read(kind, memoryview(data), 0)

    def _read(self, kind: str, data: memoryview, depth: int) -> Message:
        if depth > self._most_depth:
            raise ForbiddenField(f"messages more than {self._most_depth} deep in each other")
        schema = self._schema[kind]
        message: Message = {}
        for number, wire_type, value in fields(data):
            self._count()
            if number not in schema:
                raise ForbiddenField(f"field {number} in a {kind}", kind, number)
            name, inner = schema[number]
            message.setdefault(name, []).extend(self._values(inner, wire_type, value, depth))
        return message

    def _values(self, kind: str, wire_type: int, value: Any, depth: int) -> list[Any]:
        allowed = SCALARS.get(kind, (_BYTES,))
        if wire_type not in allowed:
            raise DamagedMessage(f"wire type {wire_type} for {kind}")
        if kind not in SCALARS:
            return [self._read(kind, value, depth + 1)]
        if kind == "numbers" and wire_type == _BYTES:
            return list(self._packed(value))
        return [_signed(value) if kind in ("number", "numbers") else value]

    def _packed(self, data: memoryview) -> Iterator[int]:
        at = 0
        while at < len(data):
            self._count()
            value, at = _varint(data, at)
            yield _signed(value)

    def _count(self) -> None:
        self._n_fields += 1
        if self._n_fields > self._most_fields:
            raise ForbiddenField(f"more than {self._most_fields:,} fields")


def fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field; a value is a number or a view of the bytes.

    Raises
    ------
    DamagedMessage
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire_type = key & 7
        value: int | memoryview
        if wire_type == _VARINT:
            value, at = _varint(data, at)
        else:
            n_bytes, at = _n_bytes(wire_type, data, at)
            value, at = data[at : at + n_bytes], at + n_bytes
        if at > len(data):
            raise DamagedMessage("a field longer than its message")
        yield key >> 3, wire_type, value


def _n_bytes(wire_type: int, data: memoryview, at: int) -> tuple[int, int]:
    if wire_type == _BYTES:
        return _varint(data, at)
    if wire_type in (_FIXED32, _FIXED64):
        return (4 if wire_type == _FIXED32 else 8), at
    raise DamagedMessage(f"wire type {wire_type}")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_MOST_VARINT_BYTES):
        if at + place >= len(data):
            raise DamagedMessage("a number that breaks off")
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value & (2**64 - 1), at + place + 1
    raise DamagedMessage("a number without an end")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
