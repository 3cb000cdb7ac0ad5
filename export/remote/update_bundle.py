"""The workstation's side of an update: a wheelhouse as one file, and its signature beside it."""

import hashlib
import io
import os
import re
import tarfile
from pathlib import Path
from typing import BinaryIO

from device.errors import SwitchboardError
from device.files import open_regular
from device.system.outputs import written
from device.updates.software.bundle import MANIFEST, WHEEL, Manifest, UpdateRefused
from device.updates.software.signature import NAMESPACE, run_tool

# As `make wheelhouse` calls its folders.
_FOLDER = re.compile(r"wheelhouse-(\d+\.\d+)-(\w+)")


class SigningFailed(SwitchboardError, RuntimeError):
    """A bundle could not be signed: no such key, or its passphrase was not given."""

    exit_code = 64


def make_bundle(wheelhouse: Path, out: Path | None) -> tuple[Path, Manifest]:
    """Write the bundle of a folder that `make wheelhouse` filled; the same bytes each time.

    Parameters
    ----------
    out : Path or None
        None: in the folder of the wheelhouse, by version, Python and processor.

    Returns
    -------
    The bundle and its manifest.

    Raises
    ------
    UpdateRefused
        If the folder is none of `make wheelhouse`, or has files that may not be in a bundle.
    OutputError
    """
    manifest = _manifest_of(wheelhouse)
    name = f"switchboard-{manifest.version}-{manifest.python}-{manifest.machine}.tar"
    path = out or wheelhouse.parent / name
    with written(path) as file:
        _write(wheelhouse, manifest, file)
    return path, manifest


def sign(bundle: Path, key: Path) -> Path:
    """Sign a bundle with a private key of ssh, or by the agent that has it; the signature's file.

    Raises
    ------
    SigningFailed
    """
    signature = bundle.with_name(f"{bundle.name}.sig")
    # ssh-keygen does not replace a file without asking.
    signature.unlink(missing_ok=True)
    words = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(bundle)]
    status, output = run_tool(words)
    if status != 0 or not signature.is_file():
        raise SigningFailed(
            f"{key}: found no key that signs ({output}), expected a private key of ssh, or the "
            "public one of a key in the agent"
        )
    return signature


def _manifest_of(wheelhouse: Path) -> Manifest:
    kind = _FOLDER.fullmatch(wheelhouse.resolve().name)
    names = sorted(
        str(path.relative_to(wheelhouse)) for path in wheelhouse.rglob("*") if path.is_file()
    )
    wheels = [match[1] for name in names if (match := WHEEL.fullmatch(name))]
    if kind is None or len(wheels) != 1:
        raise UpdateRefused(
            f"{wheelhouse}: found {len(wheels)} wheels of lofi_switchboard, expected one, in a "
            "folder such as wheelhouse-3.11-aarch64; fill it with: make wheelhouse"
        )
    files = {}
    for name in names:
        with open_regular(wheelhouse / name) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            files[name] = (os.fstat(file.fileno()).st_size, digest)
    manifest = Manifest(wheels[0], kind[1], kind[2], files)
    manifest.check()
    return manifest


def _write(wheelhouse: Path, manifest: Manifest, file: BinaryIO) -> None:
    # Time, owner and mode of every file are tarfile's defaults: none of them is this machine's.
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        text = manifest.to_json()
        head = tarfile.TarInfo(MANIFEST)
        head.size = len(text)
        tar.addfile(head, io.BytesIO(text))
        for name, (n_bytes, _) in manifest.files.items():
            info = tarfile.TarInfo(name)
            info.size = n_bytes
            with open_regular(wheelhouse / name) as source:
                tar.addfile(info, source)
