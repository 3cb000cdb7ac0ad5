"""A MIDI controller as a hand on the instrument: its messages are commands, its lights follow."""

from collections.abc import Callable
from pathlib import Path

from device.closeable import Closeable
from device.switches.bits import Bits
from device.switches.commands import CommandQueue
from device.switches.midi.mapping import MidiMapping
from device.switches.midi.parser import REAL_TIME, SONG_POSITION, Message
from device.switches.midi.ports import DEVICES, MidiPorts

RealTime = Callable[[Message, float, str], None]


class MidiController(Closeable):
    """Queues the commands of a port's messages, and sends the states of the switches back.

    Parameters
    ----------
    wanted : str
        As `MidiPorts` takes it.
    has_lights : bool
        Send note messages for the states of the switches.
    real_time : callable or None
        Takes a real-time message or a song position, when it came, in s of `time.monotonic`, and
        the port's name.
    """

    def __init__(
        self,
        wanted: str,
        mapping: MidiMapping,
        queue: CommandQueue,
        *,
        report: Callable[[str], object],
        has_lights: bool = False,
        real_time: RealTime | None = None,
        devices: Path = DEVICES,
    ) -> None:
        self._mapping = mapping
        self._queue = queue
        self._has_lights = has_lights
        self._real_time = real_time
        self._bits: Bits = ()
        self._lit: Bits = ()
        self.ports = MidiPorts(
            wanted, self._receive, report=report, greet=self._all_lights, devices=devices
        )

    def close(self) -> None:
        """Put the lights out and release the ports; idempotent."""
        if self._lit:
            self._bits = (False,) * len(self._lit)
            self.ports.send(self._changed_lights())
            self._lit = ()
        self.ports.close()

    def show(self, bits: Bits) -> None:
        """Have the lights follow these states; for the audio loop, returns at once."""
        if self._has_lights and bits != self._bits:
            self._bits = bits
            self.ports.wake(self._changed_lights)

    def _receive(self, message: Message, at: float, port: str) -> None:
        if message.status >= REAL_TIME or message.status == SONG_POSITION:
            if self._real_time is not None:
                self._real_time(message, at, port)
            return
        command = self._mapping.command(message)
        if command is not None:
            self._queue.put(command)

    def _all_lights(self) -> bytes:
        return b"".join(self._mapping.lights(i, on) for i, on in enumerate(self._bits))

    def _changed_lights(self) -> bytes:
        before, self._lit = self._lit, self._bits
        return b"".join(
            self._mapping.lights(index, on)
            for index, on in enumerate(self._lit)
            if before[index : index + 1] != (on,)
        )
