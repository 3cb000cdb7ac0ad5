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

# The largest text file that is read: settings, scripts, lists of hosts, the status.
MOST_TEXT_BYTES = 4 * 1024 * 1024

# What is shared between accounts has these modes, whatever the umask of the writer.
SHARED_FILE_MODE = 0o644
SHARED_FOLDER_MODE = 0o755

# Errors after which a lock file is replaced: no permission, a link, not a regular file.
_NO_LOCK = (errno.EACCES, errno.ELOOP, errno.EINVAL, errno.ENXIO)


@contextmanager
def atomic_write(path: Path, partial: Path, *, shared: bool = False) -> Iterator[BinaryIO]:
    """Open a file that takes its name when it is complete; the old one stays whole until then.

    Parameters
    ----------
    partial : Path
        Its name until then, in the same folder; removed if anything goes wrong.
    shared : bool
        Whether every account may read it, see `create_shared`; the name `partial` must be free.
    """
    try:
        with create_shared(partial) if shared else partial.open("wb") as file:
            yield file
            flush_file(file)
        partial.replace(path)
        flush_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def atomic_symlink(link: Path, target: str, partial: Path) -> None:
    """Make a symbolic link, or point one to another target, in one step.

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


def remove_durably(path: Path) -> None:
    """Remove a file or a link and flush its folder; one that is missing is no error."""
    with suppress(FileNotFoundError):
        path.unlink()
        flush_folder(path.parent)


def flush_file(file: BinaryIO) -> None:
    """Flush a file's bytes to the disk: one renamed before may be empty after a power cut."""
    file.flush()
    os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush a folder's names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_bytes(folder: Path) -> int:
    """Free bytes for this account on a folder's disk; the folder need not exist yet."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    disk = os.statvfs(existing)
    return disk.f_bavail * disk.f_frsize


@contextmanager
def file_lock(path: Path, wait_seconds: float) -> Iterator[None]:
    """Hold a lock file, made where there is none; the lock goes with the process, if it dies.

    Raises
    ------
    TimeoutError
        If another process holds it for longer than `wait_seconds`.
    """
    deadline = time.monotonic() + wait_seconds
    descriptor = _lock_file(path)
    try:
        # Not flock's own waiting, which has no time limit if the process that holds the lock hangs.
        while not (_lock(descriptor) and _is_named(descriptor, path)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path}: held for {wait_seconds:.0f} s")
            time.sleep(0.01)
            # Another file may have taken the name since: the next process would lock that one.
            if not _is_named(descriptor, path):
                fresh = _lock_file(path)
                os.close(descriptor)
                descriptor = fresh
        yield
    finally:
        os.close(descriptor)


def create_shared(path: Path) -> BinaryIO:
    """Open a new file that every account may read, whatever the umask.

    Raises
    ------
    FileExistsError
        If the name is taken, be it by a link that leads nowhere.
    """
    return os.fdopen(_create(path), "wb")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are not there; every account may look into them."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        folder.chmod(SHARED_FOLDER_MODE)


def create_locked(path: Path) -> BinaryIO:
    """Open a new file and lock it, so that `remove_stale` leaves it until it is closed."""
    file = create_shared(path)
    _lock(file.fileno())
    return file


def remove_stale(folder: Path, pattern: str) -> None:
    """Remove the files, links and pipes of these names that no process has locked."""
    for path in folder.glob(pattern):
        # One that cannot be removed is no reason to leave the others.
        with suppress(OSError):
            if not stat.S_ISREG(path.lstat().st_mode):
                remove_durably(path)
                continue
            with open_regular(path, follow=False) as file:
                if _lock(file.fileno()):
                    remove_durably(path)


def open_regular(path: Path, *, follow: bool = True) -> BufferedReader:
    """Open a file for reading; a pipe or a device is refused without waiting for it.

    Parameters
    ----------
    follow : bool
        Whether the last part of the path may be a link, and the null device a file without content.

    Raises
    ------
    OSError
        If it cannot be opened, or is a pipe, a socket, a folder or another device.
    """
    return os.fdopen(_open_regular(path, follow=follow), "rb")


def read_regular(path: Path, most_bytes: int) -> bytes:
    """All bytes of a file that has at most `most_bytes`.

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
    """A name for a library that opens only UTF-8 names."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        yield str(path)


def sha256_of(path: Path) -> str:
    """Hash of a regular file's bytes, in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON file's object; empty if the file is missing, damaged or endless."""
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json_object(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file whole; it has one writer at a time."""
    partial = path.with_name(f".{path.name}.part")
    partial.unlink(missing_ok=True)
    with atomic_write(path, partial, shared=True) as file:
        file.write(json.dumps(content, indent=1).encode())


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, SHARED_FILE_MODE)
    os.fchmod(descriptor, SHARED_FILE_MODE)
    return descriptor


def _open_regular(path: Path, *, follow: bool) -> int:
    # Non-blocking, because to open a pipe is to wait for its other end.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags if follow else flags | os.O_NOFOLLOW)
    except ValueError as error:  # a name with a NUL in it
        raise OSError(errno.EINVAL, "no name of a file", str(path)) from error
    try:
        _check_regular(path, os.fstat(descriptor), follow=follow)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(path: Path, status: os.stat_result, *, follow: bool) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    is_null = (
        follow
        and stat.S_ISCHR(status.st_mode)
        and status.st_rdev == Path(os.devnull).stat().st_rdev
    )
    if not (stat.S_ISREG(status.st_mode) or is_null):
        raise OSError(errno.EINVAL, f"found {_kind(status.st_mode)}, expected a file", str(path))


def _lock_file(path: Path) -> int:
    """Open a lock file; replace one that is not a regular file or may not be read."""
    try:
        return _open_lock(path)
    except OSError as error:
        if error.errno not in _NO_LOCK or (path.is_dir() and not path.is_symlink()):
            raise
        path.unlink(missing_ok=True)
        return _open_lock(path)


def _open_lock(path: Path) -> int:
    try:
        return _create(path)
    except FileExistsError:
        # Reading is enough for a lock: the file may be another account's.
        return _open_regular(path, follow=False)


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), named)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
