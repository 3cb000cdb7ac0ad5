"""Where logs and kept music are by default."""

import os
from pathlib import Path

from device.store.store import DEFAULT_STORE


def state_folder() -> Path | None:
    """The state folder of the service, where it runs or has run; else None."""
    named = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    folder = Path(named) if named.startswith("/") else DEFAULT_STORE.parent
    return folder if folder.is_dir() else None


def default_kept_folder() -> Path:
    """In the state folder; without one in the user's folder for data, as XDG names it."""
    if folder := state_folder():
        return folder / "kept"
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (data if data.is_absolute() else Path.home() / ".local/share") / "switchboard/kept"
