"""Switches on the lines of an MCP23017, or another GPIO chip that the kernel knows, by lgpio.

gpiozero knows the header's pins only. lgpio is imported when a chip is opened, not with this
module.
"""

import errno
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

Report = Callable[[str], object]


class ExpanderInput:
    """One line, with what `GpioSwitches` uses of a gpiozero device: `pin.state` and `close`."""

    def __init__(self, chip: "Expander", index: int) -> None:
        self._chip = chip
        self._index = index

    @property
    def pin(self) -> "ExpanderInput":
        """Itself: a line is read, not driven."""
        return self

    @property
    def state(self) -> bool:
        """Whether the line was high when the chip was read last."""
        return bool(self._chip.levels >> self._index & 1)

    def close(self) -> None:
        """Do nothing: the chip is closed with all its lines."""


class Expander:
    """The lines of one chip, read together: over I2C one line takes as long as sixteen.

    A chip that no longer answers is reported once; its switches stay as they are until it does.

    Parameters
    ----------
    number : int
        Of /dev/gpiochipN.
    lines : sequence of int
    pull_up : bool or None
        True: with the chip's pull-ups, False: its pull-downs; None: neither.

    Attributes
    ----------
    inputs : list of ExpanderInput
        One for each line.
    levels : int
        Bit i is the level of line i of `lines`, as it was read last.

    Raises
    ------
    lgpio.error, OSError
        If the chip is not there, or a line is taken or has no such pull.
    """

    def __init__(
        self, number: int, lines: Sequence[int], pull_up: bool | None, report: Report | None
    ) -> None:
        import lgpio

        self._lgpio: Any = lgpio
        self._number = number
        self._report = report
        self._is_lost = False
        self._leader = lines[0]
        self._handle: int | None = lgpio.gpiochip_open(number)
        self.inputs = [ExpanderInput(self, index) for index in range(len(lines))]
        pulls = {True: lgpio.SET_PULL_UP, False: lgpio.SET_PULL_DOWN, None: lgpio.SET_PULL_NONE}
        self.levels = 0
        try:
            lgpio.group_claim_input(self._handle, list(lines), pulls[pull_up])
            self.levels = self._read()
        except BaseException:
            self.close()
            raise

    def refresh(self) -> None:
        """Read all lines."""
        try:
            self.levels = self._read()
            is_lost = False
        except (self._lgpio.error, OSError) as error:
            is_lost, reason = True, str(error)
        if is_lost != self._is_lost and self._report is not None:
            if is_lost:
                how = f"does not answer ({reason}): its switches stay as they are; check its wires"
            else:
                how = "answers again"
            self._report(f"gpiochip{self._number} {how}")
        self._is_lost = is_lost

    def close(self) -> None:
        """Release the lines; idempotent."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(self._lgpio.error):
                self._lgpio.gpiochip_close(handle)

    def _read(self) -> int:
        n_lines, levels = self._lgpio.group_read(self._handle, self._leader)
        if n_lines < 0:
            raise OSError(errno.EIO, self._lgpio.error_text(n_lines))
        return int(levels)
