"""What the box is installed from without a network."""

import os
import shutil
import sys
from pathlib import Path

from tests.rehearsal.shell import run

PROJECT = Path(__file__).parents[2]
DOWNLOAD_SECONDS = 600


def wheelhouse(arch: str, python: str, folder: Path) -> Path:
    """Make one of this checkout as `make wheelhouse` does."""
    script = PROJECT / "systemd/wheelhouse.sh"
    environment = ["env", f"PYTHON_WITH_PIP={sys.executable}"]
    run(*environment, "sh", script, arch, python, folder, timeout_seconds=DOWNLOAD_SECONDS)
    return folder


def altered(wheelhouse: Path, folder: Path, version: str, *, spoil: str = "") -> Path:
    """A copy with another version of the instrument in it.

    Parameters
    ----------
    spoil : str
        Python put in front of the instrument's loop.
    """
    checkout = folder / "checkout"
    for name in ("device", "training", "export"):
        shutil.copytree(PROJECT / name, checkout / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, checkout / name)
    project = checkout / "pyproject.toml"
    lines = project.read_text().splitlines(keepends=True)
    project.write_text(
        "".join(
            f'version = "{version}"\n' if line.startswith("version = ") else line for line in lines
        )
    )
    instrument = checkout / "device/instrument.py"
    instrument.write_text(instrument.read_text() + spoil)
    changed = folder / "wheelhouse"
    shutil.copytree(
        wheelhouse,
        changed,
        ignore=shutil.ignore_patterns("lofi_switchboard-*"),
        copy_function=os.link,
    )
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        changed,
        checkout,
        timeout_seconds=DOWNLOAD_SECONDS,
    )
    return changed
