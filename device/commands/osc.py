"""`switchboard osc`: controllers that speak OSC play the instrument, by a process of its own."""

import logging
import socket
from collections.abc import Callable
from importlib import import_module
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import click

from device.commands.control_option import control_option
from device.console import say, without_errors


def _parsed(kind: Callable[[str], Any], expected: str) -> Callable[..., Any]:
    """A callback that parses an option's text or texts."""

    def parse(_ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
        try:
            return tuple(map(kind, value)) if isinstance(value, tuple) else value and kind(value)
        except ValueError as error:
            raise click.BadParameter(f"{error}; expected {expected}") from error

    return parse


def _target(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"found {text[:40]!r}")
    return str(IPv4Address(host)), int(port)


@click.command()
@control_option
@click.option(
    "--listen",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    callback=_parsed(IPv4Address, "an IPv4 address of this machine"),
    help="IPv4 address to listen at; 0.0.0.0 is every one. Other machines need --allow.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=9000, show_default=True, help="UDP port."
)
@click.option(
    "--allow",
    multiple=True,
    metavar="NETWORK",
    callback=_parsed(IPv4Network, "one such as 192.168.1.20 or 192.168.1.0/24"),
    help="Take messages from this address or network too, one option each.  [default: this "
    "machine alone]",
)
@click.option(
    "--send",
    "target",
    metavar="ADDRESS:PORT",
    callback=_parsed(_target, "one such as 192.168.1.20:9001"),
    help="Send switches, tempo, volume, bar and beat there when they change.  [default: nowhere]",
)
def osc(
    control: Path,
    listen: IPv4Address,
    port: int,
    allow: tuple[IPv4Network, ...],
    target: tuple[str, int] | None,
) -> None:
    """Let controllers that speak OSC play the instrument.

    The instrument must play with --control. OSC has no login and no encryption: use it in a network
    you trust.
    """
    import_module("pythonosc")  # an error names the extra, before anything listens
    from device.ui.osc import OscBridge, OscError

    if not listen.is_loopback and not allow:
        raise click.UsageError("--listen at a network needs --allow: OSC itself has no login.")
    # The library prints what it cannot read of other machines' datagrams.
    logging.getLogger().addHandler(logging.NullHandler())
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        udp.bind((str(listen), port))
    except OSError as error:
        udp.close()
        raise OscError(
            f"{listen}, port {port}: found {error.strerror or error}, expected an address of this "
            "machine and a free port; choose another --port or --listen"
        ) from error
    say(f"OSC at {listen}, UDP port {udp.getsockname()[1]}; Ctrl-C ends it")
    report = without_errors(lambda line: say(line, err=True))
    allowed = (IPv4Network("127.0.0.0/8"), *allow)
    with OscBridge(udp, control, allowed=allowed, target=target, report=report) as bridge:
        while True:
            bridge.serve(1.0)
