"""`switchboard link`: the instrument in an Ableton Link session, by a process of its own."""

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
    help="Join on every network of this machine, which is how Link works. Required: it cannot be "
    "limited to the loopback.",
)
def link(control: Path, network: bool) -> None:
    """Share tempo and bars with an Ableton Link session.

    The instrument must play with --control. Link has no login: every program in the network that
    speaks it may set the tempo.
    """
    import_module("link")  # an error names the extra, before anything listens
    from device.ui.link import LinkBridge, LinkSession

    if not network:
        raise click.UsageError(
            "Link listens on every network of this machine, has no login and cannot be limited to "
            "the loopback: allow that with --network."
        )
    say("Ableton Link, on every network of this machine; Ctrl-C ends it")
    report = without_errors(lambda line: say(line, err=True))
    with (
        LinkSession(_START_BPM) as session,
        LinkBridge(session, control, report=report) as bridge,
    ):
        while True:
            bridge.serve(_STEP_SECONDS)
