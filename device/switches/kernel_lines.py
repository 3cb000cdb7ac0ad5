"""Input lines of a GPIO chip, by the kernel's own interface: `linux/gpio.h`, version 2, Linux 5.10.

All lines of a request are read in one system call. Python's lock is released meanwhile, which no
package for pins does: a chip on a bus that hangs stops the thread that reads it, and no other.
"""

import errno
import os
import struct
import sys
from collections.abc import Collection, Sequence
from fcntl import ioctl
from pathlib import Path

from device.closeable import Closeable

DEVICES = Path("/dev")
CONSUMER = b"switchboard"
MOST_LINES = 64

# The numbers contain the sizes of the structures below.
GET_CHIP_INFO, GET_LINE_INFO = 0x8044B401, 0xC100B405
GET_LINES, GET_VALUES = 0xC250B407, 0xC010B40E
# name, label, number of lines.
CHIP_INFO = struct.Struct("=32s32sI")
# name, consumer, offset, number of attributes, flags.
LINE_INFO = struct.Struct("=32s32sIIQ176x")
# offsets, consumer, flags, number of lines, fd; no attributes and no buffer of events between.
LINE_REQUEST = struct.Struct("=256s32sQ264xI4x20xi")
# bits, mask.
LINE_VALUES = struct.Struct("=QQ")
IS_USED, IS_INPUT = 1 << 0, 1 << 2
# Pull-up, pull-down, neither.
BIAS = {True: 1 << 8, False: 1 << 9, None: 1 << 10}


class LineRequest(Closeable):
    """Lines of one chip, held as inputs until they are closed or the process ends.

    Parameters
    ----------
    chip : Path
        Such as /dev/gpiochip0.
    lines : sequence of int
        1 to `MOST_LINES` of them, each once.
    pull_up : bool or None
        True: with the chip's pull-ups, False: its pull-downs; None: neither.

    Raises
    ------
    OSError
        If the chip is not there or not permitted, or a line is taken or does not exist; in words.
    """

    def __init__(self, chip: Path, lines: Sequence[int], pull_up: bool | None) -> None:
        self._fd: int | None = None
        self._all = LINE_VALUES.pack(0, (1 << len(lines)) - 1)
        with _Chip(chip) as opened:
            self._fd = opened.request(lines, IS_INPUT | BIAS[pull_up])

    def read(self) -> int:
        """The levels: bit i is that of the line i of `lines`, 1 where it is high.

        Raises
        ------
        OSError
            If the chip does not answer, or the request is closed.
        """
        if self._fd is None:
            raise OSError(errno.EBADF, "the lines are closed")
        bits, _ = LINE_VALUES.unpack(ioctl(self._fd, GET_VALUES, self._all))
        return int(bits)

    def close(self) -> None:
        """Release the lines; may be called again."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def chip_path(number: int) -> Path:
    """Where the kernel puts a chip."""
    return DEVICES / f"gpiochip{number}"


def find_chip(labels: Collection[str]) -> Path | None:
    """The chip whose driver calls it by one of these names; None if there is none.

    Raises
    ------
    OSError
        If there is a chip that may not be opened, and none of the others is it.
    """
    refused: OSError | None = None
    for path in sorted(DEVICES.glob("gpiochip*")):
        try:
            with _Chip(path) as chip:
                if chip.label in labels:
                    return path
        except OSError as error:
            refused = refused or error
    if refused is not None:
        raise refused
    return None


class _Chip(Closeable):
    """An open chip: what it is called, and requests for its lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            info = ioctl(self._fd, GET_CHIP_INFO, bytes(CHIP_INFO.size))
        except OSError as error:
            self.close()
            raise OSError(error.errno, f"{path}: {error.strerror}") from error
        _, label, self.n_lines = CHIP_INFO.unpack(info)
        self.label = _text(label)

    def request(self, lines: Sequence[int], flags: int) -> int:
        """A file descriptor that holds these lines."""
        offsets = b"".join(line.to_bytes(4, sys.byteorder) for line in lines)
        packed = LINE_REQUEST.pack(offsets, CONSUMER, flags, len(lines), 0)
        try:
            answer = ioctl(self._fd or 0, GET_LINES, packed)
        except OSError as error:
            raise OSError(error.errno, self._reason(lines, error)) from error
        return int(LINE_REQUEST.unpack(answer)[-1])

    def close(self) -> None:
        """Close the chip; lines that were requested stay held."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _reason(self, lines: Sequence[int], error: OSError) -> str:
        """Why lines were not given, in words."""
        if absent := [line for line in lines if line >= self.n_lines]:
            return f"{self._path} has {self.n_lines} lines, and no line {absent[0]}"
        used = []
        for line in lines:
            asked = LINE_INFO.pack(b"", b"", line, 0, 0)
            _, user, _, _, flags = LINE_INFO.unpack(ioctl(self._fd or 0, GET_LINE_INFO, asked))
            if flags & IS_USED:
                used.append(f"line {line} is used by {_text(user) or 'the kernel'!r}")
        return f"{self._path}: {'; '.join(used) or error.strerror}"


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="replace")
