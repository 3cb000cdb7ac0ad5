"""Whether the top-level packages `device`, `training` and `export` are this project's alone."""

import re
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import device

DISTRIBUTION = "lofi-switchboard"
PACKAGES = ("device", "training", "export")
REMEDY = (
    "install lofi-switchboard into an environment of its own: python3 -m venv FOLDER, then "
    "FOLDER/bin/pip install; or pipx"
)

_PARENT = Path(device.__file__).resolve().parents[1]


def foreign_owners() -> dict[str, str]:
    """Package → what else has a package of that name here; empty where nothing has.

    Two distributions with the same package write into the same folder, and whichever was installed
    last has replaced files of the other; in different folders one hides the other. A distribution
    is named by its metadata, anything else by its folder.
    """
    owners = packages_distributions()
    found = {}
    for package in PACKAGES:
        # Broken metadata has no name.
        names = sorted({name for name in owners.get(package, ()) if name and not _is_own(name)})
        place = _place(package)
        if names:
            found[package] = f"the distribution {', '.join(names)}"
        elif place is not None and place.parent != _PARENT:
            found[package] = str(place)
    return found


def _is_own(name: str) -> bool:
    # The same name in all spellings that an index takes for the same.
    return re.sub(r"[-_.]+", "-", name).lower() == DISTRIBUTION


def _place(package: str) -> Path | None:
    """The folder or file that an import would find."""
    spec = find_spec(package)
    places = [*(spec.submodule_search_locations or ()), spec.origin] if spec else []
    return Path(places[0]).resolve() if places and places[0] else None
