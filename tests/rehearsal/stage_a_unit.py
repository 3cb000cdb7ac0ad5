"""Stage A: systemd reads the units as they are meant, and finds little to hold against them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.rehearsal.wheelhouse import PROJECT

pytestmark = pytest.mark.bounded(60)

SYSTEM_UNITS = Path("/usr/lib/systemd/system")
SERVICES = ("switchboard.service", "switchboard-fallback.service")
# In tenths: systemd's scale goes from 0.0, locked up, to 10.0, wide open.
EXPOSURE_AT_MOST = 15


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with the units in it, and something where they say their programs are."""
    if shutil.which("systemd-analyze") is None or not SYSTEM_UNITS.is_dir():
        pytest.skip("no systemd on this machine that could judge its units")
    shutil.copytree(SYSTEM_UNITS, tmp_path / "usr/lib/systemd/system", symlinks=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    shutil.copytree(PROJECT / "systemd", tmp_path / "etc/systemd/system")
    for name in ("opt/switchboard/current/bin/switchboard", "bin/sh"):
        program = tmp_path / name
        program.parent.mkdir(parents=True)
        program.touch(0o755)
    return tmp_path


def test_systemd_has_nothing_to_say_about_the_units(root):
    assert complaints(root) == ""


def test_a_misspelt_key_would_be_noticed(root):
    (root / "etc/systemd/system/switchboard.service.d/typo.conf").write_text(
        "[Service]\nWatchdogSecs=10\n"
    )

    assert "WatchdogSecs" in complaints(root)


@pytest.mark.parametrize("service", SERVICES)
def test_little_is_exposed(root, service, measured):
    table = analyze("security", "--offline=yes", f"--root={root}", service)
    exposure = float(table.stdout.split("exposure level for ")[1].split()[1])
    measured(f"exposure of {service}, of 10", exposure, "", EXPOSURE_AT_MOST / 10)

    limited = analyze(
        "security", "--offline=yes", f"--threshold={EXPOSURE_AT_MOST}", f"--root={root}", service
    )
    assert limited.returncode == 0, limited.stdout


def complaints(root: Path) -> str:
    """All that `systemd-analyze verify` prints; its status is 0 for much that is wrong."""
    done = analyze("verify", f"--root={root}", *SERVICES, "switchboard-retry.path")
    return done.stdout + done.stderr


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=30
    )
