"""What the verbs print: the one way to standard output and standard error, besides rich's pictures.

Whatever rich draws of names and files goes through `device.plain_text` where it is drawn.
"""

import io
import json
import sys
from typing import Any

import click

from device.plain_text import visible


def say(*lines: str, err: bool = False) -> None:
    """Print lines; what a terminal would obey, or could not show, is made visible.

    Parameters
    ----------
    err : bool
        On standard error.
    """
    for line in lines:
        click.echo(visible(line), err=err)


def say_json(content: Any) -> None:
    """Print one line of JSON, in ASCII."""
    click.echo(json.dumps(content))


def take_any_text() -> None:
    """Let the standard streams write what their encoding lacks as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
