"""`switchboard receive`: the far end of a push; all that a pushing key may run."""

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
    """Take one model from standard input, examine it and make it play.

    Speaks JSON lines, for `switchboard push` over ssh; see device/updates/receiver.py. What the
    other side
    asked ssh to run is ignored.
    """
    from device.store.store import open_store
    from device.updates.receiver import Sender
    from device.updates.receiver import receive as receive_model

    verdict = receive_model(open_store(store), Sender(sys.stdin.fileno()), _say)
    return verdict.exit_code


def _say(event: dict[str, Any]) -> None:
    # Whoever sent a whole model and hung up is still served.
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), (json.dumps(event) + "\n").encode())
