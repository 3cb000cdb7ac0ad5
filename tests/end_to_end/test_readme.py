"""The commands of the root README do what it says."""

import os
import re
import shutil
import subprocess
import sys
import wave
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.support import tiny_model

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Each needs music and an hour, a device, a network, or is this suite: where it is run instead.
ELSEWHERE = {
    "pipx run --spec": "tests/end_to_end/test_package.py",
    "sudo systemd/install.sh": "tests/systemd/test_install.py",
    "pip install -e": "tests/end_to_end/test_package.py",
    "switchboard corpus folder": "tests/training/corpus/recordings/test_folder_corpus.py",
    "switchboard train": "tests/training/commands/test_train.py",
    "switchboard export": "tests/export/model/test_model_export.py",
    "switchboard pair": "tests/export/remote/test_pairing.py",
    "switchboard push": "tests/end_to_end/test_push.py",
    "make test": "tests",
    "make check": "Makefile",
}
# The first screen of a page as GitHub shows it, in lines of the source.
FIRST_SCREEN = 20


def commands():
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def is_elsewhere(command):
    dry = command.endswith("--dry-run")
    return not dry and any(command.startswith(start) for start in ELSEWHERE)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """What the commands need of a checkout whose environment is set up, and the commands."""
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    for name in ("switchboard", "lofi-switchboard"):
        program = programs / name
        program.write_text(
            f"#!/bin/sh\nexec {sys.executable} -c 'import device.cli as c; "
            'raise SystemExit(c.main())\' "$@"\n',
            encoding="utf-8",
        )
        program.chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "systemd", tmp_path / "systemd")
    (tmp_path / ".venv/box").touch()
    tiny_model.build(tmp_path / "mine.onnx")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_is_run_here_or_elsewhere():
    assert len(commands()) >= 10
    for start, path in ELSEWHERE.items():
        assert any(command.startswith(start) for command in commands()), start
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("command", [each for each in commands() if not is_elsewhere(each)])
def test_a_command_of_the_readme_runs(command, checkout):
    done = subprocess.run(
        ["sh", "-c", command.removeprefix("sudo ")],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if "play" in command and (checkout / "performance.wav").exists():
        with wave.open("performance.wav") as file:
            # A script of flips for 20 s.
            assert file.getnframes() == pytest.approx(20 * file.getframerate(), rel=0.01)
    if "--out x.wav" in command:
        with wave.open("x.wav") as file:
            assert file.getnframes() >= 12 * file.getframerate()


def test_the_first_sound_is_one_command_on_the_first_screen():
    head = "\n".join(README.splitlines()[:FIRST_SCREEN])
    assert "make play" in head
    assert "docs/panel.svg" in head
    assert len(re.findall(r"\(docs/sounds/\w+\.mp3\)", head)) == 3


def test_pipx_finds_a_command_of_the_name_of_the_distribution():
    points = distribution("lofi-switchboard").entry_points
    assert "lofi-switchboard" in {p.name for p in points if p.group == "console_scripts"}
    assert "pipx run lofi-switchboard play" in README


def test_sounds_are_twenty_seconds_and_small():
    soundfile = pytest.importorskip("soundfile")
    for name in re.findall(r"\((docs/sounds/\w+\.mp3)\)", README):
        assert soundfile.info(ROOT / name).duration == pytest.approx(20, abs=0.2)
        assert (ROOT / name).stat().st_size <= 200_000
