"""MIDI as a user has it: `play` with a port, status, `doctor --midi`; nothing by default."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from device.ui.status_file import read_status
from tests.support.midi_port import MidiPort
from tests.support.waiting import wait_until

SWITCHBOARD = str(Path(sys.executable).with_name("switchboard"))
SCENE = "verse=9AC7-A1V5-1HS0-0N"


@contextmanager
def playing(tmp_path, *options):
    script, status = tmp_path / "flips.txt", tmp_path / "status.json"
    script.write_text("0 10000000\n")
    command = [SWITCHBOARD, "play", "--switches", f"script:{script}", "--speaker", "silent"]
    process = subprocess.Popen(
        [*command, "--status", str(status), "--seconds", "60", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    )

    def current():
        try:
            return json.loads(status.read_text())
        except OSError:
            assert process.poll() is None, process.stdout.read()
            return {}

    try:
        wait_until(current)
        yield current, process
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@pytest.fixture
def port(tmp_path):
    with MidiPort(tmp_path / "snd", 1) as port:
        yield port


def test_notes_flip_switches_beside_the_panel_and_lights_follow(tmp_path, port):
    with playing(tmp_path, "--midi", str(port.path), "--midi-lights") as (status, _):
        port.wait_for(bytes((0x90, 36, 127, 0x90, 37, 0)))
        port.play(0x90, 37, 100, 0x90, 37, 0, 0x90, 38, 90)
        port.wait_for(bytes((0x90, 37, 127, 0x90, 38, 127)))
        wait_until(lambda: status().get("switches") == "11100000")
        assert status()["held_by"] == {"2": "midi", "3": "midi"}
        port.play(0xB0, 7, 64)
        wait_until(lambda: status()["gain_db"] == -11.9)
        shown = subprocess.run(
            [SWITCHBOARD, "status", "--file", str(tmp_path / "status.json")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "2 by midi, 3 by midi; the others by the panel" in shown.stdout
        assert read_status(tmp_path / "status.json", now=status()["written_at"])


def test_a_controller_may_set_tempo_and_a_program_a_scene(tmp_path, port):
    (tmp_path / "switchboard.toml").write_text(
        f'midi = "{port.path}"\nmidi_map = ["cc 21 = tempo", "note 60 = scene verse"]\n'
        f'midi_channel = 2\nscenes = ["{SCENE}"]\n'
    )
    with playing(tmp_path) as (status, _):
        port.wait_for(b"")
        port.play(0xB1, 21, 127, 0xB0, 21, 0)
        wait_until(lambda: status()["tempo_bpm"] == 200.0)
        port.play(0x91, 60, 100)
        wait_until(lambda: status()["held_by"])
        assert set(status()["held_by"].values()) == {"midi"}


def test_without_the_option_no_port_is_opened(tmp_path, port):
    with playing(tmp_path) as (_, process):
        files = [str(fd.readlink()) for fd in Path(f"/proc/{process.pid}/fd").iterdir()]
        assert not [file for file in files if file.startswith("/dev/pts/")]
        tasks = {
            task.read_text().strip() for task in Path(f"/proc/{process.pid}").glob("task/*/comm")
        }
        assert "midi" not in tasks


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--midi-map", "note 200 = keep", "midi_map: found 'note 200 = keep', expected"),
        ("--scenes", "verse", "scenes: found 'verse'"),
    ],
)
def test_a_map_or_a_scene_that_is_none_is_an_error_of_the_configuration(
    tmp_path, option, value, expected
):
    done = subprocess.run(
        [SWITCHBOARD, "play", "--speaker", "silent", "--midi", "auto", option, value],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 15
    assert expected in done.stderr


def test_doctor_prints_what_arrives_and_the_line_for_the_configuration(tmp_path, port):
    (tmp_path / "switchboard.toml").write_text(f'midi = "{port.path}"\n')
    # A shell's background job ignores the signal, and so would what it starts.
    process = subprocess.Popen(
        ["env", "--default-signal=INT", SWITCHBOARD, "doctor", "--midi", "--seconds", "60"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert "waiting for messages" in process.stdout.readline()
    assert "is there" in process.stdout.readline()
    port.play(0x90, 36, 100, 0x90, 36, 0, 0x90, 20, 100, 0x90, 20, 90, 0xB0, 21, 3, 0xFE)
    lines = [process.stdout.readline() for _ in range(4)]
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=20)[0]
    assert "note 36, value 100, channel 1: switch 1" in lines[0]
    assert '"note 20 = switch 1" in midi_map' in lines[1]
    assert '"cc 21 = switch 2" in midi_map' in lines[2]
    assert "message FE: nothing" in lines[3]
    assert 'midi_map = ["note 20 = switch 1", "cc 21 = switch 2"]' in rest
    assert process.returncode == 0
