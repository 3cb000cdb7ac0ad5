"""A device at the other end of an ssh connection: the client of `device.updates.receiver`."""

import json
import os
import select
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from device.closeable import Closeable
from device.errors import SwitchboardError
from device.plain_text import one_line
from device.updates.receiver import PROTOCOL, UploadHeader
from export.remote.ssh import ConnectionLost, Host, Line, NoSwitchboard, explain

# The command that an unpaired key has to request; for a paired one, the device ignores it.
REMOTE = ("switchboard", "receive")
# An examination may last half a minute, and wait for another one.
SILENCE_SECONDS = 150.0
_DISCONNECT_SECONDS = 5.0
_MOST_LINE_BYTES = 64 * 1024
_MOST_SKIPPED_BYTES = 256 * 1024


class Box(Closeable):
    """A device behind an ssh connection that runs `switchboard receive`.

    Parameters
    ----------
    silence_seconds : float
        The longest time without a message from it.

    Raises
    ------
    ConnectionLost, NoSwitchboard, and the other errors of `export.remote.ssh.explain`
        From every method that waits for the device.
    """

    def __init__(self, host: Host, line: Line, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        self.host = host
        self._silence_seconds = silence_seconds
        self._pending = b""
        self._skipped = b""
        self._writer: threading.Thread | None = None
        # A file instead of a pipe: it needs no reader while other output is read.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  `close` closes it
        try:
            self._process = line.start(host, *REMOTE, stderr=self._stderr.fileno())
        except BaseException:
            self._stderr.close()
            raise

    def greeting(self) -> dict[str, Any]:
        """Its first message; what a login prints before that is skipped."""
        for event in self._events():
            if event.get("event") != "ready":
                break
            if event.get("protocol") != PROTOCOL:
                raise NoSwitchboard(
                    f"{self.host}: found protocol {one_line(str(event.get('protocol')))}, expected "
                    f"{PROTOCOL}; bring device and workstation to the same version"
                )
            return event
        raise NoSwitchboard(f"{self.host}: found another program than `switchboard receive`")

    def answers(self) -> Iterator[dict[str, Any]]:
        """The messages after the greeting; an end of the connection is raised as an error."""
        yield from self._events()

    def announce(self, header: UploadHeader) -> None:
        """Announce a model."""
        self._write((json.dumps(asdict(header)) + "\n").encode())

    def send(self, content: bytes) -> None:
        """Begin to send; messages are received meanwhile."""
        self._writer = threading.Thread(target=self._write, args=(content,), daemon=True)
        self._writer.start()

    def close(self) -> None:
        """End the connection; idempotent."""
        self._process.kill()
        self._process.wait()
        if self._writer is not None:
            self._writer.join()
        for file in (self._process.stdin, self._process.stdout, self._stderr):
            if file is not None:
                with suppress(OSError):
                    file.close()

    def disconnect(self) -> None:
        """Let ssh end by itself, so that the device sees an end of file and no broken pipe."""
        if self._writer is not None:
            self._writer.join(_DISCONNECT_SECONDS)
            if self._writer.is_alive():
                return
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_DISCONNECT_SECONDS)

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        # A device that closed the connection has sent the reason, or ssh has printed it.
        with suppress(BrokenPipeError):
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def _events(self) -> Iterator[dict[str, Any]]:
        while True:
            line = self._line()
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                event = None
            if isinstance(event, dict) and "event" in event:
                yield event
            else:
                self._skip(line)

    def _skip(self, line: bytes) -> None:
        self._skipped += line + b"\n"
        if len(self._skipped) > _MOST_SKIPPED_BYTES:
            raise NoSwitchboard(f"{self.host}: found another program than `switchboard receive`")

    def _line(self) -> bytes:
        while b"\n" not in self._pending and len(self._pending) < _MOST_LINE_BYTES:
            self._pending += self._read()
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _read(self) -> bytes:
        assert self._process.stdout is not None
        stdout = self._process.stdout.fileno()
        ready, _, _ = select.select([stdout], [], [], self._silence_seconds)
        if not ready:
            raise ConnectionLost(
                f"{self.host}: found no message for {self._silence_seconds:.0f} s, expected a "
                "verdict; check whether the device still plays, and push again"
            )
        data = os.read(stdout, _MOST_LINE_BYTES)
        if not data:
            raise self._ending()
        return data

    def _ending(self) -> SwitchboardError:
        """The error that explains why the connection ended."""
        try:
            status = self._process.wait(_DISCONNECT_SECONDS)
        except subprocess.TimeoutExpired:
            return ConnectionLost(f"{self.host}: found an end, expected a verdict; push again")
        self._stderr.seek(0)
        output = self._skipped + self._pending + b"\n" + self._stderr.read(_MOST_LINE_BYTES)
        return explain(self.host, status, output.decode(errors="replace"))
