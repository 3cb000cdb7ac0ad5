"""Who signed an update, asked of the system's tools: `ssh-keygen`, or `minisign`.

The keys that may sign are files of root below /etc/switchboard. Standard library alone.
"""

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any, BinaryIO

from device.errors import SwitchboardError
from device.files import atomic_write, read_text
from device.plain_text import one_line
from device.system.account import owner_of

KEYS = Path("/etc/switchboard")
ALLOWED_SIGNERS = "allowed_signers"
MINISIGN_KEY = "minisign.pub"
# A signature for another purpose, by the same key, is none of an update.
NAMESPACE = "switchboard-update"
IDENTITY = "updates"
MOST_SIGNATURE_BYTES = 2**14
# By the end of the signature file's name.
SUFFIXES = (".sig", ".minisig")

_SECONDS = 300
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_PUBLIC_KEY = re.compile(
    r"(?P<key>(?:ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,3})(?: [^\n]*)?\n?"
)
_TRUST = "trust the maker's key with: sudo switchboard update --trust KEY.pub"


class UpdateUntrusted(SwitchboardError, ValueError):
    """An update's signature is missing, wrong, or of a key that this device does not trust."""

    exit_code = 61


def verify(bundle: Path, signature: Path, keys: Path = KEYS) -> str:
    """Check a bundle's signature.

    Parameters
    ----------
    bundle, signature : Path
        Files that no other account can change meanwhile.
    keys : Path
        The folder with the keys that may sign.

    Returns
    -------
    What the tool says of the signature.

    Raises
    ------
    UpdateUntrusted
    """
    if signature.suffix == ".minisig":
        key = _root_owned(keys / MINISIGN_KEY)
        words = ["minisign", "-V", "-p", str(key), "-m", str(bundle), "-x", str(signature)]
    else:
        key = _root_owned(keys / ALLOWED_SIGNERS)
        words = ["ssh-keygen", "-Y", "verify", "-f", str(key), "-I", IDENTITY, "-n", NAMESPACE]
        words += ["-s", str(signature)]
    with bundle.open("rb") as content:
        status, output = run_tool(words, content)
    if status != 0:
        raise UpdateUntrusted(
            f"found a signature that {key} does not allow ({output}), expected one of a key in it; "
            f"{_TRUST}"
        )
    return output


def trust(public_key: Path, keys: Path = KEYS) -> str:
    """Add a key of ssh to those that may sign.

    Returns
    -------
    Its fingerprint.

    Raises
    ------
    UpdateUntrusted
        If the file is no public key, or the list is not root's alone.
    """
    try:
        match = _PUBLIC_KEY.fullmatch(read_text(public_key, MOST_SIGNATURE_BYTES))
    except (OSError, UnicodeDecodeError) as error:
        raise UpdateUntrusted(f"{public_key}: found {error}, expected a public key") from error
    if match is None:
        raise UpdateUntrusted(
            f"{public_key}: found no public key of ssh, expected one line such as id_ed25519.pub"
        )
    status, output = run_tool(["ssh-keygen", "-l", "-f", "-"], text=match[0])
    if status != 0:
        raise UpdateUntrusted(f"{public_key}: found no public key of ssh ({output})")
    path = keys / ALLOWED_SIGNERS
    before = read_text(_root_owned(path)) if path.exists() else ""
    if match["key"] not in before:
        line = f'{IDENTITY} namespaces="{NAMESPACE}" {match["key"]}\n'
        partial = path.with_name(f".{path.name}.part")
        partial.unlink(missing_ok=True)
        with atomic_write(path, partial, shared=True) as file:
            file.write(f"{before}{line}".encode())
    return output


def run_tool(words: list[str], stdin: BinaryIO | None = None, *, text: str = "") -> tuple[int, str]:
    """Run one of the system's programs, with a file or a text as its input.

    Returns
    -------
    Its exit status, and its output as one line.

    Raises
    ------
    UpdateUntrusted
        If it is not installed or does not end.
    """
    source: dict[str, Any] = {"input": text.encode()} if stdin is None else {"stdin": stdin}
    try:
        done = subprocess.run(
            words,
            **source,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_ENVIRONMENT,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        package = "openssh-client" if words[0] == "ssh-keygen" else words[0]
        raise UpdateUntrusted(
            f"found no {words[0]}, expected the system's: sudo apt install {package}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UpdateUntrusted(f"found {words[0]} still running after {_SECONDS} s") from error
    return done.returncode, one_line(done.stdout.decode(errors="replace"))


def _root_owned(path: Path) -> Path:
    """The path, if no other account decides what is in it."""
    if not path.is_file():
        raise UpdateUntrusted(f"found no {path}, expected the keys that may sign; {_TRUST}")
    own = owner_of(path) in (0, os.geteuid())
    for part in (path, *path.resolve().parents):
        mode = part.stat().st_mode
        own = own and (not mode & 0o022 or (stat.S_ISDIR(mode) and bool(mode & stat.S_ISVTX)))
    if not own:
        raise UpdateUntrusted(
            f"{path}: found it or a folder above it writable by another account, expected root's "
            "alone: sudo chown root: and sudo chmod go-w"
        )
    return path
