"""Describe an image to Raspberry Pi Imager 2: ``switchboard.rpi-imager-manifest`` beside it.

    manifest.py IMAGE SECONDS [ADDRESS]

IMAGE.xz has to lie beside IMAGE. SECONDS since 1970 is the date of the release, ADDRESS the folder
where both will be found; without it, it is where they are. The format is os-list-schema.json of
rpi-imager.
"""

import hashlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 40 40'%3E%3Crect "
    "width='40' height='40' rx='6' fill='%23432'/%3E%3Cpath d='M12 28V12m8 16V12m8 16V12' "
    "stroke='%23fc6' stroke-width='4'/%3E%3C/svg%3E"
)
# As Imager's own list calls them; the Zero 2 W goes by that of a 3.
BOARDS = {
    "Raspberry Pi 5": "pi5-64bit",
    "Raspberry Pi 4": "pi4-64bit",
    "Raspberry Pi 3 and Zero 2 W": "pi3-64bit",
}


def manifest(image: Path, seconds: int, address: str = "") -> dict[str, Any]:
    """What Imager needs to know of an image and its compressed form."""
    compressed = image.with_name(image.name + ".xz")
    entry = {
        "name": "Lo-Fi Switchboard",
        "description": "Plays from power-on. Login: pi, by key; name and password are not used",
        "icon": ICON,
        "url": f"{address}/{compressed.name}" if address else compressed.resolve().as_uri(),
        "extract_size": image.stat().st_size,
        "extract_sha256": sha256(image),
        "image_download_size": compressed.stat().st_size,
        "image_download_sha256": sha256(compressed),
        "release_date": f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}",
        "devices": list(BOARDS.values()),
        "architecture": "armv8",
        # The image reads host name, keys, Wi-Fi and time zone from the rpi-preseed.toml it writes.
        "init_format": "rpi-preseed",
    }
    boards = [
        {"name": name, "description": "", "tags": [tag], "matching_type": "exclusive"}
        for name, tag in BOARDS.items()
    ]
    return {"imager": {"devices": boards}, "os_list": [entry]}


def sha256(path: Path) -> str:
    """The hash of a file, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    source = Path(sys.argv[1])
    text = json.dumps(manifest(source, int(sys.argv[2]), *sys.argv[3:4]), indent=2) + "\n"
    new = source.with_name("switchboard.rpi-imager-manifest.new")
    new.write_text(text)
    new.replace(new.with_suffix(""))
