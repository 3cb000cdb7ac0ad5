"""The 40-pin header of a Raspberry Pi: which of its pins is which BCM number.

The same on every Pi with 40 pins (1 B+ to 5, all Zeros). The first Pi 1 has the upper 26 of them.
Beyond the header, the lines of an MCP23017, of which the kernel makes another GPIO chip.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

# Header pins 1 to 40, odd numbers on the left with the board's edge to the right.
FUNCTIONS = (
    "3V3", "5V", "BCM 2", "5V", "BCM 3", "GND", "BCM 4", "BCM 14", "GND", "BCM 15",
    "BCM 17", "BCM 18", "BCM 27", "GND", "BCM 22", "BCM 23", "3V3", "BCM 24", "BCM 10", "GND",
    "BCM 9", "BCM 25", "BCM 11", "BCM 8", "GND", "BCM 7", "BCM 0", "BCM 1", "BCM 5", "GND",
    "BCM 6", "BCM 12", "BCM 13", "GND", "BCM 19", "BCM 16", "BCM 26", "BCM 20", "GND", "BCM 21",
)  # fmt: skip

N_PINS = len(FUNCTIONS)

# Free on every Pi: no sound card on the header, I2C, SPI or serial port uses them. Left column,
# then right column, from the top.
DEFAULT_PINS = (5, 6, 13, 26, 24, 25, 12, 16)

# Other uses of a pin. A sound card on the header needs all four of its pins.
OTHER_USES = {
    0: "the identity chip of a board on the header",
    1: "the identity chip of a board on the header",
    2: "I2C, with a pull-up on the board",
    3: "I2C, with a pull-up on the board",
    7: "SPI",
    8: "SPI",
    9: "SPI",
    10: "SPI",
    11: "SPI",
    14: "the serial port",
    15: "the serial port",
    18: "a sound card on the header (I2S)",
    19: "a sound card on the header (I2S)",
    20: "a sound card on the header (I2S)",
    21: "a sound card on the header (I2S)",
}
I2S_PINS = (18, 19, 20, 21)


# Of an MCP23017, and its pins beside those of the lines: what is connected to which header pin.
N_LINES = 16
EXPANDER_PINS = {"SDA": (13, 2), "SCL": (12, 3)}
_LINE = re.compile(r"chip(\d{1,3}):(\d{1,3})")


class ChipLine(NamedTuple):
    """A line of another GPIO chip than the Pi's own: ``chip1:5`` is line 5 of /dev/gpiochip1."""

    chip: int
    line: int

    def __str__(self) -> str:
        return f"chip{self.chip}:{self.line}"

    @property
    def port(self) -> str:
        """The line as an MCP23017 calls it, and the pin of its 28: GPA0 to GPB7."""
        bank, i = divmod(self.line, N_LINES // 2)
        return f"GP{'AB'[bank % 2]}{i}, pin {1 + i if bank else 21 + i}"


# A switch's: a BCM number, or the line of an expander.
Pin = int | ChipLine


def parse_pin(text: str) -> Pin | None:
    """Read a BCM number, or a line such as ``chip1:5``; None if it is neither."""
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return int(text)
    match = _LINE.fullmatch(text)
    return ChipLine(int(match[1]), int(match[2])) if match else None


def header_pin(bcm: Pin) -> int | None:
    """Header pin of a BCM number, 1 to 40; None if it is not on the header."""
    name = f"BCM {bcm}"
    return FUNCTIONS.index(name) + 1 if name in FUNCTIONS else None


def nearest(function: str, header_pins: Sequence[int]) -> int:
    """The header pin of a function such as ``GND`` that is nearest to others."""
    candidates = [pin for pin, name in enumerate(FUNCTIONS, 1) if name == function]
    middle = sum(header_pins) / len(header_pins) if header_pins else N_PINS
    return min(candidates, key=lambda pin: abs(pin - middle))


def describe(bcm: Pin) -> str:
    """A pin in words: its BCM number and its place on the header, or its line and port."""
    if isinstance(bcm, ChipLine):
        return f"{bcm}, {bcm.port}"
    pin = header_pin(bcm)
    return f"BCM {bcm}, header pin {pin}" if pin else f"BCM {bcm}, not on the header"
