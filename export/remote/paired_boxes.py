"""The devices that this workstation has paired: a file beside its key."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from device.files import make_folder, read_json_object, write_json_object
from device.system.outputs import not_written
from export.remote.discovery import FoundBox
from export.remote.ssh import BadHost, Host


@dataclass(frozen=True)
class PairedBox:
    """A device that may be pushed to, as its owner named it.

    Attributes
    ----------
    host : Host
    port : int or None
        Of ssh; None leaves it to ssh.
    """

    host: Host
    port: int | None = None

    def is_at(self, found: FoundBox) -> bool:
        """Whether an announcement has this device's name or address."""
        return self.host.name.lower() in (found.host, *map(str.lower, found.addresses))


def default_file() -> Path:
    """Where `pair` writes the devices."""
    return Path(click.get_app_dir("switchboard")) / "paired.json"


def read_paired(path: Path) -> list[PairedBox]:
    """The devices of a file in the order of pairing; entries that are none are left out."""
    entries = read_json_object(path).get("devices")
    return (
        [box for entry in entries if (box := _parsed(entry))] if isinstance(entries, list) else []
    )


def remember(path: Path, box: PairedBox) -> None:
    """Add a device, or replace what is known of its account there.

    Raises
    ------
    OutputError
    """
    boxes = [other for other in read_paired(path) if other.host != box.host] + [box]
    entries = [{"user": b.host.user, "host": b.host.name, "port": b.port} for b in boxes]
    try:
        make_folder(path.parent)
        write_json_object(path, {"devices": entries})
    except OSError as error:
        raise not_written(path, error) from error


def of_those_found(paired: Sequence[PairedBox], found: Sequence[FoundBox]) -> list[PairedBox]:
    """The paired devices that are announced."""
    return [box for box in paired if any(map(box.is_at, found))]


def _parsed(entry: Any) -> PairedBox | None:
    match entry:
        case {"user": str(user), "host": str(name), "port": None | int() as port}:
            # As strictly as from a command line: it may have been edited.
            with suppress(BadHost):
                host = Host.parse(f"{user}@{name}")
                return PairedBox(host, port) if port is None or 0 < port < 65536 else None
    return None
