"""A stand-in for lgpio: GPIO chips whose lines are set by a test."""

import sys
from types import ModuleType


class ChipError(Exception):
    """As lgpio's own, which is no OSError."""


class GpioChips(ModuleType):
    """`levels[chip][line]`: high or low; a line that is not there is high, as with a pull-up.

    Attributes
    ----------
    pulls : dict
        Chip → the flag that its lines were claimed with.
    n_reads : int
        Accesses to a chip.
    is_broken : bool
        Every access to a chip fails.
    """

    error = ChipError
    SET_PULL_UP, SET_PULL_DOWN, SET_PULL_NONE = 32, 64, 128

    def __init__(self, *chips):
        super().__init__("lgpio")
        self.levels = {chip: {} for chip in chips}
        self.pulls = {}
        self.open = []
        self.n_reads = 0
        self.is_broken = False
        self._groups = {}

    def gpiochip_open(self, chip):
        if chip not in self.levels:
            raise ChipError("can not open gpiochip")
        self.open.append(chip)
        return chip

    def gpiochip_close(self, handle):
        self.open.remove(handle)

    def group_claim_input(self, handle, lines, flags):
        if max(lines) > 15:
            raise ChipError("bad GPIO number")
        self.pulls[handle] = flags
        self._groups[handle, lines[0]] = list(lines)

    def group_read(self, handle, leader):
        self.n_reads += 1
        if self.is_broken:
            raise ChipError("GPIO read failed")
        lines = self._groups[handle, leader]
        levels = self.levels[handle]
        return [len(lines), sum(levels.get(line, True) << i for i, line in enumerate(lines))]

    def error_text(self, number):
        return f"error {number}"


def install_chips(monkeypatch, *chips):
    """Put a stand-in with these chips in the place of lgpio."""
    module = GpioChips(*chips)
    monkeypatch.setitem(sys.modules, "lgpio", module)
    return module
