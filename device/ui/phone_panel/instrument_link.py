"""The panel's end of the control socket: connected only while a browser looks or sends."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from device.switches.commands import Command
from device.switches.messages import parse_message

# A card has 80 facts at most, of 400 characters each.
_MOST_LINE = 256 * 1024
_RETRY_SECONDS = 1.0
_CONNECT_SECONDS = 2.0
_LINGER_SECONDS = 3.0
NOT_THERE = "the instrument does not answer; is it playing, with --control?"


class InstrumentLink:
    """Keeps the latest of what the instrument sends, and sends commands to it.

    Attributes
    ----------
    latest : dict of str to bytes
        By its name (`link`, `card`, `state`, `now`, `scenes`) the latest line, JSON; replaced by a
        new dictionary at each change. `now` has the fields of the state that always change.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._n_users = 0
        self._is_used = asyncio.Event()
        self._is_connected = asyncio.Event()
        self._changed = asyncio.Event()
        self.latest: dict[str, bytes] = {}
        self._content: dict[str, Any] = {}
        self._note({"link": False})

    @property
    def kept(self) -> Path | None:
        """Folder of the kept music, as the instrument names it."""
        kept = self._content.get("kept")
        return Path(kept) if isinstance(kept, str) else None

    @property
    def scenes(self) -> list[str]:
        """Names of the scenes."""
        return list(self._content.get("scenes", []))

    @contextmanager
    def used(self) -> Iterator[None]:
        """Be connected, as soon as that can be done, while the block runs."""
        self._n_users += 1
        self._is_used.set()
        try:
            yield
        finally:
            self._n_users -= 1
            # Not at once: a page that is loaded again, or the next command, comes soon.
            asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._close_unused)

    async def wait(self) -> None:
        """Wait for the next change of `latest`."""
        await self._changed.wait()

    async def send(self, line: bytes) -> Command:
        """Send one command, checked as the instrument will check it.

        Raises
        ------
        MessageError
            If it is none.
        ConnectionError
            If the instrument does not answer.
        """
        with self.used():
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await self._is_connected.wait()
            except TimeoutError as error:
                raise ConnectionError(NOT_THERE) from error
            command = parse_message(line, self.scenes, "")
            if self._writer is None:
                raise ConnectionError(NOT_THERE)
            # As it was read, on one line: JSON may contain line ends.
            self._writer.write(json.dumps(json.loads(line)).encode() + b"\n")
            return command

    async def run(self) -> None:
        """Connect whenever it is used, until cancelled."""
        while True:
            await self._is_used.wait()
            with suppress(OSError, ValueError):
                await self._follow()
            self._writer = None
            self._is_connected.clear()
            self._note({"link": False})
            # Always: without a user it is still wanted for the time that it lingers.
            await asyncio.sleep(_RETRY_SECONDS)

    def _close_unused(self) -> None:
        if not self._n_users:
            self._is_used.clear()
            self._is_connected.clear()
            if self._writer is not None:
                self._writer.close()

    async def _follow(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=_MOST_LINE)
        self._writer = writer
        try:
            while self._is_used.is_set() and (line := await reader.readline()):
                content = json.loads(line)
                if isinstance(content, dict):
                    self._note(content, line.strip())
                if "scenes" in content:
                    self._is_connected.set()
                    self._note({"link": True})
        finally:
            writer.close()

    def _note(self, content: dict[str, Any], line: bytes = b"") -> None:
        """Take a message; a line with one name is passed on as it came."""
        self._content |= content
        if len(content) == 1 and line:
            lines = dict.fromkeys(content, line)
        else:
            lines = {name: json.dumps({name: value}).encode() for name, value in content.items()}
        lines.pop("kept", None)
        if "state" in lines:
            # Older than the state, which has all that it has.
            self.latest = {name: old for name, old in self.latest.items() if name != "now"}
        self.latest = self.latest | lines
        # Wakes all who wait now; who comes later waits for the next change.
        self._changed.set()
        self._changed = asyncio.Event()
