"""Knobs, buttons and the pulse pin beside the switches, by gpiozero's own classes.

gpiozero is imported when a part is opened, not with this module.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from device.closeable import Closeable
from device.errors import SwitchesUnavailable
from device.switches.commands import (
    ChangeTempo,
    ChangeVolume,
    Command,
    CommandQueue,
    Keep,
    NextModel,
    SetTempo,
    SetVolume,
    ShutDown,
)
from device.switches.header_pins import pin_errors, prepare_gpiozero
from device.switches.midi.mapping import LEAST_BPM, MOST_BPM, volume_db
from device.switches.pinout import describe
from device.system.threads import SupervisedThread

# So long the button must be held that ends everything.
HOLD_SECONDS = 3.0
# Of a detent of an encoder.
DETENT_DB, DETENT_BPM = 1.0, 1.0
# A converter is read so often; a knob that has not moved by this share of its range has not moved.
POLL_SECONDS = 0.05
LEAST_MOVE = 1 / 128
_BOUNCE_SECONDS = 0.02

KEEP, NEXT_MODEL, SHUT_DOWN = "keep", "next model", "shut down"
VOLUME, TEMPO = "volume", "tempo"
_PRESSED: dict[str, Command] = {KEEP: Keep(), NEXT_MODEL: NextModel()}
_TURNED: dict[str, tuple[Command, Command]] = {
    VOLUME: (ChangeVolume(DETENT_DB), ChangeVolume(-DETENT_DB)),
    TEMPO: (ChangeTempo(DETENT_BPM), ChangeTempo(-DETENT_BPM)),
}
_AT: dict[str, Callable[[float], Command]] = {
    VOLUME: lambda share: SetVolume(volume_db(round(127 * share))),
    TEMPO: lambda share: SetTempo(LEAST_BPM + (MOST_BPM - LEAST_BPM) * share),
}


@dataclass(frozen=True)
class PanelPins:
    """Where the parts are connected.

    Attributes
    ----------
    encoders : mapping of str to (int, int)
        `VOLUME`, `TEMPO` → BCM numbers of the contacts A and B.
    channels : mapping of str to int
        `VOLUME`, `TEMPO` → channel of an MCP3008.
    buttons : mapping of str to int
        `KEEP`, `NEXT_MODEL`, `SHUT_DOWN` → BCM number.
    """

    encoders: Mapping[str, Sequence[int]]
    channels: Mapping[str, int]
    buttons: Mapping[str, int]

    @property
    def contacts(self) -> dict[str, int]:
        """Every contact to ground by its name, in the order in which tables show them."""
        encoders = {
            f"{name} encoder {contact}": bcm
            for name, pins in self.encoders.items()
            for contact, bcm in zip("AB", pins, strict=True)
        }
        return {**encoders, **{f"button {name}": bcm for name, bcm in self.buttons.items()}}

    def __bool__(self) -> bool:
        return bool(self.encoders or self.channels or self.buttons)


class PanelParts(Closeable):
    """Queues the commands of encoders, potentiometers and buttons.

    Raises
    ------
    SwitchesUnavailable
        If a pin does not exist, is taken or not permitted.
    """

    def __init__(self, pins: PanelPins, queue: CommandQueue) -> None:
        self._queue = queue
        self._stack = ExitStack()
        self._button_to_end: Any = None
        self._converters: dict[str, Any] = {}
        self._shares: dict[str, float] = {}
        self._helper: SupervisedThread | None = None
        with ExitStack() as stack:
            self._open(pins, stack)
            self._stack = stack.pop_all()
        if self._converters:
            self._helper = SupervisedThread("knobs", self._read_knobs, every=POLL_SECONDS)

    @property
    def is_ending(self) -> bool:
        """Whether the button is pressed that shuts the device down once it was held long enough."""
        return self._button_to_end is not None and bool(self._button_to_end.is_pressed)

    def close(self) -> None:
        """Release the pins; idempotent."""
        if self._helper is not None:
            self._helper.close()
        self._stack.close()

    def _open(self, pins: PanelPins, stack: ExitStack) -> None:
        prepare_gpiozero()
        from gpiozero import MCP3008, Button, RotaryEncoder

        for name, contacts in pins.encoders.items():
            encoder = _opened(name, contacts, RotaryEncoder, *contacts, max_steps=0)
            stack.callback(encoder.close)
            up, down = _TURNED[name]
            encoder.when_rotated_clockwise = _putting(self._queue, up)
            encoder.when_rotated_counter_clockwise = _putting(self._queue, down)
        for name, pin in pins.buttons.items():
            button = _opened(
                name, [pin], Button, pin, bounce_time=_BOUNCE_SECONDS, hold_time=HOLD_SECONDS
            )
            stack.callback(button.close)
            if name == SHUT_DOWN:
                self._button_to_end = button
                button.when_held = _putting(self._queue, ShutDown())
            else:
                button.when_pressed = _putting(self._queue, _PRESSED[name])
        for name, channel in pins.channels.items():
            self._converters[name] = _opened(name, [], MCP3008, channel)
            stack.callback(self._converters[name].close)

    def _read_knobs(self) -> None:
        for name, converter in self._converters.items():
            share = float(converter.value)
            before = self._shares.get(name)
            # Both ends are reached, whatever the distance from where the knob was last.
            is_at_end = share in (0.0, 1.0) and share != before
            if before is None or abs(share - before) >= LEAST_MOVE or is_at_end:
                self._shares[name] = share
                self._queue.put(_AT[name](share))


class PulsePin(Closeable):
    """A pin that is high for each pulse.

    Raises
    ------
    SwitchesUnavailable
        If it does not exist, is taken or not permitted.
    """

    def __init__(self, pin: int) -> None:
        prepare_gpiozero()
        from gpiozero import DigitalOutputDevice

        self._output: Any = _opened("pulse", [pin], DigitalOutputDevice, pin)

    def set(self, level: bool) -> None:
        """High or low."""
        self._output.value = level

    def close(self) -> None:
        """Release the pin; idempotent."""
        self._output.close()


def _putting(queue: CommandQueue, command: Command) -> Callable[[], None]:
    return lambda: queue.put(command)


def _opened(
    name: str, pins: Sequence[int], make: Callable[..., Any], *args: Any, **how: Any
) -> Any:
    """One part, or an error that names it."""
    try:
        with warnings.catch_warnings():
            # Without the package spidev, gpiozero reads the converter by its four pins itself.
            warnings.simplefilter("ignore")
            return make(*args, **how)
    except pin_errors() as error:
        where = ", ".join(map(describe, pins)) or "an MCP3008 at the SPI pins"
        raise SwitchesUnavailable(
            f"{name}: found {' '.join(str(error).split())}, expected it on {where}; choose pins "
            "that are free, or none"
        ) from error
