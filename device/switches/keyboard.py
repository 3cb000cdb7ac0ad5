"""Switches on the keyboard of the terminal: a key per switch."""

import os
import re
import select
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from device.console import without_errors
from device.errors import SwitchesUnavailable
from device.switches.base import SwitchesBase
from device.switches.bits import Bits, fit

# k, r and q are commands, so they are no switches.
SWITCH_KEYS = "123456789abcdefghijlmnopstuvwxyz"
STDIN = 0

# Arrow and function keys arrive as several characters, some of which are switch keys.
_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:[\[O][0-9;]*[ -/]*[@-~]?)?")


class KeyboardSwitches(SwitchesBase):
    """Switches under the keys of `SWITCH_KEYS`.

    The other keys: r random, 0 all off, space prints the share code, k keeps the last minutes, q
    ends.

    The terminal stays in cbreak mode until `close`: keys arrive at once and are not echoed, and
    Ctrl-C still interrupts.

    Parameters
    ----------
    print_share_code : callable
        Called when the space bar is pressed.
    keep : callable
        Called when k is pressed.
    start : Bits or None
        Initial states; None: all off.
    fd : int
        File descriptor of the terminal.

    Raises
    ------
    SwitchesUnavailable
        If it is not a terminal.
    """

    def __init__(
        self,
        n_switches: int,
        *,
        rng: np.random.Generator,
        print_share_code: Callable[[], None],
        keep: Callable[[], None] = lambda: None,
        start: Bits | None = None,
        fd: int = STDIN,
    ) -> None:
        if not os.isatty(fd):
            raise SwitchesUnavailable(
                "keyboard: found standard input that is not a terminal, expected a terminal; "
                "run it in one, or choose a script or the demo"
            )
        self.n_switches = n_switches
        self._rng = rng
        self._print_share_code = without_errors(lambda _: print_share_code())
        self._keep = without_errors(lambda _: keep())
        self._fd = fd
        self._bits = list(fit(start or (), n_switches))
        self._finished = False
        self._at_end = False
        self._saved_mode: list[Any] | None = termios.tcgetattr(fd)
        if _in_foreground(fd):
            self._listen()

    @property
    def finished(self) -> bool:
        """Whether q was pressed."""
        return self._finished

    def read(self, seconds: float) -> Bits:
        """Process the keys pressed since the last call; never waits for one."""
        for key in _ESCAPE_SEQUENCE.sub("", self._pending()).lower():
            self._press(key)
        return tuple(self._bits)

    def fit(self, n_switches: int) -> None:
        """Change the number of keys; the switches that remain keep their states."""
        self.n_switches = n_switches
        self._bits = list(fit(tuple(self._bits), n_switches))

    def close(self) -> None:
        """Restore the terminal's mode; may be called again."""
        mode, self._saved_mode = self._saved_mode, None
        if mode is not None and _in_foreground(self._fd):
            with suppress(termios.error):  # It may have hung up.
                termios.tcsetattr(self._fd, termios.TCSADRAIN, mode)

    def _pending(self) -> str:
        """Return the keys pressed since the last call; after the end of input, none."""
        # In the background, using the terminal would stop the process and so the music.
        if self._saved_mode is None or self._at_end or not _in_foreground(self._fd):
            return ""
        try:
            self._listen()
            if not select.select([self._fd], [], [], 0)[0]:
                return ""
            keys = os.read(self._fd, 256)
        except (OSError, termios.error):
            # The terminal hung up.
            keys = b""
        self._at_end = not keys
        return keys.decode("ascii", errors="ignore")

    def _listen(self) -> None:
        # Checked every time: a shell sets its own mode when the process is suspended and resumed.
        if termios.tcgetattr(self._fd)[3] & termios.ICANON:
            tty.setcbreak(self._fd, termios.TCSADRAIN)

    def _press(self, key: str) -> None:
        switch = SWITCH_KEYS.find(key)
        if 0 <= switch < self.n_switches:
            self._bits[switch] = not self._bits[switch]
        elif key == "r":
            # At least one flip, so that r always changes the sound.
            flips = int(self._rng.integers(1, 2 ** min(self.n_switches, len(SWITCH_KEYS))))
            self._bits = [bit ^ bool(flips >> i & 1) for i, bit in enumerate(self._bits)]
        elif key == "0":
            self._bits = [False] * self.n_switches
        elif key == " ":
            self._print_share_code(key)
        elif key == "k":
            self._keep(key)
        elif key == "q":
            self._finished = True


def key_help(n_switches: int) -> str:
    """Name the keys in one line."""
    last = SWITCH_KEYS[:n_switches][-1]
    keys = "1" if n_switches == 1 else f"1-{last}" if n_switches <= 9 else f"1-9 a-{last}"
    return f"{keys} switch   r random   0 all off   space share code   k keep   q quit"


def _in_foreground(fd: int) -> bool:
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        # Not our controlling terminal: job control does not apply.
        return True
