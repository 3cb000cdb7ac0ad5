"""An evening by the command line, as a player has it: asleep, awake, and rendered again."""

import json
import subprocess
import sys
import wave
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from device.cli import main


def switchboard(*arguments, cwd, status=0):
    done = subprocess.run(
        [str(Path(sys.executable).with_name("switchboard")), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done


def samples(path):
    with wave.open(str(path)) as wav:
        return wav.getframerate(), np.frombuffer(wav.readframes(wav.getnframes()), "<i2")


def test_it_sleeps_wakes_at_a_flip_and_is_rendered_bit_for_bit(tmp_path):
    (tmp_path / "flips.txt").write_text("0 00000000\n9 01000000\n")
    (tmp_path / "switchboard.toml").write_text(
        'switches = "script:flips.txt"\nsleep = 0.1\nsleep_fade = 0.05\n'
        "wander = 0\nwander_bars = 1\n"
    )
    figures = switchboard(
        *("play", "--speaker", "wav:heard.wav", "--seconds", 12, "--json"),
        *("--performance", "evening.jsonl"),
        cwd=tmp_path,
    )
    assert json.loads(figures.stdout)["seconds"] == 12.0
    rate, heard = samples(tmp_path / "heard.wav")
    assert not heard[round(6.1 * rate) : 9 * rate].any()
    assert heard[: 6 * rate].any()
    assert heard[10 * rate :].any()
    lines = (tmp_path / "evening.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert [name for name, _ in groupby(events) if name in ("fade", "rest")] == [
        "fade",
        "rest",
        "fade",
    ]
    switchboard(
        "render", "--performance", "evening.jsonl", "--out", "again.wav", "--model", "bundled",
        cwd=tmp_path,
    )  # fmt: skip
    assert (tmp_path / "again.wav").read_bytes() == (tmp_path / "heard.wav").read_bytes()


@pytest.mark.parametrize("option", [("--wake-at", "07:00"), ("--quiet", "23:00-7:00")])
def test_a_time_of_day_without_the_right_time_is_refused(option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("device.system.host.Host.knows_the_time", lambda _: False)
    status = main(["play", "--speaker", "wav:x.wav", "--seconds", "1", *option])
    assert status == 15
    assert "take sleep, wake_after and wander, which count minutes" in capsys.readouterr().err
    monkeypatch.setattr("device.system.host.Host.knows_the_time", lambda _: True)
    assert main(["play", "--speaker", "wav:x.wav", "--seconds", "1", *option]) == 0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('wake_at = "25:00"', "expected a time from 00:00 to 23:59"),
        ("wake_at = 700", "expected a text"),
        ('quiet = "23:00"', "expected two times such as 23:00-07:00"),
        ('quiet = "7:00-7:00"', "expected two times such as 23:00-07:00"),
        ("sleep = 0", "0.05<=x<=1440"),
        ("quiet_volume = 3", "-60<=x<=0"),
    ],
)
def test_a_key_that_is_wrong_is_named(line, expected, tmp_path, capsys):
    (tmp_path / "box.toml").write_text(line + "\n")
    assert main(["play", "--config", str(tmp_path / "box.toml"), "--seconds", "1"]) == 15
    error = capsys.readouterr().err
    assert expected in error
    assert line.partition(" ")[0] in error
