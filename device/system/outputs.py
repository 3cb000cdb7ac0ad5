"""Output to a name that a person gave: one way to write to any.

A regular file is written beside its place and takes its name when it is complete. A link is
followed: its target is what is written, the link stays. A pipe or a character device is written
into, and never replaced. Standard library alone.
"""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from device.errors import OutputError, SwitchboardError
from device.files import flush_file, flush_folder

# So long a pipe may wait for whatever reads it; the two are started one after the other.
READER_SECONDS = 5.0
_MOST_NAME_BYTES = 200


class Output:
    """An output that is being written; it ends in `keep` or in `drop`.

    Attributes
    ----------
    file : BinaryIO
        To write to.
    is_stream : bool
        Written into as it comes: what was written cannot be taken back or gone back to.

    Raises
    ------
    OSError
        Here or from `keep`, if it cannot be written; see `not_written`.
    """

    def __init__(self, path: Path) -> None:
        self._target, status = _find(path)
        self.is_stream = _is_stream(status)
        self._partial = _partial(self._target)
        if status is not None and self.is_stream:
            self.file = _open_stream(path, status)
        else:
            self.file = _open_beside(self._partial, status)

    def keep(self) -> None:
        """Complete it, and give it its name."""
        if self.is_stream:
            self.file.close()
            return
        flush_file(self.file)
        self.file.close()
        self._partial.replace(self._target)
        # It has its name by now; not every folder that may be written in may be opened.
        with suppress(OSError):
            flush_folder(self._target.parent)

    def drop(self) -> None:
        """Forget it, as far as that is possible; may be called again."""
        with suppress(OSError):
            self.file.close()
        if not self.is_stream:
            with suppress(OSError):
                self._partial.unlink(missing_ok=True)


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Open an output that is complete when the block ends, and dropped where that fails.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    output: Output | None = None
    try:
        output = Output(path)
        yield output.file
        output.keep()
    except BaseException as error:
        if output is not None:
            output.drop()
        if isinstance(error, OSError) and not isinstance(error, SwitchboardError):
            raise not_written(path, error) from error
        raise


def regular_target(path: Path) -> Path:
    """Where a file that will be read again is to be written: itself, or what it links to.

    Raises
    ------
    OutputError
        If there is a folder, a pipe or a device.
    """
    try:
        target, status = _find(path)
    except OSError as error:
        raise not_written(path, error) from error
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise OutputError(
            f"{path}: found {_kind(status)}, expected a file or a name that is free: it is read "
            "again; choose another file"
        )
    return target


def check_output(path: Path, *, again: bool = False) -> None:
    """Refuse early what would be found out only after the work is done.

    Parameters
    ----------
    again : bool
        Whether it will be read again, as by `regular_target`.

    Raises
    ------
    OutputError
        If it is a folder, has no folder to be in, or cannot be written.
    """
    if path.is_dir():
        raise OutputError(f"{path}: found a folder, expected a file name")
    target = regular_target(path) if again else Path(os.path.realpath(path))
    try:
        if _is_stream(_find(path)[1]):
            return
        if not target.parent.is_dir():
            raise OutputError(f"{path}: found no folder {target.parent}; make it first")
        # Permissions do not tell all: a file system may be read-only, or make no files at all.
        Output(path).drop()
    except SwitchboardError:
        raise
    except OSError as error:
        raise not_written(path, error) from error


def is_standard_output(path: Path) -> bool:
    """Whether an output is standard output itself, so that messages had better go elsewhere."""
    try:
        return os.path.samestat(path.stat(), os.fstat(1))
    except OSError:
        return False


def not_written(path: Path, error: OSError) -> OutputError:
    """The error for an output that cannot be written."""
    return OutputError(
        f"{path}: found {error.strerror or error}, expected a writable folder with room; "
        "free some space or choose another file"
    )


def _find(path: Path) -> tuple[Path, os.stat_result | None]:
    """The place behind all links, and what is there."""
    try:
        status = path.stat()
    except FileNotFoundError:
        status = None
    if status is not None and stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "a folder of that name")
    if status is not None and (stat.S_ISBLK(status.st_mode) or stat.S_ISSOCK(status.st_mode)):
        raise OSError(errno.EINVAL, f"{_kind(status)} of that name")
    if status is not None and stat.S_ISREG(status.st_mode) and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    # A name without links stays as it was given: it is part of messages.
    return (Path(os.path.realpath(path)) if path.is_symlink() else path), status


def _is_stream(status: os.stat_result | None) -> bool:
    return status is not None and (
        not stat.S_ISREG(status.st_mode) or _standard_stream(status) is not None
    )


def _kind(status: os.stat_result) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFBLK: "a disk",
    }
    return kinds.get(stat.S_IFMT(status.st_mode), "a device")


def _partial(target: Path) -> Path:
    # Its name is as long as the file's, and may be as long as names can be.
    stem = os.fsdecode(os.fsencode(target.name)[:_MOST_NAME_BYTES])
    return target.with_name(f".{stem}.{os.getpid()}.part")


def _open_beside(partial: Path, replaced: os.stat_result | None) -> BinaryIO:
    # What a killed process of the same number left, or a link that another user put there.
    partial.unlink(missing_ok=True)
    file = partial.open("xb")
    if replaced is not None:
        os.fchmod(file.fileno(), stat.S_IMODE(replaced.st_mode))
    return file


def _open_stream(path: Path, status: os.stat_result) -> BinaryIO:
    standard = _standard_stream(status)
    if standard is not None:
        # Not opened anew: a file would be written from its beginning on, over what is there.
        return os.fdopen(os.dup(standard), "wb")
    give_up = time.monotonic() + READER_SECONDS
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > give_up:
                raise OSError(errno.ENXIO, f"{_kind(status)} that nothing reads") from error
            time.sleep(0.01)
        else:
            os.set_blocking(descriptor, True)
            return os.fdopen(descriptor, "wb")


def _standard_stream(status: os.stat_result) -> int | None:
    """Descriptor of standard output or standard error, if that is what a name leads to."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(status, os.fstat(descriptor)):
                return descriptor
    return None
