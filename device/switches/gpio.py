"""Toggle switches on the pins of a Raspberry Pi or an expander, each between its pin and ground.

gpiozero is imported when switches are opened, not with this module.
"""

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from device.console import without_errors
from device.errors import SwitchesUnavailable
from device.switches.base import SwitchesBase
from device.switches.bits import Bits
from device.switches.debounce import LOCKOUT_SECONDS, ChatterFilter, Debounce
from device.switches.pinout import ChipLine, Pin, describe
from device.switches.wiring import Wiring

if TYPE_CHECKING:
    from gpiozero import InputDevice

    from device.switches.expander import Expander, ExpanderInput

CLOSE_RETRY_SECONDS = 0.01

Report = Callable[[str], None]

_log = logging.getLogger("switchboard")


class GpioSwitches(SwitchesBase):
    """A switch per pin (BCM number or line of an expander), debounced, held while it chatters.

    Parameters
    ----------
    report : callable or None
        Takes one line when a switch begins to chatter, and when it is calm again.
    active_high : bool
        Closed to 3.3 V is on, with a pull-down; else closed to ground, with a pull-up.
    pulled_outside : bool
        The resistor is on the board; else the one inside the Pi is used.

    Raises
    ------
    SwitchesUnavailable
        If this machine has no such pins, they are taken or not permitted.
    """

    def __init__(
        self,
        pins: Sequence[Pin],
        *,
        report: Report | None = None,
        active_high: bool = False,
        pulled_outside: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        lockout_seconds: float = LOCKOUT_SECONDS,
    ) -> None:
        self.n_switches = len(pins)
        self._clock = clock
        self._sleep = sleep
        self._debounce = Debounce(len(pins), lockout_seconds)
        self._chatter_filter = ChatterFilter(
            len(pins), None if report is None else self._report_chatter
        )
        self._pins = tuple(pins)
        self._report = None if report is None else without_errors(report)
        self._active_high = active_high
        self._pulled_outside = pulled_outside
        self._closed = active_high
        self._settled: Bits | None = None
        self._contacts: list[InputDevice | ExpanderInput] = []
        self._expanders: list[Expander] = []
        self._open(pins)

    @classmethod
    def of(cls, wiring: Wiring, *, report: Report | None = None) -> "GpioSwitches":
        """The switches of a wiring.

        Raises
        ------
        SwitchesUnavailable
            As for the class.
        """
        return cls(
            wiring.pins,
            report=report,
            active_high=wiring.active_high,
            pulled_outside=wiring.pulled_outside,
        )

    def read(self, seconds: float) -> Bits:
        """Read every pin's level, without bounce and chatter."""
        levels = self.levels()
        if levels == self._settled:
            return levels  # as nearly always: what follows is for changes
        now = self._clock()
        filtered = self._chatter_filter.update(self._debounce.update(levels, now), now)
        is_settled = filtered == levels and self._chatter_filter.is_settled
        self._settled = levels if is_settled else None
        return filtered

    def levels(self) -> Bits:
        """The raw levels of all switches."""
        # Of the pins and not of the devices around them: read once a hop, eight devices take as
        # long as the inversion.
        for expander in self._expanders:
            expander.refresh()
        closed = self._closed
        return tuple(bool(contact.pin.state) == closed for contact in self._contacts)

    @property
    def chattering(self) -> Bits:
        """Which switches are held because they chatter."""
        return self._chatter_filter.chattering

    def close(self) -> None:
        """Release the pins; may be called again."""
        # lgpio sometimes fails with 'GPIO busy' when it releases a line; seen 4 times in 320,
        # and the first retry always worked. The kernel frees the lines of an ended process anyway.
        errors = pin_errors() if self._contacts else ()
        while self._contacts:
            contact = self._contacts.pop()
            try:
                contact.close()
            except errors:
                self._sleep(CLOSE_RETRY_SECONDS)
                with suppress(*errors):
                    contact.close()
        while self._expanders:
            self._expanders.pop().close()

    def _open(self, pins: Sequence[Pin]) -> None:
        with warnings.catch_warnings(record=True) as fallbacks:
            warnings.simplefilter("always")
            try:
                self._claim(pins)
            except pin_errors() as error:
                self.close()
                reason = str(fallbacks[0].message) if fallbacks else str(error)
                raise _unavailable(pins, reason or type(error).__name__) from error
        for fallback in fallbacks:
            _log.warning("gpio: %s", fallback.message)

    def _claim(self, pins: Sequence[Pin]) -> None:
        # lgpio leaves a pipe in its working folder, which another user may own.
        os.environ.setdefault("LG_WD", tempfile.gettempdir())
        # InputDevice, not Button: it requests no edge events, so lgpio starts no thread.
        from gpiozero import InputDevice

        lines = self._claim_lines([pin for pin in pins if isinstance(pin, ChipLine)])
        for pin in pins:
            if isinstance(pin, ChipLine):
                contact = lines[pin]
            elif self._pulled_outside:
                contact = InputDevice(pin, pull_up=None, active_state=self._active_high)
            else:
                contact = InputDevice(pin, pull_up=not self._active_high)
            self._contacts.append(contact)

    def _claim_lines(self, lines: Sequence[ChipLine]) -> "dict[ChipLine, ExpanderInput]":
        from device.switches.expander import Expander

        inputs: dict[ChipLine, ExpanderInput] = {}
        pull_up = None if self._pulled_outside else not self._active_high
        for chip in sorted({line.chip for line in lines}):
            of_chip = [line for line in lines if line.chip == chip]
            expander = Expander(chip, [line.line for line in of_chip], pull_up, self._report)
            self._expanders.append(expander)
            inputs |= zip(of_chip, expander.inputs, strict=True)
        return inputs

    def _report_chatter(self, i: int, chatters: bool) -> None:
        if self._report is not None:
            how = "chatters, and is held where it was: check its wire" if chatters else "is calm"
            self._report(f"switch {i + 1} ({describe(self._pins[i])}) {how}")


def pin_errors() -> tuple[type[Exception], ...]:
    """Exceptions that gpiozero and the libraries below it raise."""
    known: tuple[type[Exception], ...] = (ImportError, OSError, RuntimeError, ValueError)
    with suppress(ImportError):
        from gpiozero import GPIOZeroError

        known += (GPIOZeroError,)
    # lgpio's own error is no OSError; a broken lgpio fails at its import with any of the above.
    with suppress(*known):
        import lgpio

        known += (lgpio.error,)
    return known


def _unavailable(pins: Sequence[Pin], reason: str) -> SwitchesUnavailable:
    numbers = ", ".join(map(str, pins))
    expander = ""
    if any(isinstance(pin, ChipLine) for pin in pins):
        expander = ", that config.txt has dtoverlay=mcp23017 (`gpiodetect` lists the chips)"
    return SwitchesUnavailable(
        f"gpio: found {' '.join(reason.split())}, expected switches on the pins {numbers} (BCM) of "
        f"a Raspberry Pi; check the pin list{expander}, that nothing else uses them and that the "
        "user is in the group gpio, or choose the keyboard"
    )
