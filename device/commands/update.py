"""`switchboard update`: other software for this device, signed, tried, and taken back if silent."""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import click

from device.console import say
from device.errors import OutputError
from device.files import create_shared, flush_file, free_bytes, open_regular
from device.updates.software.bundle import INSTALLER, MOST_BYTES, Manifest, UpdateRefused, unpack
from device.updates.software.outcome import HOME, UpdateFailed, last_outcome, version_on_trial
from device.updates.software.signature import (
    KEYS,
    MOST_SIGNATURE_BYTES,
    SUFFIXES,
    UpdateUntrusted,
    trust,
    verify,
)
from device.updates.software.version_order import order_of

# Unpacked twice: as wheels, and as packages, which are larger (measured: 190 MiB of 55).
_ROOM_FACTOR = 6
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
_CHUNK_BYTES = 2**20


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--signature",
    type=click.Path(path_type=Path),
    help="File of the signature.  [default: FILE.sig, else FILE.minisig]",
)
@click.option("--allow-older", is_flag=True, help="Install a version older than this one, too.")
@click.option(
    "--trust",
    "public_key",
    type=click.Path(path_type=Path),
    help="Add this public key of ssh to those that may sign updates.",
)
def update(
    file: Path | None, signature: Path | None, allow_older: bool, public_key: Path | None
) -> None:
    """Install the software in FILE, a bundle of `make update-bundle`; needs root.

    The signature is checked first. The new version is installed beside the one that plays, and
    tried: if it does not play, the one before plays on, after a power cut as well. Without FILE:
    what became of the last update.
    """
    if file is None and public_key is None:
        outcome, trial = last_outcome(HOME), version_on_trial(HOME)
        say(*([f"{trial} is on trial"] if trial else []))
        say(outcome.words if outcome else "no update was tried here")
        return
    check_root()
    if public_key is not None:
        say(f"may sign updates: {trust(public_key, KEYS)}")
    if file is not None:
        _update(file, signature or _signature_of(file), allow_older=allow_older)


def _update(file: Path, signature: Path, *, allow_older: bool) -> None:
    with _staging(HOME) as folder:
        # Of another account's folder only a copy can be verified that stays as it is.
        bundle = _copied(file, folder / "bundle.tar", MOST_BYTES)
        copied = _copied(signature, folder / f"bundle.tar{signature.suffix}", MOST_SIGNATURE_BYTES)
        say(verify(bundle, copied, KEYS))
        if free_bytes(folder) < _ROOM_FACTOR * bundle.stat().st_size:
            raise UpdateRefused(
                f"{HOME}: found {free_bytes(folder) / 2**20:,.0f} MiB free, expected "
                f"{_ROOM_FACTOR * bundle.stat().st_size / 2**20:,.0f}; free some space"
            )
        manifest = unpack(bundle, folder / "wheelhouse")
        bundle.unlink()
        check_fits(manifest, version("lofi-switchboard"), allow_older=allow_older)
        _install(folder / "wheelhouse", manifest)


def check_root() -> None:
    """Refuse to begin what only root can end.

    Raises
    ------
    OutputError
    """
    if os.geteuid() != 0:
        raise OutputError("found an account without rights, expected root: sudo switchboard update")


def check_fits(manifest: Manifest, installed: str, *, allow_older: bool) -> None:
    """Refuse what cannot run here, or would take the device back to an older version.

    Raises
    ------
    UpdateRefused
    """
    here = (f"{sys.version_info.major}.{sys.version_info.minor}", platform.machine())
    if (manifest.python, manifest.machine) != here:
        raise UpdateRefused(
            f"found an update for Python {manifest.python} on {manifest.machine}, expected one for "
            f"Python {here[0]} on {here[1]}; make it with: make update-bundle ARCH={here[1]} "
            f"PYTHON={here[0]}"
        )
    new, old = order_of(manifest.version), order_of(installed)
    if new is None:
        raise UpdateRefused(f"found {manifest.version!r}, expected a version such as 1.2.3")
    if old is not None and new < old and not allow_older:
        raise UpdateRefused(
            f"found version {manifest.version}, expected {installed} or a newer one; --allow-older "
            "installs it all the same"
        )


def _install(wheelhouse: Path, manifest: Manifest) -> None:
    """The installer of the bundle does it, as it would by hand."""
    begin = int(time.time())
    words = ["/bin/sh", str(wheelhouse / INSTALLER), "--wheelhouse", str(wheelhouse)]
    status = subprocess.run(
        words, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, check=False
    ).returncode
    if status == 0:
        say(f"version {manifest.version} plays")
        return
    outcome = last_outcome(HOME)
    if outcome is None or outcome.at < begin:
        raise UpdateFailed(
            f"version {manifest.version} could not be installed (status {status}, see above); "
            "what played before plays on"
        )
    raise UpdateFailed(f"version {manifest.version}: {outcome.words}")


def _signature_of(file: Path) -> Path:
    paths = [file.with_name(file.name + suffix) for suffix in SUFFIXES]
    for path in paths:
        if path.exists():
            return path
    raise UpdateUntrusted(
        f"{file}: found no signature, expected {paths[0].name} beside it; copy it, or name it with "
        "--signature"
    )


@contextmanager
def _staging(home: Path) -> Iterator[Path]:
    """A folder of root's alone, on the disk, for one update at a time."""
    if not (home / "current").is_symlink():
        raise UpdateRefused(
            f"{home}: found no installed device, expected one; install it with systemd/install.sh"
        )
    folder = home / "update"
    folder.mkdir(0o700, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UpdateFailed("found another update in progress; wait until it ends") from error
        # What an update that was cut off left.
        _empty(folder)
        try:
            yield folder
        finally:
            _empty(folder)
    finally:
        os.close(lock)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _copied(source: Path, target: Path, most_bytes: int) -> Path:
    try:
        with open_regular(source) as file, create_shared(target) as copy:
            while chunk := file.read(_CHUNK_BYTES):
                copy.write(chunk)
                if copy.tell() > most_bytes:
                    raise UpdateRefused(f"{source}: found more than {most_bytes:,} bytes")
            flush_file(copy)
    except OSError as error:
        raise UpdateRefused(
            f"{source}: found {error.strerror or error}, expected a file"
        ) from error
    return target
