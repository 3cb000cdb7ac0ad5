"""Switches' pins on the header of a Raspberry Pi: by the kernel, else by gpiozero.

The kernel reads all of them in one call. gpiozero reads one after the other, by whatever package it
was told to use; it is imported when it is needed, not with this module.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from device.switches.pinout import header_pin

CLOSE_RETRY_SECONDS = 0.01
# What the drivers of the header's chip call it, by board: Pi 1 to 3 and the Zeros, 4, 5. Its number
# depends on the kernel.
HEADER_LABELS = ("pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1")
_PULLED_UP_ON_THE_BOARD = (2, 3)
_KERNELS_FACTORY = "lgpio"


class Levels(Protocol):
    """Lines that are read together."""

    def read(self) -> int:
        """Bit i is the level of the line i, 1 where it is high."""
        ...

    def close(self) -> None:
        """Release the lines; may be called again."""
        ...


class GpiozeroPins:
    """Pins by gpiozero.

    Parameters
    ----------
    pins : sequence of int
        BCM numbers.
    pull_up : bool or None
        True: with the Pi's pull-ups, False: its pull-downs; None: neither.
    active_high : bool
        Of a switch whose resistor is on the board.

    Raises
    ------
    `pin_errors`
        If a pin does not exist, is taken or not permitted.
    """

    def __init__(
        self,
        pins: Sequence[int],
        pull_up: bool | None,
        *,
        active_high: bool,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        prepare_gpiozero()
        # InputDevice, not Button: it requests no edge events, so lgpio starts no thread.
        from gpiozero import InputDevice

        self._sleep = sleep
        self._devices: list[Any] = []
        state = active_high if pull_up is None else None
        try:
            for pin in pins:
                self._devices.append(InputDevice(pin, pull_up=pull_up, active_state=state))
        except BaseException:
            self.close()
            raise

    def read(self) -> int:
        """Bit i is the level of the pin i, 1 where it is high."""
        # Of the pins and not of the devices around them: read once a hop, eight devices take as
        # long as the inversion.
        return sum(bool(device.pin.state) << i for i, device in enumerate(self._devices))

    def close(self) -> None:
        """Release the pins; may be called again."""
        # lgpio sometimes fails with 'GPIO busy' when it releases a line; seen 4 times in 320,
        # and the first retry always worked. The kernel frees the lines of an ended process anyway.
        errors = pin_errors() if self._devices else ()
        while self._devices:
            device = self._devices.pop()
            try:
                device.close()
            except errors:
                self._sleep(CLOSE_RETRY_SECONDS)
                with suppress(*errors):
                    device.close()


def open_header(
    pins: Sequence[int],
    pull_up: bool | None,
    *,
    active_high: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> Levels:
    """The pins of the header; parameters as for `GpiozeroPins`.

    Raises
    ------
    `pin_errors`
        If a pin does not exist, is taken or not permitted.
    """
    chip = find_header()
    if chip is None:
        return GpiozeroPins(pins, pull_up, active_high=active_high, sleep=sleep)
    from device.switches.kernel_lines import LineRequest

    # The chip has more lines, among them those of the card that the system is on.
    if absent := [pin for pin in pins if header_pin(pin) is None]:
        raise ValueError(f"BCM {absent[0]} is not on the header")
    pulled_up = [pin for pin in pins if pin in _PULLED_UP_ON_THE_BOARD]
    if pull_up is False and pulled_up:
        raise ValueError(f"BCM {pulled_up[0]} has a pull-up on the board and cannot be pulled down")
    return LineRequest(chip, pins, pull_up)


def find_header() -> Path | None:
    """The header's chip; None if there is none, or gpiozero was told to use another package.

    Raises
    ------
    OSError
        If there is a chip that may not be opened, and none of the others is it.
    """
    if not sys.platform.startswith("linux") or not _takes_the_kernels_lines():
        return None
    from device.switches.kernel_lines import find_chip

    return find_chip(HEADER_LABELS)


def prepare_gpiozero() -> None:
    """Have gpiozero use the header's chip, and leave no file in the working folder.

    Before its first device is opened.
    """
    # lgpio leaves a pipe in its working folder, which another user may own.
    os.environ.setdefault("LG_WD", tempfile.gettempdir())
    if not _takes_the_kernels_lines():
        return
    # gpiozero takes the header for chip 0 or 4. Where this fails, it looks for itself.
    with suppress(*pin_errors()):
        from gpiozero import Device

        if Device.pin_factory is None and (chip := find_header()) is not None:
            from gpiozero.pins.lgpio import LGPIOFactory

            Device.pin_factory = LGPIOFactory(chip=int(chip.name.removeprefix("gpiochip")))


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


def _takes_the_kernels_lines() -> bool:
    """Whether gpiozero, as it is set up, would take its pins from the kernel as well."""
    factory = getattr(getattr(sys.modules.get("gpiozero"), "Device", None), "pin_factory", None)
    if factory is not None:
        return type(factory).__module__ == f"gpiozero.pins.{_KERNELS_FACTORY}"
    name = os.environ.get("GPIOZERO_PIN_FACTORY", _KERNELS_FACTORY)
    return name.lower() == _KERNELS_FACTORY
