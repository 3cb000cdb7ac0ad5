"""What a MIDI message does: notes, controllers and programs to commands."""

import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from device.errors import SettingsError
from device.plain_text import visible
from device.switches.commands import (
    Command,
    FlipSwitch,
    Keep,
    NextModel,
    Recall,
    SetQuiet,
    SetSwitch,
    SetTempo,
    SetVolume,
    Sleep,
    Wake,
    Wander,
)
from device.switches.midi.parser import CONTROL_CHANGE, NOTE_ON, PROGRAM_CHANGE, Message
from device.switches.remote import MOST_SWITCHES

SOURCE = "midi"
# The lowest C of most controllers with keys or pads.
FIRST_NOTE = 36
VOLUME_CONTROLLER = 7
# A controller's values 0 to 127.
LEAST_BPM, MOST_BPM = 40.0, 200.0
LEAST_DB = -60.0

_KINDS = {"note": NOTE_ON, "cc": CONTROL_CHANGE, "program": PROGRAM_CHANGE}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_ENTRY = re.compile(r"(note|cc|program) +(\d{1,3}) *= *(.+)")
_EXAMPLE = "such as 'note 48 = switch 3', 'cc 21 = tempo' or 'program 2 = scene chorus'"
_TARGETS = (
    "switch N, tempo, volume, keep, next-model, scene NAME, sleep MINUTES, wake, wander or quiet"
)
# A day.
_MOST_SLEEP_MINUTES = 1440


class Trigger(NamedTuple):
    """A message that does something: its kind, and the number of its note, controller, program."""

    kind: int
    number: int

    def __str__(self) -> str:
        return f"{_NAMES[self.kind]} {self.number}"


class Target(NamedTuple):
    """What a message does; `number` is a switch or a scene, counted from 0, or minutes."""

    action: str
    number: int = 0

    def __str__(self) -> str:
        counted = f" {self.number + 1}" if self.action in ("switch", "scene") else ""
        return self.action + (f" {self.number}" if self.action == "sleep" else counted)


def volume_db(value: int) -> float:
    """The gain in dB of a controller's value, 0 to 127, on the curve of General MIDI."""
    return max(40 * math.log10(value / 127), LEAST_DB) if value else LEAST_DB


_BY_VALUE: dict[str, Callable[[int], Command]] = {
    "tempo": lambda value: SetTempo(LEAST_BPM + (MOST_BPM - LEAST_BPM) * value / 127),
    "volume": lambda value: SetVolume(volume_db(value)),
    "quiet": lambda value: SetQuiet(value >= 64),
}
_BY_PRESS: dict[str, Callable[[int], Command]] = {
    "switch": lambda index: FlipSwitch(index, SOURCE),
    "scene": lambda index: Recall(index, SOURCE),
    "keep": lambda _: Keep(),
    "next-model": lambda _: NextModel(),
    "sleep": lambda minutes: Sleep(float(minutes)),
    "wake": lambda _: Wake(),
    "wander": lambda _: Wander(),
}


