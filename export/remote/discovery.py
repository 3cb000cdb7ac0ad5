"""Devices in this network that announce themselves (DNS-SD over multicast DNS).

The announcement is a file that the device's Avahi reads (`systemd/switchboard.avahi`). Whoever is
in the network can announce anything: host names, ports and texts are checked and bounded here, and
nothing of them is ever part of a command line of ssh. A push goes to the hosts that were paired
(`export.remote.paired_boxes`); an announcement only says that one of them is there.
"""

import ipaddress
import logging
import re
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from device.errors import SwitchboardError
from device.plain_text import one_line

if TYPE_CHECKING:
    from zeroconf import ServiceInfo, Zeroconf

SERVICE = "_lofi-switch._tcp.local."
SEARCH_SECONDS = 3.0
MOST_BOXES = 64

_MOST_ADDRESSES = 8
_MOST_TEXT = 80
# For a device whose announcement came without its host and port.
_ANSWER_SECONDS = 1.0
# Names of multicast DNS alone: another name may be any machine of the internet.
_HOST_NAME = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.local", re.ASCII | re.IGNORECASE
)


class DiscoveryError(SwitchboardError, OSError):
    """The network cannot be searched for devices, or no paired device was found in it."""

    exit_code = 47


@dataclass(frozen=True)
class FoundBox:
    """A device as it announces itself, which proves nothing.

    Attributes
    ----------
    name : str
        For people; one line, without invisible characters.
    host : str
        ``NAME.local``, letters, digits and hyphens.
    port : int
        Of ssh, 1 to 65535.
    addresses : tuple of str
    version : str
        Of the software there; empty if it is not announced.
    """

    name: str
    host: str
    port: int
    addresses: tuple[str, ...]
    version: str


def find_boxes(seconds: float = SEARCH_SECONDS, interface: str | None = None) -> list[FoundBox]:
    """Search the network; the result is in the order of the host names.

    Parameters
    ----------
    seconds : float
        How long to wait for answers.
    interface : str or None
        Address of the network interface to search on; None: all.

    Raises
    ------
    DiscoveryError
        If there is no such interface, or no network.
    """
    from zeroconf import InterfaceChoice, Zeroconf

    # It logs what it could not read of other machines' packets.
    logger = logging.getLogger("zeroconf")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    try:
        interfaces = [_checked(interface)] if interface else InterfaceChoice.All
        with Zeroconf(interfaces=interfaces) as network:
            boxes = _search(network, seconds)
    except DiscoveryError:
        raise
    except OSError as error:
        raise DiscoveryError(
            f"{interface or 'all interfaces'}: found {error.strerror or error}, expected a network "
            "with multicast; choose another one with --interface"
        ) from error
    return sorted(boxes, key=lambda box: (box.host, box.name))


def _checked(interface: str) -> str:
    """The address of an interface of this machine; raises `OSError` where it is another's."""
    try:
        address = str(ipaddress.IPv4Address(interface))
    except ValueError as error:
        raise DiscoveryError(
            f"--interface: found {interface[:40]!r}, expected the IPv4 address that this machine "
            "has there, such as 192.168.1.5; `ip address` lists them"
        ) from error
    # Before zeroconf does, which leaves a socket open where it fails.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
    return address


def _search(network: "Zeroconf", seconds: float) -> list[FoundBox]:
    from zeroconf import DNSQuestionType, Error, ServiceBrowser, ServiceInfo

    names = dict[str, None]()

    def note(*, name: str, **_: object) -> None:
        if len(names) < MOST_BOXES:
            names[name] = None

    # Answers to all: one to this program alone may reach another one that shares its port.
    everyone = DNSQuestionType.QM
    browser = ServiceBrowser(network, SERVICE, handlers=[note], question_type=everyone)
    time.sleep(seconds)
    browser.cancel()
    boxes, deadline = [], time.monotonic() + max(seconds, _ANSWER_SECONDS)
    for name in list(names):
        left = min(_ANSWER_SECONDS, max(0.0, deadline - time.monotonic()))
        try:
            info = ServiceInfo(SERVICE, name)
            is_known = info.request(network, 1e3 * left, question_type=everyone)
        except Error:  # such as a name that is none
            continue
        if is_known and (box := announced(info)):
            boxes.append(box)
    return boxes


def announced(info: "ServiceInfo") -> FoundBox | None:
    """What a service says of itself, or None if that cannot be a device."""
    host = (info.server or "").removesuffix(".")
    if not (_HOST_NAME.fullmatch(host) and info.port and 0 < info.port < 65536):
        return None
    name = info.name.removesuffix(f".{SERVICE}")
    version = (info.properties.get(b"version") or b"").decode(errors="replace")
    return FoundBox(
        name=one_line(name, _MOST_TEXT),
        host=host.lower(),
        port=info.port,
        addresses=tuple(info.parsed_scoped_addresses()[:_MOST_ADDRESSES]),
        version=one_line(version, _MOST_TEXT),
    )
