"""The wiring of the switches and status LEDs to the header, from the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from device.switches.pinout import EXPANDER_PINS, N_LINES, OTHER_USES, ChipLine, Pin, header_pin

# gpiozero's defaults: what it reads an MCP3008 by.
CONVERTER_PINS = {"CLK": 11, "DOUT": 9, "DIN": 10, "CS": 8}
LED_NAMES = ("playing", "fault", "beat")


@dataclass(frozen=True)
class Wiring:
    """How the switches and the status LEDs are connected to the header.

    Attributes
    ----------
    pins : tuple of int or ChipLine
        BCM numbers of the switches, or lines of an expander, first switch first.
    labels : tuple of str
        The model's labels of the switches; may be fewer or more than `pins`.
    active_high : bool
        Closed to 3.3 V is on, else closed to ground.
    pulled_outside : bool
        The resistors are on the board.
    leds : mapping of str to int
        BCM number of each status LED there is.
    contacts : mapping of str to int
        BCM number of each contact of an encoder or a button, by name; all close to ground.
    has_converter : bool
        Whether an MCP3008 is at the SPI pins.
    pulse_pin : int or None
        BCM number of the pin with two pulses a beat.
    keep_pin : int or None
        BCM number of the button that keeps the last minutes, connected as a switch is.
    """

    pins: tuple[Pin, ...]
    labels: tuple[str, ...] = ()
    active_high: bool = False
    pulled_outside: bool = False
    leds: Mapping[str, int] = field(default_factory=dict)
    contacts: Mapping[str, int] = field(default_factory=dict)
    has_converter: bool = False
    pulse_pin: int | None = None
    keep_pin: int | None = None

    @property
    def supply(self) -> str:
        """What a closed switch connects its pin to."""
        return "3V3" if self.active_high else "GND"

    def label(self, i: int) -> str:
        """Label of a switch, counted from 0; empty where there is none."""
        return self.labels[i] if i < len(self.labels) else ""

    @property
    def used(self) -> list[int]:
        """BCM numbers of all header pins in use, but the converter's; some may be there twice."""
        others = [bcm for bcm in (self.keep_pin, self.pulse_pin) if bcm is not None]
        switches = [pin for pin in self.pins if not isinstance(pin, ChipLine)]
        return [*switches, *self.leds.values(), *self.contacts.values(), *others]

    @property
    def lines(self) -> list[ChipLine]:
        """The lines of expanders in use; some may be there twice."""
        return [pin for pin in self.pins if isinstance(pin, ChipLine)]

    @property
    def chips(self) -> list[int]:
        """Numbers of the expanders, in order."""
        return sorted({line.chip for line in self.lines})

    def problems(self) -> list[str]:
        """Configuration errors, in words: pins that do not exist or are used twice."""
        used = [*self.used, *(CONVERTER_PINS.values() if self.has_converter else ())]
        used += [bcm for _, bcm in EXPANDER_PINS.values() if self.chips]
        lines = self.lines
        lacks_pulls = lines and self.active_high and not self.pulled_outside
        absent = sorted({bcm for bcm in used if header_pin(bcm) is None})
        twice = sorted({bcm for bcm in used if used.count(bcm) > 1})
        return [
            *(f"BCM {bcm} is not on the header" for bcm in absent),
            *(f"BCM {bcm} is used twice" for bcm in twice),
            *(f"{line} is used twice" for line in sorted(set(lines)) if lines.count(line) > 1),
            *(f"{line} is none of the {N_LINES} lines" for line in lines if line.line >= N_LINES),
            *(['an MCP23017 has no pull-downs; take pull = "outside"'] if lacks_pulls else []),
        ]

    def conflicts(self) -> list[str]:
        """Other uses of the pins in use, in words."""
        used = self.used
        return [f"BCM {bcm}: {OTHER_USES[bcm]}" for bcm in used if bcm in OTHER_USES]

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Part, BCM number, header pin, and where its other end goes."""
        switches: list[tuple[str, Pin, str]] = [
            (f"switch {i + 1} {self.label(i)}".rstrip(), bcm, self.supply)
            for i, bcm in enumerate(self.pins)
        ]
        if self.keep_pin is not None:
            switches.append(("button keep", self.keep_pin, self.supply))
        leds = [
            (f"LED {name}", self.leds[name], "330 Ω, LED, GND")
            for name in LED_NAMES
            if name in self.leds
        ]
        parts = [(name, bcm, "GND") for name, bcm in self.contacts.items()]
        if self.has_converter:
            parts += [(f"MCP3008 {name}", bcm, "the chip") for name, bcm in CONVERTER_PINS.items()]
        if self.pulse_pin is not None:
            parts.append(("pulse", self.pulse_pin, "1 kΩ, sync input"))
        for chip in self.chips:
            for name, (pin, bcm) in EXPANDER_PINS.items():
                parts.append((f"MCP23017 {name}", bcm, f"pin {pin} of chip{chip}"))
        return [
            (
                part,
                str(pin),
                pin.port if isinstance(pin, ChipLine) else str(header_pin(pin) or "–"),
                end,
            )
            for part, pin, end in switches + leds + parts
        ]
