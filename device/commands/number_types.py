"""Ranges of numbers, times of day and pins for options of every verb."""

import math
import re
from typing import Any

import click

from device.switches.pinout import ChipLine, Pin, parse_pin


class Finite(click.FloatRange):
    """A range that NaN and infinity, which no comparison catches, are outside of too."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Refuse the values that `float` accepts and this range does not."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


# Before click 8.4 a type has no parameter.
class DayTime(click.ParamType):  # type: ignore[type-arg]
    """A time of day, as the minute of the day."""

    name = "HH:MM"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read ``07:00``."""
        if isinstance(value, int):
            return value  # of the configuration file, which is read before
        match = _TIME.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"found {value!r}, expected a time from 00:00 to 23:59.", param, ctx)
        return 60 * int(match[1]) + int(match[2])


class DaySpan(click.ParamType):  # type: ignore[type-arg]
    """A part of the day, as the minutes at which it begins and ends."""

    name = "HH:MM-HH:MM"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Read ``23:00-07:00``."""
        if isinstance(value, tuple):
            return value
        times = str(value).split("-")
        if len(times) != 2 or times[0].strip() == times[1].strip():
            self.fail(f"found {value!r}, expected two times such as 23:00-07:00.", param, ctx)
        start, end = (DayTime().convert(text, param, ctx) for text in times)
        return start, end


class SwitchPin(click.ParamType):  # type: ignore[type-arg]
    """A BCM number, or a line of an expander."""

    name = "pin"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Pin:
        """Read ``5`` or ``chip1:5``."""
        pin = value if isinstance(value, ChipLine) else parse_pin(str(value))
        if pin is None:
            self.fail(f"found {value!r}, expected a BCM number, or chip1:5", param, ctx)
        return pin
