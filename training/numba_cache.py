"""The folder in which numba caches the machine code that it compiles for librosa.

librosa cannot be imported where numba finds no folder for it, such as for an account without a home
and a library that root installed. A temporary folder is used then.
"""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

_SETTING = "NUMBA_CACHE_DIR"


def ensure_numba_cache() -> None:
    """Give numba a temporary folder, unless it finds one by itself.

    Call it before librosa is imported; processes that are started afterwards inherit it.
    """
    named = os.environ.get(_SETTING)
    if named and _is_writable(Path(named)):
        return
    if not _is_writable(_user_cache()) and not all(map(_is_folder_writable, _librosa_caches())):
        # Where there is no temporary folder either, numba raises an error.
        with suppress(FileNotFoundError):
            os.environ[_SETTING] = str(_temporary())


def _user_cache() -> Path:
    """The folder that numba makes for a user."""
    try:
        home = Path("~/.cache").expanduser()
    except RuntimeError:
        # An account without an entry in the password database has no home.
        home = Path(os.devnull, "home")
    return Path(os.environ.get("XDG_CACHE_HOME", home)) / "numba"


def _librosa_caches() -> Iterator[Path]:
    """The folders beside librosa's modules, which numba prefers."""
    spec = find_spec("librosa")
    for package in (spec.submodule_search_locations or []) if spec else []:
        for folder, subfolders, names in os.walk(package):
            subfolders[:] = [name for name in subfolders if name != "__pycache__"]
            if any(name.endswith(".py") for name in names):
                yield Path(folder, "__pycache__")


def _is_writable(folder: Path) -> bool:
    """Whether files can be written to a folder that may have to be made."""
    return _is_folder_writable(next(path for path in (folder, *folder.parents) if _is_there(path)))


def _is_folder_writable(folder: Path) -> bool:
    there = folder if _is_there(folder) else folder.parent
    return os.access(there, os.W_OK | os.X_OK) and there.is_dir()


def _is_there(path: Path) -> bool:
    # Not `Path.exists`, which raises for what lies in a folder that may not be entered.
    return os.access(path, os.F_OK)


def _temporary() -> Path:
    """A folder that lasts, so that numba compiles once; a new one where it is not our own.

    The cache holds code: files that another account could have written must not be run.
    """
    lasting = Path(tempfile.gettempdir(), f"lofi-switchboard-numba-{os.getuid()}")
    try:
        lasting.mkdir(mode=0o700, exist_ok=True)
        status = lasting.lstat()
    except OSError:
        return _new()
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    return lasting if is_ours and not status.st_mode & 0o077 else _new()


def _new() -> Path:
    return Path(tempfile.mkdtemp(prefix="lofi-switchboard-numba-"))
