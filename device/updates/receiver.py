"""How a model arrives: the device's side of a push, over standard input and output.

Each side writes lines of JSON; the sender writes one, then the bytes of the model::

    device  {"event": "ready", "protocol": 1, "contract_version": 5, "max_bytes": 16777216,
             "free_bytes": 1234, "active": "<sha256>" or null}
    sender  {"sha256": "<64 hexadecimal digits>", "n_bytes": 1234, "again": false}
    device  {"event": "send"}                        or at once the verdict: the hash is known
    sender  exactly n_bytes bytes
    device  {"event": "received", "n_bytes": 1048576}                      every MiB, and at the end
    device  {"event": "check", "check": "sound"}     before each check of
    `device.updates.validation`
    device  {"event": "verdict", "accepted": true, "sha256": "...", "check": "", "reason": "",
             "exit_code": 0, "seconds": 2.8, "figures": {...}}             always the last line

Accepted means active. ``again`` requests a new validation of a known hash. Input is untrusted until
it is validated: lengths and times are limited, no name or path of the sender's is used, and a
transfer that breaks off leaves no file.
"""

import json
import os
import re
import select
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from device.errors import ModelTooLarge, SwitchboardError
from device.model.contract import CONTRACT_VERSION, MAX_MODEL_BYTES
from device.plain_text import one_line
from device.store.store import ModelStore
from device.store.upload import Upload
from device.updates.install import Validate, install, known_verdict, validate_in_process
from device.updates.validation import ValidationResult

PROTOCOL = 1
IDLE_SECONDS = 20.0
# 16 MiB at 30 kB a second.
TOTAL_SECONDS = 600.0

_MOST_HEADER_BYTES = 512
_CHUNK_BYTES = 1 << 16
_PROGRESS_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")

SendEvent = Callable[[dict[str, Any]], None]


class TransferError(SwitchboardError, ValueError):
    """The transfer broke off, was too slow, or was not what had been announced."""

    exit_code = 37


@dataclass(frozen=True)
class UploadHeader:
    """The sender's line: which model follows."""

    sha256: str
    n_bytes: int
    again: bool

    @classmethod
    def parse(cls, line: bytes) -> "UploadHeader":
        """Read the sender's line.

        Raises
        ------
        TransferError, ModelTooLarge
        """
        try:
            header = cls(**json.loads(line))
        except (ValueError, TypeError, RecursionError) as error:
            raise _transfer_error("an invalid line", "sha256, n_bytes and again as JSON") from error
        if not (isinstance(header.sha256, str) and _SHA256.fullmatch(header.sha256)):
            raise _transfer_error("no SHA-256", "64 hexadecimal digits")
        if type(header.n_bytes) is not int or header.n_bytes < 0 or type(header.again) is not bool:
            raise _transfer_error("another type", "a whole number of bytes, and true or false")
        if header.n_bytes > MAX_MODEL_BYTES:
            raise ModelTooLarge(
                f"model: found {header.n_bytes:,} bytes announced, expected {MAX_MODEL_BYTES:,} at "
                "most; export a smaller network"
            )
        return header


class Sender:
    """The other side: a file descriptor that may stay silent, trickle or end at any time."""

    def __init__(
        self,
        descriptor: int,
        *,
        idle_seconds: float = IDLE_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._descriptor = descriptor
        self._idle_seconds = idle_seconds
        self._deadline = time.monotonic() + total_seconds
        self._pending = b""

    def read_line(self) -> bytes:
        """The next line.

        Raises
        ------
        TransferError
        """
        while b"\n" not in self._pending:
            if len(self._pending) > _MOST_HEADER_BYTES:
                raise _transfer_error(
                    "a line without an end", f"{_MOST_HEADER_BYTES} bytes at most"
                )
            self._pending += self._read(_MOST_HEADER_BYTES)
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def read_some(self, n_bytes: int) -> bytes:
        """At least one byte, at most `n_bytes`.

        Raises
        ------
        TransferError
        """
        data = self._pending[:n_bytes] or self._read(min(n_bytes, _CHUNK_BYTES))
        self._pending = self._pending[n_bytes:]
        return data

    def _read(self, n_bytes: int) -> bytes:
        wait = min(self._idle_seconds, self._deadline - time.monotonic())
        ready, _, _ = select.select([self._descriptor], [], [], max(0.0, wait))
        if not ready:
            raise _transfer_error("nothing more in time", "a steady stream")
        data = os.read(self._descriptor, n_bytes)
        if not data:
            raise _transfer_error("an end", "more bytes, as announced")
        return data


def receive(
    store: ModelStore,
    sender: Sender,
    send_event: SendEvent,
    *,
    validate: Validate = validate_in_process,
) -> ValidationResult:
    """Receive one model, validate it, and activate it.

    Parameters
    ----------
    send_event : callable
        Called with each event; the last is the verdict, whatever happens.
    """
    sha256 = ""
    try:
        store.recover()
        send_event(_ready_event(store))
        header = UploadHeader.parse(sender.read_line())
        sha256 = header.sha256
        result = _obtain_result(store, sender, header, send_event, validate)
    except SwitchboardError as error:
        result = ValidationResult(False, 0.0, "delivery", one_line(str(error)), error.exit_code)
    send_event({"event": "verdict", "sha256": sha256, **asdict(result)})
    return result


def _ready_event(store: ModelStore) -> dict[str, Any]:
    active = store.active()
    return {
        "event": "ready",
        "protocol": PROTOCOL,
        "contract_version": CONTRACT_VERSION,
        "max_bytes": MAX_MODEL_BYTES,
        "free_bytes": store.free_bytes(),
        "active": active.stem if active else None,
    }


def _obtain_result(
    store: ModelStore,
    sender: Sender,
    header: UploadHeader,
    send_event: SendEvent,
    validate: Validate,
) -> ValidationResult:
    result = None if header.again else known_verdict(store, header.sha256)
    if result is None:
        with store.incoming(header.n_bytes) as incoming:
            send_event({"event": "send"})
            _stream(sender, header, incoming, send_event)
            result = install(
                store,
                incoming,
                lambda check: send_event({"event": "check", "check": check}),
                validate,
            )
    if result.accepted:
        store.activate(header.sha256)
    return result


def _stream(sender: Sender, header: UploadHeader, incoming: Upload, send_event: SendEvent) -> None:
    while incoming.n_bytes < header.n_bytes:
        before = incoming.n_bytes // _PROGRESS_BYTES
        incoming.write(sender.read_some(header.n_bytes - incoming.n_bytes))
        if incoming.n_bytes // _PROGRESS_BYTES > before or incoming.n_bytes == header.n_bytes:
            send_event({"event": "received", "n_bytes": incoming.n_bytes})
    if incoming.digest != header.sha256:
        raise _transfer_error(
            f"the hash {incoming.digest[:12]}", f"{header.sha256[:12]} as announced"
        )


def _transfer_error(found: str, expected: str) -> TransferError:
    return TransferError(f"delivery: found {found}, expected {expected}; push it again")
