"""The wiring as an SVG diagram: the header, every wire, switch and status LED."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from device.plain_text import visible
from device.switches.pinout import (
    EXPANDER_PINS,
    FUNCTIONS,
    N_LINES,
    N_PINS,
    ChipLine,
    Pin,
    header_pin,
    nearest,
)
from device.switches.wiring import CONVERTER_PINS, Wiring

# Geometry of the diagram, in pixels.
_ROW = 34
_TOP = 150
_MIDDLE = 480
_COLUMN = 15  # of the pads, left and right of the middle
_PART = 190  # of the parts, left and right of the middle
_RAIL = 400
_LED_RAIL = 430
_WIDTH = 2 * _MIDDLE
_HEIGHT = _TOP + N_PINS // 2 * _ROW + 50
# Rows of an expander below the header: its title, and its two columns of lines.
_CHIP_ROWS = 3 + N_LINES // 2

_COLOURS = {"3V3": "#d97706", "5V": "#b91c1c", "GND": "#475569"}
_SWITCH, _LED, _PART_COLOUR, _FREE = "#2563eb", "#059669", "#7c3aed", "#cbd5e1"


def diagram(wiring: Wiring) -> str:
    """The header, every wire, switch and LED, as an SVG document."""
    parts = [*_frame(wiring), *_rails(wiring), *_header(wiring), *_expanders(wiring)]
    for i, switch in enumerate(wiring.pins):
        label, place = f"{i + 1}  {wiring.label(i)}".rstrip(), _place(switch, wiring)
        parts += _contact(wiring.supply, _RAIL, label, place, _SWITCH)
    if wiring.keep_pin is not None:
        keep = header_pin(wiring.keep_pin)
        parts += _contact(wiring.supply, _RAIL, "button: keep", keep, _SWITCH)
    for name, bcm in wiring.leds.items():
        parts += _led(name, bcm, wiring)
    rail = _LED_RAIL if wiring.active_high else _RAIL
    for name, bcm in wiring.contacts.items():
        parts += _contact("GND", rail, name, header_pin(bcm), _PART_COLOUR)
    if wiring.has_converter:
        for name, bcm in CONVERTER_PINS.items():
            parts += _terminal(f"MCP3008 {name}", bcm)
    if wiring.chips:
        for name, (_, bcm) in EXPANDER_PINS.items():
            parts += _terminal(f"MCP23017 {name}", bcm)
    if wiring.pulse_pin is not None:
        parts += _terminal("pulse, 1 kΩ, sync input", wiring.pulse_pin)
    return "\n".join([*parts, "</svg>", ""])


def _place(pin: Pin, wiring: Wiring) -> int | None:
    """Header pin of a switch; the lines of expanders go on with numbers below the header."""
    if not isinstance(pin, ChipLine):
        return header_pin(pin)
    if pin.line >= N_LINES:
        return None
    bank, i = divmod(pin.line, N_LINES // 2)
    row = N_PINS // 2 + wiring.chips.index(pin.chip) * _CHIP_ROWS + 3 + i
    return 2 * row + (1 if bank else 2)


def _expanders(wiring: Wiring) -> list[str]:
    """Every expander with its 16 lines: GPB on the left, GPA on the right."""
    used, parts = set(wiring.lines), list[str]()
    for k, chip in enumerate(wiring.chips):
        lines = [ChipLine(chip, line) for line in range(N_LINES)]
        y = min(_y(place) for line in lines if (place := _place(line, wiring)))
        top, height, address = y - _ROW / 2 - 4, N_LINES // 2 * _ROW + 8, f"0x{0x20 + k:x}"
        parts += [
            _text(_MIDDLE, top - 32, f"MCP23017 chip{chip}, address {address}", size=15, bold=True),
            _text(
                _MIDDLE, top - 12,
                "SDA 13 to header pin 3, SCL 12 to 5, VDD 9 and RESET 18 to 3V3, VSS 10 to GND; "
                f"A0 15, A1 16, A2 17: {k:03b} from A2, 1 to 3V3, 0 to GND", size=11,
            ),
            f'<rect x="{_MIDDLE - 34}" y="{top}" width="68" height="{height}" rx="6" '
            'fill="#0f172a"/>',
        ]  # fmt: skip
        for line in lines:
            place, (port, _, number) = _place(line, wiring) or 0, line.port.partition(", pin ")
            colour = _SWITCH if line in used else _FREE
            words = "#0f172a" if line in used else "#94a3b8"
            parts += _circle(place, colour, number, port, words, is_used=line in used)
    return parts


def _frame(wiring: Wiring) -> list[str]:
    height = _HEIGHT + len(wiring.chips) * _CHIP_ROWS * _ROW
    how = "closed to 3.3 V is on" if wiring.active_high else "closed to ground is on"
    pull = "down" if wiring.active_high else "up"
    inside = "inside the Pi and the MCP23017" if wiring.chips else "inside the Pi"
    where = "10 kΩ on your board" if wiring.pulled_outside else inside
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(_MIDDLE, 42, "Lo-Fi Switchboard: wiring", size=24, bold=True),
        _text(_MIDDLE, 68, f"Each switch: {how}; pull-{pull} {where}.", size=15),
        _text(
            _MIDDLE,
            90,
            "Seen from above: pin 1 at the corner by the SD card, the board's edge on the right.",
            size=15,
        ),
        _text(
            _MIDDLE,
            height - 24,
            "The same on every Pi with 40 pins. Never connect 5 V to a pin of another kind.",
            size=13,
            colour="#64748b",
        ),
    ]


def _header(wiring: Wiring) -> list[str]:
    top, height = _y(1) - _ROW / 2 - 4, N_PINS // 2 * _ROW + 8
    board = (
        f'<rect x="{_MIDDLE - 34}" y="{top}" width="68" height="{height}" rx="6" fill="#0f172a"/>'
    )
    colours = {header_pin(bcm): _SWITCH for bcm in wiring.used}
    colours |= {header_pin(bcm): _LED for bcm in wiring.leds.values()}
    others = wiring.used[len(wiring.pins) - len(wiring.lines) + len(wiring.leds) :]
    others += CONVERTER_PINS.values() if wiring.has_converter else ()
    others += [bcm for _, bcm in EXPANDER_PINS.values() if wiring.chips]
    colours |= {header_pin(bcm): _PART_COLOUR for bcm in others}
    return [board, *(line for pin in range(1, N_PINS + 1) for line in _pad(pin, colours.get(pin)))]


def _pad(pin: int, used: str | None) -> list[str]:
    name = FUNCTIONS[pin - 1]
    colour = used or _COLOURS.get(name, _FREE)
    words = "#0f172a" if used or name in _COLOURS else "#94a3b8"
    return _circle(pin, colour, str(pin), name, words, is_used=bool(used))


def _circle(
    pin: int, colour: str, number: str, name: str, words: str, *, is_used: bool
) -> list[str]:
    x, y = _x(pin, _COLUMN), _y(pin)
    ink = "#0f172a" if colour == _FREE else "#ffffff"
    return [
        f'<circle cx="{x}" cy="{y}" r="12" fill="{colour}"/>',
        _text(x, y + 4, number, size=11, colour=ink, bold=True),
        _text(
            _x(pin, 46), y - 5, name, size=12, colour=words, bold=is_used,
            anchor="start" if _side(pin) > 0 else "end",
        ),
    ]  # fmt: skip


def _contact(supply: str, rail: int, label: str, pin: int | None, colour: str) -> list[str]:
    if pin is None:
        return []
    side, y = _side(pin), _y(pin)
    near, far = _x(pin, _PART), _x(pin, _PART + 44)
    return [
        _wire(_x(pin, _COLUMN + 12), y, near, y, colour),
        _wire(far, y, _x(pin, rail), y, _COLOURS[supply]),
        _wire(near, y, far - 6 * side, y - 14, colour),
        _dot(near, y, colour),
        _dot(far, y, _COLOURS[supply]),
        _joint(_x(pin, rail), y, _COLOURS[supply]),
        _text(
            _x(pin, _PART + 58), y - 6, label, size=14, bold=True,
            anchor="start" if side > 0 else "end",
        ),
    ]  # fmt: skip


def _terminal(name: str, bcm: int) -> list[str]:
    """The end of a wire that leads to a part with a circuit of its own."""
    pin = header_pin(bcm)
    if pin is None:
        return []
    y, end = _y(pin), _x(pin, _PART)
    return [
        _wire(_x(pin, _COLUMN + 12), y, end, y, _PART_COLOUR),
        _dot(end, y, _PART_COLOUR),
        _text(
            _x(pin, _PART + 14), y + 5, name, size=14, bold=True,
            anchor="start" if _side(pin) > 0 else "end",
        ),
    ]  # fmt: skip


def _led(name: str, bcm: int, wiring: Wiring) -> list[str]:
    pin = header_pin(bcm)
    if pin is None:
        return []
    side, y, ground = _side(pin), _y(pin), _COLOURS["GND"]
    resistor, led, tip = _x(pin, _PART - 34), _x(pin, _PART + 26), _x(pin, _PART + 44)
    left = min(resistor, resistor + 36 * side)
    rail = _LED_RAIL if wiring.active_high else _RAIL
    return [
        _wire(_x(pin, _COLUMN + 12), y, _x(pin, rail), y, ground),
        _wire(_x(pin, _COLUMN + 12), y, led, y, _LED),
        _joint(_x(pin, rail), y, ground),
        f'<rect x="{left}" y="{y - 7}" width="36" height="14" rx="2" fill="#ffffff" '
        f'stroke="{_LED}" stroke-width="2"/>',
        _text(left + 18, y + 4, "330 Ω", size=10),
        f'<polygon points="{led},{y - 9} {led},{y + 9} {tip},{y}" fill="{_LED}"/>',
        _wire(tip, y - 9, tip, y + 9, _LED),
        _text(
            _x(pin, _PART + 58), y - 6, f"LED: {name}", size=14, bold=True,
            anchor="start" if side > 0 else "end",
        ),
    ]  # fmt: skip


def _rails(wiring: Wiring) -> list[str]:
    switches = [*wiring.pins, *([] if wiring.keep_pin is None else [wiring.keep_pin])]
    pins = [pin for switch in switches if (pin := _place(switch, wiring))]
    grounded = [*wiring.leds.values(), *wiring.contacts.values()]
    leds = [pin for bcm in grounded if (pin := header_pin(bcm))]
    if wiring.active_high:
        return _rail("3V3", pins, _RAIL, _TOP - 34) + _rail("GND", leds, _LED_RAIL, _TOP - 48)
    return _rail("GND", pins + leds, _RAIL, _TOP - 34)


def _rail(function: str, pins: Sequence[int], at: int, over: int) -> list[str]:
    """One rail per side that needs it, joined above the header, and the pin that feeds them."""
    if not pins:
        return []
    colour, feed = _COLOURS[function], nearest(function, pins)
    lines = [_wire(_x(feed, _COLUMN + 12), _y(feed), _x(feed, at), _y(feed), colour, width=4)]
    sides = {_side(pin) for pin in pins} | {_side(feed)}
    lines.append(_joint(_x(feed, at), _y(feed), colour))
    for side in sides:
        ys = [_y(pin) for pin in (*pins, feed) if _side(pin) == side]
        ys += [over] * (len(sides) == 2)
        x = _MIDDLE + side * at
        lines.append(_wire(x, min(ys), x, max(ys), colour, width=4))
    if len(sides) == 2:
        lines.append(_wire(_MIDDLE - at, over, _MIDDLE + at, over, colour, width=4))
    return lines


def _side(pin: int) -> int:
    return 1 if pin % 2 == 0 else -1


def _x(pin: int, distance: float) -> float:
    return _MIDDLE + _side(pin) * distance


def _y(pin: int) -> float:
    return _TOP + (pin - 1) // 2 * _ROW


def _wire(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: int = 3) -> str:
    return (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}" '
        f'stroke-width="{width}" stroke-linecap="round"/>'
    )


def _dot(x: float, y: float, colour: str) -> str:
    return (
        f'<circle cx="{x:g}" cy="{y:g}" r="5" fill="#ffffff" stroke="{colour}" stroke-width="3"/>'
    )


def _joint(x: float, y: float, colour: str) -> str:
    """Wires that meet; wires without one only cross."""
    return f'<circle cx="{x:g}" cy="{y:g}" r="6" fill="{colour}"/>'


def _text(
    x: float,
    y: float,
    words: str,
    *,
    size: int,
    bold: bool = False,
    anchor: str = "middle",
    colour: str = "#0f172a",
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"{weight} '
        f'fill="{colour}">{escape(visible(words))}</text>'
    )
