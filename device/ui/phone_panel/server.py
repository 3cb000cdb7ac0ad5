"""The panel's process: sockets that were opened before it, limited connections, an idle exit."""

import asyncio
import signal
import socket
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from device.ui.phone_panel.app import App, CommandRate
from device.ui.phone_panel.guard import Guard
from device.ui.phone_panel.http import MOST_HEAD_BYTES, Answer, serve_connection
from device.ui.phone_panel.instrument_link import InstrumentLink

# A browser opens six at most to one host.
MOST_CONNECTIONS, MOST_OF_ONE_ADDRESS = 64, 16
_CHECK_SECONDS = 1.0
_BACKLOG = 32


@dataclass(frozen=True)
class PanelSettings:
    """What the process is started with.

    Attributes
    ----------
    sockets : sequence of int
        Descriptors of sockets that listen.
    control : str
        Path of the instrument's control socket.
    token : str
    names : sequence of str
        Host names of this machine, in lower case.
    idle_seconds : float
        Ends after so long without a connection; 0: never.
    """

    sockets: Sequence[int]
    control: str
    token: str
    names: Sequence[str]
    idle_seconds: float


class Connections:
    """Serves connections; too many, in all or from one address, are closed at once.

    Attributes
    ----------
    idle_since : float
        When the last one ended, in seconds of `time.monotonic`; meaningless while there is one.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._by_address: Counter[str] = Counter()
        self.idle_since = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """Since the last connection ended; 0 while there is one."""
        return 0.0 if self._by_address.total() else time.monotonic() - self.idle_since

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        peer = writer.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        is_full = self._by_address.total() >= MOST_CONNECTIONS
        if is_full or self._by_address[address] >= MOST_OF_ONE_ADDRESS:
            writer.transport.abort()
            return
        self._by_address[address] += 1
        try:
            # Cancelled at the end of the process, which Python 3.11 would log as a fault.
            with suppress(asyncio.CancelledError):
                await serve_connection(reader, writer, self._answer)
        finally:
            self._by_address[address] -= 1
            self._by_address += Counter()  # forgets the addresses with none
            self.idle_since = time.monotonic()
            # What was sent last still goes out; a reader that takes nothing is not waited for.
            writer.close()


async def serve(settings: PanelSettings) -> None:
    """Serve until a signal to end, or until no browser has come for the time set."""
    link = InstrumentLink(Path(settings.control))
    app = App(link, Guard(settings.token, settings.names), CommandRate())
    connections = Connections(app.answer)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    following = asyncio.create_task(link.run())
    for descriptor in settings.sockets:
        await asyncio.start_server(
            connections.serve,
            sock=socket.socket(fileno=descriptor),
            limit=MOST_HEAD_BYTES,
            backlog=_BACKLOG,
        )
    while not ended.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(_CHECK_SECONDS):
                await ended.wait()
        if 0 < settings.idle_seconds < connections.idle_seconds:
            break
    following.cancel()
