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
    owners, found = packages_distributions(), {}
    for package in PACKAGES:
        # Broken metadata has no name; an index takes all spellings of a name for the same.
        names = {name for name in owners.get(package, ()) if name}
        names -= {name for name in names if re.sub(r"[-_.]+", "-", name).lower() == DISTRIBUTION}
        spec = find_spec(package)
        places = list(spec.submodule_search_locations or [spec.origin or ""]) if spec else []
        if names:
            found[package] = f"the distribution {', '.join(sorted(names))}"
        elif places and Path(places[0]).resolve().parent != _PARENT:
            found[package] = str(Path(places[0]).resolve())
    return found
