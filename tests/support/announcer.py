"""Announcements in the network, made by a real responder of multicast DNS on the loopback."""

import socket
from contextlib import contextmanager

from zeroconf import ServiceInfo, Zeroconf

from export.remote.discovery import SERVICE

LOOPBACK = "127.0.0.1"


def announcement(name, host, *, address=LOOPBACK, port=22, version="0.1.0"):
    return ServiceInfo(
        SERVICE,
        f"{name}.{SERVICE}",
        addresses=[socket.inet_aton(address)],
        port=port,
        properties={"version": version},
        server=host,
    )


@contextmanager
def announced_on_loopback(*services):
    """Announce for the time of a ``with`` block; nothing leaves this machine."""
    with Zeroconf(interfaces=[LOOPBACK]) as responder:
        for service in services:
            responder.register_service(service)
        yield
