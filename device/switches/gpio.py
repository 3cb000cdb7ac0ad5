"""Toggle switches on the pins of a Raspberry Pi or an expander, each between its pin and ground."""

import logging
import re
import time
import warnings
from collections.abc import Callable, Sequence

from device.console import without_errors
from device.errors import SwitchesUnavailable
from device.switches.base import SwitchesBase
from device.switches.bits import Bits
from device.switches.debounce import LOCKOUT_SECONDS, ChatterFilter, Debounce
from device.switches.header_pins import Levels, open_header, pin_errors
from device.switches.pinout import ChipLine, Pin, describe
from device.switches.wiring import Wiring

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
        self._settled: Bits | None = None
        # Of the pins in the order in which they are read, and the place of each switch in it.
        self._readers: list[tuple[int, Levels]] = []
        self._order: list[int] = []
        self._raw = -1
        self._levels: Bits = ()
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
        """The raw levels of all switches; once closed, those that were read last."""
        if not self._readers:
            return self._levels
        raw = 0
        for shift, reader in self._readers:
            raw |= reader.read() << shift
        if raw != self._raw:
            closed = self._active_high
            self._levels = tuple(bool(raw >> i & 1) == closed for i in self._order)
            self._raw = raw
        return self._levels

    @property
    def chattering(self) -> Bits:
        """Which switches are held because they chatter."""
        return self._chatter_filter.chattering

    def close(self) -> None:
        """Release the pins; may be called again."""
        while self._readers:
            _, reader = self._readers.pop()
            reader.close()

    def _open(self, pins: Sequence[Pin]) -> None:
        with warnings.catch_warnings(record=True) as fallbacks:
            warnings.simplefilter("always")
            try:
                self._claim(pins)
            except pin_errors() as error:
                self.close()
                reason = str(fallbacks[0].message) if fallbacks else str(error)
                reason = re.sub(r"^\[Errno \d+\] ", "", reason) or type(error).__name__
                raise _unavailable(pins, reason) from error
        for fallback in fallbacks:
            _log.warning("gpio: %s", fallback.message)

    def _claim(self, pins: Sequence[Pin]) -> None:
        pull_up = None if self._pulled_outside else not self._active_high
        header = [pin for pin in pins if not isinstance(pin, ChipLine)]
        lines = sorted({pin for pin in pins if isinstance(pin, ChipLine)})
        if header:
            reader = open_header(header, pull_up, active_high=self._active_high, sleep=self._sleep)
            self._readers.append((0, reader))
        if lines:
            self._readers.append((len(header), self._open_expanders(lines, pull_up)))
        read: list[Pin] = [*header, *lines]
        self._order = [read.index(pin) for pin in pins]

    def _open_expanders(self, lines: Sequence[ChipLine], pull_up: bool | None) -> Levels:
        from device.switches.expander import Expander, ExpanderReader

        chips: list[Expander] = []
        try:
            for number in sorted({line.chip for line in lines}):
                of_chip = [line.line for line in lines if line.chip == number]
                chips.append(Expander(number, of_chip, pull_up, self._report))
        except BaseException:
            for chip in chips:
                chip.close()
            raise
        return ExpanderReader(chips)

    def _report_chatter(self, i: int, chatters: bool) -> None:
        if self._report is not None:
            how = "chatters, and is held where it was: check its wire" if chatters else "is calm"
            self._report(f"switch {i + 1} ({describe(self._pins[i])}) {how}")


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
