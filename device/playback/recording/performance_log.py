"""The log of a performance: written by a helper thread, at most once a second."""

import os
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import BinaryIO

from device.closeable import Closeable
from device.console import without_errors
from device.errors import OutputError
from device.files import create_shared, flush_folder, make_folder
from device.playback.recording.events import Event, Header, to_line
from device.system.account import is_root_elsewhere
from device.system.threads import SupervisedThread

Report = Callable[[str], None]
OpenFile = Callable[[], BinaryIO]

WRITE_SECONDS = 1.0
# Of one log: some 80,000 flips.
MOST_BYTES = 8 * 2**20
# Of a device's folder.
MOST_LOGS = 50
MOST_FOLDER_BYTES = 32 * 2**20
# A device that is started again and again must not push out the logs of real performances.
LATER_SECONDS = 10.0
_LOCK_SECONDS = 1.0


class PerformanceLog(Closeable):
    """Takes events from the audio loop, and appends them to a file once a second if there are any.

    A disk that takes no more ends the log, not the music. What was logged stays in memory too,
    compressed, for what is kept.

    Parameters
    ----------
    open_file : callable or None
        Makes the file; None: memory alone.
    report : callable
        Takes one line when the log ends early.
    later_seconds : float
        The file is made after so long, or with the first event after that of the start.
    """

    def __init__(
        self,
        header: Header,
        open_file: OpenFile | None,
        report: Report,
        *,
        later_seconds: float = 0.0,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.header = header
        self._open_file = open_file
        self._file: BinaryIO | None = None
        self._report = without_errors(report)
        self._due_at = time.monotonic() + later_seconds
        self._most_bytes = most_bytes
        self._n_bytes = self._n_events = 0
        self._is_full = False
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._unwritten = to_line(header)
        # Without the header: what is kept gets its own.
        self._packer = zlib.compressobj()
        self._packed = bytearray()
        # Never taken by the audio loop.
        self._lock = threading.Lock()
        self._write()
        self._helper = SupervisedThread("performance log", self.flush, every=WRITE_SECONDS)

    def put(self, event: Event) -> None:
        """Take an event; returns at once."""
        self._events.put(event)

    def flush(self) -> None:
        """Write all events so far; not for the audio loop."""
        if not self._lock.acquire(timeout=_LOCK_SECONDS):
            return  # The disk hangs, in another thread.
        try:
            self._drain()
            self._write()
        finally:
            self._lock.release()

    def event_lines(self) -> bytes:
        """The lines of all events so far; not for the audio loop."""
        self.flush()
        with self._lock:
            return zlib.decompress(bytes(self._packed) + self._packer.copy().flush())

    def close(self) -> None:
        """Write the rest and end the thread; idempotent."""
        self._helper.close()
        self._due_at = 0.0
        self.flush()
        file, self._file = self._file, None
        self._open_file = None
        if file is not None:
            file.close()

    def _drain(self) -> None:
        while not self._events.empty():
            try:
                event = self._events.get_nowait()
            except Empty:
                return
            line = to_line(event)
            self._n_bytes += len(line)
            if self._n_bytes <= self._most_bytes:
                self._n_events += 1
                self._unwritten += line
                self._packed += self._packer.compress(line)
            elif not self._is_full:
                self._is_full = True
                limit = f"{self._most_bytes / 2**20:g} MiB"
                self._report(f"the performance is no longer logged: its log has reached {limit}")

    def _write(self) -> None:
        if self._file is None and self._open_file is None:
            self._unwritten = b""
            return
        is_due = self._n_events > 1 or time.monotonic() >= self._due_at
        if not (self._unwritten and is_due):
            return
        try:
            if self._file is None and self._open_file is not None:
                self._file, self._open_file = self._open_file(), None
            if self._file is not None:
                _append(self._file, self._unwritten)
        except OSError as error:
            self._report(f"the performance is no longer logged: {error.strerror or error}")
            if self._file is not None:
                self._file.close()
            self._file = self._open_file = None
        self._unwritten = b""


def _append(file: BinaryIO, content: bytes) -> None:
    """Write all of it, and flush it to the disk; in one piece where the disk has room."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
    os.fdatasync(file.fileno())


def open_log_file(path: Path) -> BinaryIO:
    """Make the file of a log; an empty one is written to, another one is never replaced.

    Raises
    ------
    OutputError
    """
    try:
        is_empty = path.is_file() and path.stat().st_size == 0
        return path.open("r+b", buffering=0) if is_empty else _new(path)
    except FileExistsError as error:
        raise OutputError(
            f"{path}: found something of that name, expected a free name: a performance is never "
            "replaced; choose another file or remove it"
        ) from error
    except OSError as error:
        raise OutputError(
            f"{path}: found {error.strerror or error}, expected a folder that can be written to; "
            "choose another file"
        ) from error


def open_next_log(folder: Path) -> BinaryIO:
    """Make the next log of a device's folder, and remove the oldest ones above its limits.

    Raises
    ------
    OSError
        If the folder cannot be written to, or belongs to another account and this one is root.
    """
    if is_root_elsewhere(folder):
        raise OSError(f"{folder} belongs to another account, and this one is root")
    make_folder(folder)
    logs = sorted(
        (path for path in folder.glob("*.jsonl") if path.name[:6].isdigit()),
        key=lambda path: path.name,
    )
    sizes = [path.lstat().st_size for path in logs]
    while logs and (len(logs) >= MOST_LOGS or sum(sizes) + MOST_BYTES > MOST_FOLDER_BYTES):
        logs.pop(0).unlink(missing_ok=True)
        sizes.pop(0)
    # By number: a device without a battery does not know the time when it starts.
    number = int(logs[-1].name[:6]) + 1 if logs else 1
    return _new(folder / f"{number:06d}_{time.strftime('%Y-%m-%d_%H-%M-%S')}.jsonl")


def _new(path: Path) -> BinaryIO:
    # Without a buffer, which would fail once more when the file is closed.
    create_shared(path).close()
    # Its name too has to be there after a power cut.
    flush_folder(path.parent)
    return path.open("r+b", buffering=0)
