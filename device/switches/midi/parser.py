"""MIDI bytes to messages, by MIDI 1.0: a state machine that takes one byte after another."""

from dataclasses import dataclass

NOTE_OFF, NOTE_ON, CONTROL_CHANGE, PROGRAM_CHANGE = 0x80, 0x90, 0xB0, 0xC0
SYSTEM_EXCLUSIVE, END_OF_EXCLUSIVE = 0xF0, 0xF7
SONG_POSITION = 0xF2
CLOCK, START, CONTINUE, STOP = 0xF8, 0xFA, 0xFB, 0xFC
REAL_TIME = 0xF8
# Of the clock, and the unit of the song position.
PULSES_PER_BEAT, PULSES_PER_SIXTEENTH = 24, 6

# Data bytes after a status byte; of channel messages by the upper four bits. 0xF4, 0xF5, 0xF9 and
# 0xFD are not defined: they are ignored.
_N_DATA = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
_N_SYSTEM_DATA = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0}
_WITHOUT_DATA = frozenset((0xF6,))
_DEFINED_REAL_TIME = frozenset((0xF8, 0xFA, 0xFB, 0xFC, 0xFE, 0xFF))
# What a sender without an end may make us keep; a longer one is dropped whole.
MOST_EXCLUSIVE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes
    ----------
    status : int
        0x80 to 0xFF, the channel included.
    data : bytes
        Each 0 to 127; of a system exclusive message without its end.
    """

    status: int
    data: bytes = b""

    @property
    def kind(self) -> int:
        """The status without the channel."""
        return self.status & 0xF0 if self.status < SYSTEM_EXCLUSIVE else self.status

    @property
    def channel(self) -> int | None:
        """1 to 16; None for a system message."""
        return (self.status & 0x0F) + 1 if self.status < SYSTEM_EXCLUSIVE else None


class MidiParser:
    """Takes bytes in pieces of any length, and gives the messages that are complete.

    Running status is kept, and ended by system messages. A real-time byte inside another message
    comes out first and changes nothing. A status byte ends a message that is not complete, which is
    dropped; data without a status are ignored.
    """

    def __init__(self) -> None:
        self._status = 0  # 0: data have no meaning
        self._n_data = 0
        self._data = bytearray()

    def feed(self, piece: bytes) -> list[Message]:
        """The messages that these bytes complete, in the order of their last bytes."""
        messages: list[Message] = []
        for byte in piece:
            message = self._take(byte)
            if message is not None:
                messages.append(message)
        return messages

    def _take(self, byte: int) -> Message | None:
        if byte >= REAL_TIME:
            return Message(byte) if byte in _DEFINED_REAL_TIME else None
        if byte >= 0x80:
            return self._take_status(byte)
        if self._status == 0:
            return None
        self._data.append(byte)
        if self._status == SYSTEM_EXCLUSIVE:
            if len(self._data) > MOST_EXCLUSIVE_BYTES:
                self._status = 0
            return None
        return self._completed() if len(self._data) == self._n_data else None

    def _take_status(self, byte: int) -> Message | None:
        if byte == END_OF_EXCLUSIVE and self._status == SYSTEM_EXCLUSIVE:
            return self._completed()
        self._data.clear()
        self._n_data = _N_DATA.get(byte & 0xF0) or _N_SYSTEM_DATA.get(byte, 0)
        is_known = byte <= SYSTEM_EXCLUSIVE or byte in _N_SYSTEM_DATA
        self._status = byte if is_known else 0
        return self._completed() if is_known and byte in _WITHOUT_DATA else None

    def _completed(self) -> Message:
        message = Message(self._status, bytes(self._data))
        self._data.clear()
        # Running status: data that follow a channel message have its status again.
        if self._status >= SYSTEM_EXCLUSIVE:
            self._status = 0
        return message
