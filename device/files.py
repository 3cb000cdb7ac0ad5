"""Files that are whole or absent, after a power cut too."""

import errno
import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

# No text that is given to an instrument has more: settings, scripts, lists of hosts, the status.
MOST_TEXT_BYTES = 4 * 1024 * 1024


@contextmanager
def written_whole(path: Path, partial: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name when it is complete; the old one stays whole until then.

    Parameters
    ----------
    partial : Path
        Its name until then, in the same folder; removed if anything goes wrong.
    """
    try:
        with partial.open("wb") as file:
            yield file
            flush_file(file)
        partial.replace(path)
        flush_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def linked_whole(link: Path, target: str, partial: Path) -> None:
    """Make a symbolic link, or turn one to another target, in one step.

    Parameters
    ----------
    target : str
        As it is written into the link.
    partial : Path
        The new link's name until it takes the old one's place.
    """
    with suppress(FileNotFoundError):
        partial.unlink()
    partial.symlink_to(target)
    partial.replace(link)
    flush_folder(link.parent)


def removed(path: Path) -> None:
    """Remove a file or a link for good; none there is as good."""
    with suppress(FileNotFoundError):
        path.unlink()
        flush_folder(path.parent)


def flush_file(file: BinaryIO) -> None:
    """Bring a file's bytes to the disk: a name given before that may come back empty."""
    file.flush()
    os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_bytes(folder: Path) -> int:
    """What a disk still takes from us; the folder need not be there yet."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    disk = os.statvfs(there)
    return disk.f_bavail * disk.f_frsize


@contextmanager
def locked(path: Path, wait_seconds: float) -> Iterator[None]:
    """Hold a lock file, made where there is none; the lock goes with the process, if it dies.

    Raises
    ------
    TimeoutError
        If another process holds it for longer than `wait_seconds`.
    """
    # Reading is enough for a lock: the file may be another user's.
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        give_up = time.monotonic() + wait_seconds
        # Not flock's own waiting, which nothing ends if whoever holds the lock hangs.
        while not _lock(descriptor):
            if time.monotonic() > give_up:
                raise TimeoutError(f"{path}: held for {wait_seconds:.0f} s")
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def held(path: Path) -> BinaryIO:
    """Open a new file and hold it, so that `remove_strays` knows that somebody still writes."""
    file = path.open("xb")
    _lock(file.fileno())
    return file


def remove_strays(folder: Path, pattern: str) -> None:
    """Remove the files and links of these names that nobody holds."""
    for path in folder.glob(pattern):
        if path.is_symlink():
            removed(path)
        else:
            with path.open("rb") as file:
                if _lock(file.fileno()):
                    removed(path)


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading that is one: whoever opens a pipe waits, a device has no end.

    The null device is a file without content.

    Raises
    ------
    OSError
        If it cannot be opened, or is a folder, a pipe, a socket or another device.
    """
    try:
        # Non-blocking, because to open a pipe is to wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError as error:  # a name with a NUL in it
        raise OSError(errno.EINVAL, "no name of a file", str(path)) from error
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not (stat.S_ISREG(found.st_mode) or _is_null(found)):
            kind = _kind(found.st_mode)
            raise OSError(errno.EINVAL, f"found {kind}, expected a file", str(path))
        return open(descriptor, "rb")  # noqa: PTH123  `Path` opens no descriptor
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, most_bytes: int) -> bytes:
    """All bytes of a file, of which there must not be more than so many.

    Raises
    ------
    OSError
        As `open_regular`, and if the file is larger.
    """
    with open_regular(path) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"found more than {most_bytes:,} bytes", str(path))
    return content


def read_text(path: Path, most_bytes: int = MOST_TEXT_BYTES) -> str:
    """Text of a file in UTF-8, with or without a byte-order mark.

    Raises
    ------
    OSError
        As `read_regular`.
    UnicodeDecodeError
    """
    return read_regular(path, most_bytes).decode("utf-8-sig")


@contextmanager
def utf8_name(path: Path) -> Iterator[str]:
    """A name under which a library can open a file, if it takes none that is not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        yield str(path)


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes, in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file's object; what is missing or damaged is as good as empty."""
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_object(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file whole; it has one writer at a time."""
    with written_whole(path, path.with_name(f".{path.name}.part")) as file:
        file.write(json.dumps(content, indent=1).encode())


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_null(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == Path(os.devnull).stat().st_rdev


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
