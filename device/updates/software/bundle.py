"""The bundle in which software arrives: one tar with a wheelhouse, and first the manifest of it.

`manifest.json` names the version, the Python and the processor that the wheels are for, and the
size and SHA-256 hash of every file. Who made a bundle is the signature's to say, and is asked
before anything here reads it: see `signature`. Standard library alone.
"""

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from device.errors import SwitchboardError
from device.files import create_shared, make_folder, open_regular
from device.plain_text import one_line

MANIFEST = "manifest.json"
INSTALLER = "systemd/install.sh"
FORMAT = 1
MOST_BYTES = 512 * 2**20
MOST_FILES = 500
MOST_MANIFEST_BYTES = 2**20

_CHUNK_BYTES = 2**20
# No part begins with a dot or a dash, and none is empty: no way out of the folder, and no option.
_PART = r"[A-Za-z0-9_][A-Za-z0-9._+!-]{0,199}"
_NAME = re.compile(rf"(?:{_PART}/){{0,3}}{_PART}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
WHEEL = re.compile(r"lofi_switchboard-([^-/]+)-[^/]+\.whl")


class UpdateRefused(SwitchboardError, ValueError):
    """An update is damaged, made for another system, or older than what is installed."""

    exit_code = 62


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes
    ----------
    version : str
        Of lofi-switchboard.
    python : str
        Such as ``3.11``.
    machine : str
        Such as ``aarch64``.
    files : dict
        Name of each file in the tar → (number of bytes, SHA-256 hash in hexadecimal).
    """

    version: str
    python: str
    machine: str
    files: dict[str, tuple[int, str]]

    @classmethod
    def parse(cls, text: bytes) -> "Manifest":
        """Read one.

        Raises
        ------
        UpdateRefused
            If it is not of this format, or names what may not be in a bundle.
        """
        try:
            content = json.loads(text)
            if content["format"] != FORMAT:
                raise UpdateRefused(
                    f"{MANIFEST}: found format {content['format']!r}, expected {FORMAT}; install "
                    "this version with systemd/install.sh instead"
                )
            files = {
                name: (entry["bytes"], entry["sha256"]) for name, entry in content["files"].items()
            }
            manifest = cls(content["version"], content["python"], content["machine"], files)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, UpdateRefused):
                raise
            raise _damaged(f"{MANIFEST}: {error!r}") from error
        manifest.check()
        return manifest

    def to_json(self) -> bytes:
        """The text that `parse` reads."""
        files = {name: {"bytes": n, "sha256": digest} for name, (n, digest) in self.files.items()}
        return json.dumps(
            {
                "format": FORMAT,
                "version": self.version,
                "python": self.python,
                "machine": self.machine,
                "files": files,
            },
            indent=1,
        ).encode()

    def check(self) -> None:
        """Refuse what may not be in a bundle: names, sizes, another instrument.

        Raises
        ------
        UpdateRefused
        """
        if not all(isinstance(text, str) for text in (self.version, self.python, self.machine)):
            raise _damaged("a version, Python or machine that is no text")
        if len(self.files) > MOST_FILES:
            raise _damaged(f"{len(self.files)} files, at most {MOST_FILES}")
        for name, (n_bytes, digest) in self.files.items():
            if not _NAME.fullmatch(name) or name == MANIFEST:
                raise _damaged(f"the name {name!r}")
            if type(n_bytes) is not int or not 0 <= n_bytes <= MOST_BYTES:
                raise _damaged(f"{name}: {n_bytes!r} bytes")
            if not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
                raise _damaged(f"{name}: the hash {digest!r}")
        if sum(n_bytes for n_bytes, _ in self.files.values()) > MOST_BYTES:
            raise _damaged(f"more than {MOST_BYTES:,} bytes")
        versions = [match[1] for name in self.files if (match := WHEEL.fullmatch(name))]
        if versions != [self.version] or INSTALLER not in self.files:
            raise _damaged(
                f"wheels of {', '.join(versions) or 'no version'}, expected one of {self.version}, "
                f"and {INSTALLER}"
            )


def unpack(path: Path, folder: Path) -> Manifest:
    """Write the files of a bundle into a new folder; nothing but what its manifest names.

    Raises
    ------
    UpdateRefused
        If a file is missing, is not in the manifest, is no regular file, or has another size or
        hash.
    OSError
        If it cannot be written.
    """
    with _opened(path) as tar:
        manifest = _manifest_of(tar)
        missing = dict(manifest.files)
        folder.mkdir(0o755)
        while (member := tar.next()) is not None:
            n_bytes, digest = missing.pop(member.name, (None, ""))
            if n_bytes is None or not _is_plain(member) or member.size != n_bytes:
                raise _damaged(f"{member.name!r}, which its manifest does not name so")
            make_folder((folder / member.name).parent)
            with create_shared(folder / member.name) as target:
                found = _copy(tar, member, target)
                if member.name.endswith(".sh"):
                    os.fchmod(target.fileno(), 0o755)
            if found != digest:
                raise _damaged(f"{member.name} with other bytes than its manifest names")
    if missing:
        raise _damaged(f"no {min(missing)}")
    return manifest


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with open_regular(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            yield tar
    # What tarfile raises for a damaged header depends on where the damage is.
    except (tarfile.TarError, ValueError, EOFError, OverflowError, MemoryError) as error:
        if isinstance(error, UpdateRefused):
            raise
        raise _damaged(one_line(str(error))) from error


def _manifest_of(tar: tarfile.TarFile) -> Manifest:
    member = tar.next()
    if member is None or member.name != MANIFEST or not _is_plain(member):
        raise _damaged(f"no {MANIFEST} as its first file")
    if member.size > MOST_MANIFEST_BYTES:
        raise _damaged(f"a {MANIFEST} of {member.size:,} bytes")
    text = io.BytesIO()
    _copy(tar, member, text)
    return Manifest.parse(text.getvalue())


def _is_plain(member: tarfile.TarInfo) -> bool:
    """Whether it is a regular file and nothing else: no link, no device, not sparse."""
    return member.type == tarfile.REGTYPE and not member.sparse and not member.pax_headers


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, target: BinaryIO) -> str:
    """Copy one file; its hash."""
    digest, n_bytes = hashlib.sha256(), 0
    source = tar.extractfile(member)
    while source is not None and (chunk := source.read(_CHUNK_BYTES)):
        target.write(chunk)
        digest.update(chunk)
        n_bytes += len(chunk)
    if n_bytes != member.size:
        raise _damaged(f"the end of the file in {member.name}")
    return digest.hexdigest()


def _damaged(found: str) -> UpdateRefused:
    return UpdateRefused(f"found {found}, expected a bundle of `make update-bundle`; make it again")
