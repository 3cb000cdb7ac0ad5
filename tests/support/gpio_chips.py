"""A stand-in for the kernel's GPIO chips, whose lines are set by a test.

It answers the system calls of `device.switches.kernel_lines`. File descriptors are real ones: a
line is held as long as the file of its request is open.
"""

import errno
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from device.switches import kernel_lines as kernel


@dataclass
class Chip:
    """`levels[line]`: high or low; a line that is not there is high, as with a pull-up.

    Attributes
    ----------
    consumers : dict
        Line → what holds it from elsewhere.
    flags : int
        The lines were requested with.
    """

    label: str = "mcp23017"
    n_lines: int = 16
    levels: dict = field(default_factory=dict)
    consumers: dict = field(default_factory=dict)
    flags: int = 0


class GpioChips:
    """The chips of a folder, by number.

    Attributes
    ----------
    n_reads : int
        Accesses to a chip.
    is_broken : bool
        Every read fails, as of a chip without power.
    hangs : threading.Event
        Cleared, reads wait until it is set.
    """

    def __init__(self, folder, chips):
        self.chips = chips
        self.n_reads = 0
        self.is_broken = False
        self.hangs = threading.Event()
        self.hangs.set()
        self._folder = folder
        self._requests = {}
        for number in chips:
            (folder / f"gpiochip{number}").touch()

    def __getitem__(self, number):
        return self.chips[number]

    @property
    def held(self):
        """(chip, line) of all requests whose file is open."""
        return {
            (number, line)
            for fd, (file, number, lines) in self._requests.items()
            if _file_of(fd) == file
            for line in lines
        }

    def ioctl(self, fd, number, argument):
        """As the kernel's."""
        if number == kernel.GET_VALUES:
            return self._values(fd, argument)
        at = int(_file_of(fd).rpartition("gpiochip")[2])
        if number == kernel.GET_CHIP_INFO:
            chip = self.chips[at]
            return kernel.CHIP_INFO.pack(b"", chip.label.encode(), chip.n_lines)
        if number == kernel.GET_LINE_INFO:
            return self._line_info(at, argument)
        assert number == kernel.GET_LINES
        return self._request(at, argument)

    def _user(self, at, line):
        if (at, line) in self.held:
            return "switchboard"
        return self.chips[at].consumers.get(line)

    def _line_info(self, at, argument):
        line = kernel.LINE_INFO.unpack(argument)[2]
        user = self._user(at, line)
        flags = 0 if user is None else kernel.IS_USED
        return kernel.LINE_INFO.pack(b"", (user or "").encode(), line, 0, flags)

    def _request(self, at, argument):
        offsets, consumer, flags, n_lines, _ = kernel.LINE_REQUEST.unpack(argument)
        lines = memoryview(offsets).cast("I").tolist()[:n_lines]
        if any(line >= self.chips[at].n_lines for line in lines):
            raise OSError(errno.EINVAL, "Invalid argument")
        if any(self._user(at, line) is not None for line in lines) or len(set(lines)) < n_lines:
            raise OSError(errno.EBUSY, "Device or resource busy")
        file = self._folder / f"request{len(self._requests)}"
        file.touch()
        fd = os.open(file, os.O_RDONLY)
        self._requests[fd] = (str(file), at, lines)
        self.chips[at].flags = flags
        return kernel.LINE_REQUEST.pack(offsets, consumer, flags, n_lines, fd)

    def _values(self, fd, argument):
        self.n_reads += 1
        self.hangs.wait()
        if self.is_broken:
            raise OSError(errno.EREMOTEIO, "Remote I/O error")
        _, at, lines = self._requests[fd]
        _, mask = kernel.LINE_VALUES.unpack(argument)
        assert mask == (1 << len(lines)) - 1
        levels = self.chips[at].levels
        bits = sum(levels.get(line, True) << i for i, line in enumerate(lines))
        return kernel.LINE_VALUES.pack(bits, mask)


def install_chips(monkeypatch, folder, chips):
    """Put a stand-in with these chips, by number, in the place of the kernel."""
    folder.mkdir(exist_ok=True)
    stand_in = GpioChips(folder, chips)
    monkeypatch.setattr(kernel, "DEVICES", folder)
    monkeypatch.setattr(kernel, "ioctl", stand_in.ioctl)
    return stand_in


def _file_of(fd):
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError:
        return None
