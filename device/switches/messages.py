"""Messages of a remote panel: one JSON object per line, each of which is one command.

Nothing but these commands can be sent: no file is named, and no model is loaded.
"""

import json
from collections.abc import Sequence
from typing import Any

from device.plain_text import visible
from device.switches.commands import (
    Command,
    FlipSwitch,
    Keep,
    Recall,
    SetQuiet,
    SetSwitch,
    SetTempo,
    SetVolume,
    Sleep,
    Wake,
    Wander,
)
from device.switches.remote import MOST_SWITCHES

# No command is longer.
MOST_LINE_BYTES = 512
MOST_SLEEP_MINUTES = 24 * 60
_SHOWN = 60


class MessageError(ValueError):
    """A line that is no command: what was found and what was expected."""


def parse_message(line: bytes, scenes: Sequence[str], source: str) -> Command:
    """Read one line.

    Parameters
    ----------
    scenes : sequence of str
        The names of the scenes, in the order in which `Recall` counts them.
    source : str
        Who holds a switch that is flipped.

    Raises
    ------
    MessageError
        If it is none of the commands, has another key, or a value out of its range.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"found {_shown(line)}, expected a JSON object") from error
    command: Command | None = None
    match message:
        case {"do": "flip", "switch": switch, **rest} if not rest:
            command = FlipSwitch(_switch(switch), source)
        case {"do": "set", "switch": switch, "on": bool(on), **rest} if not rest:
            command = SetSwitch(_switch(switch), on, source)
        case {"do": "tempo", "bpm": bpm, **rest} if not rest:
            command = SetTempo(_number("bpm", bpm, 20, 400))
        case {"do": "volume", "gain_db": gain_db, **rest} if not rest:
            command = SetVolume(_number("gain_db", gain_db, -60, 12))
        case {"do": "keep", **rest} if not rest:
            command = Keep()
        case {"do": "scene", "name": str(name), **rest} if not rest and name in scenes:
            command = Recall(scenes.index(name), source)
        case {"do": "sleep", "minutes": minutes, **rest} if not rest:
            command = Sleep(_number("minutes", minutes, 0, MOST_SLEEP_MINUTES))
        case {"do": "quiet", "on": bool(on), **rest} if not rest:
            command = SetQuiet(on)
        case {"do": "wake", **rest} if not rest:
            command = Wake()
        case {"do": "wander", **rest} if not rest:
            command = Wander()
    if command is not None:
        return command
    raise MessageError(
        f"found {_shown(line)}, expected flip, set, tempo, volume, keep, sleep, wake, quiet, "
        "wander or a scene that there is, with its own values and no others"
    )


def _switch(value: Any) -> int:
    """The index of a switch, which messages count from 1."""
    if type(value) is not int or not 1 <= value <= MOST_SWITCHES:
        raise MessageError(f"switch: found {_shown(value)}, expected 1 to {MOST_SWITCHES}")
    return value - 1


def _number(name: str, value: Any, lowest: float, highest: float) -> float:
    # The comparison is false for nan.
    if type(value) not in (int, float) or not lowest <= value <= highest:
        raise MessageError(f"{name}: found {_shown(value)}, expected {lowest} to {highest}")
    return float(value)


def _shown(value: object) -> str:
    return visible(repr(value), _SHOWN)
