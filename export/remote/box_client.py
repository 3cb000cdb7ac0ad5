"""A box at the far end of an ssh connection, as `device.updates.receiver` speaks for it."""

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

# What a key that was not paired has to ask for; for one that was, the box ignores it.
REMOTE = ("switchboard", "receive")
# An examination may last half a minute, and wait for another one.
SILENCE_SECONDS = 150.0
_GOODBYE_SECONDS = 5.0
_MOST_LINE_BYTES = 64 * 1024
_MOST_CHATTER_BYTES = 256 * 1024


class Box(Closeable):
    """A box behind an ssh connection, as `switchboard receive` speaks for it.

    Parameters
    ----------
    silence_seconds : float
        How long it may say nothing.

    Raises
    ------
    ConnectionLost, NoSwitchboard, and what else `export.remote.ssh.explain` knows
        From everything that waits for the box.
    """

    def __init__(self, host: Host, line: Line, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        self.host = host
        self._silence_seconds = silence_seconds
        self._pending = b""
        self._chatter = b""
        self._writer: threading.Thread | None = None
        # A file and not a pipe: it needs no reader while other output is read.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  `close` closes it
        try:
            self._process = line.start(host, *REMOTE, stderr=self._stderr.fileno())
        except BaseException:
            self._stderr.close()
            raise

    def greeting(self) -> dict[str, Any]:
        """The first thing it says; what a login chatters before that is passed over."""
        for event in self._events():
            if event.get("event") != "ready":
                break
            if event.get("protocol") != PROTOCOL:
                raise NoSwitchboard(
                    f"{self.host}: found protocol {one_line(str(event.get('protocol')))}, expected "
                    f"{PROTOCOL}; bring box and workstation to the same version"
                )
            return event
        raise NoSwitchboard(f"{self.host}: found another program than `switchboard receive`")

    def answers(self) -> Iterator[dict[str, Any]]:
        """What it says from then on, until it says no more: that is an error, if it comes."""
        yield from self._events()

    def say(self, header: UploadHeader) -> None:
        """Announce a model."""
        self._write((json.dumps(asdict(header)) + "\n").encode())

    def send(self, content: bytes) -> None:
        """Begin to send; answers come meanwhile."""
        self._writer = threading.Thread(target=self._write, args=(content,), daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Hang up; idempotent."""
        self._process.kill()
        self._process.wait()
        if self._writer is not None:
            self._writer.join()
        for file in (self._process.stdin, self._process.stdout, self._stderr):
            if file is not None:
                with suppress(OSError):
                    file.close()

    def part(self) -> None:
        """Let ssh end by itself, so that the box sees an end and no break."""
        if self._writer is not None:
            self._writer.join(_GOODBYE_SECONDS)
            if self._writer.is_alive():
                return
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GOODBYE_SECONDS)

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        # A box that hung up has said why, or ssh has: that is what matters.
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
                self._pass_over(line)

    def _pass_over(self, line: bytes) -> None:
        self._chatter += line + b"\n"
        if len(self._chatter) > _MOST_CHATTER_BYTES:
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
                f"{self.host}: found nothing said for {self._silence_seconds:.0f} s, expected a "
                "verdict; look whether the box still plays, and push again"
            )
        data = os.read(stdout, _MOST_LINE_BYTES)
        if not data:
            raise self._ending()
        return data

    def _ending(self) -> SwitchboardError:
        """Why it said no more."""
        try:
            status = self._process.wait(_GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            return ConnectionLost(f"{self.host}: found an end, expected a verdict; push again")
        self._stderr.seek(0)
        said = self._chatter + self._pending + b"\n" + self._stderr.read(_MOST_LINE_BYTES)
        return explain(self.host, status, said.decode(errors="replace"))
