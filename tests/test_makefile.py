"""What `make` would do in a fresh clone; nothing is run."""

import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize(
    ("target", "there"),
    [
        ("wheelhouse PYTHON=3.13", "3.13 build/wheelhouse-3.13-aarch64"),
        ("wheelhouse PYTHON=3.11", "3.11 build/wheelhouse-3.11-aarch64"),
        ("wheelhouse PYTHON=python3.12", "3.11 build/wheelhouse-3.11-aarch64"),
        ("update-bundle KEY=key PYTHON=3.13", "3.13 build/wheelhouse-3.13-aarch64"),
    ],
)
def test_the_python_of_the_device_does_not_make_the_environment_here(tmp_path, target, there):
    shutil.copy(PROJECT / "Makefile", tmp_path)
    # Of the lock that `make` compares with: a clone has it, and no environment.
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(PROJECT / name, tmp_path)
    words = ["make", "--dry-run", *target.split()]
    commands = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert "python3 -m venv .venv" in commands
    assert there in commands
