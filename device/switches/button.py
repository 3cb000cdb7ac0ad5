"""A push button on a pin."""

from collections.abc import Callable

from device.closeable import Closeable
from device.switches.gpio import GpioSwitches
from device.switches.wiring import Wiring


class PinButton(Closeable):
    """A listener that calls when a button is pressed; connected as the switches are.

    It is read with every snapshot of the instrument, 17 times a second, and so needs no thread.

    Parameters
    ----------
    bcm : int
        Number of its pin.
    wiring : Wiring
        Of the switches.
    press : callable
        Returns at once.

    Raises
    ------
    SwitchesUnavailable
        If the pin does not exist, is taken or not permitted.
    """

    def __init__(self, bcm: int, wiring: Wiring, press: Callable[[], None]) -> None:
        self._press = press
        self._contact = GpioSwitches(
            (bcm,), active_high=wiring.active_high, pulled_outside=wiring.pulled_outside
        )
        # One that is held at the start has not been pressed.
        self._was_pressed = self._contact.levels()[0]

    def __call__(self, state: object) -> None:
        """Another block was taken by the speaker."""
        del state
        is_pressed = self._contact.read(0.0)[0]
        if is_pressed and not self._was_pressed:
            self._press()
        self._was_pressed = is_pressed

    def close(self) -> None:
        """Release the pin; may be called again."""
        self._contact.close()
