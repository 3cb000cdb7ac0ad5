"""The token that a phone must know: 128 random bits in a file that its owner alone can read."""

import base64
import os
import re
import stat
from pathlib import Path

from device.errors import OutputError, SettingsError
from device.files import make_folder, open_regular

_N_BYTES = 16
# 128 bits in base64, as a URL may have it.
_FORM = re.compile(r"[A-Za-z0-9_-]{22}")
_OWNER_ONLY = 0o600


def read_token(path: Path, *, is_credential: bool = False) -> str:
    """Read the token of a file.

    Parameters
    ----------
    is_credential : bool
        Whether the service manager passed it: then an access list restricts it, not its mode.

    Raises
    ------
    SettingsError
        If there is none, others may read it, or its content is no token, which is not shown.
    """
    try:
        # A link could make root print the content of another file.
        with open_regular(path, follow=False) as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(100).decode("ascii", "replace").strip()
    except OSError as error:
        raise SettingsError(
            f"{path}: found {error.strerror or error}, expected the panel's token; "
            "`switchboard panel --link` makes one"
        ) from error
    is_open = bool(mode & 0o077) and not is_credential
    if is_open or not _FORM.fullmatch(text):
        found = f"mode {mode:o}" if is_open else "another content"
        raise SettingsError(
            f"{path}: found {found}, expected a token that its owner alone can read; "
            "`switchboard panel --new-token` makes another one"
        )
    return text


def make_token(path: Path) -> str:
    """Write a new token, in place of one that was there.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    token = base64.urlsafe_b64encode(os.urandom(_N_BYTES)).rstrip(b"=").decode()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        make_folder(path.parent)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: found {error.strerror or error}, expected a folder that can be written to; "
            "choose another --token-file"
        ) from error
    return token
