"""Runs the commands on the tiny model."""

import io
import json
import sys
from pathlib import Path

import pytest

from device.cli import main

SCRIPT = "0 100\n0.4 110  # more\n\n0.8 011\n"


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """Every verb runs in an empty folder, without a terminal and without the device's settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("device.config.SEARCHED", (Path("switchboard.toml"),))
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def run(own_folder, tiny_model, capsys):
    """Runs a verb on the tiny model and returns its output."""

    def run(verb, *args, status=0):
        assert main([verb, "--model", str(tiny_model), *map(str, args)]) == status
        return capsys.readouterr().out

    return run


@pytest.fixture
def run_json(run):
    return lambda *args, **options: json.loads(run(*args, "--json", **options))


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "flips.txt"
    path.write_text(SCRIPT, encoding="utf-8")
    return f"script:{path}"
