"""`switchboard link`: the instrument in an Ableton Link session, by a process of its own."""

import os
from importlib import import_module
from pathlib import Path

import click

from device.commands.control_option import control_option
from device.console import say, without_errors

# Until the instrument says its own.
_START_BPM = 80.0
_STEP_SECONDS = 0.5


@click.command()
@control_option
@click.option(
    "--network",
    is_flag=True,
    help="Join on every network of this machine, which is how Link works. Else it joins on a "
    "loopback of its own, which no other machine reaches.",
)
def link(control: Path, network: bool) -> None:
    """Share tempo and bars with an Ableton Link session.

    The instrument must play with --control. Link has no login: with --network every program in the
    network that speaks it may set the tempo.
    """
    import_module("link")  # an error names the extra, before anything listens
    if network:
        say("Ableton Link, on every network of this machine; Ctrl-C ends it")
    else:
        _confine()
    from device.ui.link import LinkBridge, LinkSession

    report = without_errors(lambda line: say(line, err=True))
    with (
        LinkSession(_START_BPM) as session,
        LinkBridge(session, control, report=report) as bridge,
    ):
        while True:
            bridge.serve(_STEP_SECONDS)


def _confine() -> None:
    from device.system.own_loopback import enter_own_loopback, joining_words

    try:
        enter_own_loopback()
    except OSError as error:
        raise click.UsageError(
            f"found no right to a loopback of its own ({error.strerror}), and Link can be confined "
            "in no other way; allow every network of this machine with --network."
        ) from error
    say(
        "Ableton Link, on a loopback of its own: no other machine is reached; Ctrl-C ends it",
        f"a program of this machine joins: {joining_words(os.getpid())} PROGRAM",
        "with --network it joins on every network of this machine",
    )
