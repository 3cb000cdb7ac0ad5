"""`switchboard boxes`, and the options of the search for devices."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from device.commands import options
from device.commands.number_types import Finite
from device.console import say, say_json

if TYPE_CHECKING:
    from export.remote.discovery import FoundBox
    from export.remote.paired_boxes import PairedBox

interface = click.option(
    "--interface",
    metavar="ADDRESS",
    help="Search on the network interface with this address.  [default: all]",
)


@click.command()
@click.option(
    "--seconds",
    type=Finite(0.1, 60),
    default=3.0,
    show_default=True,
    help="How long to wait for answers.",
)
@interface
@options.as_json
def boxes(seconds: float, interface: str | None, as_json: bool) -> None:
    """List the devices in this network that announce themselves, and which are paired.

    A device announces itself if it was installed with `systemd/install.sh --advertise`.
    """
    from export.remote.discovery import find_boxes
    from export.remote.paired_boxes import default_file, of_those_found, read_paired

    paired, found = read_paired(default_file()), find_boxes(seconds, interface)
    rows = [(box, bool(of_those_found(paired, [box]))) for box in found]
    if as_json:
        say_json([{**asdict(box), "is_paired": is_paired} for box, is_paired in rows])
    elif rows:
        say(*_table(rows))
    else:
        say(
            f"found no device within {seconds:g} s; one announces itself after "
            "`sudo systemd/install.sh --advertise` there",
            err=True,
        )


def paired_and_found(interface: str | None) -> "list[PairedBox]":
    """The paired devices that are in the network now; the others are named on standard error.

    Raises
    ------
    DiscoveryError
        If there is none.
    """
    from export.remote.discovery import DiscoveryError, find_boxes
    from export.remote.paired_boxes import default_file, of_those_found, read_paired

    paired = read_paired(default_file())
    found = of_those_found(paired, find_boxes(interface=interface)) if paired else []
    for box in paired:
        if box not in found:
            say(f"{box.host}: paired, not found now; name it to push to it all the same", err=True)
    if not found:
        raise DiscoveryError(
            f"found none of {len(paired)} paired devices in this network, expected one or more; "
            "`switchboard boxes` lists what is there, `switchboard pair OWNER@HOST` pairs one"
        )
    return found


def _table(rows: "list[tuple[FoundBox, bool]]") -> list[str]:
    width = max(len(box.host) for box, _ in rows)
    return [
        f"{box.host:{width}}  {'paired' if is_paired else '-':6}  {box.version or '-':8}  "
        f"{', '.join(box.addresses)}  {box.name}"
        for box, is_paired in rows
    ]
