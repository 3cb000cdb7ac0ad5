"""The upload of a model into the store."""

import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from device.closeable import Closeable
from device.errors import ModelTooLarge, OutputError, StoreFull, SwitchboardError
from device.files import create_locked, flush_file, sha256_of
from device.model.contract import MAX_MODEL_BYTES

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Upload(Closeable):
    """A file that readers of the store ignore; removed when closed, unless it was kept.

    Parameters
    ----------
    n_bytes : int
        The most that will come.
    adopt : callable
        Adds it to the store: takes the file and its hash.
    """

    def __init__(self, directory: Path, n_bytes: int, adopt: Callable[[Path, str], None]) -> None:
        self.path = directory / f".{secrets.token_hex(8)}.part"
        self.n_bytes = 0
        self._expected = n_bytes
        self._adopt = adopt
        self._hash = hashlib.sha256()
        self._file = create_locked(self.path)

    @property
    def digest(self) -> str:
        """SHA-256 of what came so far."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Append.

        Raises
        ------
        ModelTooLarge
            If it becomes longer than announced.
        StoreFull, OutputError
        """
        self.n_bytes += len(data)
        if self.n_bytes > self._expected:
            raise ModelTooLarge(
                f"model: found more than {self._expected:,} bytes, expected what was announced; "
                "send it again"
            )
        self._hash.update(data)
        with writing_into(self.path.parent):
            self._file.write(data)

    def flush(self) -> None:
        """Flush all of it to the disk; from now on it can be examined at `path`."""
        with writing_into(self.path.parent):
            flush_file(self._file)

    def is_whole(self) -> bool:
        """Whether the file has the bytes that were written; if not, no validation of it counts."""
        try:
            return sha256_of(self.path) == self.digest
        except OSError:
            return False

    def keep(self) -> str:
        """Make it a model of the store; returns its hash."""
        self.flush()
        self._adopt(self.path, self.digest)
        return self.digest

    def close(self) -> None:
        """Remove what was not kept; idempotent."""
        with suppress(OSError):
            self.path.unlink()
        with suppress(OSError):
            self._file.close()


@contextmanager
def writing_into(directory: Path) -> Iterator[None]:
    """Translate errors of writing into a store."""
    try:
        yield
    except SwitchboardError:
        raise
    except OSError as error:
        problem = f"{directory}: found {error.strerror or error}"
        if error.errno in _FULL:
            remedy = "make room, or remove a model with `switchboard models remove`"
            raise StoreFull(f"{problem}, expected room for a model; {remedy}") from error
        raise OutputError(f"{problem}, expected a writable folder; see --store") from error


def remaining_bytes(source: BinaryIO) -> int:
    """How much there is to read, or the largest size allowed where it is unknown."""
    if not source.seekable():
        return MAX_MODEL_BYTES
    here = source.tell()
    n_bytes = source.seek(0, os.SEEK_END) - here
    source.seek(here)
    return n_bytes
