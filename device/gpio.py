"""Toggle switches on the pins of a Raspberry Pi, each between its pin and ground.

gpiozero is imported when a panel is opened, so that a laptop never pays for it.
"""

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from device.errors import SwitchesUnavailable
from device.state import Bits
from device.switches import LOCKOUT_SECONDS, Debounce, OpenSwitches

if TYPE_CHECKING:
    from gpiozero import InputDevice

CLOSE_RETRY_SECONDS = 0.01

_log = logging.getLogger("switchboard")


class GpioSwitches(OpenSwitches):
    """A switch per pin (BCM numbers), pulled up inside the Pi: closed to ground is on.

    Raises
    ------
    SwitchesUnavailable
        If this machine has no such pins, they are taken or not permitted.
    """

    def __init__(
        self,
        pins: Sequence[int],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        lockout_seconds: float = LOCKOUT_SECONDS,
    ) -> None:
        self.n_switches = len(pins)
        self._clock = clock
        self._sleep = sleep
        self._debounce = Debounce(len(pins), lockout_seconds)
        self._contacts: list[InputDevice] = []
        self._open(pins)

    def read(self, seconds: float) -> Bits:
        """Read every pin's level, free of bounce."""
        raw = tuple(bool(contact.value) for contact in self._contacts)
        return self._debounce.update(raw, self._clock())

    def close(self) -> None:
        """Let go of the pins; may be called again."""
        # lgpio now and then answers 'GPIO busy' when it lets go of a line; seen 4 times in 320,
        # and the first retry always worked. A process that ends gives the lines back anyway.
        errors = _pin_errors() if self._contacts else ()
        while self._contacts:
            contact = self._contacts.pop()
            try:
                contact.close()
            except errors:
                self._sleep(CLOSE_RETRY_SECONDS)
                with suppress(*errors):
                    contact.close()

    def _open(self, pins: Sequence[int]) -> None:
        with warnings.catch_warnings(record=True) as fallbacks:
            warnings.simplefilter("always")
            try:
                self._claim(pins)
            except _pin_errors() as error:
                self.close()
                reason = str(fallbacks[0].message) if fallbacks else str(error)
                raise _unavailable(pins, reason or type(error).__name__) from error
        for fallback in fallbacks:
            _log.warning("gpio: %s", fallback.message)

    def _claim(self, pins: Sequence[int]) -> None:
        # lgpio leaves a pipe in its working folder, which may be anybody's.
        os.environ.setdefault("LG_WD", tempfile.gettempdir())
        # InputDevice, not Button: it asks for no edges, so no thread of lgpio's runs along.
        from gpiozero import InputDevice

        for pin in pins:
            self._contacts.append(InputDevice(pin, pull_up=True))


def _pin_errors() -> tuple[type[Exception], ...]:
    """Collect what gpiozero and the libraries below it raise."""
    known: tuple[type[Exception], ...] = (ImportError, OSError, RuntimeError, ValueError)
    with suppress(ImportError):
        from gpiozero import GPIOZeroError

        known += (GPIOZeroError,)
    # lgpio's own error is no OSError; a broken lgpio fails at its import with any of the above.
    with suppress(*known):
        import lgpio

        known += (lgpio.error,)
    return known


def _unavailable(pins: Sequence[int], reason: str) -> SwitchesUnavailable:
    numbers = ", ".join(map(str, pins))
    return SwitchesUnavailable(
        f"gpio: found {' '.join(reason.split())}, expected switches on the pins {numbers} (BCM) of "
        "a Raspberry Pi; check the pin list, that nothing else uses them and that the user is in "
        "the group gpio, or choose the keyboard"
    )
