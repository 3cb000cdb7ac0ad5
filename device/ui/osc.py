"""OSC: messages of controllers in the network become commands of the control socket, and back.

A process of its own beside the instrument, off by default. OSC over UDP knows no login: it listens
on the loopback unless told otherwise, takes senders from the allowed networks alone, and so many
messages a second. Nothing but these commands can be sent:

=================================  ==================================================
``/switch/N`` 1 or 0               switch N, from 1, on or off
``/flip/N``                        flips it
``/tempo`` BPM, ``/volume`` DB     as the knobs do
``/keep``, ``/scene`` NAME         keeps the last minutes; recalls a scene
``/sleep`` MINUTES                 fades out and ends then; 0: does not
=================================  ==================================================

A button sends 1 when it is pressed and 0 when it is released: the 0 of a message without a value of
its own (``/flip/N``, ``/keep``, ``/scene/NAME``) does nothing.
"""

import math
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from device.closeable import Closeable
from device.errors import SwitchboardError
from device.plain_text import one_line
from device.ui.control_client import ControlClient

# Of commands; further ones of the same second are dropped.
MOST_PER_SECOND = 200
_MOST_DATAGRAM = 1024
# Of a scene: a command has 512 bytes at most.
_MOST_NAME = 80
_NUMBERS = {"tempo": "bpm", "volume": "gain_db", "sleep": "minutes"}
# What is sent of a state, by its field.
_FIELDS = {"/bar": "bar", "/beat": "beat", "/tempo": "tempo_bpm", "/volume": "gain_db"}


class OscError(SwitchboardError, OSError):
    """OSC cannot listen: its port is taken, or its address is not this machine's."""

    exit_code = 59


def command_of(address: str, values: Sequence[Any]) -> dict[str, Any] | None:
    """The command of a message; None where a button was released.

    Raises
    ------
    ValueError
        If it is none.
    """
    match address.split("/")[1:], list(values):
        case ["switch", number], [value] if _is_number(value):
            return {"do": "set", "switch": _switch(number), "on": value >= 0.5}
        case ["flip", number], pressed if _is_button(pressed):
            return {"do": "flip", "switch": _switch(number)} if all(pressed) else None
        case [("tempo" | "volume" | "sleep") as what], [value] if _is_number(value):
            return {"do": what, _NUMBERS[what]: float(value)}
        case ["keep"], pressed if _is_button(pressed):
            return {"do": "keep"} if all(pressed) else None
        case ["scene"], [str(name)] if len(name) <= _MOST_NAME:
            return {"do": "scene", "name": name}
        case ["scene", name], pressed if _is_button(pressed) and len(name) <= _MOST_NAME:
            return {"do": "scene", "name": name} if all(pressed) else None
    raise ValueError(
        f"found {one_line(f'{address} {values}', 80)}, expected /switch/N 0 or 1, /flip/N, /tempo "
        "BPM, /volume DB, /keep, /scene NAME or /sleep MINUTES"
    )


def messages_of(state: dict[str, Any], before: dict[str, Any]) -> dict[str, float]:
    """What changed between two states of the instrument, by address; any JSON is taken."""
    return {
        address: value
        for address, value in _values(state)
        if dict(_values(before)).get(address) != value
    }


class OscBridge(Closeable):
    """Carries messages between a UDP socket and the control socket of an instrument.

    Parameters
    ----------
    udp : socket
        Bound to its address; closed with the bridge.
    control : Path
        Control socket; connected again whenever it comes back.
    allowed : sequence of IPv4Network
        Networks from which messages are taken.
    target : (str, int) or None
        Address and port to send the state to; None: it is not sent.
    report : callable
        Takes lines for people.
    """

    def __init__(
        self,
        udp: socket.socket,
        control: Path,
        *,
        allowed: Sequence[IPv4Network],
        target: tuple[str, int] | None = None,
        report: Callable[[str], None] = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._udp, self._target = udp, target
        self._allowed, self._clock = allowed, clock
        self._state = dict[str, Any]()
        self._second, self._n_taken = 0.0, 0
        udp.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(udp, selectors.EVENT_READ)
        self._control = ControlClient(control, self._selector, report, clock=clock)
        self._say = self._control.say

    def serve(self, seconds: float) -> None:
        """Carry what arrives within so many seconds, at least one round."""
        if not self._control.is_connected:
            self._state = {}
        if self._target:
            self._control.keep_connected()
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._udp:
                self._take_datagram()
            else:
                self._take_states()

    def close(self) -> None:
        """Close both sockets; idempotent."""
        self._control.close()
        self._selector.close()
        self._udp.close()

    def _take_datagram(self) -> None:
        try:
            datagram, (sender, _) = self._udp.recvfrom(_MOST_DATAGRAM + 1)
        except OSError:  # such as the answer of a target that does not listen
            return
        if not any(IPv4Address(sender) in network for network in self._allowed):
            self._say(f"{sender}: not allowed to send; see --allow")
        elif len(datagram) > _MOST_DATAGRAM:
            self._say(f"{sender}: found more than {_MOST_DATAGRAM} bytes, expected one message")
        else:
            for address, values in _parsed(datagram):
                self._take_message(sender, address, values)

    def _take_message(self, sender: str, address: str, values: Sequence[Any]) -> None:
        now = self._clock()
        if now - self._second >= 1:
            self._second, self._n_taken = now, 0
        self._n_taken += 1
        if self._n_taken > MOST_PER_SECOND:
            self._say(f"{sender}: more than {MOST_PER_SECOND} messages a second; dropped")
            return
        try:
            command = command_of(address, values)
        except ValueError as error:
            self._say(f"{sender}: {error}")
            return
        if command is not None:
            self._control.send(command)

    def _take_states(self) -> None:
        for state in self._control.receive():
            for address, value in messages_of(state, self._state).items():
                self._send_out(address, value)
            self._state = state

    def _send_out(self, address: str, value: float) -> None:
        from pythonosc.osc_message_builder import build_msg

        if self._target is not None:
            with suppress(OSError):
                self._udp.sendto(build_msg(address, [value]).dgram, self._target)


def _parsed(datagram: bytes) -> Iterator[tuple[str, list[Any]]]:
    """The messages of a datagram, those of bundles included; none of a damaged one."""
    from pythonosc.osc_packet import OscPacket, ParseError

    with suppress(ParseError, RecursionError, ValueError):
        for timed in OscPacket(datagram).messages:
            yield timed.message.address, list(timed.message.params)


def _values(state: dict[str, Any]) -> Iterator[tuple[str, float]]:
    switches = state.get("switches")
    for number, bit in enumerate(switches if isinstance(switches, str) else "", 1):
        yield f"/switch/{number}", int(bit == "1")
    for address, field in _FIELDS.items():
        if _is_number(state.get(field)):
            yield address, state[field]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _is_button(values: list[Any]) -> bool:
    return not values or (len(values) == 1 and _is_number(values[0]))


def _switch(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text)):
        raise ValueError(f"found the switch {one_line(text, 40)!r}, expected a number from 1 on")
    return int(text)
