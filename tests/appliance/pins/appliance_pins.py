"""Pins for gpiozero whose levels are the bytes of a file: the device's side of `SimulatedSwitches`.

gpiozero finds it by the entry point beside it; the instrument is not changed.
"""

import mmap
import os
from pathlib import Path

from gpiozero.pins.mock import MockFactory, MockPin

PI_4B = "c03111"


class SimulatedPin(MockPin):
    """An input whose level is read from the file."""

    def _get_state(self):
        if self.function == "output":
            return super()._get_state()
        return bool(self.factory.levels[int(self.info.name.removeprefix("GPIO"))])


class SimulatedFactory(MockFactory):
    """The pins of a Pi 4B, in the file that APPLIANCE_LEVELS names."""

    def __init__(self):
        super().__init__(revision=PI_4B, pin_class=SimulatedPin)
        with Path(os.environ["APPLIANCE_LEVELS"]).open("rb") as file:
            self.levels = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
