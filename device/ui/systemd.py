"""The instrument as a system service: its notifications to systemd.

The protocol is sd_notify(3): lines of ``NAME=value`` in one datagram to the socket that systemd
names in the environment. The watchdog is fed by the audio loop alone, from inside the loop: a
loop that hangs in a sound card stops feeding it, and is started again.
"""

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from device.audio.speaker import Speaker
from device.closeable import Closeable
from device.plain_text import visible
from device.playback.state import InstrumentState

HEARTBEAT_SECONDS = 1.0


class SystemdNotifier(Closeable):
    """Sends messages to the service manager; without one, does nothing.

    Parameters
    ----------
    address : str or None
        Of its socket; a leading ``@`` stands for the abstract namespace.
    """

    def __init__(self, address: str | None) -> None:
        self._socket: socket.socket | None = None
        if address:
            self._address = "\0" + address[1:] if address.startswith("@") else address
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            # Called in the audio loop: a message is dropped rather than waited for.
            self._socket.setblocking(False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "SystemdNotifier":
        """The manager that started this process, if one did."""
        return cls(environment.get("NOTIFY_SOCKET"))

    @property
    def is_there(self) -> bool:
        """Whether a manager listens."""
        return self._socket is not None

    def notify(self, *lines: str) -> None:
        """Send lines such as ``READY=1``; each stays one line, and all are UTF-8."""
        if self._socket is not None:
            text = "\n".join(map(visible, lines))
            with suppress(OSError):
                self._socket.sendto(text.encode(), self._address)

    def close(self) -> None:
        """Close the socket; may be called again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Heartbeat:
    """A listener that notifies the manager that the audio loop runs.

    The first block handed over is READY, and then once a second the watchdog is fed and the
    status line renewed.

    Parameters
    ----------
    describe : callable
        The status line of a snapshot.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self,
        manager: SystemdNotifier,
        describe: Callable[[InstrumentState], str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manager = manager
        self._describe = describe
        self._clock = clock
        self._next_at: float | None = None

    def __call__(self, state: InstrumentState) -> None:
        """Another block was taken by the speaker."""
        now = self._clock()
        if self._next_at is not None and now < self._next_at:
            return
        first = ("READY=1",) if self._next_at is None else ()
        self._next_at = now + HEARTBEAT_SECONDS
        status: tuple[str, ...] = ()
        try:
            status = (f"STATUS={self._describe(state)}",)
        finally:
            # The watchdog is about the loop alone, not about its status line.
            self._manager.notify(*first, "WATCHDOG=1", *status)


def is_heard(speaker: Speaker) -> bool:
    """Whether the speaker is connected; only a sound card can be missing."""
    is_there: bool = getattr(speaker, "is_there", True)
    return is_there


def status_line(state: InstrumentState, speaker: Speaker) -> str:
    """One line for `systemctl status`."""
    bits = "".join("1" if bit else "0" for bit in state.bits)
    where = f"on {speaker.name}" if is_heard(speaker) else f"unheard, waiting for {speaker.name}"
    evening = f"{state.evening.words}; " if state.evening.words else ""
    return (
        f"playing {state.title!r} {where}; {evening}switches {bits}; "
        f"{state.n_underruns} underruns, {state.n_late} late blocks"
    )
