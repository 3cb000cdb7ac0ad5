"""The packages from which a device is installed without a network."""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from tests.appliance.shell import run

PROJECT = Path(__file__).parents[2]
PACKAGES = ("device", "training", "export")
DOWNLOAD_SECONDS = 600


def wheelhouse(arch: str, python: str, folder: Path) -> Path:
    """Make one of this checkout as `make wheelhouse` does."""
    script = PROJECT / "systemd/wheelhouse.sh"
    environment = ["env", f"PYTHON_WITH_PIP={sys.executable}"]
    run(*environment, "sh", script, arch, python, folder, timeout_seconds=DOWNLOAD_SECONDS)
    return folder


def altered(wheelhouse: Path, changed: Path, version: str, *, spoil: str = "") -> None:
    """Fill `changed` with the same wheelhouse but another version of the instrument.

    Parameters
    ----------
    spoil : str
        Python that runs when the instrument is imported.
    """
    shutil.copytree(wheelhouse, changed, copy_function=os.link)
    for wheel in changed.glob("lofi_switchboard-*.whl"):
        wheel.unlink()
    with tempfile.TemporaryDirectory() as folder:
        checkout = _checkout(Path(folder), version, spoil)
        words = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", changed, checkout)
        run(sys.executable, *words, timeout_seconds=DOWNLOAD_SECONDS)


def _checkout(folder: Path, version: str, spoil: str) -> Path:
    """What the wheel is made of, changed."""
    for package in (*PACKAGES, "LICENSES"):
        shutil.copytree(PROJECT / package, folder / package)
    for name in ("README.md", "LICENSE"):
        shutil.copy(PROJECT / name, folder)
    text = (PROJECT / "pyproject.toml").read_text()
    text = re.sub(r'^version = ".*"', f'version = "{version}"', text, flags=re.M)
    (folder / "pyproject.toml").write_text(text)
    with (folder / "device/playback/instrument.py").open("a") as instrument:
        instrument.write(spoil)
    return folder
