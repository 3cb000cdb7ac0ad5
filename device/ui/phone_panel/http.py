"""One connection: requests in, responses out, by h11; with limits of size and time on both."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import cached_property

import h11

from device.ui.phone_panel.guard import Refused

MOST_HEAD_BYTES = 8192
MOST_BODY_BYTES = 512
# All of a request must come within this time after its connection, or after the response before.
REQUEST_SECONDS = 10.0
# What is sent must be taken within this time.
WRITE_SECONDS = 10.0
_READ_BYTES = 4096
_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; media-src blob:; manifest-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class Request:
    """A request whose body has arrived.

    Attributes
    ----------
    headers : mapping of str to str
        Names in lower case; of several of a name, the last.
    local_address : str
        Of this end of the connection.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    local_address: str


@dataclass(frozen=True)
class Response:
    """What is sent; a body that is a stream ends with the connection unless `length` is known."""

    status: int
    body: bytes | AsyncGenerator[bytes, None] = b""
    content_type: str = "text/plain; charset=utf-8"
    length: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def head(self) -> h11.Response:
        """Status line and headers."""
        length = len(self.body) if isinstance(self.body, bytes) else self.length
        headers = {"Content-Type": self.content_type, "Cache-Control": "no-cache"} | _SECURITY
        if length is not None:
            headers["Content-Length"] = str(length)
        else:
            headers["Connection"] = "close"
        pairs = [(name, value) for name, value in (headers | dict(self.headers)).items()]
        return h11.Response(status_code=self.status, headers=pairs)


Answer = Callable[[Request], Awaitable[Response]]


async def serve_connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer
) -> None:
    """Answer the requests of a connection, one after the other, until either side ends it."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD_BYTES)
    with suppress(OSError, TimeoutError, h11.LocalProtocolError):
        while connection.our_state is h11.IDLE:
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    request = await _read_request(connection, reader, writer)
                if request is None:
                    return
                response = await answer(request)
            except Refused as refused:
                response = Response(refused.status, f"{refused}\n".encode())
            except h11.RemoteProtocolError as error:
                status = error.error_status_hint
                response = Response(status, b"found no valid request, expected HTTP/1.1\n")
            await _send(connection, writer, response)
            if connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()


async def _read_request(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    """The next request; None if the connection ends instead."""
    head: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                raise Refused(417, "found Expect, expected a request that waits for nothing")
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MOST_BODY_BYTES:
                raise Refused(413, f"found a larger body, expected {MOST_BODY_BYTES} bytes at most")
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return Request(
                head.method.decode("ascii"),
                head.target.decode("ascii", "replace"),
                {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
                body,
                str(writer.get_extra_info("sockname")[0]),
            )
        else:
            return None


async def _send(
    connection: h11.Connection, writer: asyncio.StreamWriter, response: Response
) -> None:
    """Send a response; a reader that takes nothing for `WRITE_SECONDS` ends the connection."""
    if connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return
    head = connection.send(response.head) or b""
    if isinstance(response.body, bytes):
        body = connection.send(h11.Data(response.body)) or b""
        await _write(writer, head + body + (connection.send(h11.EndOfMessage()) or b""))
        return
    await _write(writer, head)
    async with aclosing(response.body) as parts:
        async for part in parts:
            await _write(writer, connection.send(h11.Data(part)))
    await _write(writer, connection.send(h11.EndOfMessage()))


async def _write(writer: asyncio.StreamWriter, data: bytes | None) -> None:
    if data:
        writer.write(data)
    if writer.transport.is_closing():
        raise ConnectionResetError
    if writer.transport.get_write_buffer_size():
        async with asyncio.timeout(WRITE_SECONDS):
            await writer.drain()
