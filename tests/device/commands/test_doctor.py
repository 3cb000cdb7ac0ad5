"""`switchboard doctor` on the tiny model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from device.errors import OutputError
from device.switches.pinout import DEFAULT_PINS
from tests.support.command_output import settings_file

pytestmark = pytest.mark.usefixtures("own_folder")


def test_doctor_checks_everything_and_finds_the_model_good(run_json):
    findings = {finding["what"]: finding for finding in run_json("doctor")}
    assert list(findings)[:4] == ["Python", "packages", "kernel", "configuration"]
    assert list(findings)[-4:] == ["PortAudio", "sound cards", "pins", "model"]
    assert findings["model"]["verdict"] == "good"
    assert "3 switches, 22050 Hz" in findings["model"]["found"]
    assert all(f["verdict"] in ("good", "note") for f in findings.values())
    assert all(
        f["remedy"] or f["verdict"] == "good" or f["what"] in ("board", "pins")
        for f in findings.values()
    )


def test_doctor_ends_with_status_one_where_the_instrument_could_not_play(run_json, build_model):
    findings = run_json("doctor", "--model", build_model(golden_offset=1.0), status=1)
    assert findings[-1]["verdict"] == "bad"
    assert "golden vector" in findings[-1]["found"]


def test_doctor_prints_findings_line_by_line(run):
    assert run("doctor").splitlines()[0].startswith("good  Python: 3.")


def test_doctor_checks_the_device_as_it_is_configured(run_json):
    config = settings_file("pins = [5, 5]\nspeaker = 'no such card'\n")
    findings = {f["what"]: f for f in run_json("doctor", "--config", config, status=1)}
    assert findings["configuration"]["found"] == str(config)
    assert findings["wiring"]["found"] == "BCM 5 is used twice"
    assert findings["sound cards"]["verdict"] == "note"


def test_doctor_goes_on_where_the_configuration_is_broken(run_json):
    config = settings_file("sead = 1\n")
    findings = {f["what"]: f for f in run_json("doctor", "--config", config, status=1)}
    assert findings["configuration"]["verdict"] == "bad"
    assert "unknown key sead" in findings["configuration"]["found"]
    assert findings["model"]["verdict"] == "good"


def test_doctor_draws_the_wiring_of_the_configuration(run, run_json):
    config = settings_file("pins = [5, 6]\nled_beat = 22\n")
    output = run("doctor", "--config", config, "--wiring", "panel.svg")
    assert "BCM  5   header pin 29   to GND" in output
    assert "LED: beat" in Path("panel.svg").read_text(encoding="utf-8")
    rows = run_json("doctor", "--config", config, "--wiring", "panel.svg")
    assert [row[1] for row in rows] == ["5", "6", "22"]
    run("doctor", "--wiring", "no such folder/panel.svg", status=OutputError.exit_code)


def test_doctor_shows_the_switches_as_their_pins_see_them():
    code = "import sys; from device.cli import main; sys.exit(main())"
    words = ["doctor", "--pins", "--seconds", "0.5", "--json", "--config", os.devnull]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "GPIOZERO_PIN_FACTORY": "mock"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["bcm"] for row in rows] == list(DEFAULT_PINS)
    assert {row["verdict"] for row in rows} == {"flip it"}
