"""What the panel answers: the page, the events, the commands, and the kept music."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from device.errors import SwitchboardError
from device.playback.recording.kept_folder import KeptFolder, open_sound
from device.switches.messages import MessageError
from device.ui.phone_panel.guard import Guard, Refused
from device.ui.phone_panel.http import Request, Response
from device.ui.phone_panel.instrument_link import NOT_THERE, InstrumentLink

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
# The files of the page, by name; what is asked for is compared with these names, and never opened.
_PAGE = {
    file.name: Response(200, file.read_bytes(), _TYPES[file.suffix])
    for file in Path(__file__).with_name("page").iterdir()
    if file.suffix in _TYPES
}
# A comment so often, so that a connection that is gone is noticed.
_HEARTBEAT_SECONDS = 15.0
# More than any hand sends: beyond that, a command is refused.
COMMANDS_PER_SECOND, _MOST_AT_ONCE = 40.0, 80.0
_PART_BYTES = 64 * 1024


class CommandRate:
    """Counts commands: so many at once, and so many a second after that.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left, self._at = _MOST_AT_ONCE, clock()

    def take(self) -> None:
        """Count one.

        Raises
        ------
        Refused
            If there were too many.
        """
        now = self._clock()
        more = (now - self._at) * COMMANDS_PER_SECOND
        self._left, self._at = min(self._left + more, _MOST_AT_ONCE), now
        if self._left < 1:
            raise Refused(429, f"found more than {COMMANDS_PER_SECOND:.0f} commands a second")
        self._left -= 1


@dataclass(frozen=True)
class App:
    """Answers requests with the help of the instrument."""

    link: InstrumentLink
    guard: Guard
    rate: CommandRate

    async def answer(self, request: Request) -> Response:
        """The response to one request.

        Raises
        ------
        Refused
            If it may not be answered.
        """
        self.guard.check_place(request.headers, request.local_address)
        path = request.path.partition("?")[0]
        if not path.startswith("/api/"):
            return _page(request.method, path)
        self.guard.check_token(request.headers)
        match request.method, path.split("/")[2:]:
            case "GET", ["events"]:
                return Response(200, self._events(), "text/event-stream")
            case "POST", ["command"]:
                return await self._command(request)
            case "GET", ["kept"]:
                return self._list_kept()
            case "GET", ["kept", name]:
                return _sound(self._kept(), name)
        raise Refused(404, "found no such page, expected one of the panel")

    async def _events(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events: whatever is new of the instrument, the latest of each kind."""
        sent: dict[str, bytes] = {}
        with self.link.used():
            while True:
                latest = self.link.latest
                new = [line for name, line in latest.items() if sent.get(name) != line]
                sent = latest
                yield b"".join(b"data: " + line + b"\n\n" for line in new) or b": \n\n"
                if self.link.latest is latest:
                    try:
                        async with asyncio.timeout(_HEARTBEAT_SECONDS):
                            await self.link.wait()
                    except TimeoutError:
                        continue

    async def _command(self, request: Request) -> Response:
        # A form of another page can send neither this type nor the token.
        if request.headers.get("content-type") != "application/json":
            raise Refused(415, "found another content type, expected application/json")
        self.rate.take()
        try:
            await self.link.send(request.body)
        except MessageError as error:
            raise Refused(400, str(error)) from error
        except ConnectionError as error:
            raise Refused(503, NOT_THERE) from error
        return Response(204)

    def _list_kept(self) -> Response:
        names = ("name", "title", "seconds", "n_bytes", "share_code")
        pieces = self._kept().pieces()
        rows = [{name: getattr(piece, name) for name in names} for piece in pieces]
        return Response(200, json.dumps(rows).encode(), "application/json")

    def _kept(self) -> KeptFolder:
        if self.link.kept is None:
            raise Refused(503, NOT_THERE)
        return KeptFolder(self.link.kept)


def _page(method: str, path: str) -> Response:
    if method != "GET":
        raise Refused(405, "found another method, expected GET")
    response = _PAGE.get(path.removeprefix("/") or "index.html")
    if response is None:
        raise Refused(404, "found no such page, expected one of the panel")
    return response


def _sound(folder: KeptFolder, name: str) -> Response:
    """The sound of a piece; only a whole name of the folder's own list is opened."""
    piece = next((piece for piece in folder.pieces() if piece.name == name), None)
    if piece is None:
        raise Refused(404, "found no such music, expected a name of the list")
    try:
        file = open_sound(piece)
    except SwitchboardError as error:
        raise Refused(404, "found music that cannot be read, expected a WAV file") from error
    length = file.seek(0, 2)
    file.seek(0)
    return Response(200, _parts(file, length), "audio/wav", length)


async def _parts(file: BinaryIO, length: int) -> AsyncGenerator[bytes, None]:
    """So many bytes of a file, and no more if it grows meanwhile."""
    with file:
        while length > 0 and (part := file.read(min(_PART_BYTES, length))):
            length -= len(part)
            yield part
