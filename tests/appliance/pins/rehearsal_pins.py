"""Pins of gpiozero's whose levels are the bytes of a file: the box's side of `panel.Panel`.

gpiozero finds it by the entry point beside it; the instrument knows nothing of it.
"""

import mmap
import os
from pathlib import Path

from gpiozero.pins.mock import MockFactory, MockPin

PI_4B = "c03111"


class PanelPin(MockPin):
    """An input that reads what the panel's file says now."""

    def _get_state(self):
        if self.function == "output":
            return super()._get_state()
        return bool(self.factory.levels[int(self.info.name.removeprefix("GPIO"))])


class PanelFactory(MockFactory):
    """The pins of a Pi 4B, in the file that REHEARSAL_PANEL names."""

    def __init__(self):
        super().__init__(revision=PI_4B, pin_class=PanelPin)
        with Path(os.environ["REHEARSAL_PANEL"]).open("rb") as file:
            self.levels = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
