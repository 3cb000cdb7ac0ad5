"""Read access to a model store: no lock, no waiting, no changes."""

import hashlib
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from os import stat_result
from pathlib import Path

from device.errors import ModelOutOfReach, StoreError
from device.files import open_regular
from device.model.contract import MAX_MODEL_BYTES
from device.store.verdict_log import Refusal, VerdictLog

_MODEL_NAME = re.compile(r"([0-9a-f]{64})\.onnx")


@dataclass(frozen=True)
class StoredModel:
    """One file of the store.

    Attributes
    ----------
    digest : str
        SHA-256 of its bytes, in hexadecimal.
    size_bytes : int
    added : float
        Seconds since the epoch.
    is_active, is_previous : bool
    refused : str or None
        Why it must not play, if so.
    """

    digest: str
    size_bytes: int
    added: float
    is_active: bool
    is_previous: bool
    refused: str | None


class StoreReader:
    """The models of a directory, which need not exist.

    Each name changes from one whole file to another in one step, so a reader never waits.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self.directory = directory.absolute()
        self._verdicts = VerdictLog(self.directory / "verdicts.json", clock)

    def active(self) -> Path | None:
        """The file that is to play, whole; None: the bundled model."""
        return self._linked("active")

    def previous(self) -> Path | None:
        """The file that played before, whole; None: the bundled model."""
        previous = self._linked("previous")
        # Changing both links takes two steps, and between them both name the same file.
        return None if previous == self.active() else previous

    def path(self, digest: str) -> Path:
        """Path of the model with this hash, stored or not."""
        path = self.directory / f"{digest}.onnx"
        if not _MODEL_NAME.fullmatch(path.name):
            raise StoreError(
                f"model {digest[:80]!r}: found {len(digest)} characters, expected a SHA-256 of 64 "
                "hexadecimal digits"
            )
        return path

    def models(self) -> list[StoredModel]:
        """All models, newest first."""
        active, previous = self.active(), self.previous()
        models = [
            StoredModel(
                digest=path.stem,
                size_bytes=status.st_size,
                added=status.st_mtime,
                is_active=path == active,
                is_previous=path == previous,
                refused=self.refusal(path.stem),
            )
            for path, status in self._files()
        ]
        return sorted(models, key=lambda model: (-model.added, model.digest))

    def find(self, name: str) -> str:
        """The hash that a name means: ``active``, ``previous`` or the first digits of a hash.

        Raises
        ------
        StoreError
            If no model matches, or several do.
        """
        if name in ("active", "previous"):
            path = self.active() if name == "active" else self.previous()
            matches = [path.stem] if path else []
        else:
            matches = [p.stem for p, _ in self._files() if name and p.stem.startswith(name.lower())]
        if len(matches) != 1:
            raise StoreError(
                f"model {name[:80]!r}: found {len(matches) or 'none'} in {self.directory}, "
                "expected one; `switchboard models list` names them all"
            )
        return matches[0]

    def is_whole(self, digest: str) -> bool:
        """Whether the file still has the bytes of its hash.

        Raises
        ------
        ModelOutOfReach
            If the file cannot be read.
        """
        path = self.path(digest)
        try:
            if path.lstat().st_size > MAX_MODEL_BYTES:
                return False
            with open_regular(path, follow=False) as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == digest
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ModelOutOfReach(
                f"model {digest[:12]}: found {error.strerror or error} at {path}, expected a file "
                "that can be read; push it again"
            ) from error

    def check_whole(self, digest: str) -> None:
        """Check that a model can be read as it was stored; if not, no failure is the model's fault.

        Raises
        ------
        ModelOutOfReach
        """
        if not self.is_whole(digest):
            raise ModelOutOfReach(
                f"model {digest[:12]}: found other bytes than were stored in {self.directory}, "
                "expected those; push it again"
            )

    def refusal(self, digest: str) -> str | None:
        """Why this hash must not play, or None."""
        return self._verdicts.refusal(digest)

    def last_refusal(self) -> Refusal | None:
        """The latest refusal that still holds, or None."""
        return self._verdicts.last_refusal()

    def is_accepted(self, digest: str) -> bool:
        """Whether it was examined here, accepted, and not refused since."""
        return self._verdicts.is_accepted(digest)

    def _linked(self, name: str) -> Path | None:
        try:
            path = self.directory / (self.directory / name).readlink()
        except OSError:
            return None
        return path if path.parent == self.directory and is_model(path) else None

    def _files(self) -> Iterator[tuple[Path, stat_result]]:
        for path in sorted(self.directory.glob("*.onnx")):
            # It may be removed meanwhile.
            with suppress(FileNotFoundError):
                if is_model(path):
                    yield path, path.stat()


def is_model(path: Path) -> bool:
    """Whether a path has a model's name and is a regular file."""
    if not _MODEL_NAME.fullmatch(path.name):
        return False
    try:
        # A link with a model's name is no model: its target may be an endless device.
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
