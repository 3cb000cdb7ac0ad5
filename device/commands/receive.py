"""`switchboard receive`: the device's side of a push, the only command of a paired SSH key."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from device.commands import options


@click.command()
@options.store
def receive(store: Path) -> int:
    """Read one model from standard input, validate it and make it play.

    Uses JSON lines, for `switchboard push` over ssh; see device/updates/receiver.py. The command
    that the client requested from ssh is ignored.
    """
    from device.store.store import open_store
    from device.updates.receiver import Sender
    from device.updates.receiver import receive as receive_model

    result = receive_model(open_store(store), Sender(sys.stdin.fileno()), _send_event)
    return result.exit_code


def _send_event(event: dict[str, Any]) -> None:
    # A sender that closed the connection after a whole model is still served.
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), (json.dumps(event) + "\n").encode())
