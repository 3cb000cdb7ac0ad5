"""The folder of kept music: each piece is a folder of its own that is whole, or is not there."""

import os
import re
import shutil
import stat
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, BinaryIO

from device.errors import KeptError, OutputError
from device.files import (
    SHARED_FOLDER_MODE,
    create_shared,
    file_lock,
    flush_file,
    flush_folder,
    free_bytes,
    make_folder,
    open_regular,
    read_json_object,
)
from device.system.account import is_root_elsewhere

MOST_PIECES = 50
MOST_BYTES = 10**9
# What stays free on the disk.
RESERVE_BYTES = 16 * 2**20

SOUND, PERFORMANCE, MODEL, ABOUT = "sound.wav", "performance.jsonl", "model.json", "about.json"

_LOCK = ".lock"
_PART = ".part"
_LOCK_SECONDS = 10.0
_MOST_TITLE = 40

Write = Callable[[BinaryIO], None]


@dataclass(frozen=True)
class KeptPiece:
    """One folder of kept music; the texts are from a file, and so not to be trusted.

    Attributes
    ----------
    name : str
        Of the folder.
    path : Path
    n_bytes : int
    title, share_code : str
        Of the model, and of the end of the music.
    seconds : float
        0 if it is not known.
    """

    name: str
    path: Path
    n_bytes: int
    title: str
    share_code: str
    seconds: float


class KeptFolder:
    """Pieces of music that a player has kept; none is ever removed unasked.

    Raises
    ------
    KeptError
        From what reads or changes it, if it is full or has no such piece.
    OutputError
        From what changes it, if it cannot be written to.
    """

    def __init__(
        self, directory: Path, *, most_pieces: int = MOST_PIECES, most_bytes: int = MOST_BYTES
    ) -> None:
        self.directory = directory.absolute()
        self._most_pieces = most_pieces
        self._most_bytes = most_bytes

    def pieces(self) -> list[KeptPiece]:
        """All pieces, in the order of their names, which begin with the time."""
        return [_piece(path) for path in self._paths()]

    def find(self, name: str) -> KeptPiece:
        """The piece of a name, or of the first characters of one."""
        paths = list(self._paths())
        matches = [path for path in paths if path.name == name]
        matches = matches or [path for path in paths if name and path.name.startswith(name)]
        if len(matches) != 1:
            raise KeptError(
                f"kept music {name[:80]!r}: found {len(matches) or 'none'} in {self.directory}, "
                "expected one; `switchboard kept list` names them all"
            )
        return _piece(matches[0])

    def remove(self, name: str) -> str:
        """Remove a piece; its whole name."""
        path = self.find(name).path
        try:
            with file_lock(self.directory / _LOCK, _LOCK_SECONDS):
                # Under another name first: then no part of it is taken for a piece.
                part = self.directory / f"{_PART}-removed-{path.name}"
                path.rename(part)
                flush_folder(self.directory)
                shutil.rmtree(part)
        except OSError as error:
            raise _not_written(self.directory, error) from error
        return path.name

    def add(self, name: str, files: dict[str, Write], n_bytes: int) -> Path:
        """Add a piece, whole or not at all; its folder.

        Parameters
        ----------
        name : str
            Of the folder; with a number after it if it is taken.
        files : dict
            Writes each file, by name.
        n_bytes : int
            About so much all files have together.
        """
        if is_root_elsewhere(self.directory):
            raise KeptError(
                f"{self.directory}: found a folder of another account, expected one of root; play "
                "as that account"
            )
        try:
            make_folder(self.directory)
            with file_lock(self.directory / _LOCK, _LOCK_SECONDS):
                # What a process left that was ended meanwhile; one that writes holds the lock.
                for path in self.directory.glob(f"{_PART}*"):
                    shutil.rmtree(path, ignore_errors=True)
                self._check_room(n_bytes)
                return self._add(name, files)
        except OSError as error:
            if isinstance(error, KeptError):
                raise
            raise _not_written(self.directory, error) from error

    def _add(self, name: str, files: dict[str, Write]) -> Path:
        part = self.directory / f"{_PART}-{os.getpid()}"
        part.mkdir()
        try:
            part.chmod(SHARED_FOLDER_MODE)
            for file_name, write in files.items():
                with create_shared(part / file_name) as file:
                    write(file)
                    flush_file(file)
            flush_folder(part)
            names = chain([name], (f"{name}-{number}" for number in count(2)))
            path = next(p for p in map(self.directory.joinpath, names) if not os.path.lexists(p))
            part.rename(path)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        flush_folder(self.directory)
        return path

    def _check_room(self, n_bytes: int) -> None:
        pieces = self.pieces()
        used = sum(piece.n_bytes for piece in pieces)
        found = None
        if len(pieces) >= self._most_pieces:
            found = f"{len(pieces)} pieces", f"fewer than {self._most_pieces}"
        elif used + n_bytes > self._most_bytes:
            found = (
                f"{used / 1e6:.0f} MB",
                f"room for {n_bytes / 1e6:.0f} of {self._most_bytes / 1e6:.0f} MB",
            )
        elif (free := free_bytes(self.directory)) < n_bytes + RESERVE_BYTES:
            found = f"{free / 1e6:.0f} MB free", f"{(n_bytes + RESERVE_BYTES) / 1e6:.0f} MB"
        if found:
            raise KeptError(
                f"{self.directory}: found {found[0]}, expected {found[1]}; nothing is removed "
                "unasked: `switchboard kept export` and `switchboard kept remove` make room"
            )

    def _paths(self) -> Iterator[Path]:
        try:
            with os.scandir(self.directory) as entries:
                names = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return
        except OSError as error:
            raise KeptError(
                f"{self.directory}: found {error.strerror or error}, expected a folder of kept "
                "music; choose it with --folder"
            ) from error
        yield from (self.directory / name for name in sorted(names) if not name.startswith("."))


def open_sound(piece: KeptPiece) -> BinaryIO:
    """The WAV file of a piece, open for reading.

    Raises
    ------
    KeptError
        If it cannot be read.
    """
    try:
        return open_regular(piece.path / SOUND, follow=False)
    except OSError as error:
        raise KeptError(
            f"{piece.path / SOUND}: found {error.strerror or error}, expected a WAV file; "
            f"`switchboard kept remove {piece.name}` removes the piece"
        ) from error


def name_of(moment: str, title: str) -> str:
    """The name of a folder: the time, and what of the title is letters or digits."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain)[:_MOST_TITLE].strip("-")
    return f"{moment}_{words}" if words else moment


def _piece(path: Path) -> KeptPiece:
    about = read_json_object(path / ABOUT)
    seconds = about.get("seconds")
    return KeptPiece(
        path.name,
        path,
        sum(map(_size, path.iterdir())),
        _text(about.get("title")),
        _text(about.get("share_code")),
        float(seconds) if isinstance(seconds, (int, float)) else 0.0,
    )


def _size(path: Path) -> int:
    status = path.lstat()
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _not_written(directory: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{directory}: found {error.strerror or error}, expected a folder that can be written to; "
        "check its owner, or choose another one"
    )