class MidiMapping:
    """From messages to commands.

    Without entries, notes from 36 on are the switches, controller 7 is the volume, and programs are
    the scenes in their order; without scenes, a program is the next model.

    Parameters
    ----------
    entries : sequence of str
        Such as ``note 48 = switch 3``; each goes before the default of its message.
    channel : int or None
        1 to 16; None takes every channel.
    scenes : sequence of str
        Names of the scenes, in their order.

    Raises
    ------
    SettingsError
        If an entry is none, or names a switch or a scene that does not exist.
    """

    def __init__(
        self, entries: Sequence[str] = (), *, channel: int | None = None, scenes: Sequence[str] = ()
    ) -> None:
        self._channel = channel
        self._targets = {
            **{
                Trigger(NOTE_ON, FIRST_NOTE + index): Target("switch", index)
                for index in range(MOST_SWITCHES)
            },
            Trigger(CONTROL_CHANGE, VOLUME_CONTROLLER): Target("volume"),
            **{
                Trigger(PROGRAM_CHANGE, number): Target("scene", number)
                if scenes
                else Target("next-model")
                for number in range(128)
            },
            **dict(_parse(entry, scenes) for entry in entries),
        }
        # Of several notes for a switch the last one entered has the light.
        self._notes = {
            target.number: trigger.number
            for trigger, target in self._targets.items()
            if trigger.kind == NOTE_ON and target.action == "switch"
        }

    def target(self, message: Message) -> Target | None:
        """What a message does; None for nothing."""
        if self._channel is not None and message.channel != self._channel:
            return None
        if not message.data:
            return None
        return self._targets.get(Trigger(message.kind, message.data[0]))

    def command(self, message: Message) -> Command | None:
        """The command of a message; None where it does nothing.

        A note with velocity 0 is a note that ends: it does nothing.
        """
        target = self.target(message)
        if target is None or (message.kind == NOTE_ON and message.data[1] == 0):
            return None
        value, is_controller = message.data[-1], message.kind == CONTROL_CHANGE
        if target.action in _BY_VALUE:
            return _BY_VALUE[target.action](value)
        if target.action == "switch" and is_controller:
            return SetSwitch(target.number, value >= 64, SOURCE)
        if is_controller and value < 64:
            return None  # the button of a controller that is let go
        return _BY_PRESS[target.action](target.number)

    def lights(self, index: int, on: bool) -> bytes:
        """The message that lights the key of a switch, counted from 0, or puts it out."""
        if index not in self._notes:
            return b""
        channel = (self._channel or 1) - 1
        return bytes((NOTE_ON | channel, self._notes[index], 127 * on))


def describe(message: Message) -> str:
    """A message in words."""
    if message.kind in _NAMES:
        values = "".join(f", value {value}" for value in message.data[1:])
        return f"{Trigger(message.kind, message.data[0])}{values}, channel {message.channel}"
    data = " ".join(f"{byte:02X}" for byte in message.data[:8])
    return f"message {message.status:02X} {data}".rstrip()


def _parse(entry: str, scenes: Sequence[str]) -> tuple[Trigger, Target]:
    match = _ENTRY.fullmatch(entry.strip())
    if match is None or int(match[2]) > 127:
        raise _refusal(entry, f"{'/'.join(_KINDS)}, a number from 0 to 127, = and {_TARGETS}")
    trigger, words = Trigger(_KINDS[match[1]], int(match[2])), match[3].split(maxsplit=1)
    action, rest = words[0], words[1] if len(words) > 1 else ""
    if action == "switch" and rest.isdecimal() and 1 <= int(rest) <= MOST_SWITCHES:
        return trigger, Target(action, int(rest) - 1)
    if action == "scene" and rest in scenes:
        return trigger, Target(action, list(scenes).index(rest))
    if action == "sleep" and rest.isdecimal() and int(rest) <= _MOST_SLEEP_MINUTES:
        return trigger, Target(action, int(rest))
    if action == "sleep":
        raise _refusal(entry, f"sleep and 0 to {_MOST_SLEEP_MINUTES} minutes")
    if action == "scene":
        raise _refusal(entry, f"one of the scenes {', '.join(scenes) or '(there are none)'}")
    if action in _BY_VALUE and trigger.kind != CONTROL_CHANGE:
        raise _refusal(entry, f"a controller (cc) for {action}")
    if rest or action not in {*_BY_VALUE, *_BY_PRESS} - {"switch", "scene"}:
        raise _refusal(entry, f"{_TARGETS}, with a switch from 1 to {MOST_SWITCHES}")
    return trigger, Target(action)


def _refusal(entry: str, expected: str) -> SettingsError:
    return SettingsError(
        f"midi_map: found {visible(entry)[:80]!r}, expected {expected}; write it {_EXAMPLE}"
    )
