"""Ranges of numbers for options of every verb; needs click alone."""

import math
from typing import Any

import click


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
