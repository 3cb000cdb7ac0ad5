"""A model from an address: https alone, limited in size and time."""

import threading
import urllib.request
from http.client import HTTPException, HTTPMessage
from queue import Empty, SimpleQueue
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from device.errors import ModelTooLarge, SwitchboardError
from device.model.contract import MAX_MODEL_BYTES
from device.plain_text import one_line

# Of silence, and of the whole download: 16 MiB at 1.1 Mbit/s.
_SILENCE_SECONDS = 20.0
_SECONDS = 120.0
_CHUNK_BYTES = 1 << 16


class DownloadFailed(SwitchboardError, OSError):
    """A model could not be downloaded, or is not the one whose hash was given."""

    exit_code = 48


def is_address(text: str) -> bool:
    """Whether a source is an address and no file."""
    return "://" in text


def download(address: str) -> bytes:
    """All bytes of a file of at most `MAX_MODEL_BYTES`.

    Raises
    ------
    DownloadFailed
        If it is no https address, leads to one that is not, or does not answer with a file.
    ModelTooLarge
    """
    _check_https(address)
    results = SimpleQueue[bytes | BaseException]()

    def fetch() -> None:
        try:
            results.put(_fetch(address))
        except BaseException as error:  # noqa: BLE001  raised again below
            results.put(error)

    # A thread, because nothing else limits how long a server may take over its headers.
    threading.Thread(target=fetch, daemon=True).start()
    try:
        result = results.get(timeout=_SECONDS)
    except Empty as error:
        raise DownloadFailed(
            f"{address[:200]}: found no end after {_SECONDS:.0f} s, expected a model file; try "
            "again, or download it yourself and add the file"
        ) from error
    if isinstance(result, BaseException):
        raise result
    return result


def _fetch(address: str) -> bytes:
    opener = urllib.request.build_opener(_OnlyHttps)
    request = urllib.request.Request(address, headers={"User-Agent": "lofi-switchboard"})
    try:
        with opener.open(request, timeout=_SILENCE_SECONDS) as answer:
            return _read(address, answer)
    except HTTPError as error:
        error.close()
        found = f"{error.code} {one_line(str(error.reason))}"
    except SwitchboardError:
        raise
    except (URLError, HTTPException, OSError, ValueError) as error:
        found = one_line(str(getattr(error, "reason", error))) or type(error).__name__
    raise DownloadFailed(
        f"{address[:200]}: found {found}, expected a model file; check the address, or download it "
        "yourself and add the file"
    )


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows no redirection that leaves https."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> Any:
        try:
            _check_https(newurl)
        except DownloadFailed:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_https(address: str) -> None:
    try:
        parts = urlsplit(address)
        is_good = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        is_good = False
    if not is_good:
        raise DownloadFailed(
            f"{address[:200]}: found another kind of address, expected https://HOST/…; download it "
            "yourself and add the file"
        )


def _read(address: str, answer: Any) -> bytes:
    content = bytearray()
    while chunk := answer.read1(_CHUNK_BYTES):
        content += chunk
        if len(content) > MAX_MODEL_BYTES:
            raise ModelTooLarge(
                f"{address[:200]}: found more than {MAX_MODEL_BYTES:,} bytes, expected a model file"
            )
    n_announced = answer.headers.get("Content-Length", "")
    if n_announced.isascii() and n_announced.isdigit() and int(n_announced) != len(content):
        raise DownloadFailed(
            f"{address[:200]}: found {len(content):,} bytes, expected {int(n_announced):,}; "
            "try again"
        )
    return bytes(content)
