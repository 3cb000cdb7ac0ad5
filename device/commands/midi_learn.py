"""`switchboard doctor --midi`: what arrives on MIDI ports, and the line for the configuration."""

import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from device.commands.instrument_settings import InstrumentSettings
from device.console import say, say_json
from device.plain_text import one_line
from device.switches.midi.mapping import MidiMapping, Trigger, describe
from device.switches.midi.parser import CONTROL_CHANGE, NOTE_ON, PROGRAM_CHANGE, Message
from device.switches.midi.ports import ANY, MidiPorts

_LEARNT = (NOTE_ON, CONTROL_CHANGE, PROGRAM_CHANGE)
_WAIT_SECONDS = 0.1


class MidiLearner:
    """Describes messages, and collects a map of those that do nothing yet.

    Attributes
    ----------
    rows : list of dict
        For every message that was described: port, message, what it does.
    """

    def __init__(self, mapping: MidiMapping) -> None:
        self.rows: list[dict[str, str]] = []
        self._mapping = mapping
        self._seen: set[tuple[str, int, int]] = set()
        self._entries: dict[Trigger, str] = {}

    def take(self, message: Message, port: str) -> str | None:
        """A line about a message; None for one that came before, and the end of a note."""
        number = message.data[0] if message.kind in _LEARNT else 0
        is_new = (port, message.status, number) not in self._seen
        ends = message.kind == NOTE_ON and message.data[1] == 0
        if not is_new or ends:
            return None
        self._seen.add((port, message.status, number))
        does = self._does(message)
        self.rows.append({"port": port, "message": describe(message), "does": does})
        return f"{one_line(port)}: {describe(message)}: {does}"

    @property
    def line(self) -> str:
        """The line for switchboard.toml; empty where every message does something already."""
        entries = ", ".join(f'"{entry}"' for entry in self._entries.values())
        return f"midi_map = [{entries}]" if entries else ""

    def _does(self, message: Message) -> str:
        target = self._mapping.target(message)
        if target is not None:
            return str(target)
        if message.kind not in _LEARNT:
            return "nothing"
        trigger = Trigger(message.kind, message.data[0])
        self._entries.setdefault(trigger, f"{trigger} = switch {len(self._entries) + 1}")
        return f'nothing yet; "{self._entries[trigger]}" in midi_map makes it a switch'


def learn(settings: InstrumentSettings, seconds: float | None, *, as_json: bool) -> int:
    """Print what arrives until the time is up or Ctrl-C, then the line for the configuration."""
    learner = MidiLearner(settings.midi_mapping)
    waiting: SimpleQueue[tuple[Message, str]] = SimpleQueue()
    report: Callable[[str], None] = lambda line: say(line, err=as_json)  # noqa: E731
    wanted = settings.midi or ANY
    report(f"MIDI: waiting for messages of {one_line(wanted)}; press keys, turn knobs; Ctrl-C ends")
    ends_at = time.monotonic() + seconds if seconds is not None else float("inf")
    with (
        MidiPorts(wanted, lambda message, _, port: waiting.put((message, port)), report=report),
        suppress(KeyboardInterrupt),
    ):
        while time.monotonic() < ends_at:
            with suppress(Empty):
                line = learner.take(*waiting.get(timeout=_WAIT_SECONDS))
                if line is not None:
                    report(line)
    if as_json:
        say_json({"messages": learner.rows, "line": learner.line})
    elif learner.line:
        say("for switchboard.toml, with the switches that you want:", learner.line)
    return 0
