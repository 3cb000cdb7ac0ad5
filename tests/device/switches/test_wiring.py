"""The wiring table and diagram, made from a configuration."""

from dataclasses import replace
from xml.etree import ElementTree as Xml

import pytest

from device.switches.pinout import DEFAULT_PINS, ChipLine
from device.switches.wiring import Wiring
from device.switches.wiring_diagram import diagram

SVG = "{http://www.w3.org/2000/svg}"
LINES = (5, 16, *(ChipLine(chip, line) for chip in (1, 3) for line in range(0, 16, 3)))
WIRING = Wiring(DEFAULT_PINS, labels=("warmth", "drums & <bass>"), leds={"beat": 22})


def texts(wiring):
    return [text.text for text in Xml.fromstring(diagram(wiring)).iter(f"{SVG}text")]


def ends_of_lines(wiring):
    for line in Xml.fromstring(diagram(wiring)).iter(f"{SVG}line"):
        x1, y1, x2, y2 = (float(line.get(name)) for name in ("x1", "y1", "x2", "y2"))
        yield line.get("stroke"), (x1, y1), (x2, y2)


def test_the_table_names_every_part_its_pin_and_its_other_end():
    assert WIRING.rows()[:2] == [
        ("switch 1 warmth", "5", "29", "GND"),
        ("switch 2 drums & <bass>", "6", "31", "GND"),
    ]
    assert WIRING.rows()[7:] == [
        ("switch 8", "16", "36", "GND"),
        ("LED beat", "22", "15", "330 Ω, LED, GND"),
    ]
    assert replace(WIRING, active_high=True).rows()[0][-1] == "3V3"


def test_the_diagram_shows_the_whole_header_and_every_part():
    labels = texts(WIRING)
    assert {str(pin) for pin in range(1, 41)} <= set(labels)
    assert {"1  warmth", "2  drums & <bass>", "8", "LED: beat"} <= set(labels)
    assert "Each switch: closed to ground is on; pull-up inside the Pi." in labels


def test_the_diagram_follows_the_configuration():
    labels = texts(replace(WIRING, active_high=True, pulled_outside=True, leds={}))
    assert "Each switch: closed to 3.3 V is on; pull-down 10 kΩ on your board." in labels
    assert not any("LED" in text for text in labels)


@pytest.mark.parametrize("active_high", [False, True])
@pytest.mark.parametrize(
    "pins", [DEFAULT_PINS, (2, 3, 4), (14, 15), (26,), tuple(range(2, 28)), LINES]
)
def test_every_wire_is_connected_at_both_ends(pins, active_high):
    """Each line's ends lie on a circle (pad, contact, joint), on another line, or on a symbol."""
    wiring = Wiring(pins, active_high=active_high)
    root = Xml.fromstring(diagram(wiring))
    circles = [
        (float(c.get("cx")), float(c.get("cy")), float(c.get("r")))
        for c in root.iter(f"{SVG}circle")
    ]
    lines = list(ends_of_lines(wiring))
    corners = [end for _, *ends in lines for end in ends]
    for _, *ends in lines:
        for x, y in ends:
            on_circle = any((x - cx) ** 2 + (y - cy) ** 2 <= (r + 1) ** 2 for cx, cy, r in circles)
            # Only the blade of an open switch has a free end.
            is_blade = any(abs(x - cx) == 6 and cy - y == 14 for cx, cy, _ in circles)
            assert on_circle or is_blade or corners.count((x, y)) > 1


def test_wrong_pins_and_other_uses_of_pins_are_reported():
    wiring = Wiring((5, 5, 40, 19), leds={"beat": 5})
    assert wiring.problems() == ["BCM 40 is not on the header", "BCM 5 is used twice"]
    assert wiring.conflicts() == ["BCM 19: a sound card on the header (I2S)"]
    assert WIRING.problems() == WIRING.conflicts() == []
    assert "BCM 40" not in texts(wiring)


def test_expanders_are_drawn_below_the_header_with_all_their_lines():
    wiring = Wiring(LINES, labels=("warmth", "drums", "piano"))
    labels = texts(wiring)
    assert {"MCP23017 chip1, address 0x20", "MCP23017 chip3, address 0x21"} <= set(labels)
    assert {"3  piano", "4", "14", "MCP23017 SDA", "MCP23017 SCL"} <= set(labels)
    assert labels.count("GPA0") == labels.count("GPB7") == 2
    assert wiring.rows()[2] == ("switch 3 piano", "chip1:0", "GPA0, pin 21", "GND")
    assert wiring.rows()[-1] == ("MCP23017 SCL", "3", "5", "pin 12 of chip3")
    assert wiring.problems() == []


PARTS = replace(
    WIRING,
    contacts={"volume encoder A": 27, "volume encoder B": 17, "button shut down": 4},
    has_converter=True,
    pulse_pin=23,
)


def test_knobs_buttons_and_pulses_are_in_the_table_and_in_the_diagram():
    assert PARTS.rows()[-8:] == [
        ("volume encoder A", "27", "13", "GND"),
        ("volume encoder B", "17", "11", "GND"),
        ("button shut down", "4", "7", "GND"),
        ("MCP3008 CLK", "11", "23", "the chip"),
        ("MCP3008 DOUT", "9", "21", "the chip"),
        ("MCP3008 DIN", "10", "19", "the chip"),
        ("MCP3008 CS", "8", "24", "the chip"),
        ("pulse", "23", "16", "1 kΩ, sync input"),
    ]
    assert {"volume encoder A", "button shut down", "MCP3008 CS"} <= set(texts(PARTS))
    assert PARTS.problems() == []


def test_a_pin_of_a_knob_that_is_used_twice_is_a_problem():
    assert replace(PARTS, contacts={"button keep": 5}).problems() == ["BCM 5 is used twice"]
    assert replace(PARTS, pulse_pin=8).problems() == ["BCM 8 is used twice"]
    assert replace(PARTS, has_converter=False, pulse_pin=8).problems() == []
